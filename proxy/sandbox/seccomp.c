/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The filter is a list of what is allowed; all else fails with EPERM, and calls newer than the list with
 * ENOSYS, so that the C library falls back to older ones. A call without conditions costs next to nothing:
 * since Linux 5.11 the kernel remembers that it is allowed.
 */
#include "proxy/sandbox/seccomp.h"

#include <errno.h>

#if __has_include(<seccomp.h>)
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define WHOLE UINT32_MAX     /* the kernel looks at the low half of an int */
#define MODE_SPECIAL 07000   /* set-user-ID, set-group-ID, sticky */
#define SOCKET_TYPE_MASK 0xf /* without SOCK_CLOEXEC and SOCK_NONBLOCK */
/* From this number on, all architectures number their calls alike; no call above LAST_CALL is known today. */
#define FIRST_COMMON_CALL 424
#define LAST_CALL 600

/* By name, because not every architecture has each: what one lacks is passed over. */
static const char *const common_calls[] = {
    /* files */
    "access", "close", "close_range", "dup", "dup2", "dup3", "faccessat", "faccessat2", "fadvise64",
    "fallocate", "fdatasync", "flock", "fstat", "fstat64", "fstatat64", "fstatfs", "fsync", "ftruncate",
    "ftruncate64", "getcwd", "getdents", "getdents64", "lseek", "_llseek", "link", "linkat", "lstat",
    "lstat64", "newfstatat", "pread64", "preadv", "pwrite64", "pwritev", "read", "readlink", "readlinkat",
    "readv", "rename", "renameat", "renameat2", "stat", "stat64", "statfs", "statx", "umask", "unlink",
    "unlinkat", "write", "writev",
    /* memory */
    "brk", "madvise", "membarrier", "mremap", "munmap",
    /* waiting */
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd",
    "eventfd2", "pipe", "pipe2", "poll", "ppoll", "ppoll_time64", "pselect6", "pselect6_time64", "select",
    "_newselect", "timerfd_create", "timerfd_gettime", "timerfd_settime", "timerfd_settime64",
    /* time */
    "clock_getres", "clock_gettime", "clock_gettime64", "clock_nanosleep", "clock_nanosleep_time64",
    "gettimeofday", "nanosleep", "time",
    /* threads and signals */
    "exit", "exit_group", "futex", "futex_time64", "get_robust_list", "gettid", "restart_syscall", "rseq",
    "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "sched_getaffinity",
    "sched_yield", "set_robust_list", "set_tid_address", "sigaltstack", "sigreturn",
    /* the process, and its limits and priority */
    "capget", "getegid", "geteuid", "getgid", "getpid", "getppid", "getpriority", "getrandom", "getrlimit",
    "getrusage", "getuid", "sysinfo", "times", "wait4", "ugetrlimit", "uname",
    /* the architecture's own */
    "arch_prctl", "cacheflush", "set_tls"};

static const char *const network_calls[] = {"accept", "accept4", "bind", "connect", "getpeername",
    "getsockname", "getsockopt", "listen", "recv", "recvfrom", "recvmmsg", "recvmmsg_time64", "recvmsg",
    "send", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown"};

#if defined(__SANITIZE_ADDRESS__)
/* The search for leaks stops all threads, by ptrace from a process that shares the memory. */
static const char *const sanitizer_calls[] = {
    "clone", "mmap", "mprotect", "open", "openat", "prctl", "ptrace"};
#else
static const char *const sanitizer_calls[] = {NULL};
#endif

static const unsigned long allowed_ioctls[] = {
    FIONREAD, FIONBIO, TCGETS, TIOCGWINSZ, SIOCGIFINDEX, SIOCGIFNAME};
static const int allowed_prctls[] = {PR_SET_NAME, PR_GET_NAME, PR_SET_TIMERSLACK, PR_GET_DUMPABLE};

struct filter {
	scmp_filter_ctx context;
	int failed;
};

/* Adds a rule for a call that this architecture may lack. `conditions`: on its arguments, all of which must
 * hold. */
static void add(
    struct filter *filter, uint32_t action, int number, const struct scmp_arg_cmp *conditions, unsigned count)
{
	int status = number == __NR_SCMP_ERROR
	                 ? 0
	                 : seccomp_rule_add_array(filter->context, action, number, count, conditions);

	if (status && status != -EDOM && status != -EEXIST && !filter->failed)
		filter->failed = status;
}

static void allow_all(struct filter *filter, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count && names[i]; i++)
		add(filter, SCMP_ACT_ALLOW, seccomp_syscall_resolve_name(names[i]), NULL, 0);
}

