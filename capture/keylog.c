/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All lines are in one text. A line refers to its session by the client random, a session to its first line,
 * and lines of a session to the next one; so a ClientHello leads to the lines that the open capture file
 * lacks. If memory is out, a line is not taken, and keylog_lost_keys says so.
 */
#include "capture/keylog.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/chance.h"
#include "base/hidden.h"
#include "base/memory.h"

#define RANDOM_SIZE 32 /* bytes of a client random */
#define NONE UINT32_MAX

struct followed_file {
	char *path;
	off_t at;     /* bytes read, up to the end of a line */
	bool refused; /* opening it failed, and this has been reported */
};

struct line {
	size_t at, size;  /* offset in the text of all lines, and bytes, with the newline */
	uint32_t session; /* index; NONE: it has no client random, and is always needed */
	uint32_t next;    /* next line of the same session; NONE: none */
	bool written;     /* written to the open capture file */
};

/* A client random that is in a line or was seen in a ClientHello. */
struct key_session {
	uint8_t random[RANDOM_SIZE];
	uint32_t first_line, hash_next;
	bool seen;
};

struct keylog {
	struct followed_file *files;
	size_t file_count;
	struct text text; /* all lines */
	struct line *lines;
	uint32_t line_count, line_cap;
	struct key_session *sessions;
	uint32_t session_count, session_cap;
	uint32_t *hash; /* first session of each hash chain; session_cap elements */
	/* Lines that the open capture file may lack: all from `cursor` on or, if `by_session`, those in
	 * `listed`. */
	uint32_t cursor, offered;
	uint32_t *listed;
	uint32_t listed_count, listed_cap, listed_done;
	bool by_session, is_short;
};

struct keylog *keylog_new(const char *const *paths, size_t count)
{
	struct keylog *keylog = memory_new(1, sizeof(*keylog));

	keylog->files = memory_new(count + 1, sizeof(*keylog->files));
	for (size_t i = 0; i < count; i++)
		keylog->files[i].path = memory_text(paths[i], strlen(paths[i]));
	keylog->file_count = count;
	return keylog;
}

void keylog_free(struct keylog *keylog)
{
	if (!keylog)
		return;
	for (size_t i = 0; i < keylog->file_count; i++)
		free(keylog->files[i].path);
	free(keylog->files);
	free(keylog->lines);
	free(keylog->sessions);
	free(keylog->hash);
	free(keylog->listed);
	text_free(&keylog->text);
	free(keylog);
}

bool keylog_lost_keys(struct keylog *keylog)
{
	bool was_short = keylog->is_short;

	keylog->is_short = false;
	return was_short;
}

/* Makes room for one more element in an array of `count`. Returns the array, which may have moved; NULL if
 * memory runs out, and the array is then unchanged. */
static void *grow_array(void *array, uint32_t count, uint32_t *cap, size_t size)
{
	uint32_t more = *cap ? 2 * *cap : 64;
	void *grown;

	if (count < *cap)
		return array;
	grown = realloc(array, more * size);
	if (grown)
		*cap = more;
	return grown;
}

/* ---- Sessions, by client random ---- */

static uint32_t hash_random(const struct keylog *keylog, const uint8_t *random)
{
	return (uint32_t)chance_hash(0, random, RANDOM_SIZE) & (keylog->session_cap - 1);
}

static bool grow_sessions(struct keylog *keylog)
{
	uint32_t cap = keylog->session_cap ? 2 * keylog->session_cap : 64;
	struct key_session *sessions = realloc(keylog->sessions, cap * sizeof(*sessions));
	uint32_t *hash = sessions ? malloc(cap * sizeof(*hash)) : NULL;

	if (sessions)
		keylog->sessions = sessions;
	if (!hash)
		return false;
	free(keylog->hash);
	keylog->hash = hash;
	keylog->session_cap = cap;
	memset(hash, 0xff, cap * sizeof(*hash));
	for (uint32_t i = 0; i < keylog->session_count; i++) {
		uint32_t at = hash_random(keylog, sessions[i].random);

		sessions[i].hash_next = hash[at];
		hash[at] = i;
	}
	return true;
}

