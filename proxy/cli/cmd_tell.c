/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tell: steers a run from a shell. Each word after `tell` is one request to the API of proxy/control/routes.c
 * (`sessions`: one per page), sent over a new connection as HTTP/1.0.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/units.h"
#include "proxy/cli/command.h"
#include "proxy/run/endpoint.h"
#include "proxy/run/log.h"
#include "proxy/run/setup.h"
#include "proxy/cli/tell_show.h"
#include "proxy/run/summary.h"

#define TO_DEFAULT "127.0.0.1:8474"
#define ANSWER_MAX ((size_t)256 << 20)

enum tell_flags {
	TELL_TARGET = 1, /* takes --session, --identity, --device */
	TELL_WAIT = 2,   /* takes --count and --timeout */
	TELL_SHOW = 4,   /* prints its answer */
	TELL_STREAM = 8  /* prints the events of its answer, which does not end */
};

struct request;

/* One word after `tell`, and the request that it sends. */
struct verb {
	const char *word, *takes;  /* `takes` names its argument; NULL: none */
	const char *method, *path; /* %s: its argument, encoded */
	const char *key;           /* of the body, for its argument; NULL: none */
	unsigned flags;
	int (*prepare)(struct request *request); /* fills path and body if they are not fixed; or NULL */
	void (*show)(const json_t *answer, bool is_first, FILE *out); /* NULL: prints the answer as it is */
};

struct request {
	const struct verb *verb;
	const char *word; /* argument of the verb; "": none */
	struct text path;
	json_t *body;
	char host[80], token[ENDPOINT_TOKEN_SIZE];
	unsigned page; /* pages of the answer printed so far */
	bool more;     /* there is another page to request */
};

/* ---- Verbs ---- */

static void add_encoded(struct text *out, const char *text)
{
	for (; *text; text++) {
		bool is_plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
		                (*text >= '0' && *text <= '9') || strchr("-._", *text);

		text_add(out, is_plain ? "%c" : "%%%02X", (unsigned char)*text);
	}
}

/* Fills in a change of one setting, "[link default] up.loss = 5%". */
static int prepare_set(struct request *request)
{
	char kind[8], name[64], key[64];
	int end = 0;

	if (sscanf(request->word, "[%7[a-z]] %63[a-z._] = %n", kind, key, &end) >= 2 && end) {
		log_error(
		    "tell: [%s] cannot be changed while it runs; [link NAME] and [rule NAME] can", kind);
		return EXIT_USAGE;
	}
	if (sscanf(request->word, "[%7[a-z] %63[^]]] %63[a-z._] = %n", kind, name, key, &end) < 3 || !end ||
	    !request->word[end]) {
		log_error("tell: `%s` is not a setting; one is \"[SECTION] KEY = VALUE\"", request->word);
		return EXIT_USAGE;
	}
	if (strcmp(kind, "link") != 0 && strcmp(kind, "rule") != 0) {
		log_error(
		    "tell: [%s] cannot be changed while it runs; [link NAME] and [rule NAME] can", kind);
		return EXIT_USAGE;
	}
	text_add(&request->path, "/api/v1/%ss/", kind);
	add_encoded(&request->path, name);
	json_object_set_new(request->body, key, json_string(request->word + end));
	return EXIT_DONE;
}

/* Adds a key to the body. If it is there already, its value becomes an array. */
static void add_value(json_t *body, const char *key, const char *value)
{
	json_t *before = json_object_get(body, key), *list;

	if (!before) {
		json_object_set_new(body, key, json_string(value));
		return;
	}
	if (json_is_array(before)) {
		json_array_append_new(before, json_string(value));
		return;
	}
	list = json_array();
	json_array_append(list, before);
	json_array_append_new(list, json_string(value));
	json_object_set_new(body, key, list);
}

/* Fills in a new section, written as in an ini file: "[rule dark]", then lines of `KEY = VALUE`, of which the
 * first may follow the header on its line. */
