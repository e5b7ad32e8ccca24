/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * result, sweep, expand, findings: results as JSON, places that references share, the rules of faults, and
 * how results are judged.
 */
#include "test/unit/unit.h"

#include <unistd.h>

#include "campaign/findings.h"

static struct settings *settings;
static struct campaign_plan *plan;
static struct expansion *expansion;
static struct results results;
static struct findings *findings;

static void begin(const char *text)
{
	char path[] = "/tmp/deadzone-test-XXXXXX";
	struct complaints *complaints = complaints_new();
	int fd = mkstemp(path);

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	settings = settings_new(path, NULL, 0, complaints);
	assert_int_equal(complaints_count(complaints, COMPLAINT_ERROR), 0);
	plan = plan_new(settings, complaints);
	assert_non_null(plan);
	expansion = expansion_new(plan);
	complaints_free(complaints);
	unlink(path);
}

static struct result make_result(const char *id, enum case_outcome outcome)
{
	return (struct result){.id = strdup(id), .outcome = outcome, .seconds = 1, .lateness_p99_us = NAN};
}

static void add(const char *id, enum case_outcome outcome)
{
	struct result result = make_result(id, outcome);

	results_put(&results, &result);
}

static void judge(void)
{
	findings_free(findings);
	expansion_update(expansion, plan, &results);
	findings = findings_new(plan, expansion, &results);
}

static void end(void)
{
	findings_free(findings);
	findings = NULL;
	expansion_free(expansion);
	plan_free(plan);
	settings_free(settings);
	results_free(&results);
}

static const struct requirement *requirement(const char *name)
{
	for (size_t i = 0; i < findings->requirement_count; i++)
		if (strcmp(findings->requirements[i].name, name) == 0)
			return &findings->requirements[i];
	fail_msg("there is no requirement %s", name);
	return NULL;
}

/* ---- Results ---- */

static void test_result_json(void **state)
{
	struct result from = make_result("m/a/1", OUTCOME_FAIL), back;
	struct error error;
	json_t *json;

	(void)state;
	from.reason = strdup("test exited with status 3");
	from.status = 3;
	from.seed = 1;
	from.figure = strdup("42s");
	from.struck = 2;
	from.lateness_p99_us = 120;
	result_measure(&from, "tries", 3.5);
	result_measure(&from, "tries", 4.5);
	result_unmet(&from, "rule r fired 0 times");
	result_place(&from, "up-x|y|1|0");
	json = result_json(&from);
	assert_int_equal(result_read(json, &back, &error), 0);
	assert_string_equal(back.id, "m/a/1");
	assert_int_equal(back.outcome, OUTCOME_FAIL);
	assert_string_equal(back.reason, from.reason);
	assert_int_equal(back.status, 3);
	assert_string_equal(back.figure, "42s");
	assert_int_equal(back.struck, 2);
	assert_near(back.lateness_p99_us, 120, 1e-9);
	assert_near(result_value(&back, "tries"), 4.5, 1e-9);
	assert_true(isnan(result_value(&back, "other")));
	assert_string_equal(back.unmet[0], from.unmet[0]);
	assert_string_equal(back.places[0], from.places[0]);
	json_decref(json);
	result_fini(&from);
	result_fini(&back);
}

static void test_malformed_results(void **state)
{
	static const char *const texts[] = {"{}", "[]", "3", "{\"id\": 3, \"outcome\": \"pass\"}",
	    "{\"id\": \"x\", \"outcome\": \"late\"}", "{\"id\": \"x\", \"outcome\": null}"};
	struct result result;
	struct error error;

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		json_t *json = json_loads(texts[i], JSON_DECODE_ANY, NULL);

		assert_int_equal(result_read(json, &result, &error), -1);
		json_decref(json);
	}
}

static void test_results(void **state)
{
	(void)state;
	results_remove(&results, "m/all/1"); /* there is none */
	for (int round = 0; round < 3; round++) {
		add("m/all/10", OUTCOME_PASS);
		add("m/all/9", OUTCOME_FAIL);
		add("m/all/9", OUTCOME_SKIP);
		assert_int_equal(results.count, 2);
		assert_int_equal(results_get(&results, "m/all/9")->outcome, OUTCOME_SKIP);
		results_sort(&results);
		assert_string_equal(results.all[0]->id, "m/all/9");
		results_remove(&results, "m/all/9");
		results_remove(&results, "m/all/9");
		assert_null(results_get(&results, "m/all/9"));
		assert_int_equal(results_get(&results, "m/all/10")->outcome, OUTCOME_PASS);
		assert_int_equal(results.count, 1);
	}
	results_free(&results);
	assert_int_equal(results.count, 0);
}