/* The condition that the bits `mask` of an argument have this value. */
static struct scmp_arg_cmp has(unsigned argument, uint32_t mask, uint64_t value)
{
	return (struct scmp_arg_cmp){
	    .arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

static void allow_if(struct filter *filter, int number, struct scmp_arg_cmp condition)
{
	add(filter, SCMP_ACT_ALLOW, number, &condition, 1);
}

static void allow_if_both(
    struct filter *filter, int number, struct scmp_arg_cmp one, struct scmp_arg_cmp other)
{
	add(filter, SCMP_ACT_ALLOW, number, (const struct scmp_arg_cmp[]){one, other}, 2);
}

/* Allows memory that is writable or executable, not both: lookups load the libraries of NSS. */
static void allow_memory(struct filter *filter, int number)
{
	static const unsigned protections[] = {0, PROT_WRITE, PROT_EXEC};

	for (size_t i = 0; i < sizeof(protections) / sizeof(*protections); i++)
		allow_if(filter, number, has(2, PROT_WRITE | PROT_EXEC, protections[i]));
}

/* `child`: a process that may be signalled, too; 0: none. */
static void allow_threads(struct filter *filter, pid_t child)
{
	uint64_t self = (uint64_t)getpid();

	allow_if(filter, SCMP_SYS(clone), has(0, CLONE_THREAD, CLONE_THREAD));
	/* Its flags are in memory, which no filter sees. The C library falls back to clone. */
	add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), NULL, 0);
	allow_if(filter, SCMP_SYS(tgkill), has(0, WHOLE, self));
	allow_if(filter, SCMP_SYS(kill), has(0, WHOLE, self));
	if (child)
		allow_if(filter, SCMP_SYS(kill), has(0, WHOLE, (uint64_t)child));
	for (size_t i = 0; i < sizeof(allowed_prctls) / sizeof(*allowed_prctls); i++)
		allow_if(filter, SCMP_SYS(prctl), has(0, WHOLE, (uint64_t)allowed_prctls[i]));
	for (size_t i = 0; i < sizeof(allowed_ioctls) / sizeof(*allowed_ioctls); i++)
		allow_if(filter, SCMP_SYS(ioctl), has(1, WHOLE, allowed_ioctls[i]));
}

static void allow_sockets(struct filter *filter)
{
	static const unsigned families[] = {AF_INET, AF_INET6, AF_UNIX}, types[] = {SOCK_DGRAM, SOCK_STREAM};

	allow_all(filter, network_calls, sizeof(network_calls) / sizeof(*network_calls));
	for (size_t i = 0; i < sizeof(families) / sizeof(*families); i++)
		for (size_t k = 0; k < sizeof(types) / sizeof(*types); k++)
			allow_if_both(filter, SCMP_SYS(socket), has(0, WHOLE, families[i]),
			    has(1, SOCKET_TYPE_MASK, types[k]));
	allow_if_both(filter, SCMP_SYS(socket), has(0, WHOLE, AF_NETLINK), has(2, WHOLE, NETLINK_ROUTE));
	allow_if(filter, SCMP_SYS(socketpair), has(0, WHOLE, AF_UNIX));
}

/* Files are opened and created, but none with S_ISUID and the like, and none is truncated that is opened for
 * reading: before its version 3, Landlock does not withhold that. `at`: the number of the argument with the
 * flags. */
