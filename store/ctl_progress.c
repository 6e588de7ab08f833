/* SPDX-License-Identifier: MIT */
#include "ctl_mount.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "monotonic.h"

enum { LINE_MS = 1000, PAUSE_MS = 200, LINE_MAX_COLUMNS = 200 };

static volatile sig_atomic_t was_interrupted;

static void interrupt(int signal)
{
	(void)signal;
	was_interrupted = 1;
}

void ctl_progress_begin(struct ctl_progress *progress)
{
	struct sigaction action = {.sa_handler = interrupt};

	*progress = (struct ctl_progress){
		.terminal = isatty(STDOUT_FILENO), .done = -1, .line_ms = monotonic_ms()};
	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
}

/* As the terminal is now: someone may pull at its corner. */
static size_t columns(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || size.ws_col < 20)
		return 80;
	return size.ws_col < LINE_MAX_COLUMNS ? size.ws_col : LINE_MAX_COLUMNS;
}

static void describe(char *text, size_t size, double done, double total, double rate, double left_s)
{
	char a[32], b[32], c[32];
	int len = snprintf(text, size, "%3.0f%%  %s of %s", total > 0 ? 100 * done / total : 0,
		ctl_number(done, a), ctl_number(total, b));

	if (rate > 0)
		len += snprintf(text + len, size - (size_t)len, "  %s/s", ctl_number(rate, c));
	if (left_s >= 0 && done < total)
		snprintf(text + len, size - (size_t)len, "  %.0f s left", left_s);
}

static void draw(struct ctl_progress *progress, const char *what, const char *text, double part)
{
	enum { BAR_LEAST = 10, BAR_MOST = 40 };
	char line[2 * LINE_MAX_COLUMNS] = "";
	size_t room = columns() - 1;
	size_t used = strlen(what) + strlen(text) + 4;
	size_t bar = room > used ? room - used : 0;
	size_t len;

	bar = bar > BAR_MOST ? BAR_MOST : bar;
	if (bar >= BAR_LEAST) {
		char full[BAR_MOST + 1];
		size_t filled = (size_t)(part * (double)bar);

		memset(full, '-', bar);
		memset(full, '#', filled < bar ? filled : bar);
		full[bar] = '\0';
		snprintf(line, sizeof(line), "%s [%s] %s", what, full, text);
	} else {
		snprintf(line, sizeof(line), "%s", text);
	}
	len = strlen(line) < room ? strlen(line) : room;
	printf("\r%.*s%*s", (int)len, line,
		progress->shown > len ? (int)(progress->shown - len) : 0, "");
	fflush(stdout);
	progress->shown = len;
}

void ctl_progress_show(struct ctl_progress *progress, const char *what, double done, double total,
	double rate, double left_s)
{
	char text[160];
	long now = monotonic_ms();

	describe(text, sizeof(text), done, total, rate, left_s);
	if (progress->terminal) {
		draw(progress, what, text, total > 0 ? done / total : 0);
	} else if (total > 0 && done != progress->done && now - progress->line_ms >= LINE_MS) {
		printf("%s: %s\n", what, text);
		fflush(stdout);
		progress->done = done;
		progress->line_ms = now;
	}
}

/* What it drew goes away: what follows tells how it ended. */
void ctl_progress_end(struct ctl_progress *progress)
{
	if (progress->shown)
		printf("\r%*s\r", (int)progress->shown, "");
	fflush(stdout);
	progress->shown = 0;
}

bool ctl_progress_pause(void)
{
	struct timespec pause = {0, PAUSE_MS * 1000000L};

	nanosleep(&pause, NULL);
	return was_interrupted;
}

/* ---- until something has ended ---- */

static void show(struct ctl_progress *progress, const struct ctl_wait *wait, const cJSON *json)
{
	const cJSON *left = cJSON_GetObjectItemCaseSensitive(json, "left_s");
	bool paused = ctl_json_is(json, "state", "paused");

	ctl_progress_show(progress, paused ? "paused" : wait->what,
		ctl_json_number(json, wait->done) + ctl_json_number(json, "failed"),
		ctl_json_number(json, "total"), ctl_json_number(json, "rate"),
		cJSON_IsNumber(left) ? left->valuedouble : -1);
}

int ctl_wait_for_end(const struct ctl_mount *mount, const struct ctl_wait *wait, cJSON **json,
	struct err *err)
{
	struct ctl_progress progress;
	int ret;

	ctl_progress_begin(&progress);
	for (;;) {
		cJSON_Delete(*json);
		ret = ctl_mount_json(mount, wait->file, json, err);
		if (ret || (!ctl_json_is(*json, "state", "running") &&
				   !ctl_json_is(*json, "state", "paused")))
			break;
		if (!wait->quiet)
			show(&progress, wait, *json);
		if (ctl_progress_pause()) {
			ret = err_set(err, -EINTR, "interrupted");
			break;
		}
	}
	ctl_progress_end(&progress);
	return ret;
}

void ctl_interrupted(void)
{
	fflush(stdout);
	signal(SIGINT, SIG_DFL);
	raise(SIGINT);
}
