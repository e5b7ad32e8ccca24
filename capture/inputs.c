/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inputs are recognized by their first bytes. A copy is made through a `source`, which puts the bytes that
 * were read for that back in front. Everything then reads by pread, through streams (fopencookie), so that
 * one input can be read at several places.
 */
#include "capture/inputs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/fresh.h"
#include "base/hidden.h"
#include "base/memory.h"
#include "base/text.h"

#define CHUNK ((size_t)256 << 10) /* bytes copied at a time */
#define RESERVE_SPARE ((size_t)4) /* temporary files for compressed inputs that are not called so */
#define WINDOW_LOG_MAX 31         /* as with zstd --long=31; memory is used only if the file needs it */
#define MAGIC_SIZE 4

struct input {
	char *name;
	int fd;
	off_t start;  /* offset of its first byte: standard input may be a file that was read in part */
	dev_t device; /* of the file that was named, even if `fd` is a copy */
	ino_t inode;
	enum inputs_state state;
};

/* A stream's position in its file. The inputs own it, because the stream may be owned by libpcap. */
struct stream_position {
	int fd;
	off_t start, at;
	struct stream_position *next;
};

struct inputs {
	struct input *all;
	size_t count;
	struct stream_position *positions;
};

/* ---- Copies ---- */

/* Opens a temporary file without a name. Returns its descriptor, or -1 with errno set. */
static int new_temporary(void)
{
	const char *folder = temporary_folder();
	char name[4096];
	int fd;

	fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	/* The file system has no O_TMPFILE. */
	snprintf(name, sizeof(name), "%s/deadzone-XXXXXX", folder);
	fd = mkostemp(name, O_CLOEXEC);
	if (fd >= 0)
		unlink(name);
	return fd;
}

/* Descriptors of temporary files; protected by nothing, since one thread opens inputs. */
static int *reserved;
static size_t reserved_count;
static int reserve_error; /* errno of the first that could not be opened */

/* Returns whether an input will likely be copied; its bytes are not looked at. */
static bool looks_copied(const char *path)
{
	struct stat st;

	return strcmp(path, "-") == 0 || text_ends_with(path, ".gz") || text_ends_with(path, ".zst") ||
	       (stat(path, &st) == 0 && !S_ISREG(st.st_mode));
}

void inputs_reserve(const char *const *paths, size_t count)
{
	size_t wanted = count < RESERVE_SPARE ? count : RESERVE_SPARE;
	int fd;

	for (size_t i = 0; i < count; i++)
		wanted += looks_copied(paths[i]);
	reserved = memory_new(wanted + 1, sizeof(*reserved));
	while (reserved_count < wanted && (fd = new_temporary()) >= 0)
		reserved[reserved_count++] = fd;
	if (reserved_count < wanted)
		reserve_error = errno;
}

static void release_reserved(void)
{
	while (reserved_count)
		close(reserved[--reserved_count]);
	free(reserved);
	reserved = NULL;
}

/* Returns the descriptor of an empty temporary file, or -1 and sets *error. */
static int open_temporary(struct error *error)
{
	int fd = reserved_count ? reserved[--reserved_count] : new_temporary();

	if (fd < 0)
		return error_set(error, "no temporary file can be made in `%s`: %s", temporary_folder(),
		    reserve_error ? strerror(reserve_error)
		                  : hidden_strerror(errno, temporary_folder(), true));
	return fd;
}

static int write_all(int fd, const char *bytes, size_t size, struct error *error)
{
	while (size) {
		ssize_t wrote = write(fd, bytes, size);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return error_set(error,
			    "it is copied into a temporary file, which cannot be written: %s",
			    strerror(wrote < 0 ? errno : ENOSPC));
		bytes += wrote;
		size -= (size_t)wrote;
	}
	return 0;
}

/* A file whose first bytes were already read, to find out how it is compressed. */
struct source {
	int fd;
	uint8_t head[MAGIC_SIZE];
	size_t head_size, head_used;
};

static ssize_t source_read(struct source *source, void *bytes, size_t size)
{
	size_t left = source->head_size - source->head_used;
	ssize_t got;

	if (left) {
		size = size < left ? size : left;
		memcpy(bytes, source->head + source->head_used, size);
		source->head_used += size;
		return (ssize_t)size;
	}
	do {
		got = read(source->fd, bytes, size);
	} while (got < 0 && errno == EINTR);
	return got;
}

