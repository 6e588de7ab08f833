/* SPDX-License-Identifier: MIT */
/*
 * A door to the memory for tests: one command a line on stdin, one answer a line on stdout. Words are
 * separated by blanks, texts are hex behind an 'x', '-' means absent. An answer starts with the
 * return value.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "memory.h"

enum { WORDS = 8 };

struct probe {
	struct memory *memory;
	struct schema *schema;
	struct buf words[WORDS];
	bool absent[WORDS];
	unsigned count;
	struct buf out;
	struct err err;
};

static void add_hex(struct buf *out, struct slice text)
{
	buf_add_str(out, " x");
	for (size_t i = 0; i < text.len; i++) {
		buf_add_char(out, "0123456789abcdef"[(unsigned char)text.ptr[i] >> 4]);
		buf_add_char(out, "0123456789abcdef"[text.ptr[i] & 15]);
	}
}

static int digit(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

static void decode_word(struct probe *p, const char *word)
{
	struct buf *to = &p->words[p->count];

	buf_reset(to);
	p->absent[p->count] = strcmp(word, "-") == 0;
	if (word[0] == 'x') {
		for (word++; word[0] && word[1]; word += 2)
			buf_add_char(to, (char)(digit(word[0]) << 4 | digit(word[1])));
	} else {
		buf_add_str(to, word);
	}
	buf_cstr(to);
	p->count++;
}

static struct slice text(const struct probe *p, unsigned i)
{
	return i < p->count && !p->absent[i] ? buf_slice(&p->words[i]) : slice_of("", 0);
}

static long long number(const struct probe *p, unsigned i)
{
	return i < p->count && !p->absent[i] ? strtoll(p->words[i].ptr, NULL, 10) : 0;
}

static struct memory_attributes attributes(const struct probe *p, unsigned i)
{
	struct memory_attributes a = {0};
	long long ns = number(p, i + 1);

	a.has_mode = i < p->count && !p->absent[i];
	a.mode = (mode_t)number(p, i);
	a.has_mtime = i + 1 < p->count && !p->absent[i + 1];
	a.mtime = (struct timespec){ns / 1000000000, ns % 1000000000};
	return a;
}

static void add_stat(struct buf *out, const struct memory_stat *st)
{
	buf_add_format(out, " %d %u %llu %llu %llu %lld", st->kind, (unsigned)st->mode,
		(unsigned long long)st->ino, (unsigned long long)st->version,
		(unsigned long long)st->size,
		(long long)st->mtime.tv_sec * 1000000000 + st->mtime.tv_nsec);
}

static int do_open(struct probe *p)
{
	struct memory_options options = {.edn_path = p->words[1].ptr,
		.store_dir = p->words[2].ptr,
		.schema = p->schema,
		.edn_delay_ms = (unsigned)number(p, 3),
		.read_only = number(p, 4),
		.doc_max_bytes = number(p, 5) ? (size_t)number(p, 5) : (size_t)32 << 20};

	return memory_open(&p->memory, &options, &p->err);
}

static int do_close(struct probe *p)
{
	struct memory *memory = p->memory;

	p->memory = NULL;
	return memory_close(memory, &p->err);
}

static int do_stat(struct probe *p)
{
	struct memory_stat st;
	int ret = memory_stat(p->memory, text(p, 1), &st);

	if (!ret)
		add_stat(&p->out, &st);
	return ret;
}

static int do_read(struct probe *p)
{
	struct buf bytes = BUF_INIT;
	struct memory_stat st;
	int ret = memory_read(p->memory, text(p, 1), &st, &bytes, &p->err);

	if (!ret) {
		add_stat(&p->out, &st);
		add_hex(&p->out, buf_slice(&bytes));
	}
	buf_release(&bytes);
	return ret;
}

static int do_put(struct probe *p)
{
	struct memory_attributes a = attributes(p, 3);
	struct memory_stat st;
	bool unchanged = false;
	int ret = memory_put(p->memory, text(p, 1), text(p, 2), &a, &st, &unchanged, &p->err);

	if (!ret) {
		add_stat(&p->out, &st);
		buf_add_str(&p->out, unchanged ? " 1" : " 0");
	}
	return ret;
}

static int do_check(struct probe *p)
{
	return memory_check(p->memory, text(p, 1), text(p, 2), &p->err);
}

static int do_may(struct probe *p)
{
	return memory_may_create(p->memory, text(p, 1), &p->err);
}

static int do_delete(struct probe *p)
{
	return memory_delete(p->memory, text(p, 1), &p->err);
}

static int do_attributes(struct probe *p)
{
	struct memory_attributes a = attributes(p, 2);

	return memory_set_attributes(p->memory, text(p, 1), &a);
}

static int do_rename(struct probe *p)
{
	return memory_rename(p->memory, text(p, 1), text(p, 2), (unsigned)number(p, 3), &p->err);
}

static int do_rename_directory(struct probe *p)
{
	return memory_rename_directory(p->memory, text(p, 1), text(p, 2), &p->err);
}

static int do_remove_directory(struct probe *p)
{
	return memory_remove_directory(p->memory, text(p, 1), &p->err);
}

static int add_name(void *context, struct slice name, enum memory_kind kind, uint64_t ino)
{
	struct buf *out = context;

	add_hex(out, name);
	buf_add_format(out, " %d %llu", kind, (unsigned long long)ino);
	return 0;
}

static int do_list(struct probe *p)
{
	return memory_list(p->memory, text(p, 1), add_name, &p->out);
}

static int do_describe(struct probe *p)
{
	struct buf key = BUF_INIT;
	const char *type = "", *source = "";
	int ret = memory_describe(p->memory, text(p, 1), &key, &type, &source);

	if (!ret) {
		add_hex(&p->out, buf_slice(&key));
		buf_add_format(&p->out, " %s %s", type, source);
	}
	buf_release(&key);
	return ret;
}

static int do_fsync(struct probe *p)
{
	return memory_fsync(p->memory, &p->err);
}

static int do_sync(struct probe *p)
{
	return memory_sync(p->memory, &p->err);
}

static int do_health(struct probe *p)
{
	struct memory_health h;

	memory_health(p->memory, &h);
	buf_add_format(&p->out, " %zu %zu %zu %zu %llu %llu %llu %d %zu", h.keys,
		memory_count_documents(p->memory), h.directories, h.pending,
		(unsigned long long)h.journal_bytes, (unsigned long long)h.rewrites,
		(unsigned long long)h.outside_changes, h.edn_error, h.unreadable_keys);
	return 0;
}

static int do_types(struct probe *p)
{
	struct memory_type_count rows[32];
	size_t count = memory_count_types(p->memory, rows, 32);

	for (size_t i = 0; i < count && i < 32; i++)
		buf_add_format(&p->out, " %s %zu", rows[i].type, rows[i].entities);
	return 0;
}

struct storm {
	struct memory *memory;
	long long rounds;
	unsigned seed;
	int failed;
};

static int count_name(void *context, struct slice name, enum memory_kind kind, uint64_t ino)
{
	(void)name;
	(void)kind;
	*(unsigned *)context += ino != 0;
	return 0;
}

/* A document is always whole: twice the same number. */
static bool is_whole(struct slice bytes)
{
	int a, b;
	char copy[64] = {0};

	if (bytes.len >= sizeof(copy))
		return false;
	memcpy(copy, bytes.ptr, bytes.len);
	return sscanf(copy, "[%d, %d]", &a, &b) == 2 && a == b;
}