static int prepare_add(struct request *request)
{
	char kind[8], name[64], key[64];
	const char *line = request->word;
	int end = 0, start;
	char *value;

	if (sscanf(line, " [%7[a-z] %63[^]]]%n", kind, name, &end) < 2 || !end ||
	    (strcmp(kind, "link") != 0 && strcmp(kind, "rule") != 0)) {
		log_error("tell: `add` takes a section, [link NAME] or [rule NAME] and lines of KEY = VALUE");
		return EXIT_USAGE;
	}
	text_add(&request->path, "/api/v1/%ss", kind);
	json_object_set_new(request->body, "name", json_string(name));
	for (line += end; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t size = strcspn(line, "\n");

		if (strspn(line, " \t\r") >= size)
			continue;
		start = 0;
		if (sscanf(line, " %63[a-z_.] = %n", key, &start) < 1 || !start || (size_t)start >= size) {
			log_error("tell: `%.*s` is no `KEY = VALUE`", (int)size, line);
			return EXIT_USAGE;
		}
		value = memory_text(line + start, size - (size_t)start);
		add_value(request->body, key, value);
		free(value);
	}
	return EXIT_DONE;
}

static const struct verb verbs[] = {
    {"do", "\"ACTION\"", "POST", "/api/v1/do", "do", TELL_TARGET, NULL, NULL},
    {"fire", "RULE", "POST", "/api/v1/rules/%s/fire", NULL, TELL_TARGET, NULL, NULL},
    {"set", "\"[SECTION] KEY = VALUE\"", "PATCH", NULL, NULL, 0, prepare_set, NULL},
    {"add", "\"[SECTION] …\"", "POST", NULL, NULL, 0, prepare_add, NULL},
    {"wait", "RULE", "GET", "/api/v1/wait?rule=%s", NULL, TELL_WAIT, NULL, NULL},
    {"mark", "TEXT", "POST", "/api/v1/mark", "text", 0, NULL, NULL},
    {"summary", NULL, "GET", "/api/v1/summary", NULL, TELL_SHOW, NULL, NULL},
    {"sessions", NULL, "GET", "/api/v1/sessions", NULL, TELL_SHOW, NULL, tell_show_sessions},
    {"config", NULL, "GET", "/api/v1/config", NULL, TELL_SHOW, NULL, tell_show_config},
    {"events", NULL, "GET", "/api/v1/events", NULL, TELL_STREAM, NULL, NULL},
    {"reload", NULL, "POST", "/api/v1/reload", NULL, 0, NULL, NULL},
    {"rotate", NULL, "POST", "/api/v1/capture/rotate", NULL, 0, NULL, NULL},
    {"stop", NULL, "POST", "/api/v1/stop", NULL, 0, NULL, NULL},
};
#define VERBS (sizeof(verbs) / sizeof(*verbs))

const char *command_tell_word(size_t index)
{
	return index < VERBS ? verbs[index].word : NULL;
}

static const struct verb *find_verb(const char *word)
{
	const char *names[VERBS], *nearest;

	for (size_t i = 0; i < VERBS; i++) {
		names[i] = verbs[i].word;
		if (strcmp(word, verbs[i].word) == 0)
			return &verbs[i];
	}
	nearest = text_nearest(word, names, VERBS);
	for (size_t i = 0; i < ACT_COUNT; i++)
		if (strcmp(word, action_table[i].word) == 0) {
			log_error("tell: `%s` is an action: deadzone tell do \"%s%s%s\"", word, word,
			    *action_table[i].takes ? " " : "", action_table[i].takes);
			return NULL;
		}
	if (nearest)
		log_error("tell: there is no `%s`; did you mean `%s`?", word, nearest);
	else
		log_error("tell: there is no `%s`; `deadzone help tell` lists the commands", word);
	return NULL;
}

/* ---- Filling in the request ---- */

/* Refuses options that the verb does not take, and more than one target. */
static int check_options(const struct command_line *line, const struct verb *verb)
{
	static const struct {
		const char *option;
		unsigned flag;
	} rows[] = {{"session", TELL_TARGET}, {"identity", TELL_TARGET}, {"device", TELL_TARGET},
	    {"count", TELL_WAIT}, {"timeout", TELL_WAIT}};
	size_t targets = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (!command_value(line, rows[i].option))
			continue;
		if (!(verb->flags & rows[i].flag)) {
			log_error("tell: `%s` takes no --%s", verb->word, rows[i].option);
			return EXIT_USAGE;
		}
		targets += rows[i].flag == TELL_TARGET;
	}
	if (targets > 1) {
		log_error("tell: --session, --identity and --device exclude each other");
		return EXIT_USAGE;
	}
	return EXIT_DONE;
}

