/* SPDX-License-Identifier: MIT */
#include "control_metrics.h"

#include <errno.h>
#include <stdlib.h>

#include "metrics.h"
#include "mode.h"

struct simple {
	const char *name;
	const char *type;
	const char *help;
	double value;
};

static void print_simple(struct buf *out, const struct simple *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		metrics_head(out, rows[i].name, rows[i].type, rows[i].help);
		metrics_value(out, rows[i].name, rows[i].value);
	}
}
#define PRINT(out, rows) print_simple(out, rows, sizeof(rows) / sizeof(*(rows)))

/* ---- what it is ---- */

static void print_identity(struct fs *fs, struct buf *out)
{
	struct timespec now;
	double started_s = (double)fs->started.tv_sec + (double)fs->started.tv_nsec / 1e9;

	clock_gettime(CLOCK_REALTIME, &now);
	metrics_head(out, "ourofs_build_info", "gauge", "The version that serves; always 1.");
	metrics_labelled(out, "ourofs_build_info", "version", OUROFS_VERSION, 1);
	const struct simple rows[] = {
		{"ourofs_start_time_seconds", "gauge", "When it was mounted, since 1970.",
			started_s},
		{"ourofs_uptime_seconds", "gauge", "How long it is mounted.",
			(double)now.tv_sec + (double)now.tv_nsec / 1e9 - started_s},
	};
	PRINT(out, rows);
}

/* One row of a set of which exactly one is 1. */
static void print_words(struct buf *out, const char *name, const char *label, const char *help,
	const char *const *words, const char *word)
{
	metrics_head(out, name, "gauge", help);
	for (; *words; words++)
		metrics_labelled(out, name, label, *words, strcmp(*words, word) == 0);
}

static void print_mode(const struct memory_health *health, struct buf *out)
{
	const char *modes[MODE_DATALEVIN_ONLY + 2] = {NULL};

	for (int i = 0; i <= MODE_DATALEVIN_ONLY; i++)
		modes[i] = mode_row((enum mode)i)->name;
	print_words(out, "ourofs_mode", "mode", "Which stores serve: 1 for the mode that is.",
		modes, health->mode);
}

/* ---- the stores ---- */

static void print_failures(struct fs *fs, struct buf *out)
{
	static const char *const stores[] = {"edn", "eav", "saved", "journal", "memory"};
	struct memory_failure failures[MEMORY_FAILURES_MAX];
	size_t count = memory_failures(fs->memory, failures, MEMORY_FAILURES_MAX);

	metrics_head(out, "ourofs_store_up", "gauge",
		"0 while a store fails; memory: changes can't be applied any more.");
	for (size_t i = 0; i < sizeof(stores) / sizeof(*stores); i++) {
		bool fails = false;

		for (size_t j = 0; j < count; j++)
			fails |= !strcmp(failures[j].store, stores[i]);
		metrics_labelled(out, "ourofs_store_up", "store", stores[i], !fails);
	}
}

static void print_pairs(struct buf *out, const char *name, const char *type, const char *help,
	double edn, double eav)
{
	metrics_head(out, name, type, help);
	metrics_labelled(out, name, "store", "edn", edn);
	metrics_labelled(out, name, "store", "eav", eav);
}

static void print_reads(const struct memory_health *health, struct buf *out)
{
	static const char name[] = "ourofs_reads_total";

	metrics_head(out, name, "counter", "Documents that were read, by where they were.");
	metrics_labelled(out, name, "source", "overlay", (double)health->reads_overlay);
	metrics_labelled(out, name, "source", "eav", (double)health->reads_eav);
	metrics_labelled(out, name, "source", "edn", (double)health->reads_edn);
}