/* ---- Matrix ---- */

#define MATRIX "[campaign]\nconfig = n\ntest = true\nseeds = 1-4\nrequire = 75%\n[axis a]\nvalues = x, y\n"

static void test_matrix(void **state)
{
	(void)state;
	begin(MATRIX);
	judge();
	assert_int_equal(requirement("m/x")->state, REQUIREMENT_UNKNOWN);
	assert_int_equal(findings_exit(findings), 1);
	for (int seed = 1; seed <= 4; seed++) {
		char id[16];

		snprintf(id, sizeof(id), "m/x/%d", seed);
		add(id, seed == 1 ? OUTCOME_TIMEOUT : OUTCOME_PASS);
		snprintf(id, sizeof(id), "m/y/%d", seed);
		add(id, OUTCOME_SKIP);
	}
	judge();
	assert_int_equal(requirement("m/x")->state, REQUIREMENT_HELD);
	assert_int_equal(requirement("m/y")->state, REQUIREMENT_SKIPPED);
	assert_int_equal(findings_exit(findings), 0);
	add("m/x/2", OUTCOME_INVALID);
	judge();
	/* 2 of 3 is below 75 %: the cases that can be judged miss the requirement. */
	assert_int_equal(requirement("m/x")->state, REQUIREMENT_FAILED);
	assert_int_equal(requirement("m/x")->failed_count, 1);
	assert_string_equal(requirement("m/x")->failed[0], "m/x/1");
	assert_int_equal(findings_exit(findings), 3);
	add("m/x/1", OUTCOME_PASS);
	judge();
	assert_int_equal(requirement("m/x")->state, REQUIREMENT_UNKNOWN);
	assert_int_equal(findings_exit(findings), 1);
	assert_int_equal(findings->cells[0].passes.count, 3);
	end();
}

static void test_measures(void **state)
{
	(void)state;
	begin("[campaign]\nconfig = n\ntest = true\nseeds = 1-4\n[axis a]\nvalues = x\n[measure "
	      "flash]\nrequire = -300\n[measure bytes_up]\nbetter = less\n");
	for (int seed = 1; seed <= 4; seed++) {
		char id[16];
		struct result result;

		snprintf(id, sizeof(id), "m/x/%d", seed);
		result = make_result(id, OUTCOME_PASS);
		result_measure(&result, "flash", 100 * seed);
		results_put(&results, &result);
	}
	judge();
	assert_int_equal(requirement("x flash")->state, REQUIREMENT_HELD);
	assert_int_equal(findings->measure_count, SETTINGS_BUILT_IN + 1);
	assert_near(findings_measure(findings, SETTINGS_BUILT_IN, 0)->median, 250, 1e-9);
	assert_near(findings_measure(findings, SETTINGS_BUILT_IN, 0)->low, 115, 1e-9);
	settings->measures[0].require_high = 200;
	judge();
	assert_int_equal(requirement("x flash")->state, REQUIREMENT_FAILED);
	end();
}

/* ---- Searches ---- */

#define SEARCH                                                                                               \
	"[campaign]\nconfig = n\ntest = true\nseeds = none\n[search outage]\nset = [rule r] do\n"            \
	"value = blackout {}\nfrom = 1s\nto = 300s\nrequire = 50s-\n"

/* Adds the runs of a device with a sharp edge; returns how many. */
static unsigned run_search(double threshold, unsigned most)
{
	struct search *search = search_new(&settings->searches[0].settings);
	double figure;
	unsigned run = 0;

	while (run < most && search_next(search, NULL, 0, &figure)) {
		char id[32], text[FIGURE_TEXT_SIZE];
		struct result result;

		snprintf(id, sizeof(id), "s/outage/all/%03u", ++run);
		result = make_result(id, figure < threshold ? OUTCOME_PASS : OUTCOME_FAIL);
		result.figure = strdup(
		    figure_text(&settings->searches[0].settings.unit, figure, text, sizeof(text)));
		results_put(&results, &result);
		search_answer(search, figure, figure < threshold);
	}
	search_free(search);
	return run;
}

