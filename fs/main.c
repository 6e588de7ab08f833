/* SPDX-License-Identifier: MIT */
#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confine.h"
#include "control_json.h"
#include "daemon.h"
#include "descriptors.h"
#include "guardian.h"
#include "log.h"
#include "loop.h"
#include "mountpoint.h"
#include "schema_file.h"
#include "store_dir.h"

/* ourofs(1): composes options, memory and filesystem, runs them, and unwinds in reverse. */

struct program {
	struct options options;
	struct daemon daemon;
	struct guardian guardian;
	struct fuse_args args; /* for libfuse: options */
	struct schema *schema;
	int statm_fd; /* 0: none, or the memory's */
	struct memory *memory;
	struct fs *fs;
	struct fuse_session *session;
};

/* "ourofs: FILE:LINE:COLUMN: cause", without what the cause does not have, or the file it names. */
static int complain(const char *file, const struct err *err)
{
	char text[ERR_DESCRIBED];

	err_describe(err, text, sizeof(text));
	if (err->line && file)
		log_error("%s:%s", file, text);
	else if (!file || text[0] == '/' || strstr(text, file))
		log_error("%s", text);
	else
		log_error("%s: %s", file, text);
	return err->code ? err->code : -EIO;
}

/* ---- the pieces, in the order in which they come up ---- */

static int open_schema(struct program *program)
{
	const char *path = program->options.mapping_path;
	struct err err = {0};
	int ret = schema_open(&program->schema, path, &err);

	return ret ? complain(path, &err) : 0;
}

static int open_memory(struct program *program)
{
	const struct options *options = &program->options;
	const struct memory_options memory_options = {
		.edn_path = options->edn_path,
		.store_dir = options->store_dir,
		.schema = program->schema,
		.edn_delay_ms = options->edn_delay_ms,
		.doc_max_bytes = options->doc_max_bytes,
		.read_only = options->read_only,
		.mode = options->mode,
		.force = options->force,
		.patient = true,
		.statm_fd = program->statm_fd,
	};
	struct err err = {0};

	if (memory_open(&program->memory, &memory_options, &err))
		return complain(options->edn_path, &err);
	return 0;
}

/* The words for libfuse and the kernel. default_permissions: modes and owners shown are meant. */
static int session_words(const struct options *options, char **words)
{
	struct buf fsname = BUF_INIT;
	int ret;

	buf_add_str(&fsname, "fsname=");
	buf_add_str(&fsname, options->edn_path);
	ret = buf_cstr(&fsname) ? fuse_opt_add_opt_escaped(words, fsname.ptr) : -1;
	buf_release(&fsname);
	if (!ret)
		ret = fuse_opt_add_opt(words, "subtype=ourofs,default_permissions");
	if (!ret && options->read_only)
		ret = fuse_opt_add_opt(words, "ro");
	if (!ret && options->allow_other)
		ret = fuse_opt_add_opt(words, "allow_other");
	if (!ret && options->fuse_options)
		ret = fuse_opt_add_opt(words, options->fuse_options);
	return ret ? -ENOMEM : 0;
}

static int collect_args(struct program *program)
{
	const struct options *options = &program->options;
	struct fuse_args *args = &program->args;
	char *words = NULL;
	int ret = session_words(options, &words);

	if (!ret && (fuse_opt_add_arg(args, "ourofs") || fuse_opt_add_arg(args, "-o") ||
			    fuse_opt_add_arg(args, words) ||
			    (options->debug && fuse_opt_add_arg(args, "-d"))))
		ret = -ENOMEM;
	if (ret)
		log_error("out of memory");
	free(words);
	return ret;
}

static int open_guardian(struct program *program)
{
	struct err err = {0};
	int ret = guardian_start(&program->guardian, &program->args, program->options.mountpoint,
		&err);

	return ret ? complain(NULL, &err) : 0;
}

/* What is of /proc can't be opened behind it. */
static int confine_daemon(struct program *program)
{
	struct err err = {0};

	program->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	return confine(&program->options, &err) ? complain(NULL, &err) : 0;
}

static int open_fs(struct program *program)
{
	struct err err = {0};
	int ret = fs_new(&program->fs, &program->options, program->memory, &err);

	return ret ? complain(NULL, &err) : 0;
}

static int open_session(struct program *program)
{
	program->session = fuse_session_new(&program->args, &fs_operations, sizeof(fs_operations),
		program->fs);
	return program->session ? 0 : -EINVAL; /* libfuse has said why */
}

/* ---- running ---- */

/* A device for each thread is what only libfuse's own loop can have. */
static int run_clone_fd(struct program *program)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int ret;

	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_clone_fd(config, true);
	fuse_loop_cfg_set_max_threads(config, program->options.max_threads);
	fuse_loop_cfg_set_idle_threads(config, program->options.max_idle_threads);
	ret = fuse_session_loop_mt(program->session, config);
	fuse_loop_cfg_destroy(config);
	return ret;
}

static int run_loop(struct program *program)
{
	const struct loop_limits limits = {
		.threads = program->options.max_threads,
		.idle_threads = program->options.max_idle_threads,
	};

	if (program->options.single_threaded)
		return fuse_session_loop(program->session);
	return program->options.clone_fd ? run_clone_fd(program)
					 : loop_run(program->session, &limits);
}

/*
 * The signals that end the session reach the main thread alone, and only inside the loop: all
 * threads are started while they are blocked, and what comes before or after waits.
 */
static void block_signals(int how)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaddset(&set, signals[i]);
	pthread_sigmask(how, &set, NULL);
}