static int read_error(struct error *error)
{
	return error_set(error, "%s", strerror(errno));
}

/* ---- Compression ---- */

enum packing_kind { PACKED_GZIP, PACKED_ZSTD, PACKED_OTHERWISE };

static const struct packing {
	uint8_t magic[MAGIC_SIZE];
	size_t magic_size;
	uint8_t first_mask; /* mask of the first byte of the magic */
	enum packing_kind kind;
	const char *refusal; /* PACKED_OTHERWISE: the error message, with what to do */
} packings[] = {
    {{0x1f, 0x8b}, 2, 0xff, PACKED_GZIP, NULL},
    {{0x28, 0xb5, 0x2f, 0xfd}, 4, 0xff, PACKED_ZSTD, NULL},
    {{0x50, 0x2a, 0x4d, 0x18}, 4, 0xf0, PACKED_ZSTD, NULL}, /* a skippable frame */
    {{0xfd, '7', 'z', 'X'}, 4, 0xff, PACKED_OTHERWISE,
        "it is compressed with xz; decompress it first: xz -d"},
    {{'B', 'Z', 'h'}, 3, 0xff, PACKED_OTHERWISE,
        "it is compressed with bzip2; decompress it first: bzip2 -d"},
    {{0x04, 0x22, 0x4d, 0x18}, 4, 0xff, PACKED_OTHERWISE,
        "it is compressed with lz4; decompress it first: lz4 -d"},
    {{'P', 'K', 3, 4}, 4, 0xff, PACKED_OTHERWISE, "it is a zip archive; unpack it first"},
};

/* Returns true if the first `size` bytes are those of the magic. */
static bool has_magic(const struct packing *packing, const uint8_t *bytes, size_t size)
{
	return (bytes[0] & packing->first_mask) == packing->magic[0] &&
	       memcmp(bytes + 1, packing->magic + 1, size - 1) == 0;
}

/* Returns how the file is compressed, or NULL if it is not. */
static const struct packing *find_packing(const struct source *source)
{
	for (size_t i = 0; i < sizeof(packings) / sizeof(*packings); i++)
		if (source->head_size >= packings[i].magic_size &&
		    has_magic(&packings[i], source->head, packings[i].magic_size))
			return &packings[i];
	return NULL;
}

/* Returns true if another zstd frame may begin here; the magic may be cut at the end of a chunk. */
static bool is_frame(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < sizeof(packings) / sizeof(*packings); i++)
		if (packings[i].kind == PACKED_ZSTD &&
		    has_magic(&packings[i], bytes, size < MAGIC_SIZE ? size : MAGIC_SIZE))
			return true;
	return false;
}

static int copy_plain(struct source *source, int to, struct error *error)
{
	char *bytes = memory_malloc(CHUNK);
	ssize_t got;
	int status = 0;

	while (!status && (got = source_read(source, bytes, CHUNK)) > 0)
		status = write_all(to, bytes, (size_t)got, error);
	if (!status && got < 0)
		status = read_error(error);
	free(bytes);
	return status;
}

/* Unpacks gzip (RFC 1952); concatenated members are one file. */
static int copy_gzip(struct input *input, struct source *source, int to, struct error *error)
{
	z_stream stream = {0};
	Bytef *in = memory_malloc(2 * CHUNK), *out = in + CHUNK;
	int status = inflateInit2(&stream, 15 + 16), result = Z_OK;
	ssize_t got = 0;

	if (status != Z_OK)
		memory_out();
	while (!status && result >= 0) {
		if (!stream.avail_in) {
			got = source_read(source, in, CHUNK);
			if (got <= 0)
				break;
			stream.next_in = in;
			stream.avail_in = (uInt)got;
		}
		if (result == Z_STREAM_END) {
			/* Another member, or padding, which gzip ignores too. */
			if (stream.next_in[0] != 0x1f)
				break;
			inflateReset(&stream);
		}
		stream.next_out = out;
		stream.avail_out = (uInt)CHUNK;
		result = inflate(&stream, Z_NO_FLUSH);
		status = write_all(to, (char *)out, CHUNK - stream.avail_out, error);
		result = result == Z_BUF_ERROR ? Z_OK : result;
	}
	if (!status && got < 0)
		status = read_error(error);
	if (result == Z_MEM_ERROR)
		memory_out();
	input->state = result == Z_STREAM_END ? INPUTS_WHOLE : result < 0 ? INPUTS_DAMAGED : INPUTS_CUT;
	inflateEnd(&stream);
	free(in);
	return status;
}

