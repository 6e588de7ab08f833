/* SPDX-License-Identifier: MIT */
#include "ednfile_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "atomic_file.h"
#include "ednfile_index.h"
#include "lock_order.h"

/* Text behind the first form that Clojure would have to ignore: comments it ignores anyway. */
static size_t count_trailing(struct slice foot)
{
	size_t at = 1; /* the '}' */
	size_t end = foot.len;

	while (at < end) {
		if (foot.ptr[at] == ';')
			while (at < end && foot.ptr[at] != '\n' && foot.ptr[at] != '\r')
				at++;
		else if (memchr(" \t\n\v\f\r,", foot.ptr[at], 7))
			at++;
		else
			break;
	}
	while (end > at && memchr(" \t\n\v\f\r,", foot.ptr[end - 1], 7))
		end--;
	return end - at;
}

static struct ednfile *new_file(const struct ednfile_options *options)
{
	struct ednfile *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;
	mutex_init(&file->lock, LOCK_EDNFILE);
	file->schema = options->schema;
	file->settle_ms = options->settle_ms;
	file->index_dir = options->index_dir ? *options->index_dir : -1;
	file->pool.max_depth = options->max_depth;
	file->pool.unread = file->pool.unread_slots;
	if (getrandom(&file->pool.seed, sizeof(file->pool.seed), 0) < 0)
		file->pool.seed = 0; /* the tables still work, an enemy could slow them down */
	return file;
}

static int set_paths(struct ednfile *file, const char *path, const struct ednfile_options *options,
	struct err *err)
{
	file->follow = options->exactly && !options->resolved;
	if (!options->exactly && !options->resolved)
		return ednfile_resolve(path, &file->path, &file->target, err);
	file->path = strdup(path);
	file->target = strdup(path);
	return file->path && file->target ? 0 : err_set(err, -ENOMEM, "out of memory");
}

int ednfile_open(struct ednfile **out, const char *path, const struct ednfile_options *options,
	struct err *err)
{
	struct ednfile *file = new_file(options);
	int ret =
		file ? set_paths(file, path, options, err) : err_set(err, -ENOMEM, "out of memory");

	if (!ret) {
		if (!options->exactly)
			atomic_file_sweep(file->target);
		ret = ednfile_load(file, err);
		if (options->waited_ms)
			*options->waited_ms += file->waited_ms;
	}
	if (ret == -EBADMSG && options->broken)
		ednfile_take_identity(options->broken, file);
	if (ret) {
		ednfile_free(file);
		return ret;
	}
	file->trailing_bytes = count_trailing(file->map.foot);
	*out = file;
	return 0;
}

int ednfile_new(struct ednfile **out, const char *path, const struct ednfile_options *options,
	struct err *err)
{
	struct ednfile *file = new_file(options);
	int ret =
		file ? set_paths(file, path, options, err) : err_set(err, -ENOMEM, "out of memory");

	if (!ret)
		ret = ednfile_load_empty(file, err);
	if (ret)
		ednfile_free(file);
	else
		*out = file;
	return ret;
}

int ednfile_take_place(struct ednfile *file, const struct ednfile *other)
{
	char *path = strdup(other->path);
	char *target = strdup(other->target);

	if (!path || !target) {
		free(path);
		free(target);
		return -ENOMEM;
	}
	free(file->path);
	free(file->target);
	file->path = path;
	file->target = target;
	ednfile_take_identity(file, other);
	return 0;
}

void ednfile_take_identity(struct ednfile *file, const struct ednfile *other)
{
	pthread_mutex_lock(&file->lock);
	file->identity = other->identity;
	pthread_mutex_unlock(&file->lock);
}

void ednfile_keep_owner(struct ednfile *file, const struct ednfile *before)
{
	pthread_mutex_lock(&file->lock);
	if (!file->identity.exists)
		file->identity.owner = before->identity.owner;
	pthread_mutex_unlock(&file->lock);
}

void ednfile_set_missing(struct ednfile *file)
{
	pthread_mutex_lock(&file->lock);
	file->identity.exists = false;
	pthread_mutex_unlock(&file->lock);
}

struct hash128 ednfile_loaded_hash(const struct ednfile *file)
{
	const struct ednblock *text = file->map.image;

	if (text && text == file->indexed)
		return file->indexed_hash;
	return text ? hash128(text->bytes, text->size) : hash128("", 0);
}

void ednfile_free(struct ednfile *file)
{
	if (!file)
		return;
	if (file->map.pool)
		ednmap_release(&file->map);
	ednpool_unhold(&file->pool);
	pthread_mutex_destroy(&file->lock);
	free(file->path);
	free(file->target);
	free(file);
}

