/* SPDX-License-Identifier: MIT */
#include "memory_eav.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "env_look.h"
#include "memory_open.h"
#include "mode_file.h"

/*
 * Opening a memory: which mode, what serves, then the journal on top.
 *
 * In every mode the values are in m->file: read from memory.edn, and brought up with what saved knows that
 * memory.edn lacks; or, in datalevin-only, from the EAV store. The EAV store is ready when nothing was written past
 * it and memory.edn is as it was left; else the two are compared first.
 */
struct opening {
	enum mode stored; /* as the last mount left it */
	bool is_new;      /* there was none */
	bool has_wanted;
	enum mode wanted;
	bool force;
	bool eav_current;   /* saved says so, and goes no further */
	uint64_t watermark; /* saved's */
};

/* The switches that saved has not heard of yet. */
static int find_mode(void *context, const struct journal_record *record, struct err *err)
{
	struct opening *o = context;
	struct slice rest = record->payload;
	struct change c;

	if (record->kind != JOURNAL_MODE)
		return 0;
	if (change_decode(&rest, &c) || mode_of_word(c.id.key, &o->stored, NULL))
		return err_set(err, -EBADMSG, "journal record %llu: no mode",
			(unsigned long long)record->sequence);
	o->is_new = false;
	return 0;
}

static int read_notes(struct memory *m, struct opening *o, struct err *err)
{
	uint64_t mode = MODE_DEFAULT, current = 0;
	struct saved_reader reader;
	int ret = saved_read_begin(m->saved, &reader);

	if (ret)
		return err_set(err, ret, "cannot read the store: %s", strerror(-ret));
	o->is_new = saved_note_get(&reader, "mode", &mode, sizeof(mode)) != 0;
	saved_note_get(&reader, "eav", &current, sizeof(current));
	saved_note_get(&reader, "watermark", &o->watermark, sizeof(o->watermark));
	saved_read_end(&reader);
	if (mode > MODE_DATALEVIN_ONLY)
		return err_set(err, -EINVAL, "the store has a mode that this ourofs does not know");
	o->stored = (enum mode)mode;
	o->eav_current = current == EAV_IS_CURRENT;
	m->eav.remade = current == EAV_IS_REMADE;
	return m->dir.dir_fd < 0
		       ? 0
		       : journal_replay_only(m->dir.dir_fd, o->watermark, find_mode, o, err);
}

static int choose_mode(struct memory *m, struct opening *o, struct err *err)
{
	const char *word = m->options.mode;
	int ret = read_notes(m, o, err);

	if (ret)
		return ret;
	o->has_wanted = word && word[0];
	if (o->has_wanted && mode_of_word(slice_str(word), &o->wanted, &o->force))
		return err_set(err, -EINVAL,
			"no such mode: %s (edn-only, dual-write, datalevin-first, datalevin-only)",
			word);
	o->force |= m->options.force;
	if (o->is_new && o->has_wanted && o->wanted != MODE_DATALEVIN_ONLY)
		o->stored = o->wanted;
	atomic_store(&m->mode, o->stored);
	m->edn_active = mode_row(o->stored)->writes_edn;
	return 0;
}

/*
 * Where it is used alone it is never behind what is saved: it is written first. Then it was made anew, of what
 * could be read of it, or of nothing. memory.edn as it was left, and what is saved, hold what it lacks; the
 * mode is entered once more, by which all of that comes there.
 */
static int recover_eav(struct memory *m)
{
	memory_eav_close(m);
	m->recovers = true;
	m->edn_active = true;
	atomic_store(&m->mode, MODE_EDN_ONLY);
	return 0;
}

