/* SPDX-License-Identifier: MIT */
#include "mode.h"

#include <errno.h>
#include <string.h>

static const struct mode_row ROWS[] = {
	[MODE_EDN_ONLY] = {"edn-only", false, true, false},
	[MODE_DUAL_WRITE] = {"dual-write", false, true, true},
	[MODE_DATALEVIN_FIRST] = {"datalevin-first", true, true, true},
	[MODE_DATALEVIN_ONLY] = {"datalevin-only", true, false, true},
};

const struct mode_row *mode_row(enum mode mode)
{
	return &ROWS[mode];
}

int mode_of_word(struct slice word, enum mode *mode, bool *force)
{
	const struct slice prefix = SLICE_LITERAL("force ");
	bool forced;

	word = slice_trim(word);
	forced = force && slice_starts(word, prefix);
	if (forced)
		word = slice_trim(slice_of(word.ptr + prefix.len, word.len - prefix.len));
	if (word.len && word.ptr[0] == ':')
		word = slice_of(word.ptr + 1, word.len - 1);
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
		if (!slice_equal(word, slice_str(ROWS[i].name)))
			continue;
		*mode = (enum mode)i;
		if (force)
			*force = forced;
		return 0;
	}
	return -EINVAL;
}
