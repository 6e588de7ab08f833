/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hash.h"
#include "journal_check.h"
#include "journal_format.h"

/*
 * Any bytes as a journal: a replay ends with a verdict and hands out nothing out of order; whatever it is, it can be
 * mended; and a mended one opens, has all that the replay had, and takes a record more.
 *
 * An even first byte: the rest is the first segment behind its header. Odd: it is a program that writes
 * segments, good records and bad bytes, as chance finds no checksum.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "broken: %s\n", what);
	abort();
}

/* ---- the journal on disk ---- */

struct writer {
	int journal_fd;
	int fd;
	uint64_t next;
};

static void put(struct writer *w, const void *bytes, size_t len)
{
	must(write(w->fd, bytes, len) == (ssize_t)len, "write");
}

static void begin_segment(struct writer *w)
{
	char header[JOURNAL_HEADER_BYTES];
	char name[JOURNAL_NAME_SIZE];

	if (w->fd >= 0)
		close(w->fd);
	journal_segment_name(name, w->next);
	w->fd = openat(w->journal_fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	must(w->fd >= 0, "a segment");
	journal_encode_header(header, w->next);
	put(w, header, sizeof(header));
}

static void put_record(struct writer *w, enum journal_kind kind, const uint8_t *bytes, size_t len)
{
	struct journal_record record = {
		.sequence = w->next, .kind = kind, .payload = slice_of(bytes, len)};
	char head[JOURNAL_RECORD_BYTES];

	journal_encode_record(head, &record);
	put(w, head, sizeof(head));
	put(w, bytes, len);
}

/* One step: three bits say what, five how much. Returns how many of the bytes that follow it took. */
static size_t step(struct writer *w, uint8_t op, const uint8_t *bytes, size_t size)
{
	size_t much = op >> 3;
	size_t len = much < size ? much : size;
	char gap[JOURNAL_LOST_BYTES];

	switch (op & 7) {
	case 0:
	case 1:
		put_record(w, JOURNAL_PUT, bytes, len);
		w->next++;
		return len;
	case 2:
		put(w, bytes, len);
		return len;
	case 3:
		w->next += much;
		return 0;
	case 4:
		w->next -= much < w->next ? much : 0;
		return 0;
	case 5:
		journal_encode_lost(gap, w->next, w->next + much);
		put_record(w, JOURNAL_LOST, (const uint8_t *)gap, sizeof(gap));
		w->next += much + 1;
		return 0;
	case 6:
		begin_segment(w);
		return 0;
	default:
		/* cut */
		must(ftruncate(w->fd, lseek(w->fd, 0, SEEK_CUR) / 32 * (off_t)much) == 0, "cut");
		lseek(w->fd, 0, SEEK_END);
		return 0;
	}
}

static void write_journal(int journal_fd, const uint8_t *data, size_t size)
{
	struct writer w = {journal_fd, -1, 1};
	bool program = size && data[0] & 1;

	begin_segment(&w);
	if (size && !program)
		put(&w, data + 1, size - 1);
	for (size_t at = 1; program && at < size;)
		at += 1 + step(&w, data[at], data + at + 1, size - at - 1);
	close(w.fd);
}

/* ---- what is seen of it ---- */

enum { PREFIXES = 4096 };

struct seen {
	size_t count;
	uint64_t last;
	uint64_t hashes[PREFIXES]; /* of all records up to each */
};

static int see(void *context, const struct journal_record *record, struct err *err)
{
	struct seen *seen = context;
	uint64_t before = seen->count ? seen->hashes[seen->count - 1] : 0;

	(void)err;
	must(record->sequence > seen->last, "records come in order");
	must(record->kind != JOURNAL_LOST, "a gap is no record");
	must(seen->count < PREFIXES, "no more records than the input has room for");
	seen->last = record->sequence;
	seen->hashes[seen->count++] = hash64(record->payload.ptr, record->payload.len,
		before ^ (record->sequence << 8) ^ record->kind);
	return 0;
}

static void count_line(void *context, const char *line)
{
	must(strncmp(line, "journal/", 8) == 0, "a problem has a place");
	(*(size_t *)context)++;
}

static size_t check(int dir_fd, bool repair)
{
	size_t lines = 0;
	struct journal_check check = {.repair = repair, .say = count_line, .context = &lines};
	struct err err = {0};
	int ret = journal_check(dir_fd, &check, &err);

	if (ret)
		fprintf(stderr, "%s\n", err.text);
	must(ret == 0, "it can be checked, and mended");
	must(lines >= check.problems, "every problem is told");
	return check.problems;
}

static void check_all(int dir_fd)
{
	struct seen *before = calloc(2, sizeof(*before));
	struct seen *after = before + 1;
	struct timespec now = {1, 2};
	struct journal *journal;
	uint64_t sequence;
	size_t problems;
	int ret;

	must(before != NULL, "memory");
	ret = journal_replay_only(dir_fd, 0, see, before, NULL);
	if (ret == -EPROTO) {
		/* another version's, which nobody here touches */
		free(before);
		return;
	}
	must(ret == 0 || ret == -EBADMSG, "a replay gives a verdict");
	problems = check(dir_fd, false);
	must(ret == 0 || problems, "what a replay refuses is a problem");
	must(check(dir_fd, true) == problems, "a repair finds the same");
	must(check(dir_fd, false) == 0, "and leaves none");
	must(journal_replay_only(dir_fd, 0, see, after, NULL) == 0, "a mended journal is replayed");
	must(ret || (after->count >= before->count &&
			    (!before->count || after->hashes[before->count - 1] ==
						       before->hashes[before->count - 1])),
		"with all that was replayed before");
	*before = (struct seen){0};
	must(journal_open(&journal, dir_fd, 0, see, before, NULL) == 0, "it opens");
	must(before->count == after->count, "with the same");
	must(journal_append(journal, now, JOURNAL_MODE, slice_str("more"), &sequence, NULL) == 0 &&
			sequence > before->last && sequence == journal_last(journal),
		"it takes a record");
	journal_close(journal);
	*after = (struct seen){0};
	must(journal_replay_only(dir_fd, 0, see, after, NULL) == 0 &&
			after->count == before->count + 1 && after->last == sequence,
		"which is there afterwards");
	free(before);
}

static void empty(int dir_fd, int journal_fd)
{
	DIR *dir = fdopendir(journal_fd);

	must(dir != NULL, "the directory");
	for (struct dirent *entry; (entry = readdir(dir));)
		unlinkat(journal_fd, entry->d_name, 0);
	closedir(dir);
	unlinkat(dir_fd, "journal", AT_REMOVEDIR);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[] = "/dev/shm/fuzz-journal-XXXXXX";
	int dir_fd, journal_fd;

	if (size >= PREFIXES)
		return -1; /* it might hold more records than struct seen */
	dir_fd = mkdtemp(path) ? open(path, O_RDONLY | O_DIRECTORY) : -1;
	must(dir_fd >= 0 && mkdirat(dir_fd, "journal", 0700) == 0, "a directory in /dev/shm");
	journal_fd = openat(dir_fd, "journal", O_RDONLY | O_DIRECTORY);
	must(journal_fd >= 0, "the journal");
	write_journal(journal_fd, data, size);
	check_all(dir_fd);
	empty(dir_fd, journal_fd);
	close(dir_fd);
	rmdir(path);
	return 0;
}
