/* SPDX-License-Identifier: MIT */
#include "memory_place.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copy_tree.h"
#include "edn.h"
#include "memory_model.h"

static void name_files(struct place *place)
{
	snprintf(place->edn, sizeof(place->edn), "%s/memory.edn", place->directory);
	snprintf(place->store, sizeof(place->store), "%s/store", place->directory);
}

void place_make(struct place *place)
{
	snprintf(place->directory, sizeof(place->directory), "/dev/shm/fuzz-memory-XXXXXX");
	must(mkdtemp(place->directory) != NULL, "a directory in /dev/shm");
	name_files(place);
}

void place_remove(struct place *place)
{
	if (place->directory[0])
		remove_tree(place->directory);
	place->directory[0] = '\0';
}

/* Each file that is written behind what is saved. */
enum { FILES = 3 };

static void look(const struct place *place, struct stat stats[FILES])
{
	static const char *const names[FILES] = {
		"memory.edn", "store/data.mdb", "store/saved/data.mdb"};
	char path[80];

	for (int i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "%s/%s", place->directory, names[i]);
		if (stat(path, &stats[i]))
			stats[i] = (struct stat){0};
	}
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

bool place_copy(const struct place *from, struct place *to)
{
	struct stat before[FILES], after[FILES];
	size_t skipped = 0;
	struct err err = {0};
	bool same = true;

	place_make(to);
	must(rmdir(to->directory) == 0, "a free name");
	look(from, before);
	if (copy_tree(from->directory, to->directory, &skipped, &err))
		fprintf(stderr, "%s\n", err.text);
	must(err.code == 0 && skipped == 0, "a copy");
	look(from, after);
	for (int i = 0; i < FILES; i++)
		same &= same_file(&before[i], &after[i]);
	return same;
}

/* ---- the journal ---- */

static int open_segment(const struct place *place, int flags)
{
	char path[400];
	struct dirent *entry;
	int fd = -1;
	size_t count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/journal", place->store);
	dir = opendir(path);
	must(dir != NULL, "the journal");
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		count++;
		if (fd >= 0)
			close(fd);
		fd = openat(dirfd(dir), entry->d_name, flags);
	}
	closedir(dir);
	if (count == 1)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

bool place_journal_length(const struct place *place, off_t *length)
{
	int fd = open_segment(place, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return false;
	must(fstat(fd, &st) == 0, "the segment's length");
	close(fd);
	*length = st.st_size;
	return true;
}

void place_cut_journal(const struct place *place, off_t length)
{
	int fd = open_segment(place, O_RDWR | O_CLOEXEC);

	must(fd >= 0 && ftruncate(fd, length) == 0, "a cut");
	close(fd);
}

/* ---- memory.edn ---- */

void place_write_edn(const struct place *place, struct slice text)
{
	int fd = open(place->edn, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	size_t half = text.len / 2;

	must(fd >= 0 && write(fd, text.ptr, half) == (ssize_t)half &&
			write(fd, text.ptr + half, text.len - half) == (ssize_t)(text.len - half),
		"the other writer's file");
	close(fd);
}

bool place_edn_is(const struct place *place, struct slice text)
{
	struct arena arena = ARENA_INIT;
	struct buf file = BUF_INIT;
	struct edn found;
	struct edn wanted;
	ssize_t got;
	int fd = open(place->edn, O_RDONLY | O_CLOEXEC);
	bool same;

	/* what never held anything need not be there */
	if (fd < 0)
		buf_add_str(&file, "{}");
	while (fd >= 0 && (got = read(fd, buf_reserve(&file, 4096), 4096)) > 0)
		file.len += (size_t)got;
	if (fd >= 0)
		close(fd);
	must(edn_read(&arena, text, EDN_LOAD_DEPTH, &wanted, NULL, NULL) == 0, "its text is EDN");
	same = edn_read(&arena, buf_slice(&file), EDN_LOAD_DEPTH, &found, NULL, NULL) == 0 &&
	       edn_identical(&found, &wanted);
	arena_release(&arena);
	buf_release(&file);
	return same;
}

static struct edn map_with(struct arena *arena, const struct edn *map, const struct edn *key,
	const struct edn *value)
{
	struct edn *items = arena_alloc(arena, (map->count * 2 + 2) * sizeof(*items));
	struct edn out = {.type = EDN_MAP, .items = items};
	bool found = false;

	must(items != NULL, "memory");
	for (size_t i = 0; i < map->count; i++) {
		bool here = edn_identical(&map->items[2 * i], key);

		found |= here;
		if (here && !value)
			continue;
		items[2 * out.count] = map->items[2 * i];
		items[2 * out.count++ + 1] = here ? *value : map->items[2 * i + 1];
	}
	if (!found && value) {
		items[2 * out.count] = *key;
		items[2 * out.count++ + 1] = *value;
	}
	return out;
}

void place_change_text(struct buf *out, struct slice text, const char *key, const char *member,
	const struct edn *value)
{
	struct arena arena = ARENA_INIT;
	struct edn outer_key = {.type = EDN_KEYWORD, .count = (uint32_t)strlen(key), .text = key};
	const struct edn none = {.type = EDN_MAP};
	const struct edn *inner;
	struct edn map;
	struct edn changed;

	must(edn_read(&arena, text, EDN_LOAD_DEPTH, &map, NULL, NULL) == 0, "EDN");
	if (member) {
		struct edn name = {
			.type = EDN_STRING, .count = (uint32_t)strlen(member), .text = member};

		inner = edn_map_get(&map, &outer_key);
		changed = map_with(&arena, inner && inner->type == EDN_MAP ? inner : &none, &name,
			value);
		value = &changed;
	}
	changed = map_with(&arena, &map, &outer_key, value);
	edn_print(out, &changed);
	must(buf_error(out) == 0, "memory");
	arena_release(&arena);
}