/* Mounted, and until the unmount. */
static int serve(struct program *program)
{
	int ret;

	if (!program->options.foreground)
		log_to_syslog(program->options.log_level);
	log_info("%s is mounted on %s", program->options.edn_path, program->options.mountpoint);
	daemon_ready(&program->daemon);
	block_signals(SIG_UNBLOCK);
	ret = run_loop(program); /* positive: the signal that ended it */
	block_signals(SIG_BLOCK);
	memory_ends(program->memory);
	log_info("%s is unmounted from %s", program->options.edn_path, program->options.mountpoint);
	fuse_session_exit(program->session); /* again: answers that come too late are no errors */
	if (ret < 0)
		log_error("cannot serve any longer: %s", strerror(-ret));
	return ret < 0 ? ret : 0;
}

/* By the guardian, which hands over the device. */
static int mount_session(struct program *program)
{
	struct err err = {0};
	int device = guardian_mount(&program->guardian);
	char name[32];

	snprintf(name, sizeof(name), "/dev/fd/%d", device);
	if (device >= 0 && !fuse_session_mount(program->session, name))
		return 0;
	if (device >= 0)
		close(device);
	err_set(&err, -EIO, "cannot mount on it");
	return complain(program->options.mountpoint, &err);
}

static int unmount_session(struct program *program)
{
	struct err err = {0};

	if (guardian_unmount(&program->guardian, program->session, &err))
		return complain(program->options.mountpoint, &err);
	return 0;
}

static int mount_and_serve(struct program *program)
{
	int unmounted = 0;
	int ret;

	if (fuse_set_signal_handlers(program->session)) /* libfuse has said why */
		return -EIO;
	if (fs_start(program->fs, program->session)) {
		log_error("cannot start the filesystem's threads");
		ret = -EAGAIN;
	} else if (!(ret = mount_session(program))) {
		ret = serve(program);
		unmounted = unmount_session(program);
	}
	fs_stop(program->fs);
	fuse_remove_signal_handlers(program->session);
	return ret ? ret : unmounted;
}

static int close_memory(struct program *program)
{
	struct err err = {0};

	/* who only reads has nothing that could be lost */
	if (!program->memory || !memory_close(program->memory, &err) || program->options.read_only)
		return 0;
	complain(program->options.edn_path, &err);
	log_error("%s lacks the last changes: they are kept in %s, and the next mount writes them",
		program->options.edn_path, program->options.store_dir);
	return err.code ? err.code : -EIO;
}

/*
 * The daemon's whole life. What reads files of other people's, the memory first, is confined by then. It is opened
 * before the mount, so that a broken one has none.
 */
static int live(struct program *program)
{
	static int (*const steps[])(struct program *) = {open_schema, collect_args, open_guardian,
		confine_daemon, open_memory, open_fs, open_session, mount_and_serve};
	int closed;
	int ret = 0;

	control_json_init();
	umask(0); /* the kernel has applied the caller's; files of the store say their own mode */
	signal(SIGPIPE, SIG_IGN);
	block_signals(SIG_BLOCK);
	confine_secrets();
	descriptors_raise_limit(); /* a scratch file that is open is one */
	for (size_t i = 0; !ret && i < sizeof(steps) / sizeof(*steps); i++)
		ret = steps[i](program);
	if (program->session)
		fuse_session_destroy(program->session);
	guardian_stop(&program->guardian);
	fs_free(program->fs);
	closed = close_memory(program);
	schema_free(program->schema);
	fuse_opt_free_args(&program->args);
	return ret ? ret : closed;
}

/* It is served as an empty memory; but it may be a slip of the keyboard. */
static void warn_of_nothing(const struct options *options)
{
	if (access(options->edn_path, F_OK) && access(options->store_dir, F_OK))
		log_warning("%s is not there: it is an empty memory, which the first save makes",
			options->edn_path);
}

static int run(struct program *program)
{
	struct err err = {0};

	if (mountpoint_check(&program->options, &err))
		return complain(NULL, &err);
	warn_of_nothing(&program->options);
	if (program->options.foreground)
		return live(program);
	if (daemon_fork(&program->daemon, program->options.mountpoint, &err))
		return complain(NULL, &err);
	if (program->daemon.pid == 0)
		return live(program);
	if (daemon_wait(&program->daemon, program->options.mountpoint, &err))
		return err.text[0] ? complain(NULL, &err) : -ECHILD;
	return 0;
}

/* A confined daemon could not remove its store: this is who waited for it. */
static int start(struct program *program)
{
	const struct options *options = &program->options;
	bool is_new = !options->read_only && access(options->store_dir, F_OK);
	int ret = run(program);

	if (ret && is_new && (options->foreground || program->daemon.pid))
		store_dir_discard(options->store_dir);
	return ret;
}

/*
 * Left alone glibc raises both with the largest block that was freed, to 32 and 64 MiB, and keeps as much for each of
 * its arenas, one a thread: a few large documents would cost hundreds of megabytes for good.
 */
static void limit_malloc(void)
{
	enum { KEPT_BYTES = 4 << 20 };

	mallopt(M_MMAP_THRESHOLD, KEPT_BYTES);
	mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
}

int main(int argc, char **argv)
{
	struct program program = {
		.daemon = {.pipe = -1}, .guardian = GUARDIAN_NONE, .args = FUSE_ARGS_INIT(0, NULL)};
	struct err err = {0};
	int ret = options_parse(&program.options, argc, argv, &err);

	limit_malloc();
	log_to_stderr(program.options.debug ? LOG_LEVEL_DEBUG : program.options.log_level);
	if (ret)
		log_error("%s (see `ourofs --help`)", err.text);
	else if (program.options.show_help)
		options_print_help("ourofs");
	else if (program.options.show_version)
		printf("ourofs %s\nlibfuse %s\n", OUROFS_VERSION, fuse_pkgversion());
	else
		ret = start(&program);
	options_release(&program.options);
	return ret || fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
