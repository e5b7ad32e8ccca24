/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A child is over only when its group is empty, and a group is not reported by a signal, so child_poll looks
 * at it each time. Orphans are reaped by id, never by waitpid(-1), which would take other children's
 * statuses.
 */
#include "proxy/campaign/child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"

void child_adopt_orphans(void)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

int child_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* ---- Our children ---- */

/* Processes that were started here and not reaped yet; any other zombie is an orphan's. */
static pid_t *started;
static size_t started_count;

static void remember(pid_t pid)
{
	started = memory_grow(started, started_count, sizeof(*started));
	started[started_count++] = pid;
}

static void forget(pid_t pid)
{
	for (size_t i = 0; i < started_count; i++)
		if (started[i] == pid) {
			started[i] = started[--started_count];
			return;
		}
}

static bool is_remembered(pid_t pid)
{
	for (size_t i = 0; i < started_count; i++)
		if (started[i] == pid)
			return true;
	return false;
}

/* ---- Start ---- */

/* In the child, after fork: only async-signal-safe calls. Does not return. */
static void become(const struct child_options *options, pid_t parent, int null)
{
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(CHILD_STATUS_LOST);
	setpgid(0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	if (options->folder && chdir(options->folder))
		_exit(CHILD_STATUS_LOST);
	if (dup2(null, 0) < 0 || dup2(options->output, 1) < 0 ||
	    dup2(options->is_quiet ? null : options->output, 2) < 0)
		_exit(CHILD_STATUS_LOST);
	if (options->passed >= 0) {
		if (options->passed == 3)
			fcntl(3, F_SETFD, 0);
		else
			dup2(options->passed, 3);
	}
	execve(options->words[0], (char *const *)options->words, options->environment);
	_exit(errno == ENOENT ? CHILD_STATUS_MISSING : CHILD_STATUS_LOST);
}

int child_start(struct child *child, const struct child_options *options, ns_t now, struct error *error)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pid_t parent = getpid();

	*child = (struct child){.fd = -1, .keeps_group = options->keeps_group};
	if (null < 0)
		return error_set(error, "/dev/null cannot be opened: %s", strerror(errno));
	child->pid = fork();
	if (child->pid == 0)
		become(options, parent, null);
	close(null);
	if (child->pid < 0) {
		child->pid = 0;
		return error_set(error, "no process can be started: %s", strerror(errno));
	}
	setpgid(child->pid, child->pid); /* in the child too: whoever comes first */
	child->fd = pidfd_open(child->pid, 0);
	if (child->fd >= 0)
		fcntl(child->fd, F_SETFD, FD_CLOEXEC);
	child->deadline = options->timeout ? now + options->timeout : 0;
	remember(child->pid);
	return 0;
}

/* ---- End ---- */

static void signal_group(const struct child *child, int number)
{
	if (kill(-child->pid, number) && errno == ESRCH && !child->ended)
		kill(child->pid, number);
}

static void reap(struct child *child)
{
	int status;

	if (child->ended || waitpid(child->pid, &status, WNOHANG) != child->pid)
		return;
	forget(child->pid);
	child->ended = true;
	child->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	child->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	close(child->fd);
	child->fd = -1;
}

static void terminate(struct child *child, ns_t now)
{
	if (child->kill_at)
		return;
	signal_group(child, SIGTERM);
	signal_group(child, SIGCONT);
	child->kill_at = now + CHILD_GRACE;
}

void child_poll(struct child *child, ns_t now)
{
	if (!child->pid || child_is_over(child))
		return;
	reap(child);
	if (child->ended && child->keeps_group) {
		child->group_gone = true;
	} else if (child->ended) {
		/* Members of the group that were reparented to us must be reaped before it is empty. */
		while (waitpid(-child->pid, NULL, WNOHANG) > 0)
			;
		child->group_gone = (kill(-child->pid, 0) && errno == ESRCH) ||
		                    (child->kill_at && now >= child->kill_at + CHILD_GIVE_UP);
		if (child->group_gone)
			return;
		terminate(child, now);
	} else if (child->deadline && now >= child->deadline) {
		child->timed_out |= !child->stopped;
		terminate(child, now);
	}
	if (child->kill_at && now >= child->kill_at)
		signal_group(child, SIGKILL);
}

bool child_is_over(const struct child *child)
{
	return !child->pid || (child->ended && child->group_gone);
}

void child_stop(struct child *child, ns_t now)
{
	if (child_is_over(child))
		return;
	child->stopped = true;
	terminate(child, now);
}

void child_kill(struct child *child)
{
	if (child_is_over(child))
		return;
	signal_group(child, SIGKILL);
	while (waitpid(-child->pid, NULL, 0) > 0 || errno == EINTR)
		;
	if (!child->ended) {
		forget(child->pid);
		child->ended = true;
		close(child->fd);
		child->fd = -1;
	}
	child->group_gone = true;
}

void child_kill_group(pid_t group)
{
	if (group > 0 && kill(-group, SIGKILL) == 0)
		while (waitpid(-group, NULL, 0) > 0)
			;
}

ns_t child_due(const struct child *child)
{
	if (child_is_over(child))
		return 0;
	if (child->ended)
		return 1; /* poll soon: its group is not gone */
	return child->kill_at ? child->kill_at : child->deadline;
}

/* ---- Orphans ---- */

/* Returns whether the environment of a process holds a string that begins with `mark`. */
static bool has_mark(pid_t pid, const char *mark)
{
	char path[64], *line = NULL;
	size_t cap = 0;
	bool found = false;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	in = fopen(path, "re");
	while (in && !found && getdelim(&line, &cap, '\0', in) > 0)
		found = strncmp(line, mark, strlen(mark)) == 0;
	if (in)
		fclose(in);
	free(line);
	return found;
}

void child_kill_marked(pid_t group, const char *mark)
{
	DIR *folder = opendir("/proc");
	struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		pid_t pid = atoi(entry->d_name);

		if (pid > 1 && getpgid(pid) == group && has_mark(pid, mark))
			kill(pid, SIGKILL);
	}
	if (folder)
		closedir(folder);
}

static unsigned kill_once(const char *mark)
{
	char path[64];
	unsigned found = 0;
	int pid;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	in = fopen(path, "re");
	while (in && fscanf(in, "%d", &pid) == 1) {
		if (is_remembered(pid))
			continue;
		if (waitpid(pid, NULL, WNOHANG) == pid) /* a zombie: nothing tells whose it was */
			continue;
		if ((!mark || has_mark(pid, mark)) && kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid)
			found++;
	}
	if (in)
		fclose(in);
	return found;
}

unsigned child_kill_orphans(const char *mark)
{
	unsigned all = 0, found;

	/* The children of one that was killed are orphans now. */
	while ((found = kill_once(mark)))
		all += found;
	return all;
}
