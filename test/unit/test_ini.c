/*
 * ini: the text of ini files: what is taken, and the line that each mistake gets.
 *
 * Proven, with the real kinds [device], [link] and [rule] and a [proxy] that only includes: every class of
 * error of an ini file with its file, line, section and key; comments, CRLF and BOM; `like`; --set; includes
 * and their order.
 */
#include "test/unit/unit.h"

#include <sys/stat.h>
#include <unistd.h>

static void test_mistakes(void **state)
{
	static const struct {
		const char *text, *told;
	} rows[] = {
	    /* Unknown sections and keys: the nearest is named. */
	    {"[lnik default]\nloss = 1%\n",
	        "t.ini:1: unknown section [lnik default]; the nearest is [link]\n"},
	    {"[rules x]\n", "t.ini:1: unknown section [rules x]; the nearest is [rule]\n"},
	    {"[devise a-rather-long-name]\n",
	        "t.ini:1: unknown section [devise a-rather-long-name]; the nearest is [device]\n"},
	    {"[xyzzy]\n",
	        "t.ini:1: unknown section [xyzzy]; there are [proxy], [capture], [device NAME], [link NAME], "
	        "[rule NAME] and [control]\n"},
	    {"[link x]\nlos = 1%\n", "t.ini:2: [link x] los: unknown key; the nearest is `loss`\n"},
	    {"[link x]\nup.latecy = 1ms\n",
	        "t.ini:2: [link x] up.latecy: unknown key; the nearest is `up.latency`\n"},
	    {"[link x]\ndown.jiter = 1ms\n",
	        "t.ini:2: [link x] down.jiter: unknown key; the nearest is `down.jitter`\n"},
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
	    /* Empty, twice, nothing to do, nothing there. */
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
	    /* The shape of headers. */
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
	    /* The shape of assignments. */
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
	    /* Keys of a section whose header is wrong are not judged; those of the next are. */
	    {"[lnk x]\nbla = 1\n[link y]\nlos = 1%\n",
	        "t.ini:1: unknown section [lnk x]; the nearest is [link]\n"
	        "t.ini:4: [link y] los: unknown key; the nearest is `loss`\n"},
	    /* All are told, in the order of the lines. */
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
		wrong += told_wrong(rows[i].text, rows[i].told);
	assert_int_equal(wrong, 0);
}

/* Whatever is wrong with these lines, it is told: nothing is silently passed over. */
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
			print_error("nothing is told of\n%s", rows[i]);
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

/* 198 bytes of a line are taken whole, 199 are refused, of a comment too. */
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
	assert_string_equal(given.told, "");
	assert_int_equal(strlen(given.config->devices[0].identity), 198 - key);
	given_free(&given);
	assert_told(crlf, "");
	assert_told(comment, "t.ini:2: [device x]: this line has 199 bytes; 198 are the most\n");
	assert_told(over, "t.ini:2: [device x]: this line has 199 bytes; 198 are the most\n");
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
	assert_string_equal(given.told, "");
	assert_int_equal(strlen(given.config->links[1].name), 44);
	given_free(&given);
	assert_told(over, "t.ini:1: there are 50 bytes between `[` and `]`; 49 are the most\n");
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
	out = open_memstream(&given.told, &given.told_size);
	complaints_print(given.complaints, out);
	fclose(out);
	assert_string_equal(
	    given.told, "t.ini:2: [link x]: there is a NUL byte in this line; an ini file is plain text\n");
	given_free(&given);
}

/* ---- What is right ---- */

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
	    {"[device x]\nidentity = \"one\"\n", "\"one\""},
	    {"# a\n; b\n   ; indented comments are harmless\n\t\n\n[device x]\nidentity = one\n", "one"},
	    {"[device\tx]\nidentity\t=\tone\n", "one"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct given given;

		given_read(&given, rows[i].text);
		assert_string_equal(given.told, "");
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

/* Empty sections count, keys marked + and `do` may come again, and the lines are known. */
static void test_sections(void **state)
{
	struct given given;
	const struct ini_section *rule;

	(void)state;
	given_read(&given, "[link a]\n[link b]\n\n[rule r]\ndo = drop\nsize = 1\ndo = note\nsize = 3-5, 9\n");
	assert_string_equal(given.told, "");
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
		assert_string_equal(given.told, "");
		link = &given.config->links[1 + ini_index(given.ini, ini_find(given.ini, "link", "x"))];
		assert_near(link->ways[WAY_UP].loss, rows[i].up, 1e-12);
		assert_near(link->ways[WAY_DOWN].loss, rows[i].down, 1e-12);
		given_free(&given);
	}
}

