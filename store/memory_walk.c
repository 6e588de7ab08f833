/* SPDX-License-Identifier: MIT */
#include "memory_agree.h"

#include <errno.h>
#include <string.h>

#include "background.h"

/*
 * A chunk is one transaction, and twice as much is in memory: larger ones were no faster, and smaller ones write a
 * page of the indexes more often. Who saves waits for a piece, which a busy machine may also interrupt.
 */
enum {
	CHUNK_ENTITIES = 4096,
	CHUNK_BYTES = 32 << 20,
	PIECE_ENTITIES = 16,
	CHUNK_ROOM = 16 << 20, /* of memory, for what is usual */
};

/* ---- comparing ---- */

static int note_failure(struct chunk *chunk, struct slice name, int ret)
{
	struct agree_failure *failure = arena_alloc(&chunk->arena, sizeof(*failure));
	char *copy = arena_copy(&chunk->arena, name.ptr, name.len);

	if (!failure || !copy)
		return -ENOMEM;
	*failure = (struct agree_failure){chunk->failures, slice_of(copy, name.len), ret};
	chunk->failures = failure;
	return 0;
}

static bool is_open(struct memory *m)
{
	int state = atomic_load(&m->eav.state);

	return m->eav.store && (state == EAV_BEHIND || state == EAV_READY);
}

/* Under memory.lock, from chunk->to on. */
static int compare_piece(struct chunk *chunk, size_t end)
{
	struct reading reading = {0};
	int ret = is_open(chunk->m) ? reading_begin(chunk->m, &reading, true) : -ENODEV;

	if (ret)
		return ret;
	while (!ret && chunk->to < end && chunk->bytes < CHUNK_BYTES) {
		struct slice name = names_at(chunk->names, chunk->to++);

		ret = agree_one(chunk, &reading, name);
		if (ret && chunk->agree->tolerant)
			ret = note_failure(chunk, name, ret);
	}
	reading_end(&reading);
	return ret;
}

static size_t at_most(size_t n, size_t most)
{
	return n < most ? n : most;
}

/* Without it the writer does that itself. */
static void drop_prepared(struct chunk *chunk)
{
	eav_prepared_free(chunk->prepared);
	chunk->prepared = NULL;
}

static void prepare(struct chunk *chunk, const struct eav_item *item)
{
	if (chunk->prepared && eav_prepare(chunk->prepared, item))
		drop_prepared(chunk);
}

/* What memory.lock was held for, from item i on. */
static int make_items(struct chunk *chunk, size_t i)
{
	size_t kept = i;
	int ret = 0;

	for (; !ret && i < chunk->count; i++) {
		ret = agree_make(chunk, i);
		if (!ret) {
			chunk->items[kept] = chunk->items[i];
			prepare(chunk, &chunk->items[kept++]);
		} else if (chunk->agree->tolerant) {
			ret = note_failure(chunk, chunk->items[i].name, ret);
		}
	}
	chunk->count = kept;
	return ret;
}

/* Nobody who saves waits for more than a piece. */
static int compare_chunk(struct chunk *chunk)
{
	struct memory *m = chunk->m;
	size_t end = chunk->from + at_most(chunk->names->count - chunk->from, CHUNK_ENTITIES);
	int ret = 0;

	while (!ret && chunk->to < end && chunk->bytes < CHUNK_BYTES) {
		size_t made = chunk->count;

		pthread_rwlock_rdlock(&m->lock);
		if (chunk->to == chunk->from)
			chunk->sequence = m->sequence;
		ret = compare_piece(chunk, chunk->to + at_most(end - chunk->to, PIECE_ENTITIES));
		pthread_rwlock_unlock(&m->lock);
		if (!ret)
			ret = make_items(chunk, made);
		background_make_way(&m->attention);
	}
	return ret;
}

static void *compare(void *context)
{
	struct walk *walk = context;
	struct chunk *chunk = &walk->chunk;

	if (!chunk->arena.block && arena_alloc(&chunk->arena, CHUNK_ROOM))
		arena_reset(&chunk->arena);
	chunk->items = arena_alloc(&chunk->arena, CHUNK_ENTITIES * sizeof(*chunk->items));
	chunk->sources = arena_alloc(&chunk->arena, CHUNK_ENTITIES * sizeof(*chunk->sources));
	if (eav_prepared_new(&chunk->prepared, CHUNK_ENTITIES))
		chunk->prepared = NULL;
	walk->ret = chunk->items && chunk->sources ? compare_chunk(chunk) : -ENOMEM;
	if (chunk->prepared && eav_prepared_end(chunk->prepared))
		drop_prepared(chunk);
	return NULL;
}

/* ---- writing ---- */

/* What was saved since it was compared is not to be overwritten: then it is compared again. */
static int adopt_locked(void *context, struct err *err)
{
	struct chunk *chunk = context;
	struct memory *m = chunk->m;
	int ret = 0;

	if (m->sequence != chunk->sequence) {
		size_t end = chunk->to;

		chunk->count = chunk->bytes = 0;
		chunk->to = chunk->from;
		chunk->failures = NULL;
		buf_reset(&chunk->adopted);
		ret = compare_piece(chunk, end);
	}
	return ret ? ret : memory_adopt_payload(m, &chunk->adopted, err);
}

