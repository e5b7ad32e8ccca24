/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ini: the text of ini files: what is accepted, and the message for each mistake.
 *
 * Covered, with the real kinds [device], [link] and [rule]: every class of error of an ini file with its
 * file, line, section and key; comments, CRLF and BOM; `like`; --set.
 */
#include "test/unit/unit.h"

static void test_mistakes(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
	    /* For unknown sections and keys, the nearest one is named. */
	    {"[lnik default]\nloss = 1%\n",
	        "t.ini:1: unknown section [lnik default]; did you mean [link]?\n"},
	    {"[rules x]\n", "t.ini:1: unknown section [rules x]; did you mean [rule]?\n"},
	    {"[devise a-rather-long-name]\n",
	        "t.ini:1: unknown section [devise a-rather-long-name]; did you mean [device]?\n"},
	    {"[xyzzy]\n",
	        "t.ini:1: unknown section [xyzzy]; there are [proxy], [capture], [device NAME], [link NAME], "
	        "[rule NAME] and [control]\n"},
	    {"[link x]\nlos = 1%\n", "t.ini:2: [link x] los: unknown key; did you mean `loss`?\n"},
	    {"[link x]\nup.latecy = 1ms\n",
	        "t.ini:2: [link x] up.latecy: unknown key; did you mean `up.latency`?\n"},
	    {"[link x]\ndown.jiter = 1ms\n",
	        "t.ini:2: [link x] down.jiter: unknown key; did you mean `down.jitter`?\n"},
	    {"[link x]\nLOSS = 1%\n",
	        "t.ini:2: [link x] LOSS: unknown key; `deadzone help ini` lists those of [link]\n"},
	    {"[link x]\nup.like = y\n",
	        "t.ini:2: [link x] up.like: this key takes no direction; it is written `like`\n"},
	    {"[rule x]\ndo = note\nup.size = 1\n",
	        "t.ini:3: [rule x] up.size: this key takes no direction; it is written `size`\n"},
	    /* Units, and values out of range. */
	    {"[link x]\nlatency = 20\n",
	        "t.ini:2: [link x] latency: `20` lacks its unit; a time is 250us, 20ms, 1.5s, 2m or 1h\n"},
	    {"[link x]\nloss = 2\n", "t.ini:2: [link x] loss: `2` lacks its unit; a share is 2% or 0.5%\n"},
	    {"[link x]\nloss = 101%\n",
	        "t.ini:2: [link x] loss: `101%` is out of range; a share is 0% to 100%\n"},
	    {"[link x]\nup.queue = 50\n",
	        "t.ini:2: [link x] up.queue: `50` lacks its unit; it is datagrams (50p), bytes "
	        "(64KiB) or a time (2s)\n"},
	    /* Empty values, repetitions, rules without actions, references to nothing. */
	    {"[link x]\nloss =\n", "t.ini:2: [link x] loss: has no value; it takes share\n"},
	    {"[link x]\nloss = ; later\n", "t.ini:2: [link x] loss: has no value; it takes share\n"},
	    {"[link x]\nloss = 1%\nloss = 2%\n",
	        "t.ini:3: [link x] loss: is here a second time; the first is in line 2\n"},
	    {"[link x]\nup.loss = 1%\nloss = 2%\nup.loss = 3%\n",
	        "t.ini:4: [link x] up.loss: is here a second time; the first is in line 2\n"},
	    {"[link x]\n[link y]\n[link x]\nnothing = of this is told\n",
	        "t.ini:3: [link x] is here a second time; the first is at t.ini:1\n"},
	    {"[rule x]\nnth = 1\n", "t.ini:1: [rule x]: does nothing: it lacks `do = …`\n"},
	    {"[rule x]\ndo = link y\n", "t.ini:2: [rule x] do: there is no [link y]\n"},
	    {"[device x]\nlink = y\n", "t.ini:2: [device x] link: there is no [link y]\n"},
	    {"[rule x]\ndo = note\ndevice = y\n", "t.ini:3: [rule x] device: there is no [device y]\n"},
	    {"[rule x]\ndo = note\nsince = y\n", "t.ini:3: [rule x] since: there is no [rule y]\n"},
	    {"[link x]\nlike = y\n", "t.ini:2: [link x] like: there is no [link y]\n"},
	    {"[link x]\ntrace = /nowhere/at/all\n",
	        "t.ini:2: [link x] trace: `/nowhere/at/all` cannot be read: No such file or directory\n"},
	    /* Malformed headers. */
	    {"[link x] loss = 1%\n",
	        "t.ini:1: there is text after `]`; a key stands in a line of its own, a comment is ` ; …`\n"},
	    {"[link x];comment\n",
	        "t.ini:1: there is text after `]`; a key stands in a line of its own, a comment is ` ; …`\n"},
	    {"[link x] # comment\n",
	        "t.ini:1: there is text after `]`; a key stands in a line of its own, a comment is ` ; …`\n"},
	    {"[link x\nloss = 1%\n", "t.ini:1: `[link x` lacks its `]`\n"},
	    {"[link]\n", "t.ini:1: [link] lacks its name, as in [link NAME]\n"},
	    {"[link a b]\n",
	        "t.ini:1: [link a b] is no good name; names are letters, digits, `.`, `_` and `-`\n"},
	    {"[link a/b]\n",
	        "t.ini:1: [link a/b] is no good name; names are letters, digits, `.`, `_` and `-`\n"},
	    {"[link x ]\n",
	        "t.ini:1: [link x ] is no good name; names are letters, digits, `.`, `_` and `-`\n"},
	    {"[]\n", "t.ini:1: unknown section []; there are [proxy], [capture], [device NAME], [link NAME], "
	             "[rule NAME] and "
	             "[control]\n"},
	    /* Malformed assignments. */
	    {"[link x]\nloss 1%\n", "t.ini:2: [link x]: `loss 1%` is no assignment; one is `key = value`\n"},
	    {"[link x]\nloss\n", "t.ini:2: [link x]: `loss` is no assignment; one is `key = value`\n"},
	    {"[link x]\n= 1%\n", "t.ini:2: [link x]: `= 1%` has no key before `=`\n"},
	    {"[link x]\nloss : 1%\n",
	        "t.ini:2: [link x] loss: is followed by `:`; an assignment is `key = value`\n"},
	    {"[link x]\nloss: 1% = 2\n",
	        "t.ini:2: [link x] loss: is followed by `:`; an assignment is `key = value`\n"},
	    {"[link x]\n loss = 1%\n",
	        "t.ini:2: [link x]: `loss = 1%` does not start in the first column; indented lines "
	        "mean nothing here\n"},
	    {"[link x]\nlatency = 1ms\n\tloss = 1%\n",
	        "t.ini:3: [link x]: `loss = 1%` does not start in the first column; "
	        "indented lines mean nothing here\n"},
	    {"\t[link x]\n",
	        "t.ini:1: `[link x]` does not start in the first column; indented lines mean nothing here\n"},
	    {"[link x]\nloss = 1% # much\n",
	        "t.ini:2: [link x] loss: ` #` starts no comment after a value; ` ;` does\n"},
	    {"[link x]\nloss = #1%\n",
	        "t.ini:2: [link x] loss: ` #` starts no comment after a value; ` ;` does\n"},
	    {"loss = 1%\n[link x]\n", "t.ini:1: loss: stands before any section\n"},
	    /* Keys of a section whose header is wrong are not checked; those of the next section are. */
	    {"[lnk x]\nbla = 1\n[link y]\nlos = 1%\n",
	        "t.ini:1: unknown section [lnk x]; did you mean [link]?\n"
	        "t.ini:4: [link y] los: unknown key; did you mean `loss`?\n"},
	    /* All mistakes are reported, in the order of the lines. */
	    {"[link x]\nlatency = 1\nloss = 1\njitter = 1\n[rule r]\n",
	        "t.ini:2: [link x] latency: `1` lacks its unit; a time is 250us, 20ms, 1.5s, 2m or 1h\n"
	        "t.ini:3: [link x] loss: `1` lacks its unit; a share is 2% or 0.5%\n"
	        "t.ini:4: [link x] jitter: `1` lacks its unit; a time is 250us, 20ms, 1.5s, 2m or 1h\n"
	        "t.ini:5: [rule r]: does nothing: it lacks `do = …`\n"},
	    {"[rule x]\ndo = note\nsize = 1,,2\n",
	        "t.ini:3: [rule x] size: `1,,2` has an empty place between its commas\n"},
	};

	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		wrong += complaints_differ(rows[i].text, rows[i].want);
	assert_int_equal(wrong, 0);
}

