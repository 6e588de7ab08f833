/* SPDX-License-Identifier: MIT */
#include "edn_token.h"

#include <errno.h>
#include <stdlib.h>

/*
 * #inst as clojure.instant reads it (java.util.Date: milliseconds, and GregorianCalendar, so Julian before
 * 1582-10-15) and as pr-str prints it: in UTC. Where that print could not be read back (a year past 9999
 * or before 0, the 29th of February of a Julian leap year) the text has the smallest offset that can.
 */
struct instant {
	int year;
	int month;
	int day;
	int hour;
	int minute;
	int second;
	int ms;
	int offset; /* minutes */
};

enum { MINUTE_MS = 60000, HOUR_MS = 3600000, DAY_MS = 86400000 };
enum { CUTOVER_DAY = -141427 }; /* 1582-10-15, in days since 1970-01-01 */

static bool two_digits(const char **at, const char *end, char before, int *value)
{
	const char *p = *at;

	if (end - p < 3 || p[0] != before || p[1] < '0' || p[1] > '9' || p[2] < '0' || p[2] > '9')
		return false;
	*value = (p[1] - '0') * 10 + (p[2] - '0');
	*at = p + 3;
	return true;
}

/* [.digits], cut to milliseconds */
static const char *fraction(const char *at, const char *end, int *ms)
{
	int unit = 100;
	const char *p = at + 1;

	if (at == end || *at != '.' || p == end || *p < '0' || *p > '9')
		return at;
	for (*ms = 0; p < end && *p >= '0' && *p <= '9'; p++, unit /= 10)
		*ms += (*p - '0') * unit;
	return p;
}

/* Nothing, Z, or +hh:mm */
static bool zone(const char *at, const char *end, int *offset)
{
	int hours;
	int minutes;
	int sign;

	*offset = 0;
	if (at == end || (*at == 'Z' && at + 1 == end))
		return true;
	sign = *at == '-' ? -1 : 1;
	if (!two_digits(&at, end, sign < 0 ? '-' : '+', &hours) ||
		!two_digits(&at, end, ':', &minutes) || at != end || hours > 23 || minutes > 59)
		return false;
	*offset = sign * (hours * 60 + minutes);
	return true;
}

static bool parse(struct slice text, struct instant *t)
{
	static const char BEFORE[] = "--T::";
	int *const fields[] = {&t->month, &t->day, &t->hour, &t->minute, &t->second};
	static const int DEFAULTS[] = {1, 1, 0, 0, 0};
	const char *end = text.ptr + text.len;
	const char *ends[7];
	int count = 0;
	int i;

	if (text.len < 4)
		return false;
	for (i = 0; i < 4; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return false;
		t->year = t->year * 10 + (text.ptr[i] - '0');
	}
	ends[0] = text.ptr + 4;
	for (count = 0; count < 5; count++) {
		ends[count + 1] = ends[count];
		if (!two_digits(&ends[count + 1], end, BEFORE[count], fields[count]))
			break;
	}
	if (count == 5 && zone(fraction(ends[5], end, &t->ms), end, &t->offset))
		return true;
	/* What looked like a month or day may be the offset: 2020-01:00. */
	for (t->ms = 0; count >= 0 && !zone(ends[count], end, &t->offset); count--)
		if (count)
			*fields[count - 1] = DEFAULTS[count - 1];
	return count >= 0;
}

