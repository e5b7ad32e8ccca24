/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A grant opens the folder or file, follows its links, and adds a rule to the Landlock ruleset; a file that
 * does not exist yet grants its folder. sandbox_enter applies no_new_privs first, without which the kernel
 * would refuse Landlock and seccomp, and seccomp last, which forbids the others.
 */
#include "proxy/sandbox/sandbox.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/hidden.h"
#include "base/memory.h"
#include "base/text.h"
#include "proxy/run/log.h"
#include "proxy/sandbox/landlock.h"
#include "proxy/sandbox/privilege.h"
#include "proxy/sandbox/seccomp.h"

#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif

/* What lets root act on the files of others. */
#define OTHERS_FILES                                                                                         \
	(UINT64_C(1) << CAP_DAC_OVERRIDE | UINT64_C(1) << CAP_DAC_READ_SEARCH | UINT64_C(1) << CAP_FOWNER)

struct grant {
	char *path;
	enum landlock_right right;
};

struct sandbox {
	int ruleset; /* of Landlock; -1: none */
	int lacking; /* errno of landlock_new */
	struct grant *grants;
	size_t count;
	uint64_t kept;
	pid_t child;
};

struct sandbox *sandbox_new(void)
{
	struct sandbox *sandbox = memory_new(1, sizeof(*sandbox));

	*sandbox = (struct sandbox){.ruleset = landlock_new()};
	sandbox->lacking = errno;
	return sandbox;
}

void sandbox_free(struct sandbox *sandbox)
{
	if (sandbox->ruleset >= 0)
		close(sandbox->ruleset);
	for (size_t i = 0; i < sandbox->count; i++)
		free(sandbox->grants[i].path);
	free(sandbox->grants);
	free(sandbox);
}

/* Notes a file for the check of capabilities. */
static void note(struct sandbox *sandbox, const char *path, enum landlock_right right)
{
	sandbox->grants = memory_grow(sandbox->grants, sandbox->count, sizeof(*sandbox->grants));
	sandbox->grants[sandbox->count++] = (struct grant){memory_text(path, strlen(path)), right};
}

static void grant(struct sandbox *sandbox, const char *path, enum landlock_right right)
{
	note(sandbox, path, right);
	if (sandbox->ruleset >= 0 && landlock_grant(sandbox->ruleset, path, right))
		log_error("sandbox: `%s` cannot be made accessible: %s", path, strerror(errno));
}

/* Grants the folder of a file. If there is no such folder, the nearest one above that exists, unless that is
 * the root: the folder may be made later, or its name depend on the time. */
static void grant_folder_of(struct sandbox *sandbox, const char *file, enum landlock_right right)
{
	char folder[PATH_MAX], above[PATH_MAX];
	bool is_own = true;

	text_folder(file, folder, sizeof(folder));
	for (; access(folder, F_OK) && strcmp(folder, "/") != 0 && strcmp(folder, ".") != 0; is_own = false) {
		text_folder(folder, above, sizeof(above));
		memcpy(folder, above, sizeof(folder));
	}
	if (is_own || strcmp(folder, "/") != 0)
		grant(sandbox, folder, right);
}

/* Returns whether the path leads to something that is no regular file, and so has no name to be replaced. */
static bool is_special(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISSOCK(st.st_mode);
}

/* Grants the folder of the target of a link whose target does not exist. */
static void grant_dangling(struct sandbox *sandbox, const char *link, enum landlock_right right)
{
	char target[PATH_MAX], whole[2 * PATH_MAX];
	ssize_t size = readlink(link, target, sizeof(target) - 1);
	const char *slash = strrchr(link, '/');

	if (size <= 0)
		return;
	target[size] = '\0';
	snprintf(whole, sizeof(whole), "%.*s%s", target[0] == '/' || !slash ? 0 : (int)(slash + 1 - link),
	    link, target);
	grant_folder_of(sandbox, whole, right);
}

static void grant_beside(struct sandbox *sandbox, const char *file, enum landlock_right right)
{
	char *target = realpath(file, NULL);

	note(sandbox, file, right);
	grant_folder_of(sandbox, file, right);
	if (target)
		grant_folder_of(sandbox, target, right);
	else
		grant_dangling(sandbox, file, right);
	free(target);
}

void sandbox_read(struct sandbox *sandbox, const char *path)
{
	if (path)
		grant(sandbox, path, LANDLOCK_READ);
}

void sandbox_read_beside(struct sandbox *sandbox, const char *file)
{
	if (is_special(file))
		grant(sandbox, file, LANDLOCK_READ);
	else
		grant_beside(sandbox, file, LANDLOCK_READ);
}

