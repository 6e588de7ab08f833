/* SPDX-License-Identifier: MIT */
#include "mode_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "regular.h"

/* Every word has room, so that one is written over another in one step. */
enum { ROOM = 24 };

bool mode_file_read(int dir_fd, enum mode *mode)
{
	int fd = regular_open(dir_fd, "mode", O_RDONLY);
	char word[ROOM];
	ssize_t len;

	if (fd < 0)
		return false;
	len = pread(fd, word, sizeof(word), 0);
	close(fd);
	return len > 0 && !mode_of_word(slice_of(word, (size_t)len), mode, NULL);
}

void mode_file_write(int dir_fd, enum mode mode)
{
	enum mode there;
	char word[ROOM + 1];
	int fd;

	if (mode_file_read(dir_fd, &there) && there == mode)
		return;
	fd = regular_open(dir_fd, "mode", O_WRONLY | O_CREAT);
	if (fd < 0)
		return;
	snprintf(word, sizeof(word), "%-*s\n", ROOM - 1, mode_row(mode)->name);
	if (pwrite(fd, word, ROOM, 0) != ROOM)
		unlinkat(dir_fd, "mode", 0);
	close(fd);
}
