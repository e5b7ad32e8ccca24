/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bite: loaded into deadzone by LD_PRELOAD, it tries from inside what the sandbox must refuse and what it
 * must allow. It begins when the program first waits for datagrams or opens its first capture, in that
 * thread, and writes one line for each attempt, "NAME ok" or "NAME ERRNO", to the file $BITE, opened before
 * the sandbox is entered. With $BITE_GENTLY it leaves out what would change the process if it were allowed.
 * $BITE_OUTSIDE is a folder that the program does not use, $BITE_INSIDE the folder of its capture.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static int results = -1;

static void report(const char *name, long outcome)
{
	const char *what = outcome < 0 ? strerrorname_np(errno) : "ok";

	dprintf(results, "%s %s\n", name, what ? what : "unknown");
}

/* Reports the outcome, and closes the descriptor. */
static void report_fd(const char *name, int fd)
{
	report(name, fd);
	if (fd >= 0)
		close(fd);
}

static void *do_nothing(void *user)
{
	return user;
}

static const char *path_in(const char *variable, const char *name)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/%s", getenv(variable), name);
	return path;
}

static void try_processes(void)
{
	pthread_t thread;
	int failure = pthread_create(&thread, NULL, do_nothing, NULL);
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	report("fork", child);
	report("kill", kill(getppid(), 0));
	errno = failure;
	report("thread", failure ? -1 : 0);
	if (!failure)
		pthread_join(thread, NULL);
}

static void try_files(void)
{
	char inside[4096];

	report_fd("read-passwd", open("/etc/passwd", O_RDONLY));
	report_fd("read-device", open("/dev/zero", O_RDONLY));
	report_fd("read-random", open("/dev/urandom", O_RDONLY));
	report_fd("read-outside", open(path_in("BITE_OUTSIDE", "there"), O_RDONLY));
	report_fd("write-outside", open(path_in("BITE_OUTSIDE", "there"), O_WRONLY));
	report_fd("create-outside", open(path_in("BITE_OUTSIDE", "new"), O_WRONLY | O_CREAT, 0600));
	report("remove-outside", unlink(path_in("BITE_OUTSIDE", "there")));
	report("folder-inside", mkdir(path_in("BITE_INSIDE", "folder"), 0700));
	snprintf(inside, sizeof(inside), "%s", path_in("BITE_INSIDE", "new"));
	report_fd("create-inside", open(inside, O_WRONLY | O_CREAT, 0600));
	report("rename-inside", rename(inside, path_in("BITE_INSIDE", "newer")));
	report("remove-inside", unlink(path_in("BITE_INSIDE", "newer")));
}

/* Tries what Landlock does not refuse, or not on every kernel: modes, and truncation while opening to read.
 */
static void try_modes(void)
{
	char inside[4096];
	int fd;

	snprintf(inside, sizeof(inside), "%s", path_in("BITE_INSIDE", "mode"));
	fd = open(inside, O_WRONLY | O_CREAT, 0600);
	report("fchmod", fchmod(fd, 04755));
	report("chmod", chmod(inside, 0777));
	close(fd);
	report_fd("create-set-user-id", open(path_in("BITE_INSIDE", "suid"), O_WRONLY | O_CREAT, 04755));
	report_fd("truncate-reading", open(inside, O_RDONLY | O_TRUNC));
	report_fd("truncate-writing", open(inside, O_WRONLY | O_TRUNC));
	unlink(inside);
}

/* Tries to reach other processes by other means than kill(2). */
static void try_others(void)
{
	struct rlimit limit;
	int ends[2];

	report("pipe", pipe(ends));
	report("signal-by-descriptor", fcntl(ends[0], F_SETOWN, getppid()));
	report("choose-signal", fcntl(ends[0], F_SETSIG, SIGTERM));
	close(ends[0]);
	close(ends[1]);
	report("limits-of-another", prlimit(getppid(), RLIMIT_NOFILE, NULL, &limit));
	report("own-limits", getrlimit(RLIMIT_NOFILE, &limit));
	report("priority-of-another", setpriority(PRIO_PROCESS, (id_t)getppid(), 19));
}

static void try_memory(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	report("memory-to-write-and-execute", at == MAP_FAILED ? -1 : 0);
	at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	report("memory", at == MAP_FAILED ? -1 : 0);
	report_fd("memfd", memfd_create("bite", 0));
	report("bpf", (long)syscall(SYS_bpf, 0, NULL, 0));
	report("io_uring", (long)syscall(SYS_io_uring_setup, 1, NULL));
	report("process_vm_writev", (long)syscall(SYS_process_vm_writev, getppid(), NULL, 0, NULL, 0, 0));
}

static void try_sockets(void)
{
	static const struct {
		const char *name;
		int family, type, protocol;
	} rows[] = {{"packet", AF_PACKET, SOCK_RAW, 0}, {"raw", AF_INET, SOCK_RAW, IPPROTO_UDP},
	    {"raw6", AF_INET6, SOCK_RAW, IPPROTO_UDP}, {"netfilter", AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER},
	    {"vsock", AF_VSOCK, SOCK_STREAM, 0}, {"udp", AF_INET, SOCK_DGRAM, 0},
	    {"tcp", AF_INET, SOCK_STREAM, 0}, {"udp6", AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0},
	    {"tcp6", AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0}, {"unix", AF_UNIX, SOCK_STREAM, 0},
	    {"unix-datagram", AF_UNIX, SOCK_DGRAM, 0}, {"route", AF_NETLINK, SOCK_RAW, NETLINK_ROUTE}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		report_fd(rows[i].name, socket(rows[i].family, rows[i].type, rows[i].protocol));
}

/* Tries what would change the process for good if it were allowed. */
static void try_last(void)
{
	char *const words[] = {"/bin/true", NULL};

	report("mount", mount("none", getenv("BITE_OUTSIDE"), "tmpfs", 0, NULL));
	report("unshare", (long)syscall(SYS_unshare, 0));
	report("setuid", setuid(1));
	report("ptrace", ptrace(PTRACE_TRACEME, 0, NULL, NULL));
	report("execve", execve(words[0], words, words + 1));
}

static void bite_once(void)
{
	if (results < 0)
		return;
	try_processes();
	try_files();
	try_modes();
	try_others();
	try_memory();
	try_sockets();
	if (!getenv("BITE_GENTLY"))
		try_last();
	dprintf(results, "end\n");
}

static void bite(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, bite_once);
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("BITE");

	if (path)
		results = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

/* ---- What the program calls once it is in the sandbox ---- */

int epoll_wait(int epoll, struct epoll_event *events, int count, int timeout)
{
	int (*next)(int, struct epoll_event *, int,
	    int) = (int (*)(int, struct epoll_event *, int, int))dlsym(RTLD_NEXT, "epoll_wait");

	bite();
	return next(epoll, events, count, timeout);
}

FILE *fopencookie(void *cookie, const char *mode, cookie_io_functions_t functions)
{
	FILE *(*next)(void *, const char *,
	    cookie_io_functions_t) = (FILE * (*)(void *, const char *, cookie_io_functions_t))
	    dlsym(RTLD_NEXT, "fopencookie");

	if (*mode == 'r') /* a capture; messages before the sandbox use it, too */
		bite();
	return next(cookie, mode, functions);
}
