/* SPDX-License-Identifier: MIT */
#include "validator.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "background.h"
#include "lock_order.h"

const char *const validation_kind_names[VALIDATION_KINDS] = {
	[VALIDATION_ONLY_EDN] = "only_edn",
	[VALIDATION_ONLY_EAV] = "only_eav",
	[VALIDATION_DIFFERENT] = "different",
	[VALIDATION_INDEX_WITHOUT_DATOM] = "index_without_datom",
	[VALIDATION_DATOM_WITHOUT_INDEX] = "datom_without_index",
	[VALIDATION_DAMAGED] = "damaged",
};

/* ---- findings ---- */

static void finding_release(struct validation_finding *finding)
{
	free(finding->key);
	free(finding->path);
	free(finding->attribute);
}

void validation_release(struct validation *validation)
{
	for (size_t i = 0; i < validation->first_count; i++)
		finding_release(&validation->first[i]);
	*validation = (struct validation){0};
}

static char *text_of(struct buf *buf)
{
	const char *text = buf_error(buf) ? NULL : buf_cstr(buf);
	char *copy = text ? strdup(text) : NULL;

	buf_release(buf);
	return copy;
}

static char *key_text(struct entity_id id)
{
	struct buf text = BUF_INIT;

	entity_id_text(&text, id);
	return text_of(&text);
}

/* Of what can have no path the text is empty. */
static char *path_text(const struct memory *m, struct entity_id id)
{
	bool directory = !id.member.ptr && ednfile_is_collection(m->file, id.key);
	struct buf path = BUF_INIT;

	if (id.key.len && memory_id_path(m, id, directory, &path) == -EINVAL)
		buf_reset(&path);
	return text_of(&path);
}

static int finding_fill(const struct memory *m, struct validation_finding *finding,
	struct slice name, struct slice attribute)
{
	struct entity_id id = {0};
	struct buf text = BUF_INIT;

	if (!entity_id_of_name(name, &id))
		id = (struct entity_id){0};
	buf_add_slice(&text, attribute);
	finding->key = key_text(id);
	finding->path = path_text(m, id);
	finding->attribute = text_of(&text);
	return finding->key && finding->path && finding->attribute ? 0 : -ENOMEM;
}

int validator_found(struct validator *v, enum validation_kind kind, struct slice name,
	struct slice attribute, const char *detail)
{
	struct validation_finding finding = {.kind = kind, .detail = detail};
	struct validation *report = &v->report;
	int ret = 0;

	/* only this thread adds to them */
	if (report->first_count < VALIDATION_FIRST)
		ret = finding_fill(v->m, &finding, name, attribute);
	pthread_mutex_lock(&v->mutex);
	report->differences++;
	report->kinds[kind]++;
	if (!ret && report->first_count < VALIDATION_FIRST)
		report->first[report->first_count++] = finding;
	else
		finding_release(&finding);
	pthread_mutex_unlock(&v->mutex);
	return ret;
}

void validator_count(struct validator *v, size_t total, size_t compared)
{
	pthread_mutex_lock(&v->mutex);
	v->report.total = total;
	v->report.compared = compared;
	pthread_mutex_unlock(&v->mutex);
}

static int copy_finding(struct validation_finding *to, const struct validation_finding *from)
{
	*to = *from;
	to->key = strdup(from->key);
	to->path = strdup(from->path);
	to->attribute = strdup(from->attribute);
	return to->key && to->path && to->attribute ? 0 : -ENOMEM;
}

int memory_validation(struct memory *m, struct validation *validation)
{
	struct validator *v = m->validator;
	size_t count;
	int ret = 0;

	pthread_mutex_lock(&v->mutex);
	*validation = v->report;
	count = validation->first_count;
	validation->first_count = 0;
	while (!ret && validation->first_count < count) {
		size_t i = validation->first_count++;

		ret = copy_finding(&validation->first[i], &v->report.first[i]);
	}
	pthread_mutex_unlock(&v->mutex);
	if (ret)
		validation_release(validation);
	return ret;
}

/* ---- the thread ---- */

static double ms_between(struct timespec from, struct timespec to)
{
	return (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
}

static void finish(struct validator *v, int ret, const struct err *err)
{
	struct validation *report = &v->report;
	struct memory_event event = {.name = "validation-completed", .store = "both"};

	pthread_mutex_lock(&v->mutex);
	report->state = !ret                ? VALIDATION_DONE
			: ret == -ECANCELED ? VALIDATION_STOPPED
					    : VALIDATION_FAILED;
	if (report->state == VALIDATION_FAILED)
		memcpy(report->error, err->text, sizeof(report->error));
	report->ended = memory_now();
	event.count = report->differences;
	event.duration_ms = ms_between(report->started, report->ended);
	pthread_mutex_unlock(&v->mutex);
	if (ret == -ECANCELED)
		return;
	event.ret = ret;
	event.detail = slice_str(ret ? err->text : event.count ? "differences" : "no difference");
	memory_tell(v->m, &event);
}

static void *run(void *context)
{
	struct validator *v = context;
	struct err err = {0};
	int ret;

	background_thread(BACKGROUND_NICE);
	ret = validator_compare(v, &err);
	if (!ret)
		ret = validator_check_index(v, &err);
	if (ret && !err.code)
		err_set(&err, ret, "%s", strerror(-ret));
	finish(v, ret, &err);
	memory_resident_rest(v->m);
	return NULL;
}

static int begin(struct validator *v, struct err *err)
{
	int ret;

	if (v->report.state == VALIDATION_RUNNING)
		return err_set(err, -EBUSY, "a validation is running");
	if (!mode_row((enum mode)atomic_load(&v->m->mode))->writes_eav)
		return err_set(err, -ENODEV,
			"nothing to compare: in the mode %s the EAV store is closed",
			memory_mode_name(v->m));
	if (v->joinable)
		pthread_join(v->thread, NULL);
	validation_release(&v->report);
	v->report.state = VALIDATION_RUNNING;
	v->report.started = memory_now();
	atomic_store(&v->stop, false);
	ret = -pthread_create(&v->thread, NULL, run, v);
	v->joinable = !ret;
	if (ret) {
		v->report.state = VALIDATION_IDLE;
		err_set(err, ret, "cannot start a thread: %s", strerror(-ret));
	}
	return ret;
}

/* Blanks behind it are as good. */
static bool is_word(struct slice text, const char *word)
{
	while (text.len && memchr(" \t\r\n", text.ptr[text.len - 1], 4))
		text.len--;
	return slice_equal(text, slice_str(word));
}

int memory_validate(struct memory *m, struct slice word, struct err *err)
{
	struct validator *v = m->validator;
	int ret = 0;

	if (is_word(word, "stop")) {
		atomic_store(&v->stop, true);
		return 0;
	}
	if (!is_word(word, "run"))
		return err_set(err, -EINVAL, "write run or stop");
	pthread_mutex_lock(&v->mutex);
	ret = begin(v, err);
	pthread_mutex_unlock(&v->mutex);
	return ret;
}

struct validator *validator_new(struct memory *m)
{
	struct validator *v = calloc(1, sizeof(*v));

	if (v) {
		v->m = m;
		mutex_init(&v->mutex, LOCK_VALIDATOR);
	}
	return v;
}

void validator_stop(struct validator *v)
{
	if (!v)
		return;
	atomic_store(&v->stop, true);
	if (v->joinable)
		pthread_join(v->thread, NULL);
	v->joinable = false;
}

void validator_free(struct validator *v)
{
	if (!v)
		return;
	validation_release(&v->report);
	pthread_mutex_destroy(&v->mutex);
	free(v);
}