/* Each of these wrong lines gets some message: none is silently passed over. */
static void test_nothing_is_passed_over(void **state)
{
	static const char *const rows[] = {
	    "[link x]\nloss ;comment = 5%\n", /* inih sees a comment before the `=` */
	    "[link x]\nloss ; = 5%\n",
	    "[link x]\n;loss = 5%\nloss\n",
	    "[link x]\n\"loss\" = 5%\n",
	    "[rule x]\ndo = note\nrecord = 0:\n",
	    "[rule x]\ndo = note\nnth = every\n",
	    "[link x]\nloss = 5%\t# much\n",
	    "[link x]]\n",
	    "[[link x]\n",
	};

	unsigned silent = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct given given;

		given_read(&given, rows[i]);
		if (!complaints_count(given.complaints, COMPLAINT_ERROR)) {
			print_error("there is no message about\n%s", rows[i]);
			silent++;
		}
		given_free(&given);
	}
	assert_int_equal(silent, 0);
}

/* ---- Lengths ---- */

static char *repeated(const char *head, char c, size_t count, const char *tail)
{
	char *text = malloc(strlen(head) + count + strlen(tail) + 1);

	assert_non_null(text);
	strcpy(text, head);
	memset(text + strlen(head), c, count);
	strcpy(text + strlen(head) + count, tail);
	return text;
}

