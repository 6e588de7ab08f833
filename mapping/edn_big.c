/* SPDX-License-Identifier: MIT */
#include "edn_big.h"

static void trim(struct edn_big *n)
{
	while (n->count && n->limb[n->count - 1] == 0)
		n->count--;
}

static void multiply_add(struct edn_big *n, uint32_t factor, uint32_t carry)
{
	uint32_t i;

	for (i = 0; i < n->count; i++) {
		uint64_t wide = (uint64_t)n->limb[i] * factor + carry;

		n->limb[i] = (uint32_t)wide;
		carry = (uint32_t)(wide >> 32);
	}
	if (carry)
		n->limb[n->count++] = carry;
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'Z' ? c - 'A' + 10 : 99;
}

bool edn_big_parse(struct edn_big *n, struct slice digits, unsigned base)
{
	size_t i;

	n->count = 0;
	if (digits.len > EDN_BIG_DIGITS)
		return false;
	for (i = 0; i < digits.len; i++) {
		int digit = digit_of(digits.ptr[i]);

		if (digit >= (int)base)
			return false;
		multiply_add(n, base, (uint32_t)digit);
	}
	return true;
}

/* In place, by one limb; returns the remainder. */
static uint32_t divide_small(struct edn_big *n, uint32_t by)
{
	uint64_t rest = 0;
	uint32_t i;

	for (i = n->count; i-- > 0;) {
		rest = rest << 32 | n->limb[i];
		n->limb[i] = (uint32_t)(rest / by);
		rest %= by;
	}
	trim(n);
	return (uint32_t)rest;
}

/* to = from << bits (less than 32), with one limb more than from even where that is zero. */
static void shift_left(uint32_t *to, const struct edn_big *from, unsigned bits)
{
	uint32_t carry = 0;
	uint32_t i;

	for (i = 0; i < from->count; i++) {
		to[i] = from->limb[i] << bits | carry;
		carry = bits ? from->limb[i] >> (32 - bits) : 0;
	}
	to[from->count] = carry;
}

/* One digit of the quotient (Knuth, volume 2, 4.3.1, algorithm D, steps D3 to D6). */
static uint32_t divide_step(uint32_t *u, const uint32_t *v, uint32_t n)
{
	uint64_t top = (uint64_t)u[n] << 32 | u[n - 1];
	uint64_t guess = top / v[n - 1];
	uint64_t rest = top % v[n - 1];
	uint64_t carry = 0;
	int64_t borrow = 0;
	uint32_t i;

	while (guess >> 32 || guess * v[n - 2] > (rest << 32 | u[n - 2])) {
		guess--;
		rest += v[n - 1];
		if (rest >> 32)
			break;
	}
	for (i = 0; i < n; i++) {
		uint64_t product = guess * v[i] + carry;
		int64_t less = (int64_t)u[i] + borrow - (int64_t)(product & 0xffffffffu);

		carry = product >> 32;
		u[i] = (uint32_t)less;
		borrow = less < 0 ? -1 : 0;
	}
	borrow += (int64_t)u[n] - (int64_t)carry;
	u[n] = (uint32_t)borrow;
	if (borrow >= 0)
		return (uint32_t)guess;
	for (carry = 0, i = 0; i < n; i++) { /* one too many: add the divisor back */
		carry += (uint64_t)u[i] + v[i];
		u[i] = (uint32_t)carry;
		carry >>= 32;
	}
	u[n] += (uint32_t)carry;
	return (uint32_t)guess - 1;
}

static void divide_long(const struct edn_big *a, const struct edn_big *b, struct edn_big *quotient,
	struct edn_big *remainder)
{
	uint32_t u[EDN_BIG_LIMBS + 1];
	uint32_t v[EDN_BIG_LIMBS + 1];
	unsigned bits = (unsigned)__builtin_clz(b->limb[b->count - 1]);
	uint32_t n = b->count;
	uint32_t i;

	shift_left(u, a, bits);
	shift_left(v, b, bits);
	for (i = a->count - n + 1; i-- > 0;) {
		uint32_t digit = divide_step(u + i, v, n);

		if (quotient)
			quotient->limb[i] = digit;
	}
	if (quotient) {
		quotient->count = a->count - n + 1;
		trim(quotient);
	}
	if (!remainder)
		return;
	for (i = 0; i < n; i++)
		remainder->limb[i] = u[i] >> bits | (bits ? u[i + 1] << (32 - bits) : 0);
	remainder->count = n;
	trim(remainder);
}

void edn_big_divide(const struct edn_big *a, const struct edn_big *b, struct edn_big *quotient,
	struct edn_big *remainder)
{
	struct edn_big copy = *a;
	uint32_t rest;

	if (a->count < b->count) {
		if (remainder)
			*remainder = copy;
		if (quotient)
			quotient->count = 0;
	} else if (b->count == 1) {
		rest = divide_small(&copy, b->limb[0]);
		if (remainder) {
			remainder->limb[0] = rest;
			remainder->count = rest != 0;
		}
		if (quotient)
			*quotient = copy;
	} else {
		divide_long(&copy, b, quotient, remainder);
	}
}

void edn_big_gcd(struct edn_big *a, struct edn_big *b)
{
	while (b->count) {
		struct edn_big rest;

		edn_big_divide(a, b, NULL, &rest);
		*a = *b;
		*b = rest;
	}
}

uint32_t edn_big_print(const struct edn_big *n, char *to)
{
	struct edn_big left = *n;
	uint32_t len = 0;
	uint32_t i;

	while (left.count) {
		uint32_t group = divide_small(&left, 1000000000);

		for (i = 0; i < 9 && (group || left.count); i++, group /= 10)
			to[len++] = (char)('0' + group % 10);
	}
	if (len == 0)
		to[len++] = '0';
	for (i = 0; i < len / 2; i++) {
		char swap = to[i];

		to[i] = to[len - 1 - i];
		to[len - 1 - i] = swap;
	}
	return len;
}