/* Returns the index of the session with this random, adding it if it is new; NONE if memory runs out. */
static uint32_t find_or_add_session(struct keylog *keylog, const uint8_t *random)
{
	uint32_t at, i;

	if (keylog->session_count == keylog->session_cap && !grow_sessions(keylog)) {
		keylog->is_short = true;
		return NONE;
	}
	at = hash_random(keylog, random);
	for (i = keylog->hash[at]; i != NONE; i = keylog->sessions[i].hash_next)
		if (memcmp(keylog->sessions[i].random, random, RANDOM_SIZE) == 0)
			return i;
	i = keylog->session_count++;
	keylog->sessions[i] = (struct key_session){.first_line = NONE, .hash_next = keylog->hash[at]};
	memcpy(keylog->sessions[i].random, random, RANDOM_SIZE);
	keylog->hash[at] = i;
	return i;
}

static void list_line(struct keylog *keylog, uint32_t line)
{
	uint32_t *listed = grow_array(
	    keylog->listed, keylog->listed_count, &keylog->listed_cap, sizeof(*listed));

	if (!listed) {
		keylog->is_short = true;
		return;
	}
	keylog->listed = listed;
	listed[keylog->listed_count++] = line;
}

static bool is_needed(const struct keylog *keylog, const struct line *line)
{
	return !line->written && (line->session == NONE || keylog->sessions[line->session].seen);
}

/* Switches to writing only the lines of sessions that were seen, and lists those that the file lacks. */
static void list_by_session(struct keylog *keylog)
{
	keylog->by_session = true;
	keylog->listed_count = keylog->listed_done = 0;
	for (uint32_t i = 0; i < keylog->line_count; i++)
		if (is_needed(keylog, &keylog->lines[i]))
			list_line(keylog, i);
}

/* In a ClientHello, the record and handshake headers of DTLS (RFC 6347 section 4.3.1, 4.2.2) precede the
 * version and the random. */
void keylog_scan_datagram(struct keylog *keylog, const uint8_t *bytes, size_t size)
{
	enum { HANDSHAKE = 22, CLIENT_HELLO = 1, TYPE_AT = 13, FRAGMENT_AT = 19, RANDOM_AT = 27 };
	uint32_t session;

	if (size < RANDOM_AT + RANDOM_SIZE || bytes[0] != HANDSHAKE || bytes[TYPE_AT] != CLIENT_HELLO ||
	    bytes[FRAGMENT_AT] || bytes[FRAGMENT_AT + 1] || bytes[FRAGMENT_AT + 2])
		return;
	session = find_or_add_session(keylog, bytes + RANDOM_AT);
	if (session == NONE || keylog->sessions[session].seen)
		return;
	keylog->sessions[session].seen = true;
	for (uint32_t i = keylog->sessions[session].first_line; keylog->by_session && i != NONE;
	     i = keylog->lines[i].next)
		if (!keylog->lines[i].written)
			list_line(keylog, i);
}

/* ---- Lines ---- */

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : isxdigit((unsigned char)c) ? (c | 0x20) - 'a' + 10 : -1;
}

/* Extracts the random from "LABEL RANDOM SECRET". Returns false if there is none. */
static bool read_random(const char *line, size_t size, uint8_t *random)
{
	const char *blank = memchr(line, ' ', size), *hex = blank ? blank + 1 : NULL;

	if (!hex || (size_t)(line + size - hex) < 2 * RANDOM_SIZE + 1 || hex[2 * RANDOM_SIZE] != ' ')
		return false;
	for (size_t i = 0; i < RANDOM_SIZE; i++) {
		int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		random[i] = (uint8_t)(16 * high + low);
	}
	return true;
}

static void add_line(struct keylog *keylog, size_t at, size_t size)
{
	struct line *lines = grow_array(keylog->lines, keylog->line_count, &keylog->line_cap, sizeof(*lines));
	uint8_t random[RANDOM_SIZE];
	struct line *line;

	if (!lines) {
		keylog->is_short = true;
		return;
	}
	keylog->lines = lines;
	line = &lines[keylog->line_count];
	*line = (struct line){.at = at, .size = size, .session = NONE, .next = NONE};
	if (read_random(keylog->text.at + at, size, random))
		line->session = find_or_add_session(keylog, random);
	if (line->session != NONE) {
		line->next = keylog->sessions[line->session].first_line;
		keylog->sessions[line->session].first_line = keylog->line_count;
	}
	if (keylog->by_session && is_needed(keylog, line))
		list_line(keylog, keylog->line_count);
	keylog->line_count++;
}

