/* SPDX-License-Identifier: MIT */
#include "refusals.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "lock_order.h"

struct refusal {
	struct refusal *next; /* oldest first */
	bool has_committed;
	struct hash128 committed;
	struct timespec time;
	size_t error; /* its line's number in errors, + 1; 0: none */
	size_t path_len;
	char path[];
};

enum { LEFT_KEPT = 64 };

struct left {
	struct hash128 path;
	struct hash128 bytes;
};

struct refusals {
	struct scratch *tree;
	pthread_mutex_t lock;
	struct refusal *first; /* guarded by lock, as all below */
	size_t count;
	uint64_t total; /* of refusals_add */
	/* Innermost, and never held over the disk: a line may be logged under any lock. */
	pthread_mutex_t errors_lock;
	char *errors[REFUSALS_ERRORS]; /* a ring; guarded by errors_lock, as is the next */
	size_t error_count;            /* ever */
	struct left left[LEFT_KEPT];   /* a ring */
	size_t left_count;
};

static bool same_hash(struct hash128 a, struct hash128 b)
{
	return a.high == b.high && a.low == b.low;
}

/* ---- the kept files ---- */

static struct slice why_path(struct slice path, struct buf *out)
{
	buf_reset(out);
	buf_add_slice(out, path);
	buf_add_str(out, ".why");
	return buf_slice(out);
}

static void remove_files(struct refusals *refusals, struct slice path)
{
	struct buf why = BUF_INIT;
	size_t len;

	(void)scratch_unlink(refusals->tree, path, false);
	(void)scratch_unlink(refusals->tree, why_path(path, &why), false);
	buf_release(&why);
	for (len = path.len; len > 0; len--)
		if (path.ptr[len - 1] == '/' &&
			scratch_rmdir(refusals->tree, slice_of(path.ptr, len - 1)))
			break;
}

static struct refusal **find(struct refusals *refusals, struct slice path)
{
	struct refusal **at = &refusals->first;

	while (*at && !slice_equal(slice_of((*at)->path, (*at)->path_len), path))
		at = &(*at)->next;
	return at;
}

/* Its files stay. */
static void forget(struct refusals *refusals, struct refusal **at)
{
	struct refusal *refusal = *at;

	if (!refusal)
		return;
	*at = refusal->next;
	refusals->count--;
	free(refusal);
}

static void drop(struct refusals *refusals, struct refusal **at)
{
	if (*at)
		remove_files(refusals, slice_of((*at)->path, (*at)->path_len));
	forget(refusals, at);
}

static struct refusal *remember(struct refusals *refusals, struct slice path, struct timespec time)
{
	struct refusal *refusal = calloc(1, sizeof(*refusal) + path.len + 1);
	struct refusal **at = &refusals->first;

	if (!refusal)
		return NULL;
	refusal->path_len = path.len;
	memcpy(refusal->path, path.ptr, path.len);
	refusal->time = time;
	while (*at &&
		((*at)->time.tv_sec < time.tv_sec ||
			((*at)->time.tv_sec == time.tv_sec && (*at)->time.tv_nsec <= time.tv_nsec)))
		at = &(*at)->next;
	refusal->next = *at;
	*at = refusal;
	refusals->count++;
	return refusal;
}

/* ---- what an earlier mount left ---- */

struct walk {
	struct refusals *refusals;
	struct slice directory;
};

static int load_directory(struct refusals *refusals, struct slice directory);

static int load_entry(void *context, struct slice name, unsigned char type, uint64_t ino)
{
	struct walk *walk = context;
	struct buf path = BUF_INIT;
	struct stat st;
	int ret = 0;

	(void)ino;
	buf_add_slice(&path, walk->directory);
	if (path.len)
		buf_add_char(&path, '/');
	buf_add_slice(&path, name);
	if (buf_error(&path))
		ret = -ENOMEM;
	else if (type == DT_DIR)
		ret = load_directory(walk->refusals, buf_slice(&path));
	else if (!slice_ends(name, SLICE_LITERAL(".why")) &&
		 !scratch_stat(walk->refusals->tree, buf_slice(&path), &st) &&
		 !remember(walk->refusals, buf_slice(&path), st.st_mtim))
		ret = -ENOMEM;
	buf_release(&path);
	return ret;
}