static void allow_opening(struct filter *filter, int number, unsigned at)
{
	static const struct {
		uint32_t mask, value;
	} flags[] = {
	    {O_TRUNC, 0}, {O_TRUNC | O_ACCMODE, O_TRUNC | O_WRONLY}, {O_TRUNC | O_ACCMODE, O_TRUNC | O_RDWR}};

	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		allow_if_both(
		    filter, number, has(at, flags[i].mask, flags[i].value), has(at + 1, MODE_SPECIAL, 0));
}

/* No F_SETOWN and F_SETSIG, by which the kernel sends signals to any process. */
static void allow_descriptors(struct filter *filter, int number)
{
	static const unsigned commands[] = {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL,
	    F_GETLK, F_SETLK, F_SETLKW, F_GETPIPE_SZ, F_SETPIPE_SZ};

	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		allow_if(filter, number, has(1, WHOLE, commands[i]));
}

/* Limits and priority of this process and thread alone. */
static void allow_own_limits(struct filter *filter)
{
	allow_if(filter, SCMP_SYS(prlimit64), has(0, WHOLE, 0));
	allow_if(filter, SCMP_SYS(prlimit64), has(0, WHOLE, (uint64_t)getpid()));
	allow_if_both(filter, SCMP_SYS(setpriority), has(0, WHOLE, PRIO_PROCESS), has(1, WHOLE, 0));
}

static void fill(struct filter *filter, bool network, pid_t child)
{
	allow_all(filter, common_calls, sizeof(common_calls) / sizeof(*common_calls));
	allow_all(filter, sanitizer_calls, sizeof(sanitizer_calls) / sizeof(*sanitizer_calls));
	allow_memory(filter, SCMP_SYS(mmap));
	allow_memory(filter, SCMP_SYS(mmap2));
	allow_memory(filter, SCMP_SYS(mprotect));
	allow_opening(filter, SCMP_SYS(open), 1);
	allow_opening(filter, SCMP_SYS(openat), 2);
	allow_descriptors(filter, SCMP_SYS(fcntl));
	allow_descriptors(filter, SCMP_SYS(fcntl64));
	allow_own_limits(filter);
	allow_threads(filter, child);
	if (network)
		allow_sockets(filter);
}

/* The C library tries calls that are newer than this list, and falls back if there are none. */
static void lack_newer_calls(struct filter *filter)
{
	static const char *const known[] = {
	    "clone3", "close_range", "epoll_pwait2", "execveat", "faccessat2"};
	bool is_known[LAST_CALL + 1] = {false};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		int number = seccomp_syscall_resolve_name(known[i]);

		if (number >= 0 && number <= LAST_CALL)
			is_known[number] = true;
	}
	for (int number = FIRST_COMMON_CALL; number <= LAST_CALL; number++)
		if (!is_known[number])
			add(filter, SCMP_ACT_ERRNO(ENOSYS), number, NULL, 0);
}

int seccomp_enforce(bool network, pid_t child)
{
	struct filter filter = {.context = seccomp_init(SCMP_ACT_ERRNO(EPERM))};

	if (!filter.context) {
		errno = ENOMEM;
		return -1;
	}
	seccomp_attr_set(filter.context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	/* Otherwise older kernels make every thread slower, against speculative stores of code that we do not
	 * run. */
	seccomp_attr_set(filter.context, SCMP_FLTATR_CTL_SSB, 1);
	seccomp_attr_set(filter.context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	seccomp_attr_set(filter.context, SCMP_FLTATR_API_SYSRAWRC, 1); /* errno as the kernel set it */
	fill(&filter, network, child);
	lack_newer_calls(&filter);
	if (!filter.failed)
		filter.failed = seccomp_load(filter.context);
	seccomp_release(filter.context);
	errno = -filter.failed;
	return filter.failed ? -1 : 0;
}

#else
int seccomp_enforce(bool network, pid_t child)
{
	(void)network;
	(void)child;
	errno = ENOSYS;
	return -1;
}
#endif