static void test_search(void **state)
{
	struct text text = {0};
	unsigned runs;

	(void)state;
	begin(SEARCH);
	runs = run_search(75, 5);
	judge();
	assert_int_equal(findings_exit(findings), 1);
	assert_int_equal(requirement("s/outage/all")->state, REQUIREMENT_UNKNOWN);
	runs = run_search(75, 1000);
	judge();
	assert_int_equal(requirement("s/outage/all")->state, REQUIREMENT_HELD);
	assert_int_equal(findings_exit(findings), 0);
	assert_int_equal(findings_search(findings, 0, 0)->point_count, runs);
	assert_near(findings_search(findings, 0, 0)->result.threshold, 75, 7.5);
	end();
	begin(SEARCH);
	run_search(20, 1000);
	judge();
	assert_int_equal(requirement("s/outage/all")->state, REQUIREMENT_FAILED);
	assert_true(requirement("s/outage/all")->failed_count > 0);
	end();
	/* Passing up to 300 s meets any lower limit up to that; failing from 1 s on meets none. */
	begin(SEARCH);
	run_search(1e9, 1000);
	judge();
	assert_int_equal(requirement("s/outage/all")->state, REQUIREMENT_HELD);
	findings_search_text(&settings->searches[0], findings_search(findings, 0, 0), &text);
	assert_int_equal(strncmp(text.at, "> 300 s, ", 9), 0);
	text_free(&text);
	end();
	begin(SEARCH);
	run_search(0, 1000);
	judge();
	assert_int_equal(requirement("s/outage/all")->state, REQUIREMENT_FAILED);
	end();
}

/* A skipped or invalid case gives no point; three in a row end the search as incomplete. */
static void test_no_points(void **state)
{
	const struct unit *unit;
	struct search *search;
	size_t points;
	unsigned no_points;

	(void)state;
	begin(SEARCH);
	run_search(75, 2);
	add("s/outage/all/003", OUTCOME_SKIP);
	add("s/outage/all/004", OUTCOME_INVALID);
	unit = plan_unit(plan, "s/outage/all");
	search = search_new(&settings->searches[0].settings);
	assert_int_equal(
	    search_replay(unit, &results, search, &settings->searches[0], NULL, &points, &no_points), 4);
	assert_int_equal(points, 2);
	assert_int_equal(no_points, 2);
	search_free(search);
	add("s/outage/all/005", OUTCOME_SKIP);
	judge();
	assert_int_equal(findings_search(findings, 0, 0)->no_points, SEARCH_NO_POINTS_MAX);
	assert_true(findings_search(findings, 0, 0)->is_incomplete);
	end();
}

/* ---- Sweeps ---- */

#define SWEEP                                                                                                \
	"[campaign]\nconfig = n\ntest = true\nseeds = none\n[sweep lost]\nreferences = 2\nfault = drop, "    \
	"delay 2s\nmax_cost = 5s\n"

static void add_reference(unsigned number, enum case_outcome outcome, const char *const *places, size_t count)
{
	char id[32];
	struct result result;

	snprintf(id, sizeof(id), "r/lost/all/%u", number);
	result = make_result(id, outcome);
	result_measure(&result, "network_seconds", 10);
	for (size_t i = 0; i < count; i++)
		result_place(&result, places[i]);
	results_put(&results, &result);
}

static const char *const places_a[] = {
    "up-client_hello|direction = up;dtls = client_hello;message_seq = 0|1|0",
    "down-server_hello|direction = down;dtls = server_hello;message_seq = 1|1|1",
    "down-server_hello_done|direction = down;dtls = server_hello_done;message_seq = 2|1|1",
    "up-finished|direction = up;dtls = finished|1|3", "up-only_a|direction = up|1|4"};
static const char *const places_b[] = {
    "up-client_hello|direction = up;dtls = client_hello;message_seq = 0|1|0",
    "down-server_hello|direction = down;dtls = server_hello;message_seq = 1|1|7",
    "down-server_hello_done|direction = down;dtls = server_hello_done;message_seq = 2|1|7",
    "up-finished|direction = up;dtls = finished|1|8", "up-only_b|direction = up|1|9"};

static void pass_fault(const char *id, double seconds)
{
	struct result result = make_result(id, OUTCOME_PASS);

	result_measure(&result, "network_seconds", seconds);
	results_put(&results, &result);
}

static void test_sweep(void **state)
{
	const struct sweep_cell *cell;

	(void)state;
	begin(SWEEP);
	add_reference(1, OUTCOME_PASS, places_a, COUNT(places_a));
	judge();
	assert_int_equal(expansion_cell(expansion, 0, 0)->state, SWEEP_WAITS);
	assert_int_equal(plan->unit_count, 1);
	add_reference(2, OUTCOME_PASS, places_b, COUNT(places_b));
	judge();
	cell = expansion_cell(expansion, 0, 0);
	assert_int_equal(cell->state, SWEEP_READY);
	/* server_hello_done shares a datagram with server_hello; places that one reference lacks are left
	 * out. */
	assert_int_equal(cell->places.count, 3);
	assert_int_equal(cell->places.unshared, 2);
	assert_int_equal(plan->unit_count, 7);
	assert_int_equal(findings_exit(findings), 1);
	pass_fault("w/lost/all/up-client_hello-drop", 11);
	pass_fault("w/lost/all/up-client_hello-delay-2s", 12);
	pass_fault("w/lost/all/down-server_hello-drop", 11);
	pass_fault("w/lost/all/down-server_hello-delay-2s", 12);
	pass_fault("w/lost/all/up-finished-drop", 14);
	pass_fault("w/lost/all/up-finished-delay-2s", 12);
	judge();
	assert_int_equal(requirement("w/lost/all")->state, REQUIREMENT_HELD);
	assert_near(findings_sweep(findings, 0, 0)->max_cost, 4, 1e-9);
	pass_fault("w/lost/all/up-finished-drop", 16);
	judge();
	assert_int_equal(requirement("w/lost/all")->state, REQUIREMENT_FAILED);
	assert_string_equal(requirement("w/lost/all")->failed[0], "w/lost/all/up-finished-drop");
	end();
}

