/* SPDX-License-Identifier: MIT */
#include "ednfile_map.h"

#include <errno.h>

static bool is_plain_string(struct slice text)
{
	for (size_t i = 1; i + 1 < text.len; i++) {
		switch (text.ptr[i]) {
		case '\\': /* the escapes, and what pr-str would write as one */
		case '\b':
		case '\t':
		case '\n':
		case '\f':
		case '\r':
			return false;
		}
	}
	return true;
}

static uint32_t hash_text(const struct ednpool *pool, struct slice text)
{
	return (uint32_t)hash64(text.ptr, text.len, pool->seed);
}

static void set_plain(struct ednkey *key, const struct ednpool *pool, struct slice text)
{
	key->text = text;
	key->kind = EDNKEY_PLAIN;
	key->hash = hash_text(pool, text);
}

/* For Clojure, the namespace is what stands before the first slash; "/" itself has none. */
static struct slice namespace_of(struct slice text)
{
	const char *slash = text.len > 1 ? memchr(text.ptr, '/', text.len) : NULL;

	return slice_of(text.ptr, slash ? (size_t)(slash - text.ptr) : 0);
}

/* text: of a keyword without its colon, or of a symbol. */
static void add_expanded(struct buf *out, struct slice prefix, struct slice text)
{
	struct slice ns = namespace_of(text);

	if (ns.len == 1 && ns.ptr[0] == '_') {
		buf_add(out, text.ptr + 2, text.len - 2);
		return;
	}
	if (!ns.len) {
		buf_add_slice(out, prefix);
		buf_add_char(out, '/');
	}
	buf_add_slice(out, text);
}

int ednkey_expand(const struct ednpool *pool, struct slice prefix, struct slice written,
	struct buf *out)
{
	struct arena arena = ARENA_INIT;
	struct edn value;
	int ret = 0;

	if (prefix.len && written.ptr[0] == ':') {
		buf_add_char(out, ':');
		add_expanded(out, prefix, slice_of(written.ptr + 1, written.len - 1));
	} else if (prefix.len && written.ptr[0] != '"' && !edn_key_is_text(written)) {
		ret = edn_read(&arena, written, pool->max_depth, &value, NULL, NULL);
		if (!ret && value.type == EDN_SYMBOL)
			add_expanded(out, prefix, edn_text(&value));
		else
			buf_add_slice(out, written);
		arena_release(&arena);
	} else {
		buf_add_slice(out, written);
	}
	return ret ? ret : buf_error(out);
}

static int read_value(struct ednkey *key, const struct ednpool *pool, struct slice prefix,
	struct slice written)
{
	struct buf full = BUF_INIT;
	int ret = edn_read(&key->arena, written, pool->max_depth, &key->value, NULL, NULL);

	if (ret)
		return ret;
	if (prefix.len && key->value.type == EDN_SYMBOL) {
		add_expanded(&full, prefix, edn_text(&key->value));
		key->value.text = arena_copy(&key->arena, full.ptr, full.len);
		key->value.count = (uint32_t)full.len;
		ret = key->value.text ? buf_error(&full) : -ENOMEM;
		buf_release(&full);
	}
	edn_print_canonical(&key->buf, &key->value);
	key->text = buf_slice(&key->buf);
	if (key->value.type == EDN_STRING || key->value.type == EDN_KEYWORD) {
		key->kind = EDNKEY_SPELLED;
		key->hash = hash_text(pool, key->text);
	} else {
		key->kind = EDNKEY_VALUE;
		key->hash = (uint32_t)edn_hash(&key->value);
	}
	return ret ? ret : buf_error(&key->buf);
}

static int hash_unread(const struct ednpool *pool, struct slice written, uint64_t *hash)
{
	uint64_t text = hash64(written.ptr, written.len, pool->seed);
	_Atomic uint64_t *slot = pool->unread[text % EDNPOOL_UNREAD];
	size_t end;
	int ret;

	*hash = atomic_load(&slot[1]);
	if (*hash && (atomic_load(&slot[0]) ^ *hash) == text)
		return 0;
	ret = edn_skip(written, pool->max_depth, &end, hash);
	if (ret)
		return ret;
	atomic_store(&slot[0], *hash ^ text);
	atomic_store(&slot[1], *hash);
	return 0;
}

