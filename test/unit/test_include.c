/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * include: the files that an ini file includes.
 *
 * Covered, with a [proxy] that only includes: their order and their paths, mistakes in the files and in
 * including them, loops, includes by --set, profiles.
 */
#include "test/unit/unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/ini_inside.h"

static char folder[] = "/tmp/deadzone-include-XXXXXX";
static const char *const file_names[] = {"main.ini", "a.ini", "b.ini", "sub/c.ini", "sub/d.ini"};

static void file_write(const char *name, const char *text)
{
	char path[128];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	out = fopen(path, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static int folder_make(void **state)
{
	char path[128];

	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/sub", folder);
	return mkdir(path, 0700);
}

static int folder_remove(void **state)
{
	char path[128];

	(void)state;
	for (size_t i = 0; i < COUNT(file_names); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, file_names[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/sub", folder);
	rmdir(path);
	return rmdir(folder);
}

/* Prepares an ini reader whose [proxy] has the key `include`; profiles lie in the folder. */
static void given_main(struct given *given)
{
	static const struct key proxy_keys[] = {{.name = "include", .flags = KEY_LIST, .takes = "file"}};
	static const struct section_kind proxy = {.name = "proxy", .keys = proxy_keys, .key_count = 1};
	static const struct section_kind *const kinds[] = {
	    &proxy, &config_device_kind, &config_link_kind, &config_rule_kind};

	*given = (struct given){.complaints = complaints_new(), .names = names_new()};
	given->ini = ini_new(kinds, COUNT(kinds), folder, given->complaints);
}

/* Reads main.ini, and takes the folder out of the paths in the messages. */
static void read_main(struct given *given, const char *path)
{
	given_main(given);
	ini_read(given->ini, path);
	given_build(given);
	for (char *at = strstr(given->printed, folder); at; at = strstr(at, folder))
		memmove(at, at + strlen(folder) + 1, strlen(at + strlen(folder) + 1) + 1);
}

static void main_path(char *path, size_t cap)
{
	snprintf(path, cap, "%s/main.ini", folder);
}

/* Included sections come before those of the including file; paths are relative to the including file. */
static void test_include(void **state)
{
	static const char *const order[] = {"d", "c", "a", "b", "main"};
	char path[128];
	struct given given;
	size_t links = 0;

	(void)state;
	main_path(path, sizeof(path));
	file_write("main.ini", "[link main]\n[proxy]\ninclude = sub/c.ini, a.ini\ninclude = b.ini\n");
	file_write("a.ini", "[link a]\n");
	file_write("b.ini", "[link b]\n");
	file_write("sub/c.ini", "[link c]\n");
	read_main(&given, path);
	/* Links that nothing uses get a note in the main file only. */
	assert_string_equal(given.printed,
	    "main.ini:1: note: [link main]: is used by no [device], `do = link` or `like`; it can still be "
	    "switched to live\n");
	for (size_t i = 0; i < ini_count(given.ini); i++)
		if (ini_section(given.ini, i)->kind == &config_link_kind)
			assert_string_equal(ini_section(given.ini, i)->name, order[1 + links++]);
	assert_int_equal(links, 4);
	given_free(&given);
}

#define ACROSS "; `like` and --set change what another file says\n"

static void test_include_mistakes(void **state)
{
	static const struct {
		const char *main, *a, *b, *want;
	} rows[] = {
	    {"[proxy]\ninclude = nowhere.ini\n", "", "",
	        "main.ini:2: [proxy] include: `nowhere.ini` cannot be read: No such file or directory\n"},
	    {"[proxy]\ninclude = sub\n", "", "",
	        "main.ini:2: [proxy] include: `sub` cannot be read: it is a directory\n"},
	    {"[link x]\n[proxy]\ninclude = a.ini\n", "[link x]\n", "",
	        "main.ini:1: [link x] is here a second time; the first is at a.ini:1" ACROSS},
	    {"[proxy]\ninclude = a.ini, b.ini\n", "[link x]\n", "\n[link x]\n",
	        "b.ini:2: [link x] is here a second time; the first is at a.ini:1\n"},
	    {"[proxy]\ninclude = a.ini, a.ini\n", "[link x]\n", "",
	        "main.ini:2: [proxy] include: `a.ini` is included a second time; the first is at "
	        "main.ini:2\n"},
	    {"[proxy]\ninclude = main.ini\n", "", "",
	        "main.ini:2: [proxy] include: include loop: `main.ini` is being read already\n"},
	    {"[proxy]\ninclude = a.ini\n[link y]\nloss = 1\n", "\n[link x]\nloss = 2\n", "",
	        "a.ini:3: [link x] loss: `2` lacks its unit; a share is 2% or 0.5%\n"
	        "main.ini:4: [link y] loss: `1` lacks its unit; a share is 2% or 0.5%\n"},
	};
	char path[128];

	(void)state;
	main_path(path, sizeof(path));
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct given given;

		file_write("main.ini", rows[i].main);
		file_write("a.ini", rows[i].a);
		file_write("b.ini", rows[i].b);
		read_main(&given, path);
		assert_string_equal(given.printed, rows[i].want);
		given_free(&given);
	}
}

/* A loop through several files is found. */
static void test_include_loop(void **state)
{
	char path[128];
	struct given given;

	(void)state;
	main_path(path, sizeof(path));
	file_write("main.ini", "[proxy]\ninclude = a.ini\n");
	file_write("a.ini", "[proxy]\ninclude = b.ini\n");
	file_write("b.ini", "[proxy]\ninclude = main.ini\n");
	read_main(&given, path);
	assert_non_null(strstr(
	    given.printed, "b.ini:2: [proxy] include: include loop: `main.ini` is being read already\n"));
	given_free(&given);
}

/* --set includes files like the main file does, and in place of those that it includes. */
static void test_include_by_set(void **state)
{
	char path[128], setting[256];
	struct given given;

	(void)state;
	main_path(path, sizeof(path));
	file_write("main.ini", "[link main]\n");
	file_write("a.ini", "[link a]\n");
	file_write("b.ini", "[proxy]\n");
	given_main(&given);
	ini_read(given.ini, path);
	snprintf(setting, sizeof(setting), "[proxy] include = %s/a.ini", folder);
	ini_set(given.ini, setting);
	assert_non_null(ini_find(given.ini, "link", "a"));
	assert_int_equal(complaints_count(given.complaints, COMPLAINT_ERROR), 0);
	assert_true(ini_replaces_includes(setting));
	assert_false(ini_replaces_includes("[proxy] included = 1"));
	given_build(&given);
	given_free(&given);
	file_write("main.ini", "[proxy]\ninclude = b.ini\n");
	file_write("b.ini", "[link b]\n");
	given_main(&given);
	ini_replace_includes(given.ini);
	ini_read(given.ini, path);
	ini_set(given.ini, setting);
	assert_non_null(ini_find(given.ini, "link", "a"));
	assert_null(ini_find(given.ini, "link", "b"));
	given_build(&given);
	given_free(&given);
}

/* A file's own [device] sections are tried before those of the files that it includes. */
static void test_devices_first(void **state)
{
	static const char *const order[] = {"m1", "m2", "a1", "c1", "b1"};
	char path[128];
	struct given given;

	(void)state;
	main_path(path, sizeof(path));
	file_write("main.ini",
	    "[device m1]\naddress = 10.0.0.1\n[proxy]\ninclude = a.ini, b.ini\n[device m2]\n"
	    "address = 10.0.0.2\n");
	file_write("a.ini", "[proxy]\ninclude = sub/c.ini\n[device a1]\naddress = 10.0.0.3\n");
	file_write("b.ini", "[device b1]\naddress = 10.0.0.5\n");
	file_write("sub/c.ini", "[device c1]\naddress = 10.0.0.4\n");
	read_main(&given, path);
	assert_string_equal(given.printed, "");
	assert_int_equal(given.config->device_count, COUNT(order));
	for (size_t i = 0; i < COUNT(order); i++)
		assert_string_equal(given.config->devices[i].name, order[i]);
	given_free(&given);
}

/* Links and devices of two profiles can be used by name; the profile's own name works, too. */
static void test_profiles_named(void **state)
{
	char path[128];
	struct given given;
	const struct config *config;

	(void)state;
	main_path(path, sizeof(path));
	file_write("main.ini", "[device one]\naddress = 10.0.0.1\nlink = profile:a\nlike = profile:b\n"
	                       "[device two]\nlink = mine\n[link mine]\nlike = profile:a\nup.loss = 5%\n"
	                       "[rule over]\ndo = link profile:a\ndo = link a\n");
	file_write("a.ini", "[link default]\nlatency = 650ms\n");
	file_write("b.ini", "[device nat]\nnat_timeout = 60s\n");
	read_main(&given, path);
	assert_string_equal(given.printed, "");
	config = given.config;
	assert_int_equal(config->device_count, 2); /* the profile's [device] matches no session */
	assert_int_equal(config->devices[0].nat_timeout, 60 * NS_S);
	assert_int_equal(config->devices[1].nat_timeout, 0);
	assert_string_equal(config->links[config->devices[0].link].name, "profile:a");
	assert_int_equal(config->links[config->devices[1].link].ways[WAY_UP].latency, 650 * NS_MS);
	assert_int_equal(config->rules[0].actions.all[0].link, config->devices[0].link);
	assert_int_equal(config->rules[0].actions.all[1].link, config->devices[0].link);
	given_free(&given);
}

/* A section of the main file that has a profile's name takes precedence, and is not a duplicate. */
static void test_own_name_first(void **state)
{
	char path[128];
	struct given given;

	(void)state;
	main_path(path, sizeof(path));
	file_write(
	    "main.ini", "[proxy]\ninclude = profile:a\n[link a]\nlatency = 1ms\n[device x]\nlink = a\n");
	file_write("a.ini", "[link default]\nlatency = 650ms\n");
	read_main(&given, path);
	assert_string_equal(given.printed, "");
	assert_int_equal(given.config->links[given.config->devices[0].link].ways[WAY_UP].latency, NS_MS);
	given_free(&given);
	file_write("main.ini", "[proxy]\ninclude = profile:a\n[device x]\nlink = a\n");
	read_main(&given, path);
	assert_string_equal(given.printed, "");
	assert_string_equal(given.config->links[given.config->devices[0].link].name, "default");
	given_free(&given);
}

static void test_profiles_missing(void **state)
{
	char path[128];
	struct given given;

	(void)state;
	main_path(path, sizeof(path));
	file_write(
	    "main.ini", "[device one]\nlike = profile:a\nlink = profile:none\n[link x]\nlike = profile:b\n");
	file_write("a.ini", "[link default]\n");
	file_write("b.ini", "[device nat]\n");
	read_main(&given, path);
	assert_string_equal(given.printed,
	    "main.ini:2: [device one] like: `profile:a` has no [device]\n"
	    "main.ini:3: [device one] link: there is no profile `none`; `deadzone profiles` "
	    "lists them\n"
	    "main.ini:5: [link x] like: `profile:b` has no [link]\n");
	given_free(&given);
}

static void test_profiles(void **state)
{
	static const struct {
		const char *include, *want;
	} rows[] = {
	    {"profile:a", ""},
	    {"profile:aa", "main.ini:2: [proxy] include: there is no profile `aa`; did you mean `a`?\n"},
	    {"profile:something-else", "main.ini:2: [proxy] include: there is no profile `something-else`; "
	                               "`deadzone profiles` lists them\n"},
	    {"profile:../a",
	        "main.ini:2: [proxy] include: there is no profile `../a`; `deadzone profiles` lists them\n"},
	};
	char path[128], text[256];

	(void)state;
	main_path(path, sizeof(path));
	file_write("a.ini", "[link a]\n");
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct given given;

		snprintf(text, sizeof(text), "[proxy]\ninclude = %s\n", rows[i].include);
		file_write("main.ini", text);
		read_main(&given, path);
		assert_string_equal(given.printed, rows[i].want);
		given_free(&given);
	}
}

/* The message about a file that the command line names has no line number. */
static void test_no_file(void **state)
{
	struct given given;

	(void)state;
	read_main(&given, "/nowhere/main.ini");
	assert_string_equal(given.printed,
	    "/nowhere/main.ini: `/nowhere/main.ini` cannot be read: No such file or directory\n");
	given_free(&given);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_include),
	    cmocka_unit_test(test_include_mistakes),
	    cmocka_unit_test(test_include_loop),
	    cmocka_unit_test(test_include_by_set),
	    cmocka_unit_test(test_devices_first),
	    cmocka_unit_test(test_profiles_named),
	    cmocka_unit_test(test_own_name_first),
	    cmocka_unit_test(test_profiles_missing),
	    cmocka_unit_test(test_profiles),
	    cmocka_unit_test(test_no_file),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
