/* SPDX-License-Identifier: MIT */
#include "eav_private.h"

#include <errno.h>
#include <stdlib.h>

/* Stores of before there were datoms had a data.mdb of format 1 here. */
enum { FORMAT = 2 };

static const char *const TABLES[EAV_TABLES] = {
	[EAV_NOTES] = ENV_MARK,
	[EAV_DOCUMENTS] = "documents",
	[EAV_EAV] = "eav",
	[EAV_AVE] = "ave",
};

_Static_assert(EAV_TABLES <= (int)ENV_TABLES, "an environment has room for them");

int eav_open_sized(struct eav **eav, int dir_fd, const char *path, bool read_only, size_t map_bytes,
	struct err *err)
{
	struct env_options options = {.name = "data.mdb",
		.format = FORMAT,
		.tables = TABLES,
		.table_count = EAV_TABLES,
		.read_only = read_only,
		.map_first_bytes = map_bytes,
		.write_rank = LOCK_EAV_WRITE,
		.map_rank = LOCK_EAV_MAP};
	struct eav *e = calloc(1, sizeof(*e));
	int ret;

	if (!e)
		return err_set(err, -ENOMEM, "out of memory");
	mutex_init(&e->types_lock, LOCK_EAV_TYPES);
	ret = env_open(&e->env, dir_fd, path, &options, err);
	if (!ret && e->env.mdb && mdb_env_get_maxkeysize(e->env.mdb) < EAV_KEY_MAX)
		ret = err_set(err, -EINVAL, "data.mdb: this LMDB takes keys of %d bytes, not %d",
			mdb_env_get_maxkeysize(e->env.mdb), EAV_KEY_MAX);
	if (ret) {
		eav_close(e);
		return ret;
	}
	*eav = e;
	return 0;
}

int eav_open(struct eav **eav, int dir_fd, const char *path, bool read_only, struct err *err)
{
	return eav_open_sized(eav, dir_fd, path, read_only, 0, err);
}

void eav_on_write(struct eav *eav, eav_written_fn *fn, void *context)
{
	eav->written = fn;
	eav->written_context = context;
}

void eav_make_way(struct eav *eav, struct attention *attention)
{
	eav->attention = attention;
}

void eav_release_memory(struct eav *eav)
{
	env_release_memory(&eav->env);
}

bool eav_unmap_step(struct eav *eav, size_t *at)
{
	return env_unmap_step(&eav->env, at);
}

void eav_unmap_pages(struct eav *eav)
{
	env_unmap_pages(&eav->env);
}

void eav_compact(struct eav *eav)
{
	env_compact(&eav->env);
}

void eav_close(struct eav *eav)
{
	if (!eav)
		return;
	env_close(&eav->env);
	eav_types_release(&eav->types);
	pthread_mutex_destroy(&eav->types_lock);
	free(eav);
}

int eav_read_begin(struct eav *eav, struct eav_reader *reader)
{
	MDB_txn *txn = NULL;
	int ret = eav ? env_read_begin(&eav->env, &txn) : 0;

	*reader = (struct eav_reader){.eav = eav, .txn = txn};
	return ret;
}

void eav_read_end(struct eav_reader *reader)
{
	if (reader->txn)
		env_read_end(&reader->eav->env, reader->txn);
	reader->txn = NULL;
}

static uint64_t entries(struct eav *eav, MDB_txn *txn, unsigned table)
{
	MDB_stat st = {0};

	mdb_stat(txn, eav->env.tables[table], &st);
	return st.ms_entries;
}

int eav_stat(struct eav *eav, struct eav_stat *stat)
{
	struct eav_reader reader;
	MDB_envinfo info = {0};
	MDB_stat st = {0};
	int ret = eav_read_begin(eav, &reader);

	if (ret)
		return ret;
	*stat = (struct eav_stat){0};
	if (reader.txn) {
		mdb_env_info(eav->env.mdb, &info);
		mdb_env_stat(eav->env.mdb, &st);
		stat->entities = entries(eav, reader.txn, EAV_DOCUMENTS);
		stat->datoms = entries(eav, reader.txn, EAV_AVE);
		stat->file_bytes = ((uint64_t)info.me_last_pgno + 1) * st.ms_psize;
		stat->map_bytes = info.me_mapsize;
		stat->commits = __atomic_load_n(&eav->env.commits, __ATOMIC_RELAXED);
		stat->datoms_added = __atomic_load_n(&eav->datoms_added, __ATOMIC_RELAXED);
		stat->datoms_removed = __atomic_load_n(&eav->datoms_removed, __ATOMIC_RELAXED);
	}
	eav_read_end(&reader);
	return 0;
}
