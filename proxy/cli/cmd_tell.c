/* tell: steering a run from a shell: the API of proxy/routes.c, one request for each command. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/address.h"
#include "base/text.h"
#include "base/units.h"
#include "proxy/cli/command.h"
#include "proxy/run/endpoint.h"
#include "proxy/run/log.h"
#include "proxy/cli/tell_show.h"
#include "proxy/run/summary.h"

#define TO_PRESET "127.0.0.1:8474"
#define ANSWER_MAX ((size_t)256 << 20)

enum tell_flags {
	TELL_TARGET = 1, /* takes --session, --identity, --device */
	TELL_WAIT = 2,   /* takes --count and --timeout */
	TELL_SHOW = 4,   /* its answer is what was asked for */
	TELL_STREAM = 8  /* … line by line, without end */
};

struct saying;

/* One word behind `tell`, and what it asks. */
struct verb {
	const char *word, *takes;  /* NULL: nothing */
	const char *method, *path; /* %s: what it takes, encoded */
	const char *key;           /* of the body that holds what it takes; NULL: none */
	unsigned flags;
	int (*prepare)(struct saying *saying);
	void (*show)(const json_t *answer, bool is_first, FILE *out); /* NULL: as it came */
};

struct saying {
	const struct verb *verb;
	const char *word; /* what it takes */
	struct text path;
	json_t *body;
	char host[80], token[ENDPOINT_TOKEN_SIZE];
	unsigned page; /* of the answer: how many were shown */
	bool more;     /* another one is to be asked for */
};

/* ---- Verbs ---- */

static void add_encoded(struct text *out, const char *text)
{
	for (; *text; text++) {
		bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
		             (*text >= '0' && *text <= '9') || strchr("-._", *text);

		text_add(out, plain ? "%c" : "%%%02X", (unsigned char)*text);
	}
}

/* "[link default] up.loss = 5%": which of the two can be changed, and how. */
static int prepare_set(struct saying *saying)
{
	char kind[8], name[64], key[64];
	int end = 0;

	if (sscanf(saying->word, "[%7[a-z]] %63[a-z._] = %n", kind, key, &end) >= 2 && end) {
		log_error(
		    "tell: [%s] cannot be changed while it runs; [link NAME] and [rule NAME] can", kind);
		return EXIT_USAGE;
	}
	if (sscanf(saying->word, "[%7[a-z] %63[^]]] %63[a-z._] = %n", kind, name, key, &end) < 3 || !end ||
	    !saying->word[end]) {
		log_error("tell: `%s` is no setting; one is \"[SECTION] KEY = VALUE\"", saying->word);
		return EXIT_USAGE;
	}
	if (strcmp(kind, "link") != 0 && strcmp(kind, "rule") != 0) {
		log_error(
		    "tell: [%s] cannot be changed while it runs; [link NAME] and [rule NAME] can", kind);
		return EXIT_USAGE;
	}
	text_add(&saying->path, "/api/v1/%ss/", kind);
	add_encoded(&saying->path, name);
	json_object_set_new(saying->body, key, json_string(saying->word + end));
	return EXIT_DONE;
}

/* A key that is given twice has several values. */
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

/* A section as it stands in an ini file: "[rule dark]", then lines of `KEY = VALUE`, the first one perhaps
 * behind the header. */