static int add_options(struct request *request, const struct command_line *line)
{
	const char *session = command_value(line, "session"), *count = command_value(line, "count"),
	           *timeout = command_value(line, "timeout");
	struct error error;
	uint64_t number;
	ns_t time;

	if (session && units_integer(session, &number, &error)) {
		log_error("tell: --session: %s", error.text);
		return EXIT_USAGE;
	}
	if (session)
		json_object_set_new(request->body, "session", json_integer((json_int_t)number));
	if (command_value(line, "identity"))
		json_object_set_new(request->body, "identity", json_string(command_value(line, "identity")));
	if (command_value(line, "device"))
		json_object_set_new(request->body, "device", json_string(command_value(line, "device")));
	if (count && units_integer(count, &number, &error)) {
		log_error("tell: --count: %s", error.text);
		return EXIT_USAGE;
	}
	if (timeout && units_time(timeout, &time, &error)) {
		log_error("tell: --timeout: %s", error.text);
		return EXIT_USAGE;
	}
	if (count)
		text_add(&request->path, "&count=%s", count);
	if (timeout)
		text_add(&request->path, "&timeout=%s", timeout);
	return EXIT_DONE;
}

static int fill_request(struct request *request, const struct command_line *line)
{
	const struct verb *verb = request->verb;
	const char *percent = verb->path ? strstr(verb->path, "%s") : NULL;
	int status;

	if ((verb->takes != NULL) != (line->word_count == 2)) {
		if (verb->takes)
			log_error("tell: `%s` takes %s", verb->word, verb->takes);
		else
			log_error("tell: `%s` takes no argument: `%s`", verb->word, line->words[1]);
		return EXIT_USAGE;
	}
	request->word = verb->takes ? line->words[1] : "";
	if ((status = check_options(line, verb)))
		return status;
	if (verb->prepare)
		return verb->prepare(request);
	text_add(&request->path, "%.*s",
	    (int)(percent ? percent - verb->path : (ptrdiff_t)strlen(verb->path)), verb->path);
	if (percent) {
		add_encoded(&request->path, request->word);
		text_add(&request->path, "%s", percent + 2);
	}
	if (verb->key)
		json_object_set_new(request->body, verb->key, json_string(request->word));
	return add_options(request, line);
}

static int read_token(struct request *request, const char *path)
{
	struct error error;

	if (!path || endpoint_read_token(path, request->token, &error) == 0)
		return EXIT_DONE;
	log_error("tell: --token: %s", error.text);
	return EXIT_USAGE;
}

/* The address to connect to and the token file, from the command line or else from the ini file of -c. */
struct way_in {
	struct setup *setup; /* NULL: no -c */
	struct names *names;
	const char *to, *token;
};

static void way_in_fini(struct way_in *way_in)
{
	setup_free(way_in->setup);
	names_free(way_in->names);
}

/* Fills what the command line leaves open from [control] of the ini file. */
static int read_way_in(struct way_in *way_in, const char *file)
{
	struct setup_source source = {.ini.file = file};
	struct complaints *complaints = complaints_new();
	const struct control_settings *control;
	int failed;

	way_in->names = names_new();
	way_in->setup = setup_new(&source, SETUP_CHECK, way_in->names, complaints);
	failed = complaints_count(complaints, COMPLAINT_ERROR) > 0;
	if (failed)
		log_complaints(complaints);
	complaints_free(complaints);
	if (failed)
		return EXIT_USAGE;
	control = &way_in->setup->control;
	if (!way_in->to && !control->listen.count) {
		log_error("tell: `%s` has no `[control] listen`", file);
		return EXIT_USAGE;
	}
	way_in->to = way_in->to ? way_in->to : control->listen.all[0];
	way_in->token = way_in->token ? way_in->token : control->token;
	return EXIT_DONE;
}

/* ---- Sending and receiving ---- */

/* Returns a connected socket and fills `host` for the Host header; or logs an error, sets *status and returns
 * -1. */