/* Unpacks zstd (RFC 8878). */
static int copy_zstd(struct input *input, struct source *source, int to, struct error *error)
{
	ZSTD_DStream *stream = ZSTD_createDStream();
	char *in = memory_malloc(2 * CHUNK), *out = in + CHUNK;
	ZSTD_inBuffer from = {.src = in};
	size_t result = 0;
	ssize_t got = 0;
	int status = 0;
	bool is_between = false; /* between two frames */

	if (!stream)
		memory_out();
	ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
	while (!status && !ZSTD_isError(result)) {
		ZSTD_outBuffer into = {.dst = out, .size = CHUNK};

		if (from.pos == from.size) {
			got = source_read(source, in, CHUNK);
			if (got <= 0)
				break;
			from.pos = 0;
			from.size = (size_t)got;
		}
		if (is_between && !is_frame((const uint8_t *)in + from.pos, from.size - from.pos))
			break; /* padding */
		result = ZSTD_decompressStream(stream, &into, &from);
		status = write_all(to, out, into.pos, error);
		is_between = result == 0;
	}
	/* All input was consumed: flush the decoder. */
	while (!status && got == 0 && result && !ZSTD_isError(result)) {
		ZSTD_outBuffer into = {.dst = out, .size = CHUNK};

		result = ZSTD_decompressStream(stream, &into, &from);
		status = write_all(to, out, into.pos, error);
		if (!into.pos)
			break;
	}
	if (!status && got < 0)
		status = read_error(error);
	input->state = result == 0 ? INPUTS_WHOLE : ZSTD_isError(result) ? INPUTS_DAMAGED : INPUTS_CUT;
	ZSTD_freeDStream(stream);
	free(in);
	return status;
}

static int check_unpacked(const struct input *input, struct error *error)
{
	struct source unpacked = {.fd = input->fd};
	ssize_t got = pread(input->fd, unpacked.head, MAGIC_SIZE, 0);

	unpacked.head_size = got > 0 ? (size_t)got : 0;
	if (!unpacked.head_size && input->state == INPUTS_CUT)
		return error_set(error, "its compressed data is cut off");
	if (!unpacked.head_size && input->state == INPUTS_DAMAGED)
		return error_set(error, "its compressed data is damaged");
	return find_packing(&unpacked) ? error_set(error, "it is compressed twice; decompress it once") : 0;
}

static int copy_input(struct input *input, struct source *source, struct error *error)
{
	const struct packing *packing = find_packing(source);
	int to, status;

	if (packing && packing->refusal)
		return error_set(error, "%s", packing->refusal);
	to = open_temporary(error);
	if (to < 0)
		return -1;
	status = !packing                       ? copy_plain(source, to, error)
	         : packing->kind == PACKED_GZIP ? copy_gzip(input, source, to, error)
	                                        : copy_zstd(input, source, to, error);
	if (status) {
		close(to);
		return -1;
	}
	close(input->fd);
	input->fd = to;
	input->start = 0;
	return packing ? check_unpacked(input, error) : 0;
}

/* ---- Opening ---- */

/* Examines an open input, and copies it into a temporary file if it needs that. */
static int prepare_input(struct input *input, struct error *error)
{
	struct source source = {.fd = input->fd};
	struct stat st;
	ssize_t got = 1;

	if (fstat(input->fd, &st))
		return read_error(error);
	if (S_ISDIR(st.st_mode))
		return error_set(error, "it is a folder");
	input->device = st.st_dev;
	input->inode = st.st_ino;
	if (S_ISREG(st.st_mode)) {
		input->start = lseek(input->fd, 0, SEEK_CUR);
		input->start = input->start < 0 ? 0 : input->start;
	}
	while (got > 0 && source.head_size < MAGIC_SIZE) {
		got = read(input->fd, source.head + source.head_size, MAGIC_SIZE - source.head_size);
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got < 0)
			return read_error(error);
		else
			source.head_size += (size_t)got;
	}
	if (S_ISREG(st.st_mode) && !find_packing(&source))
		return 0;
	return copy_input(input, &source, error);
}