/* A line of 198 bytes is taken whole, one of 199 is refused, even if it is a comment. */
static void test_line_length(void **state)
{
	const char *head = "[device x]\nidentity = ";
	size_t key = strlen("identity = ");
	char *longest = repeated(head, 'a', 198 - key, "\n"), *crlf = repeated(head, 'a', 198 - key, "\r\n");
	char *over = repeated(head, 'a', 199 - key, "\n"),
	     *comment = repeated("[device x]\n;", 'a', 198, "\n");
	struct given given;

	(void)state;
	given_read(&given, longest);
	assert_string_equal(given.printed, "");
	assert_int_equal(strlen(given.config->devices[0].identity), 198 - key);
	given_free(&given);
	assert_complaints(crlf, "");
	assert_complaints(comment, "t.ini:2: [device x]: this line has 199 bytes; 198 are the most\n");
	assert_complaints(over, "t.ini:2: [device x]: this line has 199 bytes; 198 are the most\n");
	free(longest);
	free(crlf);
	free(over);
	free(comment);
}

static void test_header_length(void **state)
{
	char *longest = repeated("[link ", 'a', 49 - 5, "]\nloss = 1%\n");
	char *over = repeated("[link ", 'a', 50 - 5, "]\nloss = 1%\n");
	struct given given;

	(void)state;
	given_read(&given, longest);
	assert_string_equal(given.printed, "");
	assert_int_equal(strlen(given.config->links[1].name), 44);
	given_free(&given);
	assert_complaints(over, "t.ini:1: there are 50 bytes between `[` and `]`; 49 are the most\n");
	free(longest);
	free(over);
}