static void add_lines(struct keylog *keylog, const char *bytes, size_t size)
{
	size_t from = keylog->text.size;

	if (from + size > KEYLOG_MAX) {
		keylog->is_short = true;
		return;
	}
	text_add_bytes(&keylog->text, bytes, size);
	if (keylog->text.size < from + size) {
		keylog->is_short = true;
		return;
	}
	if (!keylog->by_session && keylog->text.size > KEYLOG_WHOLE)
		list_by_session(keylog);
	while (from < keylog->text.size) {
		const char *end = memchr(keylog->text.at + from, '\n', keylog->text.size - from);
		size_t length = end ? (size_t)(end + 1 - keylog->text.at) - from : keylog->text.size - from;

		add_line(keylog, from, length);
		from += length;
	}
}

/* Reads one block of new lines. Returns false if there is no whole line left. */
static bool read_lines(struct keylog *keylog, struct followed_file *file, int fd)
{
	char block[65536];
	ssize_t got = pread(fd, block, sizeof(block), file->at);
	size_t size = got > 0 ? (size_t)got : 0;

	while (size && block[size - 1] != '\n')
		size--;
	if (!size && got == (ssize_t)sizeof(block))
		size = sizeof(block); /* no key log has a line this long: skip it */
	file->at += (off_t)size;
	if (size)
		add_lines(keylog, block, size);
	return size > 0;
}

/* A file that does not exist may come. Returns whether any other reason is new, and sets *error. */
static bool is_refused(struct followed_file *file, struct error *error)
{
	bool was_refused = file->refused;

	file->refused = errno != ENOENT && errno != ENOTDIR;
	if (!file->refused || was_refused)
		return false;
	error_set(error, "[capture] keylog: `%s` cannot be read: %s", file->path,
	    hidden_strerror(errno, file->path, false));
	return true;
}

bool keylog_follow(struct keylog *keylog, struct error *error)
{
	bool refused = false;

	for (size_t i = 0; i < keylog->file_count; i++) {
		struct followed_file *file = &keylog->files[i];
		int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		struct stat status;

		if (fd < 0) {
			refused |= is_refused(file, error);
			continue;
		}
		file->refused = false;
		if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
			if (status.st_size < file->at)
				file->at = 0;
			while (status.st_size > file->at && read_lines(keylog, file, fd))
				;
		}
		close(fd);
	}
	return refused;
}

/* ---- What the file lacks ---- */

void keylog_begin_file(struct keylog *keylog)
{
	for (uint32_t i = 0; i < keylog->line_count; i++)
		keylog->lines[i].written = false;
	keylog->cursor = 0;
	if (keylog->by_session)
		list_by_session(keylog);
}

/* Returns line number `index` of those that the file may lack; NONE at the end. */
static uint32_t candidate_line(const struct keylog *keylog, uint32_t index)
{
	if (!keylog->by_session)
		return index < keylog->line_count ? index : NONE;
	return index < keylog->listed_count ? keylog->listed[index] : NONE;
}

bool keylog_next(struct keylog *keylog, struct text *lines)
{
	uint32_t at = keylog->by_session ? keylog->listed_done : keylog->cursor, line;

	text_clear(lines);
	while ((line = candidate_line(keylog, at)) != NONE) {
		const struct line *next = &keylog->lines[line];

		if (lines->size && lines->size + next->size > KEYLOG_WHOLE)
			break;
		if (!next->written)
			text_add_bytes(lines, keylog->text.at + next->at, next->size);
		at++;
	}
	keylog->offered = at;
	return lines->size > 0;
}

void keylog_written(struct keylog *keylog)
{
	uint32_t *done = keylog->by_session ? &keylog->listed_done : &keylog->cursor;

	for (; *done < keylog->offered; (*done)++)
		keylog->lines[candidate_line(keylog, *done)].written = true;
}