static int load_directory(struct refusals *refusals, struct slice directory)
{
	struct walk walk = {refusals, directory};

	return scratch_list(refusals->tree, directory, load_entry, &walk);
}

int refusals_new(struct refusals **out, struct scratch *tree)
{
	struct refusals *refusals = calloc(1, sizeof(*refusals));
	int ret;

	if (!refusals)
		return -ENOMEM;
	refusals->tree = tree;
	mutex_init(&refusals->lock, LOCK_REFUSALS);
	mutex_init(&refusals->errors_lock, LOCK_ERRORS);
	ret = load_directory(refusals, slice_str(""));
	if (ret && ret != -ENOENT) {
		refusals_free(refusals);
		return ret;
	}
	while (refusals->count > REFUSALS_KEPT)
		drop(refusals, &refusals->first);
	*out = refusals;
	return 0;
}

void refusals_free(struct refusals *refusals)
{
	size_t i;

	if (!refusals)
		return;
	while (refusals->first) {
		struct refusal *next = refusals->first->next;

		free(refusals->first);
		refusals->first = next;
	}
	for (i = 0; i < REFUSALS_ERRORS; i++)
		free(refusals->errors[i]);
	pthread_mutex_destroy(&refusals->lock);
	pthread_mutex_destroy(&refusals->errors_lock);
	free(refusals);
}

/* ---- /.errors ---- */

/* Returns its number + 1, or 0 when there was no memory for it. */
static size_t add_line(struct refusals *refusals, struct slice path, const char *text)
{
	size_t number;
	struct buf line = BUF_INIT;
	time_t now = time(NULL);
	struct tm tm;
	char stamp[32];
	size_t i;

	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S%z", localtime_r(&now, &tm));
	buf_add_str(&line, stamp);
	buf_add_char(&line, ' ');
	/* A name may hold anything but a NUL or a slash; this is read on terminals. */
	for (i = 0; i < path.len; i++) {
		unsigned char c = (unsigned char)path.ptr[i];

		if (c < 0x20 || c == 0x7f)
			buf_add_format(&line, "\\x%02x", c);
		else
			buf_add_char(&line, (char)c);
	}
	if (path.len)
		buf_add_str(&line, ": ");
	buf_add_str(&line, text);
	buf_add_char(&line, '\n');
	buf_cstr(&line);
	if (buf_error(&line)) {
		buf_release(&line);
		return 0;
	}
	pthread_mutex_lock(&refusals->errors_lock);
	i = refusals->error_count % REFUSALS_ERRORS;
	free(refusals->errors[i]);
	refusals->errors[i] = line.ptr;
	number = ++refusals->error_count;
	pthread_mutex_unlock(&refusals->errors_lock);
	return number;
}

void refusals_log(struct refusals *refusals, struct slice path, const char *text)
{
	(void)add_line(refusals, path, text);
}

static void withdraw_line(struct refusals *refusals, size_t number)
{
	pthread_mutex_lock(&refusals->errors_lock);
	if (number && refusals->error_count - number < REFUSALS_ERRORS) {
		char **line = &refusals->errors[(number - 1) % REFUSALS_ERRORS];

		free(*line);
		*line = NULL;
	}
	pthread_mutex_unlock(&refusals->errors_lock);
}

void refusals_print_errors(struct refusals *refusals, struct buf *out)
{
	size_t i;

	pthread_mutex_lock(&refusals->errors_lock);
	i = refusals->error_count > REFUSALS_ERRORS ? refusals->error_count - REFUSALS_ERRORS : 0;
	for (; i < refusals->error_count; i++)
		if (refusals->errors[i % REFUSALS_ERRORS])
			buf_add_str(out, refusals->errors[i % REFUSALS_ERRORS]);
	pthread_mutex_unlock(&refusals->errors_lock);
}

