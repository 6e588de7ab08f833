/* SPDX-License-Identifier: MIT */
#include "ctl.h"
#include "ctl_mount.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LABEL = 12, TYPES_MOST = 30 };

static void label(const char *name)
{
	printf("%-*s", LABEL, name);
}

static const cJSON *part(const cJSON *health, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(health, name);
}

static void print_uptime(double seconds)
{
	long s = (long)seconds;

	if (s >= 86400)
		printf("%ld d %ld h", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		printf("%ld h %ld min", s / 3600, s % 3600 / 60);
	else if (s >= 60)
		printf("%ld min", s / 60);
	else
		printf("%ld s", s);
}

static void print_state(const struct ctl_mount *mount, const cJSON *health)
{
	const cJSON *reason;

	label("mount");
	printf("%s, process %.0f, up ", mount->root, ctl_json_number(health, "pid"));
	print_uptime(ctl_json_number(health, "uptime_s"));
	putchar('\n');
	label("mode");
	puts(ctl_json_text(health, "mode"));
	label("health");
	puts(ctl_json_text(health, "status"));
	cJSON_ArrayForEach(reason, part(health, "reasons"))
		printf("%*s%s\n", LABEL, "", ctl_printable(cJSON_GetStringValue(reason)));
}

static void print_edn(const cJSON *health)
{
	const cJSON *edn = part(health, "edn");
	const char *last = ctl_json_text(edn, "last_rewrite");
	char keys[32], entities[32], bytes[32], rewrites[32];

	label("memory.edn");
	printf("%s, %s keys, %s entities, %s\n", ctl_json_text(edn, "path"),
		ctl_number(ctl_json_number(edn, "keys"), keys),
		ctl_number(ctl_json_number(edn, "entities"), entities),
		ctl_bytes(ctl_json_number(edn, "bytes"), bytes));
	label("");
	printf("%s rewrites", ctl_number(ctl_json_number(edn, "rewrites"), rewrites));
	if (*last)
		printf(", the last at %s took %.0f ms", last,
			ctl_json_number(edn, "last_rewrite_ms"));
	printf("; %.0f changes by others, %.0f conflicts\n",
		ctl_json_number(edn, "outside_changes"), ctl_json_number(edn, "conflicts"));
}

static void print_eav(const cJSON *health)
{
	const cJSON *eav = part(health, "eav");
	char entities[32], datoms[32], bytes[32];

	label("EAV store");
	printf("%s, %s entities, %s datoms, %s\n", ctl_json_text(eav, "state"),
		ctl_number(ctl_json_number(eav, "entities"), entities),
		ctl_number(ctl_json_number(eav, "datoms"), datoms),
		ctl_bytes(ctl_json_number(eav, "bytes"), bytes));
}

static int by_count(const void *a, const void *b)
{
	const cJSON *const *x = a;
	const cJSON *const *y = b;

	return ((*x)->valuedouble < (*y)->valuedouble) - ((*x)->valuedouble > (*y)->valuedouble);
}

static void print_types(const cJSON *health)
{
	const cJSON *types = part(part(health, "edn"), "types");
	const cJSON *in_eav = part(part(health, "eav"), "types");
	const cJSON *rows[TYPES_MOST];
	const cJSON *one;
	size_t count = 0;

	cJSON_ArrayForEach(one, types)
	{
		if (count < TYPES_MOST)
			rows[count++] = one;
	}
	if (count)
		qsort(rows, count, sizeof(rows[0]), by_count);
	for (size_t i = 0; i < count; i++) {
		char served[32], migrated[32];

		label(i ? "" : "entities");
		printf("%11s  %s", ctl_number(rows[i]->valuedouble, served), rows[i]->string);
		if (in_eav)
			printf(", %s in the EAV store",
				ctl_number(ctl_json_number(in_eav, rows[i]->string), migrated));
		putchar('\n');
	}
}

static void print_work(const cJSON *health, const cJSON *migration)
{
	const cJSON *journal = part(health, "journal");
	const char *state = ctl_json_text(migration, "state");
	char pending[32], bytes[32], done[32], total[32];

	label("journal");
	printf("%s changes not in memory.edn yet, %s\n",
		ctl_number(ctl_json_number(journal, "pending"), pending),
		ctl_bytes(ctl_json_number(journal, "bytes"), bytes));
	if (strcmp(state, "idle") == 0)
		return;
	label("migration");
	printf("%s: %s, %s of %s entities, %.0f failed\n", ctl_json_text(migration, "what"), state,
		ctl_number(ctl_json_number(migration, "done"), done),
		ctl_number(ctl_json_number(migration, "total"), total),
		ctl_json_number(migration, "failed"));
}

/* The last three. */
static void print_errors(const struct ctl_mount *mount, const cJSON *health)
{
	struct buf text = BUF_INIT;
	size_t from, lines = 0;

	label("refused");
	printf("%.0f saves (see .rejected/)\n", ctl_json_number(health, "rejected"));
	if (ctl_mount_read(mount, ".errors", &text, NULL) == 0 && text.len) {
		for (from = text.len - 1; from && lines < 3; from--)
			lines += text.ptr[from - 1] == '\n';
		from += lines == 3;
		label("errors");
		for (size_t at = from; at < text.len; at++) {
			putchar(text.ptr[at]);
			if (text.ptr[at] == '\n' && at + 1 < text.len)
				label("");
		}
	}
	buf_release(&text);
}

enum ctl_status ctl_status(const struct ctl_args *args)
{
	struct ctl_mount mount;
	struct err err = {0};
	cJSON *health = NULL;
	cJSON *migration = NULL;
	int ret = ctl_mount_find(&mount, args->operands[0], &err);

	if (!ret)
		ret = ctl_mount_json(&mount, ".health", &health, &err);
	if (!ret)
		ret = ctl_mount_json(&mount, ".migrate", &migration, &err);
	if (ret) {
		ctl_complain("%s", err.text);
	} else if (args->given[CTL_JSON]) {
		ctl_json_print(health);
	} else {
		print_state(&mount, health);
		print_edn(health);
		print_eav(health);
		print_types(health);
		print_work(health, migration);
		print_errors(&mount, health);
	}
	cJSON_Delete(health);
	cJSON_Delete(migration);
	ctl_mount_release(&mount);
	return ret ? CTL_FAILED : CTL_FINE;
}
