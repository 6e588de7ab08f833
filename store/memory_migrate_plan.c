/* SPDX-License-Identifier: MIT */
#include "memory_migrate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "edn.h"

/* ---- words ---- */

static const struct {
	const char *word;
	int what;
} WORDS[] = {
	{"all", WANTED_ALL},
	{"sessions", WANTED_SESSIONS},
	{"projects", WANTED_PROJECTS},
	{"learnings", WANTED_LEARNINGS},
};

static int word_of(struct slice text)
{
	for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++)
		if (slice_equal(text, slice_str(WORDS[i].word)))
			return WORDS[i].what;
	return WANTED_KEY;
}

bool wanted_is_word(struct slice word)
{
	return word_of(word) != WANTED_KEY;
}

int wanted_read(struct wanted *wanted, struct slice word, struct err *err)
{
	struct arena arena = ARENA_INIT;
	struct edn key;
	size_t end;
	int ret;

	*wanted = (struct wanted){.what = word_of(word)};
	if (wanted->what != WANTED_KEY)
		return 0;
	ret = edn_read(&arena, word, EDN_LOAD_DEPTH, &key, &end, NULL);
	/* a bare word is a symbol: rather a slip of the pen than a key */
	if (ret || end != word.len || key.type == EDN_SYMBOL)
		ret = err_set(err, -EINVAL,
			"no such thing to migrate (all, sessions, projects, learnings, or a key "
			"as :config; pause, resume, stop)");
	if (!ret) {
		edn_print_canonical(&wanted->key, &key);
		ret = buf_error(&wanted->key);
	}
	arena_release(&arena);
	return ret;
}

bool migration_is_left_alone(struct memory *m)
{
	return !mode_row((enum mode)atomic_load(&m->mode))->writes_eav;
}

static bool has_key(struct memory *m, struct slice key)
{
	struct ednfile_item item;
	bool has;

	pthread_rwlock_rdlock(&m->lock);
	has = ednfile_get(m->file, key, (struct slice){0}, &item) == 0 ||
	      ednfile_is_collection(m->file, key);
	pthread_rwlock_unlock(&m->lock);
	return has;
}

int wanted_check(struct memory *m, struct slice word, struct err *err)
{
	struct wanted wanted;
	int ret = wanted_read(&wanted, word, err);

	if (!ret && word.len >= MIGRATION_WHAT_MAX)
		ret = err_set(err, -EINVAL, "the key is too long");
	if (!ret && wanted.what == WANTED_KEY && !has_key(m, buf_slice(&wanted.key)))
		ret = err_set(err, -EINVAL, "there is no key %.*s",
			wanted.key.len < 150 ? (int)wanted.key.len : 150, wanted.key.ptr);
	if (!ret && migration_is_left_alone(m))
		ret = err_set(err, -EBUSY,
			"the mode is %s, which writes no EAV store: switch to dual-write or "
			"datalevin-first, which migrates everything",
			memory_mode_name(m));
	buf_release(&wanted.key);
	return ret;
}

/* ---- classes, in the order of their urgency ---- */

static const struct {
	const char *type;
	int what;
} CLASSES[] = {
	{"session", WANTED_SESSIONS},
	{"presence", WANTED_SESSIONS},
	{"builder-session", WANTED_SESSIONS},
	{"session-snapshot", WANTED_SESSIONS},
	{"comment", WANTED_SESSIONS},
	{"version", WANTED_SESSIONS},
	{"operations", WANTED_SESSIONS},
	{"project", WANTED_PROJECTS},
	{"learning", WANTED_LEARNINGS},
	{"learning-index", WANTED_LEARNINGS},
	{"tag", WANTED_LEARNINGS},
	{"wal", WANTED_LEARNINGS},
	{"review", WANTED_LEARNINGS},
};

/* WANTED_ALL is the rest's. */
static int class_of(const char *type)
{
	for (size_t i = 0; i < sizeof(CLASSES) / sizeof(CLASSES[0]); i++)
		if (strcmp(type, CLASSES[i].type) == 0)
			return CLASSES[i].what;
	return WANTED_ALL;
}