static void print_stores(struct fs *fs, const struct memory_health *health, struct buf *out)
{
	const struct simple rows[] = {
		{"ourofs_read_fallbacks_total", "counter",
			"Reads that the EAV store should have served, and memory.edn did.",
			(double)health->read_fallbacks},
		{"ourofs_commits_total", "counter", "Changes that were committed to the journal.",
			(double)health->commits},
		{"ourofs_eav_commits_total", "counter",
			"Transactions of the EAV store since it was opened.",
			(double)health->eav_commits},
		{"ourofs_edn_rewrites_total", "counter", "Times that memory.edn was rewritten.",
			(double)health->rewrites},
		{"ourofs_edn_last_rewrite_seconds", "gauge",
			"How long the last rewrite of memory.edn took.",
			health->last_rewrite_ms / 1e3},
		{"ourofs_journal_bytes", "gauge", "Size of the journal.",
			(double)health->journal_bytes},
		{"ourofs_eav_datoms", "gauge", "Datoms in the EAV store.",
			(double)health->eav_datoms},
		{"ourofs_outside_changes_total", "counter",
			"Times that another writer had changed memory.edn.",
			(double)health->outside_changes},
		{"ourofs_stale_put_back_total", "counter",
			"Values that another writer had overwritten with an older copy.",
			(double)health->stale_put_back},
		{"ourofs_conflicts_total", "counter",
			"Values of another writer's that are kept in .conflicts.",
			(double)health->conflicts},
	};

	print_reads(health, out);
	print_failures(fs, out);
	print_pairs(out, "ourofs_entities", "gauge",
		"Documents that are served, and what the EAV store has (collections, too).",
		(double)memory_count_documents(fs->memory), (double)health->eav_entities);
	print_pairs(out, "ourofs_store_bytes", "gauge", "Size of each store on disk.",
		(double)health->edn_bytes, (double)health->eav_bytes);
	print_pairs(out, "ourofs_backlog_changes", "gauge",
		"Committed changes that a store does not hold yet.", (double)health->pending,
		(double)health->overlay);
	PRINT(out, rows);
}

/* ---- the filesystem ---- */

static void print_files(struct fs *fs, struct buf *out)
{
	const struct handle *handle;
	size_t handles = 0, nodes;

	pthread_mutex_lock(&fs->lock);
	for (handle = fs->open_handles; handle; handle = handle->next_open)
		handles++;
	nodes = fs->nodes.count;
	pthread_mutex_unlock(&fs->lock);
	const struct simple rows[] = {
		{"ourofs_open_handles", "gauge", "Files and directories that are open.",
			(double)handles},
		{"ourofs_nodes", "gauge", "Files and directories that the kernel may know.",
			(double)nodes},
		{"ourofs_scratch_bytes", "gauge", "Size of all scratch files.",
			(double)atomic_load(&fs->trees[TREE_SCRATCH].used_bytes)},
		{"ourofs_scratch_max_bytes", "gauge", "What they may take.",
			(double)fs->options->scratch_max_bytes},
		{"ourofs_rejected_files", "gauge", "Refused saves that are kept in .rejected.",
			(double)refusals_count(fs->refusals)},
		{"ourofs_rejected_saves_total", "counter", "Saves that were refused.",
			(double)refusals_total(fs->refusals)},
	};
	PRINT(out, rows);
}

static int print_migration(struct fs *fs, struct buf *out)
{
	static const char *const states[] = {
		"idle", "running", "paused", "done", "failed", "stopped", NULL};
	static const char name[] = "ourofs_migration_entities";
	struct memory_migration *migration = malloc(sizeof(*migration));

	if (!migration)
		return -ENOMEM;
	memory_migration(fs->memory, migration);
	print_words(out, "ourofs_migration_state", "state", "1 for the state of the migration.",
		states, migration->state);
	metrics_head(out, name, "gauge", "Entities of the last migration, by what became of them.");
	metrics_labelled(out, name, "state", "total", (double)migration->total);
	metrics_labelled(out, name, "state", "done", (double)migration->done);
	metrics_labelled(out, name, "state", "failed", (double)migration->failed);
	metrics_labelled(out, name, "state", "skipped", (double)migration->skipped);
	free(migration);
	return 0;
}

int control_read_metrics(struct fs *fs, struct buf *out)
{
	struct memory_health health;
	int ret;

	memory_health(fs->memory, &health);
	print_identity(fs, out);
	print_mode(&health, out);
	metrics_print_counted(fs->metrics, out);
	print_stores(fs, &health, out);
	print_files(fs, out);
	ret = print_migration(fs, out);
	return ret ? ret : buf_error(out);
}
