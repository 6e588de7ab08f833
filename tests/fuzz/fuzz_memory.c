/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "memory_program.h"

/*
 * Any sequence of operations on a memory, held against a model. The bytes are a program: the first says what
 * memory.edn holds, then each step is an operation and what it takes. After each step what was acknowledged reads back, tree
 * and reads agree, and nothing is there that nobody put there; that holds after a reopening, after a kill, and after a power
 * cut for what was synced. Whoever changes memory.edn meanwhile is merged; a validation finds nothing.
 *
 * What goes on in the background decides at most by which way the one right answer is found.
 */
enum { STEPS_MAX = 24 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

void open_memory(struct fuzz *f)
{
	struct memory_options options = {.edn_path = f->place.edn,
		.store_dir = f->place.store,
		.schema = f->schema,
		.edn_delay_ms = 3600000,
		.doc_max_bytes = DOC_BYTES_MAX};
	struct err err = {0};

	well(memory_open(&f->memory, &options, &err), &err, "it opens");
}

void close_memory(struct fuzz *f)
{
	struct err err = {0};
	int ret = memory_close(f->memory, &err);

	f->memory = NULL;
	well(ret, &err, "it closes");
}

static void do_reopen(struct fuzz *f)
{
	close_memory(f);
	open_memory(f);
}

static void check_all(struct fuzz *f)
{
	struct memory_failure failure;
	const char *differs = model_differs(&f->model, f->memory);

	if (differs)
		fprintf(stderr, "%s\n", differs);
	must(!differs, "the memory is as the model says");
	if (memory_failures(f->memory, &failure, 1)) {
		fprintf(stderr, "%s: %s\n", failure.store, failure.reason);
		must(false, "no store fails");
	}
	must(memory_count_documents(f->memory) == f->model.document_count, "documents are counted");
}

/* The frequent ones more than once. */
static void (*const steps[])(struct fuzz *f) = {do_put, do_put, do_put, do_put, do_put, do_delete,
	do_delete, do_rename, do_rename, do_attributes, do_rename_directory, do_remove_directory,
	do_look, do_fsync, do_sync, do_switch, do_migrate, do_validate, do_outside, do_outside,
	do_reopen, do_cut, do_cut};

static const char *const memories[] = {NULL, "{}",
	";; first\n{:config {:a 1}, ; a comment\n :notes/x [1 2]\n"
	" :presence/s1 {\"alice\" {:b 2} :kw 5}\n :presence/s2 {}}\n trailing",
	"{:presence/:s2 {:ada {:user/id :ada, :user/joined-at 1770901205113}}"
	" :projects/ada {\"ada/spring\" {:project/status :active}} :ops/:s2 [{:op/id 1}]"
	" :learning/tag-index {\"two words\" #{:ada/a-1}} :learning/index {:ada [1]}"
	" :ada/slug-1770-ab {:learning/id \"x\" :t #inst \"2026-01-01\"}"
	" :embed-token/0ab {:token \"t\"} 42 1.50M \"text\" 22/7 :config #:a{:b ##NaN, :c #x/y [1N "
	"\\a]}}"};

static void begin(struct fuzz *f)
{
	const char *text = memories[program_next(f) % (sizeof(memories) / sizeof(*memories))];

	must(schema_new(&f->schema, NULL) == 0, "memory");
	place_make(&f->place);
	if (text)
		place_write_edn(&f->place, slice_str(text));
	f->whole = !text || !text[2];
	open_memory(f);
	must(model_learn(&f->model, f->schema, f->memory), "room in the model");
}

static void end(struct fuzz *f)
{
	close_memory(f);
	place_remove(&f->place);
	model_release(&f->model);
	schema_free(f->schema);
	buf_release(&f->path);
	buf_release(&f->other);
	buf_release(&f->bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = {.data = data, .size = size};

	begin(&f);
	for (int i = 0; i < STEPS_MAX && f.size && !f.lost; i++) {
		steps[program_next(&f) % (sizeof(steps) / sizeof(*steps))](&f);
		if (!f.lost)
			check_all(&f);
	}
	end(&f);
	return 0;
}
