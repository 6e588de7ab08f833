/* SPDX-License-Identifier: MIT */
#include "memory_model.h"

#include <errno.h>
#include <stdlib.h>

#include "path.h"

/* The tree of a memory, walked to learn it or to compare it. */
struct walk {
	struct model *model;
	const struct schema *schema; /* NULL: compare */
	struct memory *memory;
	struct slice directory;
	struct buf last; /* name: they are sorted */
	struct buf bytes;
	size_t documents;
	size_t collections;
	size_t names; /* in this directory */
	const char *differs;
};

static void visit_directory(struct walk *walk, struct slice path);

static int differ(struct walk *walk, const char *what)
{
	if (!walk->differs)
		walk->differs = what;
	return 0;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static int compare_document(struct walk *walk, struct slice path, const struct memory_stat *st)
{
	const struct model_document *document = model_find(walk->model, path);

	if (!document)
		return differ(walk, "a document is there that nobody put there");
	if (!slice_equal(buf_slice(&document->bytes), buf_slice(&walk->bytes)))
		return differ(walk, "a document has other bytes");
	if (document->ino != st->ino)
		return differ(walk, "a document has another number");
	if (document->mode != st->mode)
		return differ(walk, "a document has another mode");
	if (!same_time(document->mtime, st->mtime))
		return differ(walk, "a document has another time");
	return 0;
}

/* What is found with others of its directory is what is found of it alone. */
static void compare_named(struct walk *walk, struct slice name, const struct memory_stat *st)
{
	struct memory_named named[] = {
		{.name = name}, {.name = SLICE_LITERAL("no such.json")}, {.name = name}};

	memory_stat_names(walk->memory, walk->directory, named, 3);
	must(named[1].ret == -ENOENT, "no other name is found");
	for (size_t i = 0; i < 3; i += 2) {
		const struct memory_stat *found = &named[i].st;

		must(named[i].ret == 0 && found->kind == st->kind && found->ino == st->ino &&
				found->version == st->version && found->size == st->size &&
				found->mode == st->mode && found->hidden == st->hidden &&
				same_time(found->mtime, st->mtime),
			"a name among others is the same");
	}
}

static int visit_document(struct walk *walk, struct slice path, struct slice name, uint64_t ino)
{
	struct memory_stat st;
	struct memory_stat again;
	int ret;

	walk->documents++;
	buf_reset(&walk->bytes);
	if (walk->names % 2) /* then it is found without the names beside it */
		memory_forget(walk->memory, walk->directory);
	ret = memory_read(walk->memory, path, &st, &walk->bytes, NULL);
	must(ret == 0, "what is listed can be read");
	must(memory_stat(walk->memory, path, &again) == 0, "and has attributes");
	must(st.kind == MEMORY_DOCUMENT && again.kind == MEMORY_DOCUMENT, "of a document");
	compare_named(walk, name, &again);
	must(st.size == walk->bytes.len && again.size == st.size, "the size is that of the bytes");
	must(st.ino == ino && again.ino == ino && st.version == again.version &&
			st.mode == again.mode,
		"and they are the ones of its bytes");
	if (!walk->schema)
		return compare_document(walk, path, &st);
	if (!model_put(walk->model, walk->schema, path, buf_slice(&walk->bytes), &st))
		differ(walk, "no room");
	return 0;
}

static void visit_name(struct walk *walk, struct slice name, enum memory_kind kind, uint64_t ino)
{
	struct buf path = BUF_INIT;

	must(name.len && name.len <= PATH_NAME_MAX && !memchr(name.ptr, '/', name.len) &&
			!memchr(name.ptr, '\0', name.len) && name.ptr[0] != '.',
		"a name that a directory can hold");
	must(!walk->names++ || slice_compare(buf_slice(&walk->last), name) < 0,
		"names are sorted, each once");
	buf_reset(&walk->last);
	buf_add_slice(&walk->last, name);
	buf_add_slice(&path, walk->directory);
	if (path.len)
		buf_add_char(&path, '/');
	buf_add_slice(&path, name);
	if (kind == MEMORY_DOCUMENT)
		visit_document(walk, buf_slice(&path), name, ino);
	else
		visit_directory(walk, buf_slice(&path));
	buf_release(&path);
}

/* As it is noted, with the name behind. */
struct noted {
	size_t len;
	enum memory_kind kind;
	uint64_t ino;
};

static int note_name(void *context, struct slice name, enum memory_kind kind, uint64_t ino)
{
	struct noted noted = {name.len, kind, ino};
	struct buf *names = context;

	buf_add(names, &noted, sizeof(noted));
	buf_add_slice(names, name);
	return 0;
}

static void visit_names(struct walk *walk)
{
	struct buf names = BUF_INIT;
	struct noted noted;

	must(memory_list(walk->memory, walk->directory, note_name, &names) == 0,
		"a directory can be listed");
	for (size_t at = 0; at < names.len; at += noted.len) {
		memcpy(&noted, names.ptr + at, sizeof(noted));
		at += sizeof(noted);
		visit_name(walk, slice_of(names.ptr + at, noted.len), noted.kind, noted.ino);
	}
	buf_release(&names);
}

/* Nothing is in it, so that it must be a collection's. */
static void learn_collection(struct walk *walk, struct slice path)
{
	struct model *model = walk->model;
	struct path_place place = PATH_PLACE_INIT;

	must(path_parse(walk->schema, path, &place, NULL) == 0, "memory");
	must(place.kind == PATH_DIRECTORY && place.collection,
		"an empty directory is a collection");
	path_place_release(&place);
	if (model->collection_count == MODEL_COLLECTIONS)
		differ(walk, "no room");
	else
		buf_add_slice(&model->collections[model->collection_count++], path);
}

static void visit_directory(struct walk *walk, struct slice path)
{
	struct walk inner = *walk;
	struct memory_stat st;

	inner.directory = path;
	inner.last = BUF_INIT;
	inner.names = 0;
	must(memory_stat(walk->memory, path, &st) == 0 && st.kind == MEMORY_DIRECTORY,
		"a directory has attributes");
	visit_names(&inner);
	buf_release(&inner.last);
	walk->bytes = inner.bytes;
	walk->documents = inner.documents;
	walk->collections = inner.collections;
	walk->differs = inner.differs;
	if (walk->schema && path.len && !inner.names)
		learn_collection(walk, path);
	if (!model_is_directory(walk->model, path))
		differ(walk, "a directory is there that nobody made");
	walk->collections += model_is_collection(walk->model, path);
}

bool model_learn(struct model *model, const struct schema *schema, struct memory *memory)
{
	struct walk walk = {.model = model, .schema = schema, .memory = memory};

	model_release(model);
	visit_directory(&walk, slice_str(""));
	buf_release(&walk.bytes);
	for (size_t i = 0; i < MODEL_BASES; i++)
		model->bases[i] = (struct model_base){
			model_identity(model, slice_str(model_base_paths[i])), false};
	return !walk.differs;
}

const char *model_differs(struct model *model, struct memory *memory)
{
	struct walk walk = {.model = model, .memory = memory};

	visit_directory(&walk, slice_str(""));
	buf_release(&walk.bytes);
	if (walk.documents != model->document_count)
		differ(&walk, "a document is gone");
	if (walk.collections != model->collection_count)
		differ(&walk, "a collection is gone");
	return walk.differs;
}
