/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run_signals: the first SIGINT or SIGTERM stops the event loop through an eventfd; a further one ends the
 * process at once, even while the loop is blocked on a disk or on standard error. SIGHUP, SIGUSR1 and SIGUSR2
 * are handled by libevent, which calls back once for each signal received.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "proxy/cli/notify.h"
#include "proxy/cli/run.h"
#include "proxy/control/control.h"
#include "proxy/run/clock.h"
#include "proxy/run/log.h"

static int stop_eventfd = -1;
static volatile sig_atomic_t stop_requested;

static void exit_now(void)
{
	static const char text[] = "deadzone: stopped at once\n";
	struct pollfd standard_error = {.fd = STDERR_FILENO, .events = POLLOUT};

	if (poll(&standard_error, 1, 0) != 1 || write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(EXIT_FAILED); /* standard error is not read, or closed */
	_exit(EXIT_FAILED);
}

static void on_stop_signal(int number)
{
	int saved_errno = errno;

	(void)number;
	if (stop_requested)
		exit_now();
	stop_requested = 1;
	eventfd_write(stop_eventfd, 1);
	errno = saved_errno;
}

static void on_stop(evutil_socket_t fd, short what, void *user)
{
	struct run *run = user;

	(void)fd;
	(void)what;
	running_stop(&run->running);
}

/* Defers the reload to the next round of the event loop, so that several SIGHUPs cause one reload, and a
 * SIGTERM among them does not wait for several. */
static void on_hangup(evutil_socket_t number, short what, void *user)
{
	struct run *run = user;

	(void)number;
	(void)what;
	event_active(run->reload, EV_TIMEOUT, 0);
}

static void on_reload(evutil_socket_t fd, short what, void *user)
{
	struct run *run = user;

	(void)fd;
	(void)what;
	if (stop_requested)
		return;
	notify("RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_now() / NS_US);
	if (!running_reload(&run->running, NULL))
		control_reload(run->control);
	notify("READY=1");
}

static void print_summary(void *user)
{
	struct run *run = user;
	struct run_summary result;

	running_summary(&run->running, true, &result);
	log_status("");
	summary_print(&result, false);
	run_json_write(run, &result, false);
	run_summary_fini(&result);
}

static void on_summary(evutil_socket_t number, short what, void *user)
{
	struct run *run = user;

	(void)number;
	(void)what;
	if (!running_try(&run->running, print_summary, run))
		log_error("out of memory: the summary so far is incomplete or missing");
}

static void on_rotate(evutil_socket_t number, short what, void *user)
{
	struct run *run = user;
	const char *why;

	(void)number;
	(void)what;
	if (!running_rotate(&run->running, &why))
		log_error("%s", why);
}

static int stop_open(struct run *run)
{
	struct sigaction action = {.sa_handler = on_stop_signal, .sa_flags = SA_RESTART};

	stop_eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (stop_eventfd < 0)
		return -1;
	run->stop = event_new(run->base, stop_eventfd, EV_READ, on_stop, run);
	if (!run->stop || event_add(run->stop, NULL))
		return -1;
	return sigaction(SIGINT, &action, NULL) || sigaction(SIGTERM, &action, NULL) ? -1 : 0;
}

int run_signals_open(struct run *run)
{
	static const struct {
		int number;
		event_callback_fn call;
	} rows[RUN_SIGNALS] = {{SIGHUP, on_hangup}, {SIGUSR1, on_summary}, {SIGUSR2, on_rotate}};

	run->reload = event_new(run->base, -1, 0, on_reload, run);
	if (!run->reload)
		return -1;
	for (int i = 0; i < RUN_SIGNALS; i++) {
		signal(rows[i].number, SIG_IGN); /* libevent restores this when the event is freed */
		run->signals[i] = evsignal_new(run->base, rows[i].number, rows[i].call, run);
		if (!run->signals[i] || event_add(run->signals[i], NULL))
			return -1;
	}
	return stop_open(run);
}

void run_signals_close(struct run *run)
{
	stop_requested = 1;
	if (run->stop)
		event_free(run->stop);
	if (run->reload)
		event_free(run->reload);
	if (stop_eventfd >= 0)
		close(stop_eventfd);
	for (int i = 0; i < RUN_SIGNALS; i++)
		if (run->signals[i])
			event_free(run->signals[i]);
}
