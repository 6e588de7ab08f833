/* SPDX-License-Identifier: MIT */
/*
 * The door to the EAV store for tests: one command a line on stdin, one answer a line on stdout. Words are
 * separated by blanks, texts are hex behind an 'x', '-' means absent. An answer starts with the return
 * value; behind a negative one stands the reason.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "change.h"
#include "eav_private.h"

enum { WORDS = 14, BATCH = 4096, NOTES = 8 };

/* Words that a batch keeps until it is written. */
struct kept {
	struct buf words[WORDS];
	struct eav_record record;
	struct edn value;
};

struct probe {
	struct eav *eav;
	struct buf words[WORDS];
	bool absent[WORDS];
	unsigned count;
	struct kept kept[BATCH];
	struct eav_item items[BATCH];
	size_t item_count;
	struct buf note_words[NOTES * 2];
	struct saved_note notes[NOTES];
	size_t note_count;
	struct arena arena;
	struct buf out;
	struct err err;
};

static void add_hex(struct buf *out, struct slice text)
{
	buf_add_str(out, " x");
	for (size_t i = 0; i < text.len; i++)
		buf_add_format(out, "%02x", (unsigned char)text.ptr[i]);
}

static int digit(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* Into memory of exactly its size, so that a sanitizer sees what is read past it; a NUL behind plain words. */
static void decode_word(struct probe *p, const char *word)
{
	struct buf *to = &p->words[p->count];
	size_t len = word[0] == 'x' ? (strlen(word) - 1) / 2 : strlen(word);

	p->absent[p->count++] = strcmp(word, "-") == 0;
	to->ptr = malloc(len + (word[0] != 'x' || !len));
	if (!to->ptr)
		exit(3);
	to->len = len;
	to->cap = len;
	if (word[0] == 'x') {
		for (size_t i = 0; i < len; i++)
			to->ptr[i] = (char)(digit(word[2 * i + 1]) << 4 | digit(word[2 * i + 2]));
	} else {
		memcpy(to->ptr, word, len + 1);
	}
}

static struct slice text(const struct probe *p, unsigned i)
{
	return i < p->count && !p->absent[i] ? buf_slice(&p->words[i]) : slice_of(NULL, 0);
}

static long long number_of(const struct buf *word)
{
	return strtoll(word->ptr, NULL, 10);
}

static long long number(const struct probe *p, unsigned i)
{
	return i < p->count && !p->absent[i] ? number_of(&p->words[i]) : 0;
}

static int do_open(struct probe *p)
{
	char path[4096];
	int fd;
	int ret;

	snprintf(path, sizeof(path), "%.*s", (int)p->words[1].len, p->words[1].ptr);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	eav_close(p->eav);
	p->eav = NULL;
	ret = eav_open_sized(&p->eav, fd, path, number(p, 2), (size_t)number(p, 3), &p->err);
	close(fd);
	return ret;
}

static int do_close(struct probe *p)
{
	eav_close(p->eav);
	p->eav = NULL;
	return 0;
}

/* The entity's name from two words: key and member. */
static int do_name(struct probe *p)
{
	struct buf name = BUF_INIT;

	entity_id_name(&name, (struct entity_id){text(p, 1), text(p, 2)});
	add_hex(&p->out, buf_slice(&name));
	buf_release(&name);
	return 0;
}

static struct hash128 hash_at(struct slice hashes, unsigned i)
{
	struct hash128 hash = {0, 0};

	if (hashes.len >= (i + 1) * sizeof(hash))
		memcpy(&hash, hashes.ptr + i * sizeof(hash), sizeof(hash));
	return hash;
}

/* NAME [FLAGS TYPE BYTES EDN MODE MTIME_NS INO VERSION TRANSACTION HASHES] */
static int do_item(struct probe *p)
{
	struct kept *k = &p->kept[p->item_count];
	struct eav_item *item = &p->items[p->item_count];
	long long flags = number(p, 2);
	long long ns = number(p, 7);
	int ret = 0;

	if (p->item_count == BATCH)
		return -E2BIG;
	*item = (struct eav_item){.name = text(p, 1)};
	if (p->count > 2) {
		k->record = (struct eav_record){.collection = flags & 1,
			.deleted = flags & 2,
			.has_mtime = flags & 4,
			.base_exists = flags & 8,
			.type = text(p, 3),
			.bytes = text(p, 4),
			.mode = (mode_t)number(p, 6),
			.mtime = {ns / 1000000000, ns % 1000000000},
			.ino = (uint64_t)number(p, 8),
			.version = (uint64_t)number(p, 9),
			.transaction = (uint64_t)number(p, 10),
			.text_hash = hash_at(text(p, 11), 0),
			.identity = hash_at(text(p, 11), 1),
			.base = hash_at(text(p, 11), 2)};
		item->record = &k->record;
		if (text(p, 5).ptr)
			ret = edn_read(&p->arena, text(p, 5), EDN_LOAD_DEPTH, &k->value, NULL,
				&p->err);
		item->value = text(p, 5).ptr ? &k->value : NULL;
	}
	if (ret)
		return ret;
	memcpy(k->words, p->words, sizeof(k->words));
	memset(p->words, 0, sizeof(p->words));
	p->item_count++;
	return 0;
}

static int do_note(struct probe *p)
{
	if (p->note_count == NOTES)
		return -E2BIG;
	if (!buf_cstr(&p->words[1]))
		return -ENOMEM;
	p->notes[p->note_count] = (struct saved_note){.name = p->words[1].ptr, .value = text(p, 2)};
	p->note_words[2 * p->note_count] = p->words[1];
	p->note_words[2 * p->note_count + 1] = p->words[2];
	memset(&p->words[1], 0, 2 * sizeof(p->words[0]));
	p->note_count++;
	return 0;
}

static void forget_items(struct probe *p)
{
	for (size_t i = 0; i < p->item_count; i++)
		for (unsigned j = 0; j < WORDS; j++)
			buf_release(&p->kept[i].words[j]);
	for (size_t i = 0; i < 2 * p->note_count; i++)
		buf_release(&p->note_words[i]);
	arena_reset(&p->arena);
	p->item_count = 0;
	p->note_count = 0;
}

static int do_write(struct probe *p)
{
	int ret = eav_write(p->eav, p->items, p->item_count, p->notes, p->note_count, &p->err);

	forget_items(p);
	return ret;
}

/* The same of items that have no notes beside them. */
static int do_write_prepared(struct probe *p)
{
	struct eav_prepared *prepared;
	int ret = eav_prepared_new(&prepared, p->item_count + 1);

	if (ret)
		return ret;
	/* the first is there twice, and one of them not written */
	if (p->item_count)
		ret = eav_prepare(prepared, &p->items[0]);
	for (size_t i = 0; i < p->item_count && !ret; i++)
		ret = eav_prepare(prepared, &p->items[i]);
	if (!ret)
		ret = eav_prepared_end(prepared);
	if (!ret && p->item_count)
		eav_prepared_drop(prepared, 0);
	if (!ret)
		ret = eav_write_prepared(p->eav, p->items, prepared, &p->err);
	eav_prepared_free(prepared);
	forget_items(p);
	return ret;
}

/* ---- reading ---- */

static void add_record(struct buf *out, const struct eav_record *r)
{
	struct hash128 hashes[] = {r->text_hash, r->identity, r->base};

	buf_add_format(out, " %d",
		r->collection | r->deleted << 1 | r->has_mtime << 2 | r->base_exists << 3);
	add_hex(out, r->type);
	add_hex(out, r->bytes);
	buf_add_format(out, " %u %lld %llu %llu %llu", (unsigned)r->mode,
		(long long)r->mtime.tv_sec * 1000000000 + r->mtime.tv_nsec,
		(unsigned long long)r->ino, (unsigned long long)r->version,
		(unsigned long long)r->transaction);
	add_hex(out, slice_of(hashes, sizeof(hashes)));
	buf_add_format(out, " %llu", (unsigned long long)r->entity);
}

static int get(struct probe *p, struct eav_reader *reader)
{
	struct eav_record record;
	int ret = eav_get(reader, text(p, 1), &record);

	if (!ret)
		add_record(&p->out, &record);
	return ret;
}

static int add_name(void *context, struct slice name, const struct eav_record *record)
{
	struct probe *p = context;

	add_hex(&p->out, name);
	buf_add_str(&p->out, record ? " 1" : " 0");
	return p->count > 2 && slice_equal(name, text(p, 2)) ? 77 : 0;
}

static int each(struct probe *p, struct eav_reader *reader)
{
	return eav_each(reader, text(p, 1), add_name, p);
}

static int add_type(void *context, struct slice type, uint64_t count)
{
	struct probe *p = context;

	add_hex(&p->out, type);
	buf_add_format(&p->out, " %llu", (unsigned long long)count);
	return 0;
}

static int types(struct probe *p)
{
	return eav_each_type(p->eav, add_type, p);
}

static int note(struct probe *p, struct eav_reader *reader)
{
	char value[64];
	size_t size = (size_t)number(p, 2);
	int ret = size > sizeof(value)      ? -E2BIG
		  : !buf_cstr(&p->words[1]) ? -ENOMEM
					    : eav_note_get(reader, p->words[1].ptr, value, size);

	if (!ret)
		add_hex(&p->out, slice_of(value, size));
	return ret;
}

static void add_value(struct buf *out, const struct eav_value *value)
{
	buf_add_format(out, " %d", value->type);
	if (value->type == EAV_LONG || value->type == EAV_INSTANT)
		buf_add_format(out, " %lld", (long long)value->integer);
	else if (value->type == EAV_DOUBLE)
		add_hex(out, slice_of(&value->real, sizeof(value->real)));
	else if (value->type == EAV_UUID)
		add_hex(out, slice_of(value->uuid, sizeof(value->uuid)));
	else if (value->type >= EAV_KEYWORD)
		add_hex(out, value->text);
	else
		buf_add_str(out, " -");
}

static int add_datom(void *context, const struct eav_datom *datom)
{
	struct probe *p = context;

	buf_add_format(&p->out, " %llu", (unsigned long long)datom->entity);
	add_hex(&p->out, datom->name);
	add_hex(&p->out, datom->attribute);
	add_value(&p->out, &datom->value);
	return 0;
}

static int datoms(struct probe *p, struct eav_reader *reader)
{
	return eav_datoms(reader, text(p, 1), add_datom, p);
}

/* Anything that has no type of its own is a bound as JSON text: then word is the text behind a 'j'. */
static int bound(struct probe *p, unsigned i, struct eav_value *value)
{
	struct slice word = text(p, i);
	struct edn edn;
	int ret;

	if (word.len && word.ptr[0] == 'j') {
		*value = (struct eav_value){
			.type = EAV_JSON, .text = slice_of(word.ptr + 1, word.len - 1)};
		return 0;
	}
	ret = edn_read(&p->arena, word, EDN_LOAD_DEPTH, &edn, NULL, &p->err);
	if (ret)
		return ret;
	return eav_value_of_edn(&edn, value) ? 0 : -EINVAL;
}

/* ATTRIBUTE FROM TO */
static int range(struct probe *p, struct eav_reader *reader)
{
	struct eav_value value[2];
	const struct eav_value *bounds[2] = {NULL, NULL};

	for (unsigned i = 0; i < 2; i++) {
		int ret = text(p, i + 2).ptr ? bound(p, i + 2, &value[i]) : 0;

		if (ret)
			return ret;
		bounds[i] = text(p, i + 2).ptr ? &value[i] : NULL;
	}
	return eav_range(reader, text(p, 1), bounds[0], bounds[1], add_datom, p);
}

static int do_stat(struct probe *p)
{
	struct eav_stat st;
	int ret = eav_stat(p->eav, &st);

	if (!ret)
		buf_add_format(&p->out, " %llu %llu %llu %llu %llu %llu %llu",
			(unsigned long long)st.entities, (unsigned long long)st.datoms,
			(unsigned long long)st.file_bytes, (unsigned long long)st.map_bytes,
			(unsigned long long)st.commits, (unsigned long long)st.datoms_added,
			(unsigned long long)st.datoms_removed);
	return ret;
}

/* ---- readers that go on while writers make the map grow ---- */

struct storm {
	struct eav *eav;
	unsigned writes;
	size_t bytes;
	unsigned writers; /* numbers given out; atomic */
	int stop;         /* atomic */
	unsigned rounds;  /* of readers; atomic */
	int failed;       /* atomic */
};

static void storm_fail(struct storm *storm, int code)
{
	__atomic_store_n(&storm->failed, code, __ATOMIC_RELAXED);
}

struct moment {
	unsigned documents;
	bool first; /* writer 0's first document is among them */
};

static int count_document(void *context, struct slice name, const struct eav_record *record)
{
	struct moment *moment = context;

	if (!record)
		return -EIO;
	moment->documents++;
	if (slice_equal(name, SLICE_LITERAL("Dw0-0")))
		moment->first = true;
	return 0;
}

static int read_round(struct storm *storm)
{
	struct eav_reader reader;
	struct eav_record record;
	struct moment moments[2] = {{0, false}, {0, false}};
	int ret = eav_read_begin(storm->eav, &reader);

	if (ret)
		return ret;
	for (unsigned i = 0; i < 2 && !ret; i++)
		ret = eav_each(&reader, slice_of(NULL, 0), count_document, &moments[i]);
	if (!ret)
		ret = eav_get(&reader, SLICE_LITERAL("Dw0-0"), &record);
	eav_read_end(&reader);
	if (ret == -ENOENT && !moments[0].first)
		ret = 0;
	if (!ret && (moments[0].documents != moments[1].documents ||
			    moments[0].first != moments[1].first))
		ret = -EPROTO; /* a moment that changes */
	return ret;
}

static void *storm_reader(void *context)
{
	struct storm *storm = context;

	while (!__atomic_load_n(&storm->stop, __ATOMIC_RELAXED)) {
		int ret = read_round(storm);

		if (ret)
			storm_fail(storm, ret);
		__atomic_fetch_add(&storm->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void *storm_writer(void *context)
{
	struct storm *storm = context;
	unsigned self = __atomic_fetch_add(&storm->writers, 1, __ATOMIC_RELAXED);
	struct eav_record record = {.type = SLICE_LITERAL("storm")};
	char *bytes = malloc(storm->bytes);
	char name[32];

	if (!bytes) {
		storm_fail(storm, -ENOMEM);
		return NULL;
	}
	for (unsigned i = 0; i < storm->writes; i++) {
		struct eav_item item = {.record = &record};
		int ret;

		memset(bytes, 'a' + (int)(i % 26), storm->bytes);
		record.bytes = slice_of(bytes, storm->bytes);
		item.name =
			slice_of(name, (size_t)snprintf(name, sizeof(name), "Dw%u-%u", self, i));
		ret = eav_write(storm->eav, &item, 1, NULL, 0, NULL);
		if (ret)
			storm_fail(storm, ret);
	}
	free(bytes);
	return NULL;
}

/* READERS WRITERS WRITES BYTES: how many rounds the readers made */
static int do_storm(struct probe *p)
{
	struct storm storm = {
		.eav = p->eav, .writes = (unsigned)number(p, 3), .bytes = (size_t)number(p, 4)};
	pthread_t threads[16];
	unsigned readers = (unsigned)number(p, 1);
	unsigned all = readers + (unsigned)number(p, 2);

	if (all > 16)
		return -E2BIG;
	for (unsigned i = 0; i < all; i++)
		if (pthread_create(&threads[i], NULL, i < readers ? storm_reader : storm_writer,
			    &storm))
			exit(3);
	for (unsigned i = readers; i < all; i++)
		pthread_join(threads[i], NULL);
	__atomic_store_n(&storm.stop, 1, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < readers; i++)
		pthread_join(threads[i], NULL);
	buf_add_format(&p->out, " %u", storm.rounds);
	return storm.failed;
}

static const struct command {
	const char *name;
	int (*run)(struct probe *p);
	int (*read)(struct probe *p, struct eav_reader *reader);
} commands[] = {
	{"open", do_open, NULL},
	{"close", do_close, NULL},
	{"name", do_name, NULL},
	{"item", do_item, NULL},
	{"note", do_note, NULL},
	{"write", do_write, NULL},
	{"write-prepared", do_write_prepared, NULL},
	{"stat", do_stat, NULL},
	{"storm", do_storm, NULL},
	{"get", NULL, get},
	{"each", NULL, each},
	{"types", types, NULL},
	{"noted", NULL, note},
	{"datoms", NULL, datoms},
	{"range", NULL, range},
};

static int run(struct probe *p, const struct command *command)
{
	struct eav_reader reader;
	int ret;

	if (command->run)
		return command->run(p);
	ret = eav_read_begin(p->eav, &reader);
	if (!ret)
		ret = command->read(p, &reader);
	eav_read_end(&reader);
	return ret;
}

static int run_line(struct probe *p, char *line)
{
	char *word;
	int ret = -ENOSYS;

	p->count = 0;
	p->err = (struct err){.code = 0};
	buf_reset(&p->out);
	while ((word = strsep(&line, " \n")) && p->count < WORDS)
		if (*word)
			decode_word(p, word);
	for (size_t i = 0; p->count && i < sizeof(commands) / sizeof(*commands); i++) {
		if (strcmp(commands[i].name, p->words[0].ptr) != 0)
			continue;
		ret = run(p, &commands[i]); /* may keep the words */
		break;
	}
	if (ret < 0)
		add_hex(&p->out, slice_str(p->err.text));
	printf("%d%s\n", ret, buf_error(&p->out) || !p->out.len ? "" : buf_cstr(&p->out));
	fflush(stdout);
	for (unsigned i = 0; i < WORDS; i++)
		buf_release(&p->words[i]);
	return ret == -ENOSYS;
}

int main(void)
{
	struct probe *p = calloc(1, sizeof(*p));
	char *line = NULL;
	size_t cap = 0;
	int ret = !p;

	while (!ret && getline(&line, &cap, stdin) > 0)
		ret = run_line(p, line);
	free(line);
	if (p) {
		eav_close(p->eav);
		arena_release(&p->arena);
		buf_release(&p->out);
	}
	free(p);
	return ret ? 2 : 0;
}