static void test_failed_reference(void **state)
{
	(void)state;
	begin(SWEEP);
	add_reference(1, OUTCOME_FAIL, places_a, COUNT(places_a));
	judge();
	assert_int_equal(expansion_cell(expansion, 0, 0)->state, SWEEP_FAILED);
	assert_int_equal(requirement("w/lost/all")->state, REQUIREMENT_UNKNOWN);
	assert_int_equal(findings_exit(findings), 1);
	end();
}

static void test_limit(void **state)
{
	struct result reference = make_result("r/lost/all/1", OUTCOME_PASS);
	const struct result *references[] = {&reference};
	struct sweep_plan places;

	(void)state;
	for (int i = 0; i < 100; i++) {
		char place[64];

		snprintf(place, sizeof(place), "up-%d|direction = up;nth = %d|1|%d", i + 1, i + 1, i);
		result_place(&reference, place);
	}
	sweep_plan(references, 1, 10, &places);
	assert_int_equal(places.count, 10);
	assert_int_equal(places.over_limit, 90);
	for (size_t i = 1; i < places.count; i++)
		assert_int_equal(atoi(places.all[i].name + 3) - atoi(places.all[i - 1].name + 3), 10);
	sweep_plan_free(&places);
	result_fini(&reference);
}

static void assert_rule(const char *name, const struct fault *fault, const char *want)
{
	struct sweep_place place;
	struct text rule = {0};

	assert_int_equal(sweep_place_of(name, &place), 0);
	sweep_rule(&place, fault, &rule);
	assert_string_equal(rule.at, want);
	text_free(&rule);
	sweep_place_fini(&place);
}

static void test_rules(void **state)
{
	static const struct fault drop = {FAULT_DROP, "drop", "drop", 1};
	static const struct fault drop_3 = {FAULT_DROP, "drop 3", "drop-3", 3};
	static const struct fault swap = {FAULT_SWAP, "swap", "swap", 1};
	static const struct fault dark = {FAULT_BLACKOUT, "blackout 5s up", "blackout-5s-up", 1};
	struct sweep_place place;

	(void)state;
	assert_rule("down-finished", &drop_3,
	    "\n[rule deadzone-fault]\ndirection = down\ndtls = finished\nscope = first\nattempt = 1-3\nlimit "
	    "= "
	    "3\n"
	    "do = drop\n");
	assert_rule("up-17", &drop,
	    "\n[rule deadzone-fault]\ndirection = up\nnth = 17\nsession = 1\nlimit = 1\ndo = drop\n");
	assert_rule("up-17", &drop_3,
	    "\n[rule deadzone-fault]\ndirection = up\nnth = 17-19\nsession = 1\nlimit = 3\ndo = drop\n");
	assert_rule("down-application_data-2", &swap,
	    "\n[rule deadzone-fault]\ndirection = down\ndtls = application_data\nscope = first\nnth = "
	    "2\nlimit "
	    "= 1\n"
	    "do = hold 1\n");
	assert_rule("up-finished", &dark,
	    "\n[rule deadzone-fault]\ndirection = up\ndtls = finished\nscope = first\nattempt = 1\nlimit = "
	    "1\n"
	    "do = blackout 5s up\n");
	assert_int_equal(sweep_place_of("sideways-finished", &place), -1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_result_json),
	    cmocka_unit_test(test_malformed_results),
	    cmocka_unit_test(test_results),
	    cmocka_unit_test(test_matrix),
	    cmocka_unit_test(test_measures),
	    cmocka_unit_test(test_search),
	    cmocka_unit_test(test_no_points),
	    cmocka_unit_test(test_sweep),
	    cmocka_unit_test(test_failed_reference),
	    cmocka_unit_test(test_limit),
	    cmocka_unit_test(test_rules),
	};

	return cmocka_run_group_tests_name("findings", tests, NULL, NULL);
}