/* A broken EAV store is left alone by who wants to do without it. */
static int open_eav(struct memory *m, struct opening *o, struct err *err)
{
	bool to_edn = o->has_wanted && !mode_row(o->wanted)->writes_eav;
	struct err reason = {0};
	int ret;

	if (!mode_row(o->stored)->writes_eav || (to_edn && m->edn_active) || m->dir.dir_fd < 0)
		return 0;
	ret = memory_eav_open(m, &reason);
	if (!ret && !m->edn_active && (!m->eav.marked || m->eav.watermark < o->watermark))
		return recover_eav(m);
	if (!ret || m->edn_active)
		return 0;
	if (!to_edn)
		return err_set(err, ret,
			"the EAV store holds what is newer than memory.edn, and can't be opened: "
			"%.120s (-o force,mode=edn-only goes on with memory.edn)",
			reason.text);
	if (!o->force)
		return err_set(err, ret,
			"the EAV store was last used alone, and can't be opened: %.120s (-o force "
			"as well goes on with memory.edn)",
			reason.text);
	memory_eav_close(m);
	m->edn_active = true;
	atomic_store(&m->mode, MODE_EDN_ONLY);
	return 0;
}

static int open_file(struct memory *m, struct err *err)
{
	struct ednfile_options options = {.max_depth = EDN_LOAD_DEPTH,
		.schema = m->options.schema,
		.index_dir = &m->dir.dir_fd,
		.resolved = true};
	const struct tree_calls calls = {memory_note_dir, memory_load_members, m};
	struct ednfile_info info;
	struct stat st;
	int ret = m->edn_active ? ednfile_open(&m->file, m->edn_path, &options, err)
				: ednfile_new(&m->file, m->edn_path, &options, err);

	if (ret)
		return ret;
	ednfile_info(m->file, &info);
	m->default_mode = info.mode & 0666;
	if (!m->edn_active && stat(m->edn_path, &st) == 0)
		m->default_mode = st.st_mode & 0666;
	ret = tree_new(&m->tree, &calls);
	return ret ? err_set(err, ret, "out of memory") : 0;
}

/* What must not change from mount to mount is durable before anyone can see it. */
static int keep_notes(struct memory *m, const struct opening *o, struct err *err)
{
	uint64_t mode = (uint64_t)atomic_load(&m->mode);
	struct saved_note note = {"mode", slice_of(&mode, sizeof(mode))};
	int ret = 0;

	if (m->options.read_only)
		return 0;
	mode_file_write(m->dir.dir_fd, (enum mode)mode);
	if (o->is_new || mode != (uint64_t)o->stored)
		ret = saved_write(m->saved, NULL, 0, &note, 1, err);
	if (!ret && m->edn_active && !m->foreign && !m->file_noted)
		ret = memory_note_file(m, "file", m->work.file.hash, m->work.file.sequence, err);
	return ret;
}

static int load_values(struct memory *m, const struct opening *o, struct err *err)
{
	int ret = open_file(m, err);

	if (!ret)
		ret = memory_load_notes(m, err);
	if (!ret && !m->edn_active)
		m->foreign = false;
	if (!ret)
		ret = keep_notes(m, o, err);
	if (!ret)
		ret = m->edn_active ? memory_restore(m, o->eav_current, err)
				    : memory_load_eav(m, err);
	return ret ? ret : memory_load_tree(m, err);
}

static int replay(struct memory *m, struct err *err)
{
	uint64_t watermark = m->flush.watermark;

	if (m->dir.dir_fd < 0)
		return 0;
	if (m->options.read_only)
		return journal_replay_only(m->dir.dir_fd, watermark, memory_replay, m, err);
	return journal_open(&m->journal, m->dir.dir_fd, watermark, memory_replay, m, err);
}

/* Nobody is served yet, so this is also the time to compare the stores. */
static int settle_eav(struct memory *m, bool current, struct err *err)
{
	struct agree agree = {.migrate = false};
	struct err reason = {0};
	int ret = 0;

	if (atomic_load(&m->eav.state) != EAV_BEHIND)
		return 0;
	if (m->eav.remade && m->edn_active && !m->options.read_only) {
		err_set(&reason, -EUCLEAN, "data.mdb is being made anew");
		memory_eav_fail(m, &reason); /* for the flush thread, while memory.edn serves */
		return 0;
	}
	if (!current && m->options.read_only) {
		memory_eav_close(m);
		return 0;
	}
	if (!current)
		ret = memory_agree(m, &agree, &reason);
	if (!ret && !current)
		ret = memory_eav_mark(m, &reason);
	if (!ret)
		atomic_store(&m->eav.state, EAV_READY);
	else if (m->edn_active)
		memory_eav_fail(m, &reason);
	else if (err)
		*err = reason;
	return m->edn_active ? 0 : ret;
}