void ednfile_keep_index(const struct ednfile *file)
{
	if (file->index_dir >= 0 && (file->map.edited || file->indexed != file->map.image))
		ednindex_keep(&file->map, file->index_dir);
}

/* ---- reading ---- */

static void lock(const struct ednfile *file)
{
	pthread_mutex_lock((pthread_mutex_t *)&file->lock);
}

static void unlock(const struct ednfile *file)
{
	pthread_mutex_unlock((pthread_mutex_t *)&file->lock);
}

int ednfile_find_in(const struct ednmap *map, struct slice text, uint32_t *at)
{
	struct ednkey key;
	int ret = ednkey_init(&key, map->pool, text);

	if (ret)
		return ret == -ENOMEM ? ret : -ENOENT;
	ret = ednmap_find(map, &key, at);
	ednkey_release(&key);
	return ret;
}

int ednfile_item_of(const struct ednfile *file, const struct ednmap *map, uint32_t at,
	struct ednfile_item *item)
{
	struct ednentry *entry = &map->entries[at];
	struct ednmap *child = __atomic_load_n(&entry->child, __ATOMIC_ACQUIRE);
	int ret = 0;

	item->slot = &entry->slot;
	item->type = entry->type;
	item->unreadable = entry->unreadable;
	item->text = slice_of(entry->value, entry->value_len);
	if (child && child->edited) {
		lock(file);
		ret = ednmap_value(map, at, &item->text);
		unlock(file);
	}
	return ret;
}

int ednfile_find_child(const struct ednfile *file, struct slice key, struct ednmap **child)
{
	uint32_t at;
	int ret = ednfile_find_in(&file->map, key, &at);

	if (ret)
		return ret;
	if (file->map.entries[at].type != EDN_MAP)
		return -ENOTDIR;
	*child = __atomic_load_n(&file->map.entries[at].child, __ATOMIC_ACQUIRE);
	if (*child)
		return 0;
	lock(file);
	*child = ednmap_child(&file->map, at);
	unlock(file);
	return *child ? 0 : -ENOMEM;
}

int ednfile_get(const struct ednfile *file, struct slice key, struct slice member,
	struct ednfile_item *item)
{
	const struct ednmap *map = &file->map;
	struct ednmap *child;
	uint32_t at;
	int ret;

	if (member.ptr) {
		ret = ednfile_find_child(file, key, &child);
		if (ret)
			return ret == -ENOTDIR ? -ENOENT : ret;
		map = child;
		key = member;
	}
	ret = ednfile_find_in(map, key, &at);
	return ret ? ret : ednfile_item_of(file, map, at, item);
}

static void drop_members(struct ednentry *entry)
{
	if (!entry->child || entry->child->edited)
		return;
	ednmap_free(entry->child);
	entry->child = NULL;
}

void ednfile_drop_members(struct ednfile *file, struct slice key)
{
	struct ednentry *entries = file->map.entries;
	uint32_t at;

	if (!key.ptr)
		for (at = entries[0].next; at; at = entries[at].next)
			drop_members(&entries[at]);
	else if (!ednfile_find_in(&file->map, key, &at))
		drop_members(&entries[at]);
}

/* If it is a map. */
static bool may_be_collection(const struct ednfile *file, struct slice key)
{
	return key.len > 1 && key.ptr[0] == ':' &&
	       schema_collection(file->schema, slice_of(key.ptr + 1, key.len - 1));
}

bool ednfile_is_collection(const struct ednfile *file, struct slice key)
{
	uint32_t at;

	return may_be_collection(file, key) && ednfile_find_in(&file->map, key, &at) == 0 &&
	       file->map.entries[at].type == EDN_MAP;
}

bool ednfile_item_is_collection(const struct ednfile *file, struct slice key,
	const struct ednfile_item *item)
{
	return item->type == EDN_MAP && may_be_collection(file, key);
}

size_t ednfile_count(const struct ednfile *file)
{
	return file->map.count;
}

size_t ednfile_member_count(const struct ednfile *file, struct slice key)
{
	struct ednmap *child;

	return ednfile_find_child(file, key, &child) ? 0 : child->count;
}

void ednfile_info(const struct ednfile *file, struct ednfile_info *info)
{
	lock(file);
	*info = (struct ednfile_info){
		.exists = file->identity.exists,
		.mode = file->identity.owner.mode,
		.mtime = file->identity.mtime,
		.size_bytes = file->identity.size,
		.unreadable_keys = file->map.unreadable,
		.trailing_bytes = file->trailing_bytes,
	};
	unlock(file);
}
