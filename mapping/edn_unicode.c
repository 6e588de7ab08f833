/* SPDX-License-Identifier: MIT */
#include "edn_token.h"

/* Where each run of ten decimal digits begins in the BMP (Unicode 13, that of Java 17). */
static const uint16_t DIGITS[] = {0x0030, 0x0660, 0x06f0, 0x07c0, 0x0966, 0x09e6, 0x0a66, 0x0ae6,
	0x0b66, 0x0be6, 0x0c66, 0x0ce6, 0x0d66, 0x0de6, 0x0e50, 0x0ed0, 0x0f20, 0x1040, 0x1090,
	0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620,
	0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10};

/* Character.isWhitespace, and the comma. */
bool edn_is_space(uint32_t code)
{
	if (code < 0x80)
		return edn_class[code] & EDN_C_SPACE;
	return code == 0x1680 || (code >= 0x2000 && code <= 0x200a && code != 0x2007) ||
	       code == 0x2028 || code == 0x2029 || code == 0x205f || code == 0x3000;
}

/* Character.digit for one UTF-16 unit: every script's digits, and full-width letters. */
int edn_digit(uint32_t code, unsigned base)
{
	unsigned value = 99;
	size_t i;

	if (code >= 'a' && code <= 'z')
		value = code - 'a' + 10;
	else if (code >= 'A' && code <= 'Z')
		value = code - 'A' + 10;
	else if (code >= 0xff21 && code <= 0xff3a)
		value = code - 0xff21 + 10;
	else if (code >= 0xff41 && code <= 0xff5a)
		value = code - 0xff41 + 10;
	for (i = 0; value == 99 && i < sizeof(DIGITS) / sizeof(DIGITS[0]); i++)
		if (code >= DIGITS[i] && code < DIGITS[i] + 10u)
			value = code - DIGITS[i];
	return value < base ? (int)value : -1;
}