/* What the EAV store and what is pending have may be gone. */
static bool is_served(struct memory *m, struct entity_id id)
{
	struct tree_node *node;

	return memory_find_entity(m, id, &node) != 0 || node;
}

/* Under memory.lock. What can't be read will be among the failures. */
static const char *type_of_id(struct memory *m, struct entity_id id)
{
	const struct schema_row *row = schema_match(m->options.schema, memory_keyword(id.key));
	struct ednfile_item item;

	if (row)
		return row->type;
	return ednfile_get(m->file, id.key, id.member, &item) ? "cache"
							      : memory_type_of_value(m, item.text);
}

/* ---- the plan ---- */

/* Which of the plan's types; those past the last row share it. */
static unsigned char type_row(struct plan *plan, const char *type)
{
	size_t i = 0;

	while (i < plan->type_count && strcmp(plan->type_names[i], type) != 0)
		i++;
	if (i == MIGRATION_TYPES_MAX)
		i--;
	if (i == plan->type_count)
		plan->type_names[plan->type_count++] = type;
	plan->type_counts[i]++;
	return (unsigned char)i;
}

enum { CLASS_NONE = 255, PIECE = 64 };

static int class_of_name(struct memory *m, const struct wanted *wanted, const struct names *names,
	size_t i, const char **type)
{
	struct entity_id id;
	int what;

	if (!entity_id_of_name(names_at(names, i), &id))
		return CLASS_NONE;
	if (wanted->what == WANTED_KEY && !slice_equal(id.key, buf_slice(&wanted->key)))
		return CLASS_NONE;
	if (!names_in_edn(names, i) && !is_served(m, id))
		return CLASS_NONE;
	*type = type_of_id(m, id);
	what = class_of(*type);
	return wanted->what >= WANTED_ALL || what == (int)wanted->what ? what : CLASS_NONE;
}

/* Fills classes and plan->types. */
static void classify(struct plan *plan, struct memory *m, const struct wanted *wanted,
	unsigned char *classes)
{
	size_t count = plan->names.count;

	for (size_t from = 0; from < count; from += PIECE) {
		pthread_rwlock_rdlock(&m->lock);
		for (size_t i = from; i < count && i < from + PIECE; i++) {
			const char *type = NULL;

			classes[i] =
				(unsigned char)class_of_name(m, wanted, &plan->names, i, &type);
			if (classes[i] != CLASS_NONE)
				plan->types[i] = type_row(plan, type);
		}
		pthread_rwlock_unlock(&m->lock);
	}
}

/* By class, within one in the order of names. */
static int order(struct plan *plan, const unsigned char *classes)
{
	struct names *names = &plan->names;
	size_t *at = calloc(names->count + 1, sizeof(*at));
	unsigned char *types = calloc(names->count + 1, 1);
	size_t kept = 0;

	if (!at || !types) {
		free(at);
		free(types);
		return -ENOMEM;
	}
	for (int class = WANTED_SESSIONS; class <= WANTED_ALL; class ++) {
		for (size_t i = 0; i < names->count; i++) {
			if (classes[i] != class)
				continue;
			at[kept] = names->at[i];
			types[kept++] = plan->types[i];
		}
	}
	free(names->at);
	free(plan->types);
	names->at = at;
	names->count = kept;
	plan->types = types;
	return 0;
}

int plan_make(struct plan *plan, struct memory *m, const struct wanted *wanted)
{
	unsigned char *classes = NULL;
	int ret;

	*plan = (struct plan){0};
	ret = names_gather(&plan->names, m, NULL);
	if (!ret) {
		classes = malloc(plan->names.count + 1);
		plan->types = calloc(plan->names.count + 1, 1);
		ret = classes && plan->types ? 0 : -ENOMEM;
	}
	if (!ret) {
		classify(plan, m, wanted, classes);
		ret = order(plan, classes);
	}
	free(classes);
	if (ret)
		plan_release(plan);
	return ret;
}

void plan_release(struct plan *plan)
{
	names_release(&plan->names);
	free(plan->types);
	*plan = (struct plan){0};
}