void sandbox_write_beside(struct sandbox *sandbox, const char *file)
{
	if (!file)
		return;
	if (strcmp(file, "-") == 0)
		grant(
		    sandbox, "/proc/self/fd/1", LANDLOCK_APPEND); /* it is opened anew, to be non-blocking */
	else if (is_special(file))
		grant(sandbox, file, LANDLOCK_APPEND);
	else
		grant_beside(sandbox, file, LANDLOCK_WRITE);
}

void sandbox_read_system(struct sandbox *sandbox)
{
	static const char *const files[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf",
	    "/etc/gai.conf", "/etc/host.conf", "/etc/services", "/etc/protocols", "/etc/ld.so.cache",
	    "/etc/localtime"};
	static const char *const folders[] = {
	    "/usr/share/zoneinfo", "/lib", "/lib64", "/usr/lib", "/usr/lib64"};
	Dl_info library;

	grant(sandbox, "/dev/urandom", LANDLOCK_READ);
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		char *target = realpath(files[i], NULL);

		grant(sandbox, files[i], LANDLOCK_READ);
		/* A link's target is replaced by a new file in its own folder. Not so for a file in /etc,
		 * where more than lookups need would be readable. */
		if (target && strncmp(target, "/etc/", 5) != 0)
			grant_folder_of(sandbox, target, LANDLOCK_READ);
		free(target);
	}
	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++)
		grant(sandbox, folders[i], LANDLOCK_READ);
	/* Modules of NSS lie beside the C library, wherever that is. */
	if (dladdr((void *)(uintptr_t)getaddrinfo, &library) && library.dli_fname)
		grant_folder_of(sandbox, library.dli_fname, LANDLOCK_READ);
}

void sandbox_keep(struct sandbox *sandbox, uint64_t capabilities)
{
	sandbox->kept |= capabilities;
}

void sandbox_signal(struct sandbox *sandbox, pid_t child)
{
	sandbox->child = child;
}

/* ---- Entering ---- */

/* Like access(2), but by the effective capabilities instead of the real user. */
static bool is_accessible(const char *path, int mode)
{
	return syscall(SYS_faccessat2, AT_FDCWD, path, mode, AT_EACCESS) == 0;
}

/* Returns whether a file of another user lies in a folder where only its owner may replace it (sticky). */
static bool is_kept_by_another(const char *path)
{
	char folder[PATH_MAX];
	struct stat of_file, of_folder;

	text_folder(path, folder, sizeof(folder));
	return lstat(path, &of_file) == 0 && stat(folder, &of_folder) == 0 && of_folder.st_mode & S_ISVTX &&
	       of_file.st_uid != geteuid() && of_folder.st_uid != geteuid();
}

/* Returns whether root would lose a granted file with its rights over the files of others. */
static bool needs_others_files(const struct sandbox *sandbox)
{
	uint64_t all = privilege_effective();
	bool needs = false;

	if (!(all & OTHERS_FILES) || privilege_set_effective(all & ~OTHERS_FILES))
		return false;
	for (size_t i = 0; i < sandbox->count && !needs; i++) {
		const struct grant *granted = &sandbox->grants[i];
		bool is_read = granted->right == LANDLOCK_READ;

		needs = (access(granted->path, F_OK) == 0 &&
		            !is_accessible(granted->path, is_read ? R_OK : W_OK)) ||
		        (!is_read && is_kept_by_another(granted->path));
	}
	privilege_set_effective(all);
	return needs;
}

static void log_lacking(const char *what, int error)
{
	if (error == ENOMEM)
		memory_out();
	log_debug("sandbox: without %s: %s", what, strerror(error));
}

void sandbox_enter(struct sandbox *sandbox, enum sandbox_use use)
{
#if defined(WITHOUT_SANDBOX)
	return sandbox_free(sandbox); /* gcov writes files beside the objects */
#elif defined(__SANITIZE_ADDRESS__)
	grant(sandbox, "/proc", LANDLOCK_READ); /* the search for leaks, and reports */
#endif
	tzset(); /* reads the file of $TZ, wherever it is */
	if (needs_others_files(sandbox)) {
		log_debug(
		    "sandbox: CAP_DAC_OVERRIDE stays, because a file or folder belongs to another user");
		sandbox->kept |= OTHERS_FILES;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		log_lacking("no_new_privs", errno);
	if (privilege_keep(sandbox->kept))
		log_lacking("dropping capabilities", errno);
	if (sandbox->ruleset < 0)
		log_lacking("Landlock", sandbox->lacking);
	else if (landlock_enforce(sandbox->ruleset))
		log_lacking("Landlock", errno);
	else
		hidden_begin();
	if (seccomp_enforce(use == SANDBOX_NETWORK, sandbox->child))
		log_lacking("seccomp", errno);
	sandbox->ruleset = -1;
	sandbox_free(sandbox);
}