static void *storm_thread(void *context)
{
	struct storm *s = context;
	struct buf bytes = BUF_INIT;

	for (long long i = 0; i < s->rounds && !s->failed; i++) {
		unsigned dice = (unsigned)rand_r(&s->seed);
		struct slice paths[] = {slice_str("presence/s/a.json"),
			slice_str("presence/s/b.json"), slice_str("t/a.json"),
			slice_str("t/b.json")};
		struct slice one = paths[dice / 16 % 4];
		struct slice two = paths[dice / 64 % 4];
		struct memory_stat st;
		char json[64];
		int len = snprintf(json, sizeof(json), "[%u, %u]", dice & 0xffff, dice & 0xffff);
		unsigned names = 0;
		int ret = 0;

		buf_reset(&bytes);
		if (dice % 16 < 5)
			ret = memory_put(s->memory, one, slice_of(json, (size_t)len), NULL, &st,
				NULL, NULL);
		else if (dice % 16 < 6)
			ret = memory_delete(s->memory, one, NULL);
		else if (dice % 16 < 8)
			ret = memory_rename(s->memory, one, two, 0, NULL);
		else if (dice % 16 < 9)
			ret = memory_list(s->memory, slice_str("presence/s"), count_name, &names);
		else if (dice % 16 < 10)
			ret = memory_fsync(s->memory, NULL);
		else if (dice % 16 < 11 && dice % 97 == 0)
			ret = memory_sync(s->memory, NULL);
		else
			ret = memory_read(s->memory, one, &st, &bytes, NULL);
		s->failed |= bytes.len && !is_whole(buf_slice(&bytes));
		s->failed |= ret && ret != -2;
	}
	buf_release(&bytes);
	return NULL;
}