/* Own values of a + key replace the inherited ones. */
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
	assert_told("[link x]\nlike = x\n",
	    "t.ini:2: [link x] like: runs in a circle; a section cannot be like itself\n");
	assert_told("[link x]\nlike = y\n[link y]\nlike = z\n[link z]\nlike = x\n",
	    "t.ini:6: [link z] like: runs in a circle; a section cannot be like itself\n");
	/* What is wrong in an inherited value is told where it stands, and once. */
	assert_told("[link x]\nlike = y\n[link y]\nloss = 5\n",
	    "t.ini:4: [link y] loss: `5` lacks its unit; a share is 2% or 0.5%\n");
	/* A [device] is like a [device], not like a [link] of that name. */
	assert_told("[device x]\nlike = y\n[link y]\n", "t.ini:2: [device x] like: there is no [device y]\n");
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
	assert_string_equal(given.told, "");
	/* A more specific key that stands stays in force. */
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
		const char *setting, *told;
	} rows[] = {
	    {"loss = 1%", "--set:0: `loss = 1%` is no setting; one is \"[SECTION] KEY = VALUE\"\n"},
	    {"[link x", "--set:0: `[link x` is no setting; one is \"[SECTION] KEY = VALUE\"\n"},
	    {"[link x] loss = 1%\nloss = 2%",
	        "--set:0: `[link x] loss = 1%\nloss = 2%` is no setting; one is \"[SECTION] KEY = VALUE\"\n"},
	    {"[lnik x] loss = 1%", "--set:0: unknown section [lnik x]; the nearest is [link]\n"},
	    {"[link x] los = 1%", "--set:0: [link x] los: unknown key; the nearest is `loss`\n"},
	    {"[link x] loss = 1", "--set:0: [link x] loss: `1` lacks its unit; a share is 2% or 0.5%\n"},
	    {"[link x] loss =", "--set:0: [link x] loss: has no value; it takes share\n"},
	    {"[link x] loss 1%", "--set:0: [link x]: `loss 1%` is no assignment; one is `key = value`\n"},
	    {"[link x] loss: 1%",
	        "--set:0: [link x] loss: is followed by `:`; an assignment is `key = value`\n"},
	    {"[link] loss = 1%", "--set:0: [link] lacks its name, as in [link NAME]\n"},
	    {"[link x] like = y", "--set:0: [link x] like: there is no [link y]\n"},
	};
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct given given;

		given_init(&given);
		given_text(&given, "[link x]\nloss = 10%\n");
		ini_set(given.ini, rows[i].setting);
		given_build(&given);
		if (strcmp(given.told, rows[i].told) != 0) {
			print_error("of %s is told\n%snot\n%s", rows[i].setting, given.told, rows[i].told);
			wrong++;
		}
		given_free(&given);
	}
	assert_int_equal(wrong, 0);
}

/* ---- Files and includes ---- */

static char folder[] = "/tmp/deadzone-ini-XXXXXX";
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

/* An ini with a [proxy] that knows `include`; profiles lie in the folder. */
static void given_main(struct given *given)
{
	static const struct key proxy_keys[] = {{.name = "include", .flags = KEY_LIST, .takes = "file"}};
	static const struct section_kind proxy = {.name = "proxy", .keys = proxy_keys, .key_count = 1};
	static const struct section_kind *const kinds[] = {
	    &proxy, &config_device_kind, &config_link_kind, &config_rule_kind};

	*given = (struct given){.complaints = complaints_new(), .names = names_new()};
	given->ini = ini_new(kinds, COUNT(kinds), folder, given->complaints);
}

/* Reads main.ini; what is told, with the folder taken out of the paths. */
static void read_main(struct given *given, const char *path)
{
	given_main(given);
	ini_read(given->ini, path);
	given_build(given);
	for (char *at = strstr(given->told, folder); at; at = strstr(at, folder))
		memmove(at, at + strlen(folder) + 1, strlen(at + strlen(folder) + 1) + 1);
}

static void main_path(char *path, size_t room)
{
	snprintf(path, room, "%s/main.ini", folder);
}

/* Included sections come before those of the file that names them; paths are relative to the naming file. */
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
	assert_string_equal(given.told, "");
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
		const char *main, *a, *b, *told;
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
	        "a.ini:1: [link x] is here a second time; the first is at a.ini:1\n"},
	    {"[proxy]\ninclude = main.ini\n", "", "",
	        "main.ini:2: [proxy] include: include loop: `main.ini` is being read already\n"},
	    {"[proxy]\ninclude = a.ini\n", "[link x]\n[proxy]\n", "",
	        "a.ini:2: [proxy]: an included file has no [proxy]; it belongs into the file that includes "
	        "it\n"},
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
		assert_string_equal(given.told, rows[i].told);
		given_free(&given);
	}
}

/* A loop over two files is found, although each [proxy] of an included file is wrong as well. */
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
	assert_non_null(
	    strstr(given.told, "b.ini:2: [proxy] include: include loop: `main.ini` is being read already\n"));
	given_free(&given);
}

/* What an included file may not hold it may not hold either where --set includes it. */
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
	snprintf(setting, sizeof(setting), "[proxy] include = %s/b.ini", folder);
	ini_set(given.ini, setting);
	assert_int_equal(complaints_count(given.complaints, COMPLAINT_ERROR), 1);
	given_free(&given);
}

static void test_profiles(void **state)
{
	static const struct {
		const char *include, *told;
	} rows[] = {
	    {"profile:a", ""},
	    {"profile:aa", "main.ini:2: [proxy] include: there is no profile `aa`; the nearest is `a`\n"},
	    {"profile:something-else", "main.ini:2: [proxy] include: there is no profile `something-else`; "
	                               "`deadzone profiles` lists them\n"},
	    {"profile:../a", "main.ini:2: [proxy] include: there is no profile `../a`; the nearest is `a`\n"},
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
		if (strchr(rows[i].include, '/'))
			assert_int_equal(complaints_count(given.complaints, COMPLAINT_ERROR), 1);
		else
			assert_string_equal(given.told, rows[i].told);
		given_free(&given);
	}
}

/* A file that the command line names is told of at line 0 of itself. */
static void test_no_file(void **state)
{
	struct given given;

	(void)state;
	read_main(&given, "/nowhere/main.ini");
	assert_string_equal(given.told,
	    "/nowhere/main.ini:0: `/nowhere/main.ini` cannot be read: No such file or directory\n");
	given_free(&given);
}

/* The text of all files, for the capture's head. */
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
	    cmocka_unit_test(test_include),
	    cmocka_unit_test(test_include_mistakes),
	    cmocka_unit_test(test_include_loop),
	    cmocka_unit_test(test_include_by_set),
	    cmocka_unit_test(test_profiles),
	    cmocka_unit_test(test_no_file),
	    cmocka_unit_test(test_text),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