static int set_unread(struct ednkey *key, const struct ednpool *pool, struct slice written)
{
	uint64_t hash = 0;
	int ret = hash_unread(pool, written, &hash);

	key->text = written;
	key->kind = EDNKEY_VALUE;
	key->unread = true;
	key->hash = (uint32_t)hash;
	return ret;
}

int ednkey_read(struct ednkey *key, const struct ednpool *pool, struct slice prefix,
	struct slice written)
{
	int ret = 0;

	*key = (struct ednkey){.buf = BUF_INIT};
	if (!written.len)
		return -EBADMSG;
	if (written.ptr[0] == ':' && prefix.len) {
		ret = ednkey_expand(pool, prefix, written, &key->buf);
		set_plain(key, pool, buf_slice(&key->buf));
		key->kind = EDNKEY_SPELLED;
	} else if (written.ptr[0] == ':' || (written.ptr[0] == '"' && is_plain_string(written))) {
		set_plain(key, pool, written);
	} else if (edn_key_is_text(written)) {
		ret = set_unread(key, pool, written);
	} else {
		ret = read_value(key, pool, prefix, written);
	}
	if (ret)
		ednkey_release(key);
	return ret;
}

int ednkey_init(struct ednkey *key, const struct ednpool *pool, struct slice canonical)
{
	return ednkey_read(key, pool, slice_of(NULL, 0), canonical);
}

void ednkey_release(struct ednkey *key)
{
	buf_release(&key->buf);
	arena_release(&key->arena);
	*key = (struct ednkey){.hash = 0};
}

/* ---- finding ---- */

/* *same: the entry's key is this key. *equal: at least for Clojure's =. */
static int compare(const struct ednmap *map, const struct ednentry *entry, const struct ednkey *key,
	bool *same, bool *equal)
{
	struct ednkey other;
	int ret;

	*same = *equal = false;
	if (entry->hash != key->hash)
		return 0;
	if (entry->key_kind == EDNKEY_PLAIN || key->unread)
		*same = *equal = slice_equal(ednentry_key(entry), key->text);
	if (entry->key_kind == EDNKEY_PLAIN || *same)
		return 0;
	ret = ednkey_read(&other, map->pool, map->prefix, ednentry_key(entry));
	if (ret)
		return ret;
	*same = *equal = slice_equal(other.text, key->text);
	if (!*same && other.kind == EDNKEY_VALUE && key->kind == EDNKEY_VALUE)
		*equal = other.unread || key->unread || edn_equal(&other.value, &key->value);
	ednkey_release(&other);
	return 0;
}

int ednmap_find(const struct ednmap *map, const struct ednkey *key, uint32_t *at)
{
	uint32_t mask = map->index_cap - 1;
	bool same;
	bool equal;

	for (uint32_t i = key->hash & mask; map->index[i]; i = (i + 1) & mask) {
		int ret = compare(map, &map->entries[map->index[i]], key, &same, &equal);

		if (ret)
			return ret;
		if (same) {
			*at = map->index[i];
			return 0;
		}
	}
	return -ENOENT;
}

int ednmap_conflict(const struct ednmap *map, const struct ednkey *key, uint32_t but)
{
	uint32_t mask = map->index_cap - 1;
	bool same;
	bool equal;

	for (uint32_t i = key->hash & mask; map->index[i]; i = (i + 1) & mask) {
		int ret = compare(map, &map->entries[map->index[i]], key, &same, &equal);

		if (ret)
			return ret;
		if (equal && map->index[i] != but)
			return -EEXIST;
	}
	return 0;
}

/* ---- writing a key into a map with a prefix ---- */

