/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * file: names, rotation and the ring of `keep`.
 *
 * Covered: a name that recurs replaces its own old file and counts once; only files of this run are removed,
 * never the open one, never one that somebody else has put in their place; repeated names are numbered; if
 * not all blocks fit, the first ones stay.
 */
#include "test/unit/unit.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/file.h"

static char folder[] = "/tmp/deadzone-file-XXXXXX";

/* Returns the path of a file in the folder; the last two results stay valid. */
static const char *path_of(const char *name)
{
	static char paths[2][128];
	static unsigned turn;
	char *path = paths[turn++ % 2];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static int folder_make(void **state)
{
	(void)state;
	setenv("TZ", "UTC", 1);
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int folder_remove(void **state)
{
	DIR *open = opendir(folder);
	struct dirent *entry;

	(void)state;
	while ((entry = readdir(open)))
		unlink(path_of(entry->d_name));
	closedir(open);
	return rmdir(folder);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Returns the names of all files, in order, each with its content: "a=1 b=2". */
static const char *files(void)
{
	static char text[1024];
	char all[16][64];
	size_t count = 0, size = 0;
	DIR *open = opendir(folder);
	struct dirent *entry;

	while ((entry = readdir(open)))
		if (entry->d_name[0] != '.')
			snprintf(all[count++], sizeof(all[0]), "%.63s", entry->d_name);
	closedir(open);
	qsort(all, count, sizeof(all[0]), by_name);
	text[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		char content[64] = "";
		FILE *in = fopen(path_of(all[i]), "r");

		if (in && !fgets(content, sizeof(content), in))
			content[0] = '\0';
		if (in)
			fclose(in);
		size += (size_t)snprintf(
		    text + size, sizeof(text) - size, "%s%s=%s", i ? " " : "", all[i], content);
	}
	return text;
}

static struct file *file_at(const char *name, unsigned keep)
{
	return file_new(path_of(name), keep, 0666);
}

static void open_with(struct file *file, ns_t at, const char *head)
{
	struct error error = {""};

	assert_int_equal(file_open(file, at, head, strlen(head), &error), FILE_OPENED);
	assert_string_equal(error.text, "");
}

/* Two files are kept; a name that recurs replaces its own file. */
static void test_ring(void **state)
{
	static const struct {
		ns_t at;
		const char *head, *files;
	} rows[] = {{0, "1", "cap-00=1"}, {1, "2", "cap-00=1 cap-01=2"}, {2, "3", "cap-01=2 cap-02=3"},
	    {61, "4", "cap-01=4 cap-02=3"}, {62, "5", "cap-01=4 cap-02=5"}, {121, "6", "cap-01=6 cap-02=5"}};
	struct file *file = file_at("cap-%S", 2);

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		open_with(file, rows[i].at * NS_S, rows[i].head);
		assert_string_equal(files(), rows[i].files);
	}
	file_free(file);
	assert_string_equal(files(), rows[COUNT(rows) - 1].files);
}

/* A file that somebody removed is not removed again; a new file in the place of a moved one is left alone. */
static void test_removed(void **state)
{
	struct file *file = file_at("cap-%S", 1);

	(void)state;
	open_with(file, 0, "1");
	unlink(path_of("cap-00"));
	assert_true(file_is_gone(file));
	open_with(file, NS_S, "2");
	assert_string_equal(files(), "cap-01=2");
	rename(path_of("cap-01"), path_of("saved"));
	fclose(fopen(path_of("cap-01"), "w"));
	open_with(file, 2 * NS_S, "3");
	assert_string_equal(files(), "cap-01= cap-02=3 saved=2");
	file_free(file);
}

static void test_others(void **state)
{
	struct file *file = file_at("cap-%S", 1);

	(void)state;
	fclose(fopen(path_of("cap-59"), "w"));
	open_with(file, 0, "1");
	open_with(file, NS_S, "2");
	assert_string_equal(files(), "cap-01=2 cap-59=");
	file_free(file);
}

static void test_numbers(void **state)
{
	struct file *file = file_at("run.pcapng", 0);

	(void)state;
	open_with(file, 0, "1");
	open_with(file, 0, "2");
	open_with(file, 0, "3");
	assert_string_equal(files(), "run-2.pcapng=2 run-3.pcapng=3 run.pcapng=1");
	file_free(file);
}

/* The file size limit of a process acts like a full disk, at a size that the test chooses. */
static void limit(rlim_t size)
{
	struct rlimit limits;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limits);
	limits.rlim_cur = size;
	setrlimit(RLIMIT_FSIZE, &limits);
}

static void test_full(void **state)
{
	static const uint32_t ends[] = {4, 8, 12};
	struct file *file = file_at("a", 0);
	struct error error = {""};
	int failed[4];
	size_t whole[3];

	(void)state;
	open_with(file, 0, "head");
	/* Nothing is asserted while the limit holds, since cmocka may want to write. */
	limit(4 + 9);
	failed[0] = file_write_blocks(file, "aaaabbbbccccdd", 14, ends, 3, &whole[0], &error);
	failed[1] = file_write_blocks(file, "eeeeffff", 8, ends, 2, &whole[1], &error);
	failed[2] = file_write(file, "gg", 2, &error);
	limit(RLIM_INFINITY);
	failed[3] = file_write_blocks(file, "hhhhiiii", 8, ends, 2, &whole[2], &error);
	assert_int_equal(failed[0], -1);
	assert_int_equal(whole[0], 2);
	assert_int_equal(failed[1], -1);
	assert_int_equal(whole[1], 0);
	assert_int_equal(failed[2], -1);
	assert_int_equal(failed[3], 0);
	assert_int_equal(whole[2], 2);
	assert_string_equal(files(), "a=headaaaabbbbhhhhiiii");
	assert_int_equal(file_size(file), 20);
	file_free(file);
}

/* A file for whose head there is no room gets no name, and the previous one stays open. */
static void test_full_head(void **state)
{
	struct file *file = file_at("cap-%S", 1);
	struct error error = {""};
	enum file_outcome outcome;

	(void)state;
	open_with(file, 0, "head");
	limit(3);
	outcome = file_open(file, NS_S, "head", 4, &error);
	limit(RLIM_INFINITY);
	assert_int_equal(outcome, FILE_FULL);
	assert_string_equal(files(), "cap-00=head");
	assert_true(file_is_open(file));
	assert_int_equal(file_write(file, "more", 4, &error), 0);
	assert_string_equal(files(), "cap-00=headmore");
	file_free(file);
}

#define in_a_folder(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    in_a_folder(test_ring),
	    in_a_folder(test_removed),
	    in_a_folder(test_others),
	    in_a_folder(test_numbers),
	    in_a_folder(test_full),
	    in_a_folder(test_full_head),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