static int connect_to(const char *to, char *host, size_t cap, int *status)
{
	struct sockaddr_storage storage;
	struct endpoint endpoint;
	struct error error;
	socklen_t size;
	int fd;

	*status = EXIT_USAGE;
	if (endpoint_read(to, &endpoint, &error)) {
		log_error("tell: --to: %s", error.text);
		return -1;
	}
	size = endpoint_to_socket(&endpoint, &storage);
	if (endpoint.is_unix)
		snprintf(host, cap, "localhost");
	else
		address_text(&endpoint.address, host, cap);
	*status = EXIT_FAILED;
	fd = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&storage, size)) {
		log_error("tell: nobody answers at %s: %s; does the ini file have `[control] listen`?", to,
		    strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

static void send_request(const struct request *request, int fd)
{
	char *body = json_object_size(request->body) ? json_dumps(request->body, JSON_COMPACT) : NULL;
	struct text out = {0};
	size_t done = 0;

	/* HTTP/1.0: the end of the connection marks the end of the answer. */
	text_add(
	    &out, "%s %s HTTP/1.0\r\nHost: %s\r\n", request->verb->method, request->path.at, request->host);
	if (request->token[0])
		text_add(&out, "Authorization: Bearer %s\r\n", request->token);
	if (body)
		text_add(&out, "Content-Type: application/json\r\n");
	text_add(&out, "Content-Length: %zu\r\n\r\n%s", body ? strlen(body) : 0, body ? body : "");
	free(body);
	while (done < out.size) {
		ssize_t wrote = write(fd, out.at + done, out.size - done);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			break;
		done += (size_t)wrote;
	}
	text_free(&out);
}

/* Appends what can be read. Returns false at the end of the connection. */
static bool read_more(int fd, struct text *in)
{
	char block[65536];
	ssize_t got;

	do {
		got = read(fd, block, sizeof(block));
	} while (got < 0 && errno == EINTR);
	if (got <= 0 || in->size > ANSWER_MAX)
		return false;
	text_add_bytes(in, block, (size_t)got);
	return true;
}

/* Reads the head of the answer. Returns the HTTP status and sets *body to the body's offset; or returns 0. */
static int read_head(int fd, struct text *in, size_t *body)
{
	const char *end;
	int status = 0;

	while (!in->at || !(end = strstr(in->at, "\r\n\r\n")))
		if (!read_more(fd, in))
			return 0;
	*body = (size_t)(end - in->at) + 4;
	return sscanf(in->at, "HTTP/1.%*d %d", &status) == 1 ? status : 0;
}

/* Prints a line of the answer, with control characters made visible: it comes from another program. */
static void print_visible(const char *bytes, size_t size)
{
	struct text line = {0};

	text_add_visible(&line, bytes, size);
	puts(line.at);
	text_free(&line);
}

/* Prints the "data: " lines of an event stream as they come. */
static void show_events(int fd, struct text *in, size_t body)
{
	size_t at = body;

	for (;;) {
		char *line = in->at + at, *end = memchr(line, '\n', in->size - at);

		if (end) {
			if (strncmp(line, "data: ", 6) == 0)
				print_visible(line + 6, (size_t)(end - line - 6));
			at = (size_t)(end - in->at) + 1;
			continue;
		}
		if (fflush(stdout) || ferror(stdout))
			return;
		memmove(in->at, in->at + at, in->size - at + 1);
		in->size -= at;
		at = 0;
		if (!read_more(fd, in))
			return;
	}
}

static void log_refusal(const char *body, int status)
{
	json_t *json = json_loads(body, 0, NULL);
	const char *message = json_string_value(json_object_get(json, "error"));

	if (status == 408)
		log_error("the time is over: it has fired %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT
		          " times",
		    json_integer_value(json_object_get(json, "fired")),
		    json_integer_value(json_object_get(json, "count")));
	else
		log_error("refused (%d): %s", status, message ? message : "no reason was given");
	json_decref(json);
}

/* Prints an answer. If there is another page, prepares the request for it. */
static int show_answer(struct request *request, const char *body, size_t size)
{
	json_t *answer, *next;

	if (!request->verb->show) {
		print_visible(body, size);
		return EXIT_DONE;
	}
	answer = json_loadb(body, size, 0, NULL);
	if (!answer) {
		log_error("tell: the answer is not JSON");
		return EXIT_FAILED;
	}
	request->verb->show(answer, request->page == 0, stdout);
	next = json_object_get(answer, "next");
	request->more = json_is_integer(next);
	if (request->more) {
		text_clear(&request->path);
		text_add(&request->path, "%s?after=%" JSON_INTEGER_FORMAT, request->verb->path,
		    json_integer_value(next));
	}
	request->page++;
	json_decref(answer);
	return EXIT_DONE;
}

static int receive_answer(struct request *request, int fd)
{
	struct text in = {0};
	size_t body = 0;
	int status = read_head(fd, &in, &body), result = EXIT_FAILED;

	if (!status) {
		log_error("tell: the connection ended without an answer");
	} else if (status < 300 && request->verb->flags & TELL_STREAM) {
		show_events(fd, &in, body);
		result = EXIT_DONE;
	} else {
		while (read_more(fd, &in))
			;
		if (status >= 300) {
			log_refusal(in.at + body, status);
		} else {
			result = request->verb->flags & TELL_SHOW
			             ? show_answer(request, in.at + body, in.size - body)
			             : EXIT_DONE;
			result = fflush(stdout) || ferror(stdout) ? EXIT_FAILED : result;
		}
	}
	text_free(&in);
	return result;
}

static int run(const struct command_line *line)
{
	struct way_in way_in = {.to = command_value(line, "to"), .token = command_value(line, "token")};
	struct request request = {.body = json_object()};
	int status = EXIT_USAGE, fd;

	request.verb = find_verb(line->words[0]);
	if (request.verb)
		status = fill_request(&request, line);
	if (!status && command_value(line, "config"))
		status = read_way_in(&way_in, command_value(line, "config"));
	if (!way_in.to)
		way_in.to = TO_DEFAULT;
	if (!status)
		status = read_token(&request, way_in.token);
	for (request.more = true; !status && request.more;) {
		request.more = false;
		if ((fd = connect_to(way_in.to, request.host, sizeof(request.host), &status)) < 0)
			break;
		send_request(&request, fd);
		status = receive_answer(&request, fd);
		close(fd);
	}
	text_free(&request.path);
	json_decref(request.body);
	way_in_fini(&way_in);
	return status;
}

static const struct option_row options[] = {
    {'c', "config", "FILE", false, "the run's ini file: [control] says where it listens, and its token",
        NULL},
    {0, "to", "ADDR:PORT", false, "where the run listens (" TO_DEFAULT "), or unix:PATH", NULL},
    {0, "token", "FILE", false, "file whose first line is the token", NULL},
    {0, "session", "N", false, "do, fire: only this session", NULL},
    {0, "identity", "NAME", false, "… only sessions of this identity or device address", NULL},
    {0, "device", "SECTION", false, "… only sessions of this [device] section", NULL},
    {0, "count", "N", false, "wait: until the rule has fired N times (1)", NULL},
    {0, "timeout", "TIME", false, "wait: at most this long (30s)", NULL},
};

const struct command command_tell_row = {
    .name = "tell",
    .words = "WHAT",
    .words_min = 1,
    .words_max = 2,
    .options = options,
    .option_count = sizeof(options) / sizeof(*options),
    .run = run,
    .what = "steer a run whose ini file has [control]",
    .more = "WHAT is one of\n"
            "  do \"blackout 40s\"                    any action that needs no datagram:\n"
            "                                       blackout, rebind, link, upstream, note\n"
            "  fire RULE                            run the actions of that rule\n"
            "  set \"[link default] up.loss = 5%\"    change a [link NAME] or [rule NAME] from now on\n"
            "  add \"[rule NAME] …\"                 add a [link NAME] or [rule NAME], as in an ini file\n"
            "  wait RULE                            wait until it has fired\n"
            "  mark TEXT                            write an event to the capture\n"
            "  sessions, config                     print a table; print the ini text in force\n"
            "  summary, events                      print as JSON; print lines as they happen\n"
            "  reload, rotate, stop                 as SIGHUP, SIGUSR2, SIGTERM\n\n"
            "Exit status: 0 done; 1 refused, the time was over, or nobody answers; 2 usage error.",
};
