/* SPDX-License-Identifier: MIT */
/*
 * What LMDB alone takes for the puts of a migration: lmdb_bench DATA.MDB DIRECTORY
 *
 * Reads the rows of an EAV store (eav.h says how they are on disk), all into memory, and puts them into a new environment in
 * the directory: as many entities in a transaction as a migration has there, in the order of their numbers, the rows
 * of each table in order, each commit synced. Prints entities a second.
 */
#include <endian.h>
#include <lmdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ENTITIES = 4096, TABLES = 3, ENTITY_AT = 16 };

static const char *const NAMES[TABLES] = {"documents", "eav", "ave"};

struct row {
	uint64_t batch;
	size_t at; /* in the order they were read: by table, then by key */
	unsigned table;
	MDB_val key, value; /* the source's memory */
};

struct rows {
	struct row *list;
	size_t count, cap;
	uint64_t entities;
};

static void must(int ret, const char *what)
{
	if (!ret)
		return;
	fprintf(stderr, "lmdb_bench: %s: %s\n", what, mdb_strerror(ret));
	exit(1);
}

static uint64_t number_of(unsigned table, MDB_val key, MDB_val value)
{
	const char *at = (const char *)value.mv_data + ENTITY_AT;
	uint64_t number;

	if (table)
		at = (const char *)key.mv_data + (table == 1 ? 0 : key.mv_size - sizeof(number));
	memcpy(&number, at, sizeof(number));
	return table ? be64toh(number) : number;
}

static void add(struct rows *rows, unsigned table, MDB_val key, MDB_val value)
{
	if (rows->count == rows->cap) {
		rows->cap = rows->cap ? rows->cap * 2 : 1 << 16;
		rows->list = reallocarray(rows->list, rows->cap, sizeof(*rows->list));
		must(rows->list ? 0 : MDB_MAP_FULL, "memory");
	}
	rows->list[rows->count] = (struct row){
		.batch = (number_of(table, key, value) - 1) / ENTITIES,
		.at = rows->count,
		.table = table,
		.key = key,
		.value = value,
	};
	rows->count++;
	rows->entities += table == 0;
}

static int by_batch(const void *a, const void *b)
{
	const struct row *x = a;
	const struct row *y = b;

	if (x->batch != y->batch)
		return x->batch < y->batch ? -1 : 1;
	return (x->at > y->at) - (x->at < y->at);
}

static MDB_env *open_env(const char *path, unsigned flags)
{
	MDB_env *env;

	must(mdb_env_create(&env), "mdb_env_create");
	must(mdb_env_set_maxdbs(env, TABLES + 1), "mdb_env_set_maxdbs");
	if (!(flags & MDB_RDONLY))
		must(mdb_env_set_mapsize(env, (size_t)16 << 30), "mdb_env_set_mapsize");
	must(mdb_env_open(env, path, flags, 0600), path);
	return env;
}

static void read_table(struct rows *rows, MDB_txn *txn, unsigned table)
{
	MDB_val key, value;
	MDB_cursor *cursor;
	MDB_dbi dbi;

	must(mdb_dbi_open(txn, NAMES[table], 0, &dbi), NAMES[table]);
	must(mdb_cursor_open(txn, dbi, &cursor), "mdb_cursor_open");
	while (!mdb_cursor_get(cursor, &key, &value, MDB_NEXT))
		add(rows, table, key, value);
	mdb_cursor_close(cursor);
}

static size_t put_batch(MDB_env *env, const MDB_dbi *tables, const struct rows *rows, size_t from)
{
	MDB_cursor *cursors[TABLES];
	MDB_txn *txn;
	size_t i = from;

	must(mdb_txn_begin(env, NULL, 0, &txn), "mdb_txn_begin");
	for (unsigned table = 0; table < TABLES; table++)
		must(mdb_cursor_open(txn, tables[table], &cursors[table]), "mdb_cursor_open");
	for (; i < rows->count && rows->list[i].batch == rows->list[from].batch; i++) {
		struct row *row = &rows->list[i];

		must(mdb_cursor_put(cursors[row->table], &row->key, &row->value, 0),
			"mdb_cursor_put");
	}
	must(mdb_txn_commit(txn), "mdb_txn_commit");
	return i;
}

static double put_all(const char *directory, const struct rows *rows)
{
	MDB_env *env = open_env(directory, 0);
	struct timespec start, end;
	MDB_dbi tables[TABLES];
	MDB_txn *txn;

	must(mdb_txn_begin(env, NULL, 0, &txn), "mdb_txn_begin");
	for (unsigned table = 0; table < TABLES; table++)
		must(mdb_dbi_open(txn, NAMES[table], MDB_CREATE, &tables[table]), NAMES[table]);
	must(mdb_txn_commit(txn), "mdb_txn_commit");
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (size_t i = 0; i < rows->count;)
		i = put_batch(env, tables, rows, i);
	clock_gettime(CLOCK_MONOTONIC, &end);
	mdb_env_close(env);
	return (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
}

int main(int argc, char **argv)
{
	struct rows rows = {0};
	MDB_env *source;
	MDB_txn *txn;

	if (argc != 3) {
		fputs("usage: lmdb_bench DATA.MDB DIRECTORY\n", stderr);
		return 2;
	}
	source = open_env(argv[1], MDB_RDONLY | MDB_NOSUBDIR | MDB_NOLOCK);
	must(mdb_txn_begin(source, NULL, MDB_RDONLY, &txn), "mdb_txn_begin");
	for (unsigned table = 0; table < TABLES; table++)
		read_table(&rows, txn, table);
	qsort(rows.list, rows.count, sizeof(*rows.list), by_batch);
	printf("%.0f\n", (double)rows.entities / put_all(argv[2], &rows));
	mdb_txn_abort(txn);
	mdb_env_close(source);
	free(rows.list);
	return 0;
}