static void test_nul_byte(void **state)
{
	const char text[] = "[link x]\nloss = 1%\0\njitter = 2ms\n";
	FILE *out;
	struct given given;

	(void)state;
	given_init(&given);
	ini_read_text(given.ini, "t.ini", text, sizeof(text) - 1);
	out = open_memstream(&given.printed, &given.printed_size);
	complaints_print(given.complaints, out);
	fclose(out);
	assert_string_equal(given.printed,
	    "t.ini:2: [link x]: there is a NUL byte in this line; an ini file is plain text\n");
	given_free(&given);
}

/* ---- Correct files ---- */

static const char *value_of(const struct given *given, const char *kind, const char *name, const char *key)
{
	const struct ini_section *section = ini_find(given->ini, kind, name);
	const struct ini_entry *entry = section ? ini_entry(section, key) : NULL;

	return entry ? entry->value : "(none)";
}

static void test_good(void **state)
{
	static const struct {
		const char *text, *value; /* of [device x] identity */
	} rows[] = {
	    {"[device x]\nidentity = one\n", "one"},
	    {"[device x]\nidentity=one", "one"},
	    {"[device x]\nidentity  =  one  \n", "one"},
	    {"[device x]\r\nidentity = one\r\n", "one"},
	    {"\xef\xbb\xbf[device x]\nidentity = one\n", "one"},
	    {"\xef\xbb\xbf; comment\n[device x]\nidentity = one\n", "one"},
	    {"[device x] ; comment\nidentity = one ; comment\n", "one"},
	    {"[device x]\nidentity = one ; a # b\n", "one"},
	    {"[device x]\nidentity = one;two\n", "one;two"},
	    {"[device x]\nidentity = one#two\n", "one#two"},
	    {"[device x]\nidentity = one = two\n", "one = two"},
	    {"[device x]\nidentity = one: two\n", "one: two"},
	    {"[device x]\nidentity = \"one\n", "\"one"},
	    {"# a\n; b\n   ; indented comments are harmless\n\t\n\n[device x]\nidentity = one\n", "one"},
	    {"[device\tx]\nidentity\t=\tone\n", "one"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct given given;

		given_read(&given, rows[i].text);
		assert_string_equal(given.printed, "");
		assert_string_equal(value_of(&given, "device", "x", "identity"), rows[i].value);
		given_free(&given);
	}
}

static size_t count_kind(const struct ini *ini, const struct section_kind *kind)
{
	size_t count = 0;

	for (size_t i = 0; i < ini_count(ini); i++)
		count += ini_section(ini, i)->kind == kind;
	return count;
}

/* Empty sections count, keys marked + and `do` may be repeated, and line numbers are kept. */
static void test_sections(void **state)
{
	struct given given;
	const struct ini_section *rule;

	(void)state;
	given_read(&given, "[link a]\n[link b]\n\n[rule r]\ndo = drop\nsize = 1\ndo = note\nsize = 3-5, 9\n");
	assert_string_equal(given.printed, "");
	assert_int_equal(ini_count(given.ini), 3);
	assert_int_equal(count_kind(given.ini, &config_link_kind), 2);
	rule = ini_find(given.ini, "rule", "r");
	assert_int_equal(rule->line, 4);
	assert_string_equal(rule->title, "rule r");
	assert_string_equal(rule->file, "t.ini");
	assert_int_equal(rule->entry_count, 4);
	assert_int_equal(rule->entries[2].line, 7);
	assert_int_equal(ini_index(given.ini, ini_find(given.ini, "link", "b")), 1);
	assert_int_equal(ini_index(given.ini, rule), 0);
	assert_null(ini_find(given.ini, "link", "c"));
	assert_null(ini_entry(rule, "nth"));
	given_free(&given);
}

/* ---- like ---- */

static void test_like(void **state)
{
	static const struct {
		const char *text;
		double up, down; /* loss of [link x] */
	} rows[] = {
	    {"[link x]\nlike = y\n[link y]\nloss = 10%\n", 0.1, 0.1},
	    {"[link x]\nlike = y\n[link y]\nup.loss = 10%\n", 0.1, 0},
	    {"[link x]\nlike = y\nloss = 5%\n[link y]\nup.loss = 10%\ndown.loss = 20%\n", 0.05, 0.05},
	    {"[link x]\nlike = y\nup.loss = 5%\n[link y]\nloss = 10%\n", 0.05, 0.1},
	    {"[link x]\nlike = y\nup.loss = 5%\n[link y]\nup.loss = 10%\ndown.loss = 20%\n", 0.05, 0.2},
	    {"[link x]\nlike = y\n[link y]\nlike = z\ndown.loss = 10%\n[link z]\nloss = 30%\n", 0.3, 0.1},
	    {"[link x]\nlike = y\n[link y]\nlike = z\nloss = 10%\n[link z]\nup.loss = 30%\n", 0.1, 0.1},
	    {"[link y]\nloss = 10%\n[link x]\nloss = 0%\nlike = y\n", 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct given given;
		const struct link *link;

		given_read(&given, rows[i].text);
		assert_string_equal(given.printed, "");
		link = &given.config->links[1 + ini_index(given.ini, ini_find(given.ini, "link", "x"))];
		assert_near(link->ways[WAY_UP].loss, rows[i].up, 1e-12);
		assert_near(link->ways[WAY_DOWN].loss, rows[i].down, 1e-12);
		given_free(&given);
	}
}

/* A section's own values of a + key replace the inherited ones. */
static void test_like_lists(void **state)
{
	struct given given;

	(void)state;
	given_read(&given, "[device a]\naddress = 10.0.0.1, 10.0.0.2\naddress = 10.0.0.3\n"
	                   "[device b]\nlike = a\naddress = 10.0.0.4\nidentity = b\n"
	                   "[device c]\nlike = b\nidentity = c\n");
	assert_int_equal(given.config->devices[0].address.count, 3);
	assert_int_equal(given.config->devices[1].address.count, 1);
	assert_int_equal(given.config->devices[2].address.count, 1);
	assert_int_equal(given.config->devices[2].address.all[0].address.ip[3], 4);
	assert_string_equal(given.config->devices[2].identity, "c");
	given_free(&given);
}

static void test_like_mistakes(void **state)
{
	(void)state;
	assert_complaints("[link x]\nlike = x\n",
	    "t.ini:2: [link x] like: runs in a circle; a section cannot be like itself\n");
	assert_complaints("[link x]\nlike = y\n[link y]\nlike = z\n[link z]\nlike = x\n",
	    "t.ini:6: [link z] like: runs in a circle; a section cannot be like itself\n");
	/* A mistake in an inherited value is reported once, in the line where it stands. */
	assert_complaints("[link x]\nlike = y\n[link y]\nloss = 5\n",
	    "t.ini:4: [link y] loss: `5` lacks its unit; a share is 2% or 0.5%\n");
	/* `like` in a [device] names a [device], not a [link] of that name. */
	assert_complaints(
	    "[device x]\nlike = y\n[link y]\n", "t.ini:2: [device x] like: there is no [device y]\n");
}

/* ---- --set ---- */

static void test_set(void **state)
{
	struct given given;
	const struct ini_entry *entry;

	(void)state;
	given_init(&given);
	given_text(&given,
	    "[link x]\nloss = 1%\nup.loss = 2%\n[rule r]\ndo = drop\ndo = note\nsize = 1\nsize = 2\n");
	ini_set(given.ini, "[link x] loss = 5%");
	ini_set(given.ini, "[rule r] size = 7");
	ini_set(given.ini, "[rule r] do = delay 1s");
	ini_set(given.ini, "[link new]  latency=20ms");
	ini_set(given.ini, "[link new] latency = 30ms");
	given_build(&given);
	assert_string_equal(given.printed, "");
	/* A more specific key in the file stays in force. */
	assert_near(given.config->links[1].ways[WAY_UP].loss, 0.02, 1e-12);
	assert_near(given.config->links[1].ways[WAY_DOWN].loss, 0.05, 1e-12);
	assert_int_equal(given.config->rules[0].sizes.count, 1);
	assert_int_equal(given.config->rules[0].sizes.all[0].low, 7);
	assert_int_equal(given.config->rules[0].actions.count, 1);
	assert_int_equal(given.config->rules[0].actions.all[0].act, ACT_DELAY);
	assert_int_equal(given.config->links[2].ways[WAY_UP].latency, 30 * NS_MS);
	entry = ini_entry(ini_find(given.ini, "link", "new"), "latency");
	assert_string_equal(entry->file, "--set");
	assert_int_equal(entry->line, 0);
	assert_non_null(strstr(ini_text(given.ini), "; --set [link x] loss = 5%\n"));
	given_free(&given);
}

static void test_set_mistakes(void **state)
{
	static const struct {
		const char *setting, *want;
	} rows[] = {
	    {"loss = 1%", "--set: `loss = 1%` is no setting; one is \"[SECTION] KEY = VALUE\"\n"},
	    {"[link x", "--set: `[link x` is no setting; one is \"[SECTION] KEY = VALUE\"\n"},
	    {"[link x] loss = 1%\nloss = 2%",
	        "--set: `[link x] loss = 1%\nloss = 2%` is no setting; one is \"[SECTION] KEY = VALUE\"\n"},
	    {"[lnik x] loss = 1%", "--set: unknown section [lnik x]; did you mean [link]?\n"},
	    {"[link x] los = 1%", "--set: [link x] los: unknown key; did you mean `loss`?\n"},
	    {"[link x] loss = 1", "--set: [link x] loss: `1` lacks its unit; a share is 2% or 0.5%\n"},
	    {"[link x] loss =", "--set: [link x] loss: has no value; it takes share\n"},
	    {"[link x] loss 1%", "--set: [link x]: `loss 1%` is no assignment; one is `key = value`\n"},
	    {"[link x] loss: 1%",
	        "--set: [link x] loss: is followed by `:`; an assignment is `key = value`\n"},
	    {"[link] loss = 1%", "--set: [link] lacks its name, as in [link NAME]\n"},
	    {"[link x] like = y", "--set: [link x] like: there is no [link y]\n"},
	};
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct given given;

		given_init(&given);
		given_text(&given, "[link x]\nloss = 10%\n");
		ini_set(given.ini, rows[i].setting);
		given_build(&given);
		if (strcmp(given.printed, rows[i].want) != 0) {
			print_error("for %s got\n%swant\n%s", rows[i].setting, given.printed, rows[i].want);
			wrong++;
		}
		given_free(&given);
	}
	assert_int_equal(wrong, 0);
}

/* ini_text returns the text of all files, for the head of a capture. */
static void test_text(void **state)
{
	struct given given;

	(void)state;
	given_init(&given);
	given_text(&given, "\xef\xbb\xbf[link x]\nloss = 1%");
	assert_string_equal(ini_text(given.ini), "; file t.ini\n[link x]\nloss = 1%\n");
	given_free(&given);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mistakes),
	    cmocka_unit_test(test_nothing_is_passed_over),
	    cmocka_unit_test(test_line_length),
	    cmocka_unit_test(test_header_length),
	    cmocka_unit_test(test_nul_byte),
	    cmocka_unit_test(test_good),
	    cmocka_unit_test(test_sections),
	    cmocka_unit_test(test_like),
	    cmocka_unit_test(test_like_lists),
	    cmocka_unit_test(test_like_mistakes),
	    cmocka_unit_test(test_set),
	    cmocka_unit_test(test_set_mistakes),
	    cmocka_unit_test(test_text),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
