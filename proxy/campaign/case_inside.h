/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * case_inside: what the files of a case share: case.c (its steps), case_proxy.c (the proxy), case_judge.c
 * (the outcome), case_environment.c (variables of its commands), case_files.c (its folder).
 */
#ifndef PROXY_CAMPAIGN_CASE_INSIDE_H
#define PROXY_CAMPAIGN_CASE_INSIDE_H

#include "proxy/campaign/case.h"
#include "proxy/campaign/child.h"

#define CASE_LINES_MAX 1000 /* of $DEADZONE_ENV and $DEADZONE_MEASURES */

enum step { STEP_BENCH, STEP_PREPARE, STEP_PROXY, STEP_TEST, STEP_STOP, STEP_CLEANUP, STEP_OVER };

/* Variables, with a NULL at the end. */
struct environment {
	char **all;
	size_t count;
};

struct case_run {
	const struct case_context *context;
	struct case_task task;
	enum step step;
	struct child command, proxy;
	pid_t left_group; /* of `prepare`, whose background processes live until the end */
	int ready_fd;     /* -1: closed */
	struct text ready;
	char *socket; /* of the control API */
	struct text broken;
	struct environment environment, bench_environment; /* the latter for the commands of the bench */
	char *prepared;                                    /* contents of $DEADZONE_SET */
	ns_t test_began, test_seconds, test_ended_wall;
	bool test_ran, timed_out, interrupted;
	int status, signal;
	size_t bench_done; /* commands of the bench that have run */
	struct text bench_failure;
	bool is_judged;
	struct result result;
	json_t *summary;
};

/* case_files.c */
/* Notes what breaks the case; the first reason counts. */
void case_break(struct case_run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Returns the path of a file in the case's folder, for the caller to free. */
char *case_file(const struct case_run *run, const char *name);
/* Returns the contents of a small file that a command may have written, for the caller to free; "" if there
 * is none. Returns NULL and sets *error if it cannot be read. */
char *case_read_small(const struct case_run *run, const char *name, struct error *error);
/* Returns a descriptor to append to a log, or -1 and sets *error. */
int case_open_log(const struct case_run *run, const char *name, struct error *error);

/* case_environment.c */
void case_fill_environment(struct case_run *run);
/* Sets a variable, "NAME=VALUE", or $DEADZONE_NAME. */
void case_put_variable(struct case_run *run, const char *variable);
void case_set_variable(struct case_run *run, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void environment_free(struct environment *environment);

/* case_proxy.c: these return 0, or -1 after case_break. */
int case_write_ini(struct case_run *run);
int case_start_proxy(struct case_run *run, ns_t now);
/* Reads ready lines. Returns true once the proxy has closed the pipe: it is ready, or has failed. */
bool case_read_ready(struct case_run *run);
/* Sets the variables that the ready lines, "ready listen=ADDR:PORT upstream=…", determine. */
void case_handle_ready(struct case_run *run);

/* case_judge.c */
/* Reads what the proxy and the commands have left, and decides the outcome. */
void case_judge(struct case_run *run);

#endif
