/* SPDX-License-Identifier: BSD-2-Clause */
/* case_proxy: the proxy of a case: its ini file, its start, and what its ready lines say. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fresh.h"
#include "proxy/campaign/case_inside.h"

#define READY_MAX 65536 /* bytes of ready lines */

static const char *host_of(const struct case_run *run, const struct address *address, char *text, size_t cap)
{
	const char *advertise = run->context->plan->settings->campaign.advertise;

	if (address_is_any(address) && advertise)
		return advertise;
	return address_host_text(address, text, cap);
}

/* Sets the variables that the ready line of listener `index` determines. */
static void set_listener(struct case_run *run, size_t index, const char *written)
{
	char suffix[16] = "", name[32], host[ADDRESS_TEXT_SIZE];
	struct address address;
	struct error error;

	if (address_read(written, &address, &error))
		return;
	if (index)
		snprintf(suffix, sizeof(suffix), "_%zu", index + 1);
	snprintf(name, sizeof(name), "ADDRESS%s", suffix);
	case_set_variable(run, name, "%s", written);
	snprintf(name, sizeof(name), "HOST%s", suffix);
	case_set_variable(run, name, "%s", host_of(run, &address, host, sizeof(host)));
	snprintf(name, sizeof(name), "PORT%s", suffix);
	case_set_variable(run, name, "%u", address.port);
}

void case_handle_ready(struct case_run *run)
{
	size_t index = 0;

	for (const char *line = run->ready.at; line && *line; line = strchr(line, '\n')) {
		const char *listen;
		char written[ADDRESS_TEXT_SIZE];

		line += *line == '\n';
		listen = strstr(line, "listen=");
		if (!listen)
			return;
		listen += strlen("listen=");
		snprintf(written, sizeof(written), "%.*s", (int)strcspn(listen, " \n"), listen);
		set_listener(run, index++, written);
	}
}

int case_write_ini(struct case_run *run)
{
	struct network_source source = run->context->network;
	struct complaints *complaints = complaints_new();
	struct names *names = names_new();
	struct text text = {0}, errors = {0};
	char *path = case_file(run, "case.ini");
	struct output_file file;
	struct setup *setup;
	struct error error;
	int failed = 0;

	source.cell = run->task.cell;
	source.bench = run->task.bench;
	source.extra = run->task.extra;
	source.prepared = run->prepared;
	source.is_clean = run->task.is_clean;
	setup = network_build(&source, names, complaints);
	complaints_errors(complaints, &errors);
	if (errors.size) {
		case_break(run, "the configuration is wrong: %.*s", (int)strcspn(errors.at, "\n"), errors.at);
		failed = -1;
	} else if (network_write(&source, setup, run->task.seed, run->task.fault, &text, &error) ||
	           output_file_open(&file, path, &error)) {
		case_break(run, "%s", error.text);
		failed = -1;
	} else {
		fwrite(text.at, 1, text.size, file.out);
		failed = output_file_close(&file, path, &error);
		if (failed)
			case_break(run, "%s", error.text);
	}
	setup_free(setup);
	names_free(names);
	complaints_free(complaints);
	text_free(&text);
	text_free(&errors);
	free(path);
	return failed;
}

int case_start_proxy(struct case_run *run, ns_t now)
{
	char *ini = case_file(run, "case.ini"), *capture = case_file(run, "run.pcapng");
	char *summary = case_file(run, "summary.json");
	struct text control = {0};
	struct child_options options = {.environment = environ, .folder = run->context->home, .output = -1};
	struct error error;
	int pipes[2] = {-1, -1}, failed;

	text_add(&control, "[control] listen = unix:%s", run->socket);
	options.words = (const char *const[]){run->context->program, "run", "-c", ini, "-w", capture,
	    "--json", summary, "--ready-fd", "3", "--set", control.at, NULL};
	failed = pipe2(pipes, O_CLOEXEC);
	if (failed)
		error_set(&error, "no pipe can be made: %s", strerror(errno));
	options.passed = pipes[1];
	if (!failed) {
		options.output = case_open_log(run, "proxy.log", &error);
		failed = options.output < 0 || child_start(&run->proxy, &options, now, &error);
	}
	if (pipes[1] >= 0)
		close(pipes[1]);
	if (options.output >= 0)
		close(options.output);
	if (failed) {
		case_break(run, "%s", error.text);
		if (pipes[0] >= 0)
			close(pipes[0]);
	} else {
		fcntl(pipes[0], F_SETFL, O_NONBLOCK);
		run->ready_fd = pipes[0];
		run->test_began = now; /* until the test begins: the start of the proxy */
	}
	free(ini);
	free(capture);
	free(summary);
	text_free(&control);
	return failed ? -1 : 0;
}

bool case_read_ready(struct case_run *run)
{
	char block[4096];
	ssize_t got;

	while ((got = read(run->ready_fd, block, sizeof(block))) > 0)
		if (run->ready.size < READY_MAX)
			text_add_bytes(&run->ready, block, (size_t)got);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	close(run->ready_fd);
	run->ready_fd = -1;
	return true;
}