/* Many threads at once on few documents: nobody sees anything but whole ones. */
static int do_storm(struct probe *p)
{
	struct storm storms[8];
	pthread_t threads[8];
	int failed = 0;

	for (unsigned i = 0; i < 8; i++) {
		storms[i] = (struct storm){p->memory, number(p, 1), i + 1, 0};
		if (pthread_create(&threads[i], NULL, storm_thread, &storms[i]))
			return -1;
	}
	for (unsigned i = 0; i < 8; i++) {
		pthread_join(threads[i], NULL);
		failed |= storms[i].failed;
	}
	return failed;
}

static int do_switch(struct probe *p)
{
	return memory_switch(p->memory, text(p, 1), &p->err);
}

/* Files that this process writes may grow to so many bytes: EFBIG, as a full disk would. */
static int do_limit(struct probe *p)
{
	struct rlimit limit;

	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = p->absent[1] ? limit.rlim_max : (rlim_t)number(p, 1);
	return setrlimit(RLIMIT_FSIZE, &limit);
}

static const struct command {
	const char *name;
	int (*run)(struct probe *p);
} commands[] = {
	{"open", do_open},
	{"close", do_close},
	{"stat", do_stat},
	{"read", do_read},
	{"put", do_put},
	{"check", do_check},
	{"may", do_may},
	{"delete", do_delete},
	{"attributes", do_attributes},
	{"rename", do_rename},
	{"rename_directory", do_rename_directory},
	{"remove_directory", do_remove_directory},
	{"list", do_list},
	{"describe", do_describe},
	{"fsync", do_fsync},
	{"sync", do_sync},
	{"health", do_health},
	{"types", do_types},
	{"storm", do_storm},
	{"limit", do_limit},
	{"switch", do_switch},
};

static void answer(struct probe *p)
{
	char reason[ERR_DESCRIBED];
	int ret = -1000;

	buf_reset(&p->out);
	p->err = (struct err){0};
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, p->words[0].ptr) == 0)
			ret = commands[i].run(p);
	}
	printf("%d", ret);
	if (ret)
		printf(" %s", err_describe(&p->err, reason, sizeof(reason)));
	else if (p->out.len)
		fwrite(p->out.ptr, 1, p->out.len, stdout);
	putchar('\n');
	fflush(stdout);
}

int main(void)
{
	struct probe p = {0};
	char *line = NULL;
	size_t cap = 0;

	signal(SIGXFSZ, SIG_IGN);
	if (schema_new(&p.schema, NULL))
		return 1;
	while (getline(&line, &cap, stdin) > 0) {
		char *rest = line;
		char *word;

		p.count = 0;
		while (p.count < WORDS && (word = strsep(&rest, " \n")))
			if (*word)
				decode_word(&p, word);
		if (p.count)
			answer(&p);
	}
	memory_close(p.memory, NULL);
	schema_free(p.schema);
	free(line);
	for (unsigned i = 0; i < WORDS; i++)
		buf_release(&p.words[i]);
	buf_release(&p.out);
	return 0;
}