static int prepare_add(struct saying *saying)
{
	char kind[8], name[64], key[64], value[256];
	const char *line = saying->word;
	int end = 0;

	if (sscanf(line, " [%7[a-z] %63[^]]]%n", kind, name, &end) < 2 || !end ||
	    (strcmp(kind, "link") != 0 && strcmp(kind, "rule") != 0)) {
		log_error("tell: `add` takes a section, [link NAME] or [rule NAME] and lines of KEY = VALUE");
		return EXIT_USAGE;
	}
	text_add(&saying->path, "/api/v1/%ss", kind);
	json_object_set_new(saying->body, "name", json_string(name));
	for (line += end; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t size = strcspn(line, "\n");

		if (strspn(line, " \t\r") >= size)
			continue;
		value[0] = '\0';
		if (sscanf(line, " %63[a-z_.] = %255[^\n]", key, value) < 2) {
			log_error("tell: `%.*s` is no `KEY = VALUE`", (int)size, line);
			return EXIT_USAGE;
		}
		add_value(saying->body, key, value);
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

static const struct verb *verb_find(const char *word)
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
		log_error("tell: there is no `%s`; `deadzone help tell` lists what there is", word);
	return NULL;
}

/* ---- What is said ---- */

/* Options that this verb does not take are wrong words, not passed over. */
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

static int add_options(struct saying *saying, const struct command_line *line)
{
	const char *session = command_value(line, "session"), *count = command_value(line, "count"),
	           *timeout = command_value(line, "timeout");
	struct error error;
	uint64_t number;
	ns_t time;

	if (session && units_whole(session, &number, &error)) {
		log_error("tell: --session: %s", error.text);
		return EXIT_USAGE;
	}
	if (session)
		json_object_set_new(saying->body, "session", json_integer((json_int_t)number));
	if (command_value(line, "identity"))
		json_object_set_new(saying->body, "identity", json_string(command_value(line, "identity")));
	if (command_value(line, "device"))
		json_object_set_new(saying->body, "device", json_string(command_value(line, "device")));
	if (count && units_whole(count, &number, &error)) {
		log_error("tell: --count: %s", error.text);
		return EXIT_USAGE;
	}
	if (timeout && units_time(timeout, &time, &error)) {
		log_error("tell: --timeout: %s", error.text);
		return EXIT_USAGE;
	}
	if (count)
		text_add(&saying->path, "&count=%s", count);
	if (timeout)
		text_add(&saying->path, "&timeout=%s", timeout);
	return EXIT_DONE;
}

static int saying_fill(struct saying *saying, const struct command_line *line)
{
	const struct verb *verb = saying->verb;
	const char *percent = verb->path ? strstr(verb->path, "%s") : NULL;
	int status;

	if ((verb->takes != NULL) != (line->word_count == 2)) {
		if (verb->takes)
			log_error("tell: `%s` takes %s", verb->word, verb->takes);
		else
			log_error("tell: `%s` takes no word: `%s`", verb->word, line->words[1]);
		return EXIT_USAGE;
	}
	saying->word = verb->takes ? line->words[1] : "";
	if ((status = check_options(line, verb)))
		return status;
	if (verb->prepare)
		return verb->prepare(saying);
	text_add(&saying->path, "%.*s", (int)(percent ? percent - verb->path : (ptrdiff_t)strlen(verb->path)),
	    verb->path);
	if (percent) {
		add_encoded(&saying->path, saying->word);
		text_add(&saying->path, "%s", percent + 2);
	}
	if (verb->key)
		json_object_set_new(saying->body, verb->key, json_string(saying->word));
	return add_options(saying, line);
}

static int token_fill(struct saying *saying, const char *path)
{
	struct error error;

	if (!path || endpoint_read_token(path, saying->token, &error) == 0)
		return EXIT_DONE;
	log_error("tell: --token: %s", error.text);
	return EXIT_USAGE;
}

/* ---- Over the wire ---- */

/* -1 after it was told; EXIT_USAGE in `*status` where the words are wrong. */
static int connect_to(const char *to, char *host, size_t room, int *status)
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
		snprintf(host, room, "localhost");
	else
		address_text(&endpoint.address, host, room);
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

static void send_request(const struct saying *saying, int fd)
{
	char *body = json_object_size(saying->body) ? json_dumps(saying->body, JSON_COMPACT) : NULL;
	struct text out = {0};
	size_t done = 0;

	/* HTTP/1.0: the answer ends where the connection does. */
	text_add(&out, "%s %s HTTP/1.0\r\nHost: %s\r\n", saying->verb->method, saying->path.at, saying->host);
	if (saying->token[0])
		text_add(&out, "Authorization: Bearer %s\r\n", saying->token);
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

/* false at the end. */
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

/* Reads the head; gives the status and where the body begins, or 0. */
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

/* A line of the answer: another program wrote it. */
static void print_visible(const char *bytes, size_t size)
{
	struct text line = {0};

	text_add_visible(&line, bytes, size);
	puts(line.at);
	text_free(&line);
}

/* The lines behind "data: ", as they come. */
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

static void tell_error(const char *body, int status)
{
	json_t *json = json_loads(body, 0, NULL);
	const char *words = json_string_value(json_object_get(json, "error"));

	if (status == 408)
		log_error("the time is over: it has fired %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT
		          " times",
		    json_integer_value(json_object_get(json, "fired")),
		    json_integer_value(json_object_get(json, "count")));
	else
		log_error("refused (%d): %s", status, words ? words : "no reason was given");
	json_decref(json);
}

/* Prints what was asked for. If there is another page, `saying` asks for it next. */
static int show(struct saying *saying, const char *body, size_t size)
{
	json_t *answer, *next;

	if (!saying->verb->show) {
		print_visible(body, size);
		return EXIT_DONE;
	}
	answer = json_loadb(body, size, 0, NULL);
	if (!answer) {
		log_error("tell: the answer is no JSON");
		return EXIT_FAILED;
	}
	saying->verb->show(answer, saying->page == 0, stdout);
	next = json_object_get(answer, "next");
	saying->more = json_is_integer(next);
	if (saying->more) {
		text_clear(&saying->path);
		text_add(&saying->path, "%s?after=%" JSON_INTEGER_FORMAT, saying->verb->path,
		    json_integer_value(next));
	}
	saying->page++;
	json_decref(answer);
	return EXIT_DONE;
}

static int take_answer(struct saying *saying, int fd)
{
	struct text in = {0};
	size_t body = 0;
	int status = read_head(fd, &in, &body), result = EXIT_FAILED;

	if (!status) {
		log_error("tell: the connection ended without an answer");
	} else if (status < 300 && saying->verb->flags & TELL_STREAM) {
		show_events(fd, &in, body);
		result = EXIT_DONE;
	} else {
		while (read_more(fd, &in))
			;
		if (status >= 300) {
			tell_error(in.at + body, status);
		} else {
			result = saying->verb->flags & TELL_SHOW ? show(saying, in.at + body, in.size - body)
			                                         : EXIT_DONE;
			result = fflush(stdout) || ferror(stdout) ? EXIT_FAILED : result;
		}
	}
	text_free(&in);
	return result;
}

static int run(const struct command_line *line)
{
	const char *to = command_value(line, "to") ? command_value(line, "to") : TO_PRESET;
	struct saying saying = {.body = json_object()};
	int status = EXIT_USAGE, fd;

	saying.verb = verb_find(line->words[0]);
	if (saying.verb)
		status = saying_fill(&saying, line);
	if (!status)
		status = token_fill(&saying, command_value(line, "token"));
	for (saying.more = true; !status && saying.more;) {
		saying.more = false;
		if ((fd = connect_to(to, saying.host, sizeof(saying.host), &status)) < 0)
			break;
		send_request(&saying, fd);
		status = take_answer(&saying, fd);
		close(fd);
	}
	text_free(&saying.path);
	json_decref(saying.body);
	return status;
}

static const struct option_row options[] = {
    {0, "to", "ADDR:PORT", false, "where the run listens (" TO_PRESET "), or unix:PATH", NULL},
    {0, "token", "FILE", false, "whose first line is the token", NULL},
    {0, "session", "N", false, "do, fire: this session alone", NULL},
    {0, "identity", "NAME", false, "… of this identity, or of this device address", NULL},
    {0, "device", "SECTION", false, "… of this [device] section", NULL},
    {0, "count", "N", false, "wait: until the rule has fired COUNT times (1)", NULL},
    {0, "timeout", "TIME", false, "wait: at most so long (30s)", NULL},
};

const struct command command_tell_row = {
    .name = "tell",
    .words = "WHAT",
    .words_least = 1,
    .words_most = 2,
    .options = options,
    .option_count = sizeof(options) / sizeof(*options),
    .run = run,
    .what = "steer a run from a shell, where its ini file has [control]",
    .more =
        "WHAT is one of\n"
        "  do \"blackout 40s\"                    any action that needs no datagram: blackout, rebind, link, "
        "note\n"
        "  fire RULE                            that rule's actions\n"
        "  set \"[link default] up.loss = 5%\"    also of [rule NAME]; changes what arrives from then on\n"
        "  add \"[rule NAME] …\"                 a new section, [link NAME] or [rule NAME], as it stands in "
        "an ini "
        "file\n"
        "  wait RULE                            until it has fired\n"
        "  mark TEXT                            an event in the capture\n"
        "  sessions, config                     a table; the ini text in force\n"
        "  summary, events                      as JSON; as lines, while they happen\n"
        "  reload, rotate, stop                 as SIGHUP, SIGUSR2, SIGTERM\n\n"
        "Exit status: 0 done; 1 refused, the time was over, or nobody answers; 2 usage error.",
};
