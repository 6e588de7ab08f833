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
	uint32_t factor = 1; /* as many digits at a time as one limb holds */
	uint32_t group = 0;
	size_t i;

	n->count = 0;
	if (digits.len > EDN_BIG_DIGITS)
		return false;
	for (i = 0; i < digits.len; i++) {
		int digit = digit_of(digits.ptr[i]);

		if (digit >= (int)base)
			return false;
		if (factor > UINT32_MAX / base) {
			multiply_add(n, factor, group);
			factor = 1;
			group = 0;
		}
		factor *= base;
		group = group * base + (uint32_t)digit;
	}
	multiply_add(n, factor, group);
	return true;
}

/* In place, by one limb; returns the remainder. Inline, as dividing by what is known takes a tenth of the time. */
static inline uint32_t divide_small(struct edn_big *n, uint32_t by)
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

/* ---- the greatest common divisor, by Lehmer's algorithm (Knuth, volume 2, 4.5.2, algorithm L) ---- */

/* What many steps of Euclid's algorithm do: a becomes aa * a + ab * b, and b, ba * a + bb * b. */
struct steps {
	int64_t aa, ab, ba, bb;
};

static uint32_t limb_at(const struct edn_big *n, uint32_t i)
{
	return i < n->count ? n->limb[i] : 0;
}

/* The leading 62 bits of a number that would have so many limbs, the highest with this many zero bits in front. */
static int64_t leading(const struct edn_big *n, uint32_t count, unsigned zeros)
{
	uint64_t high = (uint64_t)limb_at(n, count - 1) << 32 | limb_at(n, count - 2);

	if (zeros)
		high = high << zeros | limb_at(n, count - 3) >> (32 - zeros);
	return (int64_t)(high >> 2);
}

/* One step more, unless the bits that are not looked at could change the quotient. */
static bool step(struct steps *s, int64_t *x, int64_t *y)
{
	int64_t quotient;
	struct steps next;

	if (*y + s->ba == 0 || *y + s->bb == 0)
		return false;
	quotient = (*x + s->aa) / (*y + s->ba);
	if (quotient != (*x + s->ab) / (*y + s->bb) || quotient > INT32_MAX)
		return false;
	next = (struct steps){s->ba, s->bb, s->aa - quotient * s->ba, s->ab - quotient * s->bb};
	if (next.ba > INT32_MAX || next.ba < -INT32_MAX || next.bb > INT32_MAX ||
		next.bb < -INT32_MAX)
		return false;
	quotient = *x - quotient * *y;
	*x = *y;
	*y = quotient;
	*s = next;
	return true;
}

/* to = p * a + q * b, of which one factor is not above zero, and the sum not below. */
static void combine(struct edn_big *to, const struct edn_big *a, int64_t p, const struct edn_big *b,
	int64_t q)
{
	int64_t carry = 0;
	uint32_t i;

	to->count = a->count > b->count ? a->count : b->count;
	for (i = 0; i < to->count; i++) {
		carry += p * limb_at(a, i) + q * limb_at(b, i);
		to->limb[i] = (uint32_t)carry;
		carry >>= 32;
	}
	trim(to);
}

static bool many_steps(struct edn_big *a, struct edn_big *b)
{
	unsigned zeros = (unsigned)__builtin_clz(a->limb[a->count - 1]);
	int64_t x = leading(a, a->count, zeros);
	int64_t y = leading(b, a->count, zeros);
	struct steps s = {1, 0, 0, 1};
	struct edn_big next_a;
	struct edn_big next_b;

	while (step(&s, &x, &y))
		;
	if (s.ab == 0)
		return false;
	combine(&next_a, a, s.aa, b, s.ab);
	combine(&next_b, a, s.ba, b, s.bb);
	*a = next_a;
	*b = next_b;
	return true;
}

void edn_big_gcd(struct edn_big *a, struct edn_big *b)
{
	while (b->count) {
		struct edn_big rest;

		if (b->count > 2 && a->count >= b->count &&
			limb_at(a, a->count - 1) >= limb_at(b, a->count - 1) && many_steps(a, b))
			continue;
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