static int open_input(struct input *input, const char *path, struct error *error)
{
	bool is_standard = strcmp(path, "-") == 0;
	const char *name = is_standard ? "standard input" : path;
	struct error why;

	input->name = memory_text(name, strlen(name));
	if (is_standard && isatty(STDIN_FILENO))
		return error_set(
		    error, "standard input is a terminal: pipe a capture into it, or name a file");
	input->fd = is_standard ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
	if (input->fd < 0)
		return error_set(error, "`%s` cannot be read: %s", name, hidden_strerror(errno, path, false));
	if (prepare_input(input, &why))
		return error_set(error, "`%s` cannot be read: %s", name, why.text);
	return 0;
}

static int compare_files(const void *left, const void *right)
{
	const struct input *a = *(struct input *const *)left, *b = *(struct input *const *)right;

	if (a->device != b->device)
		return a->device < b->device ? -1 : 1;
	return a->inode < b->inode ? -1 : a->inode > b->inode;
}

/* Refuses a file that is given twice, under whatever names: its packets would count twice. */
static int refuse_duplicates(const struct inputs *inputs, struct error *error)
{
	const struct input **sorted = memory_new(inputs->count + 1, sizeof(*sorted));
	int status = 0;

	for (size_t i = 0; i < inputs->count; i++)
		sorted[i] = &inputs->all[i];
	qsort(sorted, inputs->count, sizeof(*sorted), compare_files);
	for (size_t i = 1; i < inputs->count && !status; i++)
		if (compare_files(&sorted[i - 1], &sorted[i]) == 0)
			status = error_set(error, "`%s` is given twice", sorted[i]->name);
	free(sorted);
	return status;
}

struct inputs *inputs_open(const char *const *paths, size_t count, struct error *error)
{
	struct inputs *inputs = memory_new(1, sizeof(*inputs));
	int status = 0;

	inputs->all = memory_new(count + 1, sizeof(*inputs->all));
	for (; !status && inputs->count < count; inputs->count++) {
		inputs->all[inputs->count].fd = -1;
		status = open_input(&inputs->all[inputs->count], paths[inputs->count], error);
	}
	release_reserved();
	if (!status && refuse_duplicates(inputs, error) == 0)
		return inputs;
	inputs_close(inputs);
	return NULL;
}

void inputs_close(struct inputs *inputs)
{
	if (!inputs)
		return;
	for (size_t i = 0; i < inputs->count; i++) {
		free(inputs->all[i].name);
		if (inputs->all[i].fd >= 0)
			close(inputs->all[i].fd);
	}
	for (struct stream_position *position = inputs->positions, *next; position; position = next) {
		next = position->next;
		free(position);
	}
	free(inputs->all);
	free(inputs);
}

size_t inputs_count(const struct inputs *inputs)
{
	return inputs->count;
}

const char *inputs_name(const struct inputs *inputs, size_t index)
{
	return inputs->all[index].name;
}

enum inputs_state inputs_state(const struct inputs *inputs, size_t index)
{
	return inputs->all[index].state;
}

/* ---- Streams ---- */

static ssize_t stream_read(void *user, char *bytes, size_t size)
{
	struct stream_position *position = user;
	ssize_t got = pread(position->fd, bytes, size, position->start + position->at);

	if (got > 0)
		position->at += got;
	return got;
}

static int stream_seek(void *user, off_t *offset, int whence)
{
	struct stream_position *position = user;

	if (whence != SEEK_SET && whence != SEEK_CUR)
		return -1;
	*offset += whence == SEEK_CUR ? position->at : 0;
	if (*offset < 0)
		return -1;
	position->at = *offset;
	return 0;
}

FILE *inputs_stream(struct inputs *inputs, size_t index)
{
	const struct input *input = &inputs->all[index];
	struct stream_position *position = memory_new(1, sizeof(*position));
	FILE *file;

	*position = (struct stream_position){
	    .fd = input->fd, .start = input->start, .next = inputs->positions};
	inputs->positions = position;
	file = fopencookie(position, "r", (cookie_io_functions_t){.read = stream_read, .seek = stream_seek});
	if (!file)
		memory_out();
	return file;
}
