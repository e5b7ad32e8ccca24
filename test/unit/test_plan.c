/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * settings, plan: a campaign's file, its errors, cells and their labels, the order of units, selectors,
 * shards, settings of a cell and of a search; outcomes.
 */
#include "test/unit/unit.h"

#include <unistd.h>

#include "campaign/outcome.h"
#include "campaign/plan.h"

#define HEAD "[campaign]\nconfig = net.ini\ntest = true\n"

/* A campaign's file as read. */
struct campaign_file {
	char path[64];
	struct complaints *complaints;
	struct settings *settings;
	struct campaign_plan *plan;
	char *printed;
	size_t printed_size;
};

static void file_read(struct campaign_file *file, const char *text)
{
	FILE *out;
	int fd;

	*file = (struct campaign_file){.path = "/tmp/deadzone-test-XXXXXX", .complaints = complaints_new()};
	fd = mkstemp(file->path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	file->settings = settings_new(file->path, NULL, 0, file->complaints);
	if (!complaints_count(file->complaints, COMPLAINT_ERROR))
		file->plan = plan_new(file->settings, file->complaints);
	out = open_memstream(&file->printed, &file->printed_size);
	complaints_print(file->complaints, out);
	fclose(out);
}

static void file_free(struct campaign_file *file)
{
	unlink(file->path);
	plan_free(file->plan);
	settings_free(file->settings);
	complaints_free(file->complaints);
	free(file->printed);
}

/* ---- Errors ---- */

static void test_errors(void **state)
{
	static const struct {
		const char *text, *want; /* a part of the messages */
	} rows[] = {
	    {"[campaign]\n", "lacks `config = …`"},
	    {"[axis a]\nvalues = 1\n", "there is no [campaign]"},
	    {HEAD "prepare = a ; b\n", "use && or a script"},
	    {HEAD "seeds = 1-\n", "has no end"},
	    {HEAD "seeds = 1-5, 3\n", "a second time"},
	    {HEAD "seeds = 1-90000\n", "too many"},
	    {HEAD "timeout = net=gprs 5m\n", "there is no [axis net]"},
	    {HEAD "jobs = 0\n", "out of range"},
	    {HEAD "require = 101%\n", "101%"},
	    {HEAD "[axis a]\n", "has no values"},
	    {HEAD "[axis a]\nvalues = 1, 1\n", "two values have the label `1`"},
	    {HEAD "[axis a]\nvalues = .x\n", "would begin with"},
	    {HEAD "[axis a]\nset = loss\nvalues = 1%\n", "names no key"},
	    {HEAD "[axis a]\nvalues = 1, 2\nnames = one\n", "are 1 for 2 values"},
	    {HEAD "[axis a]\ninclude = nowhere-*.ini\n", "there is no such file"},
	    {HEAD "[axis a]\ninclude = none\nvalues = 1\n", "stands in place of"},
	    {HEAD "[axis a]\nvalues = 1, 2\n[bench b]\nonly = a=3\n", "has no value `3`"},
	    {HEAD "[axis a]\nvalues = 1\n[campaign]\n", "a second time"},
	    {HEAD "[search s]\nset = [link default] loss\nfrom = 5%\nto = 2%\n", "is not above `from`"},
	    {HEAD "[search s]\nset = [link default] loss\nfrom = 5%\nto = 2s\n", "another kind of unit"},
	    {HEAD "[search s]\nset = [link default] wifi\nfrom = 1\nto = 2\n", "lacks `worse = more`"},
	    {HEAD "[search s]\nset = [rule r] do\nvalue = blackout 5s\nfrom = 1s\nto = 2s\n",
	        "does not hold {}"},
	    {HEAD "[search s]\nset = [rule r] do\nvalue = blackout {}\nfrom = 1s\nto = 2s\nrequire = 50s\n",
	        "is no range"},
	    {HEAD "[search s]\nset = [link default] loss\n", "lacks `from = …`"},
	    {HEAD "[sweep s]\nfault = vanish\n", "vanish"},
	    {HEAD "[sweep s]\nfault = swap 2\n", "swap takes no value"},
	    {HEAD "[sweep s]\nfault = truncate\n", "truncate"},
	    {HEAD "[sweep s]\nat = dtls nonsense\n", "nonsense"},
	    {HEAD "[measure m]\nrequire = 5\n", "is no range"},
	    {HEAD "[measure m]\nbetter = bigger\n", "bigger"},
	    {HEAD "[bench b]\nenvironment = TTY\n", "is no variable"},
	    {HEAD "exclude = a=1\n[axis a]\nvalues = 1\n", "leaves no cell"},
	    {HEAD "seeds = none\n", "there is nothing to run"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct campaign_file file;

		file_read(&file, rows[i].text);
		if (!strstr(file.printed ? file.printed : "", rows[i].want))
			fail_msg("for\n%sgot\n%swant `%s`", rows[i].text, file.printed, rows[i].want);
		assert_true(complaints_count(file.complaints, COMPLAINT_ERROR) > 0);
		file_free(&file);
	}
}

/* ---- Cells and units ---- */

static const char matrix[] = HEAD "seeds = 1-3\norder = listed\nexclude = loss=10% rate=fast\n"
                                  "timeout = 1m, loss=10% 2m\nrequire = 90%, rate=slow none\n"
                                  "[axis loss]\nset = [link default] loss\nvalues = 0%, 10%\n"
                                  "[axis rate]\nset = [link default] rate, [link two] rate\n"
                                  "values = 1Mbit, 9.6kbit\nnames = fast, slow\n";

static void test_cells(void **state)
{
	static const char *const ids[] = {"0pct+fast", "0pct+slow", "10pct+slow"};
	struct campaign_file file;
	struct text settings = {0};

	(void)state;
	file_read(&file, matrix);
	assert_non_null(file.plan);
	assert_int_equal(file.plan->cell_count, COUNT(ids));
	for (size_t i = 0; i < COUNT(ids); i++)
		assert_string_equal(file.plan->cells[i].id, ids[i]);
	plan_cell_settings(file.plan, plan_cell(file.plan, "10pct+slow"), &settings);
	assert_string_equal(settings.at, "[link default] loss = 10%\n[link default] rate = 9.6kbit\n"
	                                 "[link two] rate = 9.6kbit\n");
	text_free(&settings);
	assert_int_equal(plan_timeout(file.plan, plan_cell(file.plan, "0pct+fast")), 60 * NS_S);
	assert_int_equal(plan_timeout(file.plan, plan_cell(file.plan, "10pct+slow")), 120 * NS_S);
	assert_near(plan_requirement(file.plan, plan_cell(file.plan, "0pct+fast")), 0.9, 1e-9);
	assert_true(plan_requirement(file.plan, plan_cell(file.plan, "0pct+slow")) < 0);
	file_free(&file);
}

static void test_listed_order(void **state)
{
	static const char *const ids[] = {
	    "m/0pct+fast/1", "m/0pct+slow/1", "m/10pct+slow/1", "m/0pct+fast/2"};
	struct campaign_file file;

	(void)state;
	file_read(&file, matrix);
	assert_int_equal(file.plan->unit_count, 9);
	for (size_t i = 0; i < COUNT(ids); i++)
		assert_string_equal(file.plan->units[i].id, ids[i]);
	assert_non_null(plan_unit(file.plan, "m/10pct+slow/3"));
	assert_null(plan_unit(file.plan, "m/10pct+slow/4"));
	file_free(&file);
}

/* Shuffled cases come seed by seed, each seed's cells in another order, the same one in each invocation. */
static void test_shuffled_order(void **state)
{
	static const char text[] = HEAD "seeds = 1-8\n[axis a]\nvalues = a, b, c, d, e, f\n";
	struct campaign_file file, again;
	unsigned moved = 0;

	(void)state;
	file_read(&file, text);
	file_read(&again, text);
	for (size_t i = 0; i < file.plan->unit_count; i++) {
		assert_int_equal(file.plan->units[i].seed, i / 6 + 1);
		assert_string_equal(file.plan->units[i].id, again.plan->units[i].id);
		moved += file.plan->units[i].cell != i % 6;
	}
	assert_true(moved > 20);
	file_free(&file);
	file_free(&again);
}

/* Cases are grouped by an axis with `change`, and come seed by seed within each group. */
static void test_change_groups(void **state)
{
	struct campaign_file file;

	(void)state;
	file_read(&file,
	    HEAD "seeds = 1-3\n[axis net]\nvalues = x, y\n[axis fw]\nvalues = old, new\nchange = true\n");
	for (size_t i = 0; i < file.plan->unit_count; i++) {
		const struct cell *cell = &file.plan->cells[file.plan->units[i].cell];

		assert_int_equal(cell->values[1], i / 6);
		assert_int_equal(file.plan->units[i].seed, i / 2 % 3 + 1);
	}
	file_free(&file);
}

static void test_other_units(void **state)
{
	struct campaign_file file;
	const struct sweep_section *sweep;

	(void)state;
	file_read(&file,
	    HEAD "[search outage]\nset = [rule r] do\nvalue = blackout {} up\nfrom = 1s\nto = 5m\n"
	         "[sweep lost]\nfault = drop 2, delay 1s\n");
	assert_non_null(file.plan);
	assert_int_equal(file.plan->unit_count, 3);
	assert_string_equal(file.plan->units[0].id, "m/all/1");
	assert_string_equal(file.plan->units[1].id, "s/outage/all");
	assert_string_equal(file.plan->units[2].id, "r/lost/all");
	assert_near(file.settings->searches[0].settings.to, 300, 1e-9);
	assert_false(file.settings->searches[0].settings.less);
	sweep = &file.settings->sweeps[0];
	plan_add_fault(file.plan, 0, 0, "down-finished", &sweep->faults.all[0]);
	plan_add_fault(file.plan, 0, 0, "down-finished", &sweep->faults.all[0]);
	assert_int_equal(file.plan->unit_count, 4);
	assert_string_equal(file.plan->units[3].id, "w/lost/all/down-finished-drop-2");
	file_free(&file);
}

static void test_search_seeds(void **state)
{
	struct campaign_file file;
	struct text setting = {0};

	(void)state;
	file_read(&file, HEAD
	    "seeds = 7, 3\n[search s]\nset = [link default] rate\nvalue = {}\nfrom = 1kbit\nto = 1Mbit\n");
	assert_int_equal(plan_search_seed(file.plan, 1), 7);
	assert_int_equal(plan_search_seed(file.plan, 2), 3);
	assert_int_equal(plan_search_seed(file.plan, 3), 8);
	assert_int_equal(plan_search_seed(file.plan, 5), 10);
	assert_true(file.settings->searches[0].settings.less);
	plan_search_setting(&file.settings->searches[0], 12.5, &setting);
	assert_string_equal(setting.at, "[link default] rate = 12.5kbit\n");
	text_free(&setting);
	file_free(&file);
}

/* Each id is in exactly one shard; the hash is FNV-1a. */
static void test_shards(void **state)
{
	unsigned used[4] = {0};

	(void)state;
	for (int i = 0; i < 1000; i++) {
		char id[32];
		unsigned in = 0;

		snprintf(id, sizeof(id), "m/all/%d", i);
		for (unsigned shard = 1; shard <= 4; shard++)
			if (plan_in_shard(id, shard, 4)) {
				in++;
				used[shard - 1]++;
			}
		assert_int_equal(in, 1);
	}
	for (int i = 0; i < 4; i++)
		assert_near(used[i], 250, 4 * sqrt(1000 * 0.25 * 0.75));
	/* The 64-bit FNV-1a of "a" is 0xaf63dc4c8601ec8c, which is even, so "a" is in shard 1 of 2. */
	assert_true(plan_in_shard("a", 1, 2));
}

static void test_labels(void **state)
{
	static const char *const rows[][2] = {{"10%", "10pct"}, {"blackout 5s up", "blackout-5s-up"},
	    {"a/b//c", "a-b-c"}, {"x_y.z-1", "x_y.z-1"}, {"ü", "-"}};
	struct arena *arena = arena_new();

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_string_equal(settings_label(arena, rows[i][0]), rows[i][1]);
	arena_free(arena);
}

static void test_which_file(void **state)
{
	(void)state;
	assert_true(settings_take("[campaign] jobs = 3"));
	assert_true(settings_take("[axis loss] values = 1%"));
	assert_false(settings_take("[link default] loss = 1%"));
	assert_false(settings_take("[campaigns] x = 1"));
	assert_false(settings_take("jobs = 3"));
}

/* ---- Outcomes ---- */

static void test_outcomes(void **state)
{
	struct span two_to_five = {2, 5, 0};
	static const struct {
		struct outcome_facts facts;
		bool pytest;
		enum case_outcome want;
	} rows[] = {
	    {{.has_sessions = true}, false, OUTCOME_PASS},
	    {{.has_sessions = true, .status = 1}, false, OUTCOME_FAIL},
	    {{.has_sessions = true, .signal = 9}, false, OUTCOME_FAIL},
	    {{.has_sessions = true, .timed_out = true}, false, OUTCOME_TIMEOUT},
	    {{.has_sessions = true, .status = 77}, false, OUTCOME_SKIP},
	    {{.status = 77}, false, OUTCOME_SKIP},
	    {{.status = 1}, false, OUTCOME_INVALID},
	    {{.timed_out = true}, false, OUTCOME_INVALID},
	    {{.has_sessions = true, .status = 125}, false, OUTCOME_INVALID},
	    {{.has_sessions = true, .status = 126}, false, OUTCOME_INVALID},
	    {{.has_sessions = true, .status = 127}, false, OUTCOME_INVALID},
	    {{.has_sessions = true, .status = 4}, false, OUTCOME_FAIL},
	    {{.has_sessions = true, .status = 4}, true, OUTCOME_INVALID},
	    {{.has_sessions = true, .broken = "no"}, false, OUTCOME_INVALID},
	    {{.has_sessions = true, .is_late = true, .status = 1}, false, OUTCOME_INVALID},
	    {{.has_sessions = true, .is_lossy = true}, false, OUTCOME_INVALID},
	    {{.has_sessions = true, .unmet = "x"}, false, OUTCOME_INVALID},
	    {{.has_sessions = true, .unmet = "x", .status = 1}, false, OUTCOME_FAIL},
	    {{.has_sessions = true, .is_fault = true}, false, OUTCOME_INVALID},
	    {{.has_sessions = true, .is_fault = true, .status = 1}, false, OUTCOME_INVALID},
	    {{.has_sessions = true, .is_fault = true, .is_struck = true}, false, OUTCOME_PASS},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct outcome_facts facts = rows[i].facts;
		struct spans spans = {&two_to_five, rows[i].pytest};
		struct text reason = {0};

		facts.invalid_status = &spans;
		if (outcome_of(&facts, &reason) != rows[i].want)
			fail_msg("row %zu: %s", i, reason.size ? reason.at : "pass");
		assert_int_equal(reason.size == 0, rows[i].want == OUTCOME_PASS);
		text_free(&reason);
	}
	assert_int_equal(outcome_read("timeout"), OUTCOME_TIMEOUT);
	assert_int_equal(outcome_read("late"), -1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_cells),
	    cmocka_unit_test(test_listed_order),
	    cmocka_unit_test(test_shuffled_order),
	    cmocka_unit_test(test_change_groups),
	    cmocka_unit_test(test_other_units),
	    cmocka_unit_test(test_search_seeds),
	    cmocka_unit_test(test_shards),
	    cmocka_unit_test(test_labels),
	    cmocka_unit_test(test_which_file),
	    cmocka_unit_test(test_outcomes),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