/* ---- refusing and forgiving ---- */

static const struct left *find_left(struct refusals *refusals, struct slice path)
{
	struct hash128 hash = hash128(path.ptr, path.len);
	size_t i = refusals->left_count;
	size_t oldest = i > LEFT_KEPT ? i - LEFT_KEPT : 0;

	while (i-- > oldest)
		if (same_hash(refusals->left[i % LEFT_KEPT].path, hash))
			return &refusals->left[i % LEFT_KEPT];
	return NULL;
}

/* What was refused and why; the latter alone where there is no room for both. */
static void write_files(struct refusals *refusals, struct slice path, struct slice bytes,
	const char *text)
{
	struct buf why = BUF_INIT, name = BUF_INIT;

	if (scratch_write_whole(refusals->tree, path, bytes, 0600, NULL, false)) {
		remove_files(refusals, path);
		(void)add_line(refusals, path,
			"... and what was refused could not be kept in .rejected");
	}
	buf_add_str(&why, text);
	buf_add_char(&why, '\n');
	if (!buf_error(&why))
		(void)scratch_write_whole(refusals->tree, why_path(path, &name), buf_slice(&why),
			0600, NULL, false);
	buf_release(&name);
	buf_release(&why);
}

void refusals_add(struct refusals *refusals, struct slice path, struct slice bytes,
	const struct err *reason, const struct hash128 *committed)
{
	char text[ERR_DESCRIBED];
	struct timespec now;
	struct refusal *refusal;
	const struct left *left;
	size_t line;

	clock_gettime(CLOCK_REALTIME, &now);
	err_describe(reason, text, sizeof(text));
	pthread_mutex_lock(&refusals->lock);
	refusals->total++;
	line = add_line(refusals, path, text);
	/* one that was refused before is replaced in one step, so that who looks finds either */
	forget(refusals, find(refusals, path));
	refusal = remember(refusals, path, now);
	if (!refusal) {
		remove_files(refusals, path);
		goto out;
	}
	refusal->error = line;
	left = find_left(refusals, path);
	if (committed || left) {
		refusal->has_committed = true;
		refusal->committed = committed ? *committed : left->bytes;
	}
	write_files(refusals, path, bytes, text);
	while (refusals->count > REFUSALS_KEPT)
		drop(refusals, &refusals->first);
out:
	pthread_mutex_unlock(&refusals->lock);
}

void refusals_withdraw(struct refusals *refusals, struct slice path)
{
	struct refusal **at;

	pthread_mutex_lock(&refusals->lock);
	at = find(refusals, path);
	if (*at)
		withdraw_line(refusals, (*at)->error);
	drop(refusals, at);
	pthread_mutex_unlock(&refusals->lock);
}

void refusals_saved(struct refusals *refusals, struct slice path, struct slice bytes)
{
	struct refusal **at;

	pthread_mutex_lock(&refusals->lock);
	at = find(refusals, path);
	if (*at && !((*at)->has_committed &&
			   same_hash((*at)->committed, hash128(bytes.ptr, bytes.len))))
		drop(refusals, at);
	pthread_mutex_unlock(&refusals->lock);
}

void refusals_left(struct refusals *refusals, struct slice path, struct slice bytes)
{
	pthread_mutex_lock(&refusals->lock);
	refusals->left[refusals->left_count++ % LEFT_KEPT] =
		(struct left){hash128(path.ptr, path.len), hash128(bytes.ptr, bytes.len)};
	pthread_mutex_unlock(&refusals->lock);
}

size_t refusals_count(struct refusals *refusals)
{
	size_t count;

	pthread_mutex_lock(&refusals->lock);
	count = refusals->count;
	pthread_mutex_unlock(&refusals->lock);
	return count;
}

uint64_t refusals_total(struct refusals *refusals)
{
	uint64_t total;

	pthread_mutex_lock(&refusals->lock);
	total = refusals->total;
	pthread_mutex_unlock(&refusals->lock);
	return total;
}