static bool is_leap(int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static bool is_date(int year, int month, int day)
{
	static const int DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return year >= 0 && year <= 9999 && month >= 1 && month <= 12 && day >= 1 &&
	       day <= DAYS[month - 1] + (month == 2 && is_leap(year));
}

static bool validate(const struct instant *t)
{
	return is_date(t->year, t->month, t->day) && t->hour <= 23 && t->minute <= 59 &&
	       t->second <= (t->minute == 59 ? 60 : 59);
}

/* Days since 1970-01-01; years begin in March, so that the leap day is the last. */
static int64_t days_of(int64_t year, int month, int day, bool julian)
{
	int64_t y = year + 4800 - (month <= 2);
	int64_t m = month + (month <= 2 ? 9 : -3);
	int64_t days = day - 1 + (153 * m + 2) / 5 + 365 * y + y / 4;

	return julian ? days - 2472670 : days - y / 100 + y / 400 - 2472632;
}

static int64_t epoch_ms(const struct instant *t)
{
	int64_t days = days_of(t->year, t->month, t->day, false);

	if (days < CUTOVER_DAY) /* the ten days that never were count as Julian */
		days = days_of(t->year, t->month, t->day, true);
	return days * DAY_MS + t->hour * (int64_t)HOUR_MS + t->minute * (int64_t)MINUTE_MS +
	       t->second * 1000 + t->ms - t->offset * (int64_t)MINUTE_MS;
}

bool edn_instant_ms(struct slice text, int64_t *ms)
{
	struct instant t = {.month = 1, .day = 1};

	if (!parse(text, &t) || !validate(&t))
		return false;
	*ms = epoch_ms(&t);
	return true;
}

/* The fields of a time that is not before year -4800. */
static void split(int64_t ms, int offset, struct instant *t)
{
	int64_t local = ms + offset * (int64_t)MINUTE_MS;
	int64_t days = local / DAY_MS - (local % DAY_MS < 0);
	int64_t rest = local - days * DAY_MS;
	bool julian = days < CUTOVER_DAY;
	int64_t n = days + (julian ? 2472670 : 2472632);
	int64_t y = 0;
	int64_t m;

	if (!julian) {
		y = n / 146097 * 400;
		n %= 146097;
		y += (n / 36524 == 4 ? 3 : n / 36524) * 100;
		n -= (n / 36524 == 4 ? 3 : n / 36524) * 36524;
	}
	y += n / 1461 * 4;
	n %= 1461;
	y += n / 365 == 4 ? 3 : n / 365;
	n -= (n / 365 == 4 ? 3 : n / 365) * 365;
	m = (5 * n + 2) / 153;
	t->day = (int)(n - (153 * m + 2) / 5) + 1;
	t->month = (int)(m < 10 ? m + 3 : m - 9);
	t->year = (int)(y - 4800 + (m >= 10));
	t->hour = (int)(rest / HOUR_MS);
	t->minute = (int)(rest / MINUTE_MS % 60);
	t->second = (int)(rest / 1000 % 60);
	t->ms = (int)(rest % 1000);
	t->offset = offset;
}

/* The same, if that is a day which can be read. */
static bool split_readable(int64_t ms, int offset, struct instant *t)
{
	split(ms, offset, t);
	return is_date(t->year, t->month, t->day);
}

/*
 * With the smallest offset that is to a day which can be read: of a day all times can be or none, and it is less than a
 * day, so there are two to try. False: none does (the last leap second of the year 9999).
 */
static bool find_readable(int64_t ms, struct instant *t)
{
	int before;
	int after;

	if (split_readable(ms, 0, t))
		return true;
	before = t->hour * 60 + t->minute + 1;
	after = 24 * 60 + 1 - before;
	if (after <= before)
		return split_readable(ms, after, t) ||
		       (before < 24 * 60 && split_readable(ms, -before, t));
	return split_readable(ms, -before, t) || (after < 24 * 60 && split_readable(ms, after, t));
}

static char *put_digits(char *to, int number, int count)
{
	for (int i = count - 1; i >= 0; i--, number /= 10)
		to[i] = (char)('0' + number % 10);
	return to + count;
}

/* As pr-str prints it; the year has four digits. */
static size_t print_instant(char *text, const struct instant *t)
{
	static const char BEHIND[] = "--T::.";
	const int fields[] = {t->year, t->month, t->day, t->hour, t->minute, t->second};
	int offset = abs(t->offset);
	char *to = text;

	for (int i = 0; i < 6; i++) {
		to = put_digits(to, fields[i], i ? 2 : 4);
		*to++ = BEHIND[i];
	}
	to = put_digits(to, t->ms, 3);
	*to++ = t->offset > 0 ? '+' : '-';
	to = put_digits(to, offset / 60, 2);
	*to++ = ':';
	return (size_t)(put_digits(to, offset % 60, 2) - text);
}

int edn_read_instant(const struct edn_source *src, const char *at, struct arena *arena,
	const struct edn *from, struct edn *value)
{
	struct instant given = {.month = 1, .day = 1};
	struct instant shown;
	char text[32];
	size_t len;

	if (from->type != EDN_STRING)
		return edn_fail(src, at, "#inst needs a string");
	if (!parse(edn_text(from), &given) || !validate(&given))
		return edn_fail(src, at, "not a date and time: %.*s",
			from->count < 40 ? (int)from->count : 0, from->text);
	if (!find_readable(epoch_ms(&given), &shown))
		shown = given;
	len = print_instant(text, &shown);
	*value = (struct edn){
		.type = EDN_STRING, .count = (uint32_t)len, .text = arena_copy(arena, text, len)};
	return value->text ? 0 : err_set(src->err, -ENOMEM, "out of memory");
}