/* Does this text, inside the map, read back as the key, for clojure.edn too? */
static bool reads_back(const struct ednmap *map, const struct ednkey *key, struct slice written)
{
	struct ednkey back;
	bool same;

	if (written.ptr[0] == ':' && !edn_is_keyword(slice_of(written.ptr + 1, written.len - 1)))
		return false;
	if (ednkey_read(&back, map->pool, map->prefix, written))
		return false;
	same = slice_equal(back.text, key->text);
	ednkey_release(&back);
	return same;
}

/* Some keys are readable only because of the prefix: #:embed-token{:0ab 1}, :embed-token/0ab isn't. */
static bool prefix_is_needed(const struct ednmap *map)
{
	for (uint32_t at = map->entries[0].next; at; at = map->entries[at].next) {
		struct slice written = ednentry_key(&map->entries[at]);
		struct buf full = BUF_INIT;
		bool poison;

		if (written.ptr[0] != ':')
			continue;
		if (ednkey_expand(map->pool, map->prefix, written, &full)) {
			buf_release(&full);
			return false;
		}
		poison = edn_is_keyword(slice_of(written.ptr + 1, written.len - 1)) &&
			 !edn_is_keyword(slice_of(full.ptr + 1, full.len - 1));
		buf_release(&full);
		if (poison)
			return true;
	}
	return false;
}

int ednkey_spell(const struct ednmap *map, const struct ednkey *key, struct buf *out, bool *open_up)
{
	struct slice text = key->text;
	struct slice name;
	size_t start = out->len;

	*open_up = false;
	if (!map->prefix.len)
		goto full;
	if (text.ptr[0] == ':') {
		name = namespace_of(slice_of(text.ptr + 1, text.len - 1));
		if (slice_equal(name, map->prefix)) {
			buf_add_char(out, ':');
			buf_add(out, text.ptr + name.len + 2, text.len - name.len - 2);
			if (buf_error(out) ||
				reads_back(map, key, slice_of(out->ptr + start, out->len - start)))
				return buf_error(out);
			out->len = start;
		}
	}
	*open_up = true;
	if (!prefix_is_needed(map))
		goto full;
	if (reads_back(map, key, text)) {
		*open_up = false;
		goto full;
	}
	if (text.ptr[0] == ':') {
		buf_add_str(out, ":_/");
		buf_add(out, text.ptr + 1, text.len - 1);
		if (!buf_error(out) &&
			reads_back(map, key, slice_of(out->ptr + start, out->len - start))) {
			*open_up = false;
			return 0;
		}
		out->len = start;
	}
full:
	buf_add_slice(out, text);
	return buf_error(out);
}

/* ---- checking what is to be put ---- */

struct seen_pair {
	struct edn_map_entry entry;
};

static int see_pair(void *context, const struct edn_map_entry *entry)
{
	struct seen_pair *seen = context;

	seen->entry = *entry;
	return 0;
}

int ednpair_check(const struct ednmap *map, struct slice key, struct slice value,
	struct ednpair *pair, struct err *err)
{
	struct seen_pair seen = {.entry = {.value_depth = 0}};
	struct edn_map_shape shape;
	struct buf text = BUF_INIT;
	struct err cause;
	int ret;

	buf_add_char(&text, '{');
	buf_add_slice(&text, key);
	buf_add_char(&text, '\n');
	buf_add_slice(&text, value);
	buf_add_str(&text, "\n}"); /* behind a comment, too */
	ret = buf_error(&text);
	if (!ret)
		ret = edn_scan_map(buf_slice(&text), map->depth, map->pool->max_depth, see_pair,
			&seen, &shape, &cause);
	if (ret == -EBADMSG)
		err_set(err, ret, "not readable EDN: %s", cause.text);
	if (!ret && (shape.count != 1 || shape.end != text.len || shape.prefix.len ||
			    seen.entry.key.offset != 1 || seen.entry.key.len != key.len))
		ret = err_set(err, -EBADMSG, "not one key and one value");
	if (!ret)
		*pair = (struct ednpair){
			.value = slice_of(value.ptr + (seen.entry.value.offset - key.len - 2),
				seen.entry.value.len),
			.type = seen.entry.value_type,
			.unreadable = seen.entry.lenient || seen.entry.tagged,
		};
	buf_release(&text);
	return ret;
}
