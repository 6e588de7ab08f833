/* SPDX-License-Identifier: MIT */
#include "edn_token.h"

#include <errno.h>
#include <stdio.h>

/* A BigDecimal: coefficient (without leading zeros; "0" for zero) and scale. */
struct decimal {
	char *digits;
	size_t count;
	int64_t scale;
	bool negative;
};

/* Java's: at most ten digits behind leading zeros, and an int. */
static bool parse_exponent(const char *at, const char *end, int64_t *exponent)
{
	bool negative = *at == '-';

	at += *at == '-' || *at == '+';
	while (at < end && *at == '0')
		at++;
	if (end - at > 10)
		return false;
	for (*exponent = 0; at < end; at++)
		*exponent = *exponent * 10 + (*at - '0');
	if (negative)
		*exponent = -*exponent;
	return *exponent >= INT32_MIN && *exponent <= INT32_MAX;
}

static bool parse(struct slice text, struct decimal *d)
{
	const char *end = text.ptr + text.len;
	const char *p;
	int64_t exponent = 0;
	bool dot = false;

	for (p = text.ptr; p < end && *p != 'e' && *p != 'E'; p++) {
		if (*p == '.') {
			dot = true;
			continue;
		}
		d->scale += dot;
		if (*p != '0' || d->count)
			d->digits[d->count++] = *p;
	}
	if (p < end && !parse_exponent(p + 1, end, &exponent))
		return false;
	if (d->count == 0)
		d->digits[d->count++] = '0';
	if (d->digits[0] == '0')
		d->negative = false;
	d->scale -= exponent;
	return d->scale >= INT32_MIN && d->scale <= INT32_MAX;
}

static void put_plain(struct buf *out, const struct decimal *d)
{
	int64_t before = (int64_t)d->count - d->scale; /* digits before the point */

	if (before > 0) {
		buf_add(out, d->digits, (size_t)before);
	} else {
		buf_add_str(out, "0");
	}
	if (d->scale == 0)
		return;
	buf_add_str(out, ".");
	for (; before < 0; before++)
		buf_add_str(out, "0");
	buf_add(out, d->digits + before, d->count - (size_t)before);
}

/* BigDecimal.toString, but with all digits before the E where its exponent could not be read back. */
static void put(struct buf *out, const struct decimal *d)
{
	int64_t adjusted = (int64_t)d->count - 1 - d->scale;
	size_t whole = adjusted > INT32_MAX ? d->count : 1;

	if (d->negative)
		buf_add_str(out, "-");
	if (d->scale >= 0 && adjusted >= -6) {
		put_plain(out, d);
		return;
	}
	buf_add(out, d->digits, whole);
	if (d->count > whole) {
		buf_add_str(out, ".");
		buf_add(out, d->digits + whole, d->count - whole);
	}
	buf_add_format(out, "E%+lld", (long long)(whole > 1 ? -d->scale : adjusted));
}

int edn_decimal(struct arena *arena, struct slice text, bool negative, struct edn *value)
{
	struct decimal d = {.digits = arena_alloc(arena, text.len + 1), .negative = negative};
	struct buf out = BUF_INIT;

	if (!d.digits)
		return -ENOMEM;
	if (!parse(text, &d))
		return -EBADMSG;
	put(&out, &d);
	*value = (struct edn){.type = EDN_DECIMAL,
		.count = (uint32_t)out.len,
		.text = arena_copy(arena, out.ptr, out.len)};
	if (buf_error(&out) || !value->text) {
		buf_release(&out);
		return -ENOMEM;
	}
	buf_release(&out);
	return 0;
}
