/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/sandbox/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's interface (linux/landlock.h), which is the same on all architectures. It stands here because
 * Debian 12's header ends with version 2. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif
#define CREATE_RULESET_VERSION 1
#define RULE_PATH_BENEATH 1

enum access {
	ACCESS_EXECUTE = 1 << 0,
	ACCESS_WRITE_FILE = 1 << 1,
	ACCESS_READ_FILE = 1 << 2,
	ACCESS_READ_DIR = 1 << 3,
	ACCESS_REMOVE_FILE = 1 << 5,
	ACCESS_MAKE_REG = 1 << 8,
	ACCESS_MAKE_SOCK = 1 << 9,
	ACCESS_REFER = 1 << 13,     /* version 2 */
	ACCESS_TRUNCATE = 1 << 14,  /* version 3 */
	ACCESS_IOCTL_DEV = 1 << 15, /* version 5 */
	ACCESS_OF_FILES = ACCESS_EXECUTE | ACCESS_WRITE_FILE | ACCESS_READ_FILE | ACCESS_TRUNCATE |
	                  ACCESS_IOCTL_DEV,
};

struct ruleset_attributes {
	uint64_t handled_access;
};

struct path_attributes {
	uint64_t allowed_access;
	int32_t parent;
} __attribute__((packed));

static const uint64_t granted[] = {[LANDLOCK_READ] = ACCESS_READ_FILE | ACCESS_READ_DIR,
    [LANDLOCK_WRITE] = ACCESS_READ_FILE | ACCESS_READ_DIR | ACCESS_WRITE_FILE | ACCESS_TRUNCATE |
                       ACCESS_MAKE_REG | ACCESS_MAKE_SOCK | ACCESS_REMOVE_FILE | ACCESS_REFER,
    [LANDLOCK_APPEND] = ACCESS_WRITE_FILE | ACCESS_TRUNCATE};

/* Returns all rights that this kernel can withhold; 0, with errno set, if it has no Landlock. */
static uint64_t known_access(void)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);

	if (version < 1)
		return 0;
	return (ACCESS_REFER - 1) | (version >= 2 ? ACCESS_REFER : 0) | (version >= 3 ? ACCESS_TRUNCATE : 0) |
	       (version >= 5 ? ACCESS_IOCTL_DEV : 0);
}

int landlock_new(void)
{
	struct ruleset_attributes attributes = {.handled_access = known_access()};

	if (!attributes.handled_access)
		return -1;
	return (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
}

int landlock_grant(int ruleset, const char *path, enum landlock_right right)
{
	struct path_attributes attributes = {.allowed_access = granted[right] & known_access()};
	struct stat st;
	int status;

	attributes.parent = open(path, O_PATH | O_CLOEXEC);
	if (attributes.parent < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -1;
	if (fstat(attributes.parent, &st) == 0 && !S_ISDIR(st.st_mode))
		attributes.allowed_access &= ACCESS_OF_FILES;
	status = (int)syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &attributes, 0);
	close(attributes.parent);
	return status && errno == EBADFD ? 0 : status; /* pipes and sockets are not restricted */
}

int landlock_enforce(int ruleset)
{
	int status = (int)syscall(SYS_landlock_restrict_self, ruleset, 0);

	close(ruleset);
	return status;
}