/* What it had is to be looked for in the other stores, and not taken for what never was. */
static int open_saved(struct memory *m, struct err *err)
{
	bool read_only = m->options.read_only;
	struct stat st;
	enum mode mode;
	int ret;

	if (!read_only && mode_file_read(m->dir.dir_fd, &mode) &&
		(fstatat(m->dir.dir_fd, "saved/data.mdb", &st, 0) || !st.st_size))
		return err_set(err, -EUCLEAN, "saved/data.mdb is not there any more");
	ret = saved_open(&m->saved, m->dir.dir_fd, m->store_path, read_only, err);
	/* nobody has had a memory here: what can't be read was never ours */
	if (ret == -EUCLEAN && fstatat(m->dir.dir_fd, "journal", &st, AT_SYMLINK_NOFOLLOW))
		ret = env_refuse("saved/data.mdb", err);
	return ret;
}

int memory_open_stores(struct memory *m, struct err *err)
{
	bool read_only = m->options.read_only;
	struct opening o = {0};
	bool foreign;
	int ret;

	ret = store_dir_open(&m->dir, m->store_path, read_only, m->options.patient, err);
	if (!ret)
		store_dir_keep_to_owner(&m->dir);
	if (!ret && m->dir.dir_fd >= 0)
		ret = open_saved(m, err);
	m->saved_damaged = ret == -EUCLEAN;
	if (!ret)
		ret = choose_mode(m, &o, err);
	if (!ret && !m->edn_active && saved_examine(m->saved))
		ret = err_set(err, -EIO, "cannot read what is saved");
	if (!ret)
		ret = open_eav(m, &o, err);
	if (!ret)
		ret = load_values(m, &o, err);
	/* of what it lacks the journal may know no more; records that saved has tell of the past */
	o.eav_current &= m->eav.watermark >= m->flush.watermark;
	foreign = m->foreign;
	if (!ret)
		ret = replay(m, err);
	/* before memory.edn is noted as seen */
	if (!ret && m->foreign && !read_only)
		ret = memory_forget_gone(m, err);
	if (!ret && m->foreign && !m->options.still)
		ret = memory_merge(m, NULL, err);
	if (!ret)
		ret = settle_eav(m, (o.eav_current && !foreign) || !m->edn_active, err);
	if (saved_is_damaged(m->saved) && !read_only) {
		m->saved_damaged = true;
		return ret ? ret
			   : err_set(err, -EUCLEAN,
				     "saved/data.mdb is damaged (ourofsctl check tells more)");
	}
	return ret;
}

/* The journal may have said otherwise than what was found there. */
static int recover(struct memory *m, struct err *err)
{
	int ret = memory_set_mode(m, MODE_EDN_ONLY, true, err);

	return ret ? ret : memory_set_mode(m, MODE_DATALEVIN_ONLY, true, err);
}

int memory_open_mode(struct memory *m, struct err *err)
{
	const char *word = m->options.mode;
	bool read_only = m->options.read_only;
	enum mode mode, current;
	bool force;
	int ret = m->recovers && !read_only ? recover(m, err) : 0;

	if (ret || !word || !word[0])
		return ret;
	current = (enum mode)atomic_load(&m->mode);
	if (mode_of_word(slice_str(word), &mode, &force))
		return -EINVAL;
	if (read_only && mode != current)
		return err_set(err, -EROFS,
			"the mode is %s, and a read-only mount can't switch it to %s",
			mode_row(current)->name, mode_row(mode)->name);
	return read_only ? 0 : memory_set_mode(m, mode, force || m->options.force, err);
}