/* Of what was flushed since the chunk was compared, the EAV store has the newer value. */
static void drop_flushed(struct chunk *chunk)
{
	size_t kept = 0;

	for (size_t i = 0; i < chunk->count; i++) {
		const uint64_t *sequence = table_get(&chunk->m->flush.recent, chunk->items[i].name);

		if (!sequence || *sequence <= chunk->sequence)
			chunk->items[kept++] = chunk->items[i];
		else if (chunk->prepared)
			eav_prepared_drop(chunk->prepared, kept);
	}
	chunk->count = kept;
}

/* The disk's trouble, not an entity's. */
static bool is_of_the_store(int ret)
{
	return ret == -ENOSPC || ret == -EDQUOT || ret == -EIO || ret == -EROFS || ret == -ENOMEM;
}

/* Where all can't be written together, halves are, down to what can't be. As deep as CHUNK_ENTITIES has bits. */
static int write_items(struct chunk *chunk, size_t from, size_t count, struct err *err)
{
	struct eav *eav = chunk->m->eav.store;
	int ret = 0;

	if (count == chunk->count && chunk->prepared && count)
		ret = eav_write_prepared(eav, chunk->items, chunk->prepared, err);
	else if (count)
		ret = eav_write(eav, chunk->items + from, count, NULL, 0, err);
	if (!ret || !chunk->agree->tolerant || is_of_the_store(ret))
		return ret;
	*err = (struct err){0};
	if (count == 1)
		return note_failure(chunk, chunk->items[from].name, ret);
	ret = write_items(chunk, from, count / 2, err);
	return ret ? ret : write_items(chunk, from + count / 2, count - count / 2, err);
}

int chunk_write(struct chunk *chunk, struct err *err)
{
	int ret;

	if (!is_open(chunk->m))
		return -ENODEV;
	drop_flushed(chunk);
	ret = write_items(chunk, 0, chunk->count, err);
	if (!ret && chunk->adopted.len)
		ret = memory_adopt(chunk->m, adopt_locked, chunk, err);
	return ret;
}

/* ---- the walk ---- */

static void release_chunk(struct chunk *chunk)
{
	drop_prepared(chunk);
	buf_release(&chunk->adopted);
	arena_release(&chunk->arena);
}

static void next_chunk(struct walk *walk, size_t from)
{
	struct chunk *last = &walk->chunk;

	walk->chunk = (struct chunk){.m = last->m,
		.agree = last->agree,
		.names = last->names,
		.arena = walk->spare,
		.from = from,
		.to = from};
	walk->spare = ARENA_INIT;
	walk->ret = 0;
}

/* Its memory is the next one's: to use it for the first time takes as long as what is done in it. */
static void end_chunk(struct walk *walk, struct chunk *chunk)
{
	arena_reset(&chunk->arena);
	walk->spare = chunk->arena;
	chunk->arena = ARENA_INIT;
	release_chunk(chunk);
}

int walk_begin(struct walk *walk, struct memory *m, struct agree *agree, const struct names *names,
	size_t from)
{
	walk->chunk = (struct chunk){.m = m, .agree = agree, .names = names};
	next_chunk(walk, from);
	if (walk_more(walk))
		compare(walk);
	return walk->ret;
}

bool walk_more(const struct walk *walk)
{
	return walk->chunk.from < walk->chunk.names->count;
}

int walk_step(struct walk *walk, walk_write_fn *write, void *context, struct err *err)
{
	struct chunk chunk = walk->chunk;
	pthread_t thread;
	bool more;
	int ret = 0;

	next_chunk(walk, chunk.to);
	more = walk_more(walk);
	if (more)
		ret = -pthread_create(&thread, NULL, compare, walk);
	if (!ret) {
		ret = write(context, &chunk, err);
		if (more)
			pthread_join(thread, NULL);
	}
	end_chunk(walk, &chunk);
	return ret ? ret : walk->ret;
}

void walk_end(struct walk *walk)
{
	release_chunk(&walk->chunk);
	arena_release(&walk->spare);
	*walk = (struct walk){0};
}

/* ---- all of it at once ---- */

static bool is_closing(struct memory *m)
{
	bool closing;

	pthread_mutex_lock(&m->flush.pace.mutex);
	closing = m->flush.pace.closing;
	pthread_mutex_unlock(&m->flush.pace.mutex);
	return closing;
}

static int write_here(void *context, struct chunk *chunk, struct err *err)
{
	(void)context;
	return chunk_write(chunk, err);
}

int memory_agree(struct memory *m, struct agree *agree, struct err *err)
{
	struct names names = {0};
	struct walk walk = {0};
	struct eav_stat stat;
	int ret = eav_stat(m->eav.store, &stat);

	/* nothing there, and nothing to bring */
	if (!ret && !stat.entities && !agree->migrate && !agree->check)
		return 0;
	if (!ret)
		ret = names_gather(&names, m, NULL);
	if (!ret)
		ret = walk_begin(&walk, m, agree, &names, 0);
	while (!ret && walk_more(&walk)) {
		ret = walk_step(&walk, write_here, NULL, err);
		memory_resident_trim_background(m);
		if (!ret && is_closing(m))
			ret = -ECANCELED;
	}
	walk_end(&walk);
	names_release(&names);
	memory_resident_rest(m);
	return ret && err && !err->code
		       ? err_set(err, ret, "cannot bring the EAV store up: %s", strerror(-ret))
		       : ret;
}
