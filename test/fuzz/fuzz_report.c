/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_report: reports on untrusted captures in every form: text, JSON, page and pinned rules.
 *
 * An input is the file. Whatever it holds, each account balances, and the pinned rules are an ini text
 * without errors.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/run/setup.h"
#include "report/pins.h"
#include "test/fuzz/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_balance(const struct account *a)
{
	assert(a->received + a->copies == a->sent + account_dropped(a) + a->queued);
	assert(a->queued < UINT64_C(1) << 40);
}

static void check_rules(const struct analysis *analysis)
{
	static const struct section_kind *const kinds[] = {
	    &config_device_kind, &config_link_kind, &config_rule_kind};
	struct complaints *complaints = complaints_new();
	struct ini *ini = ini_new(kinds, 3, NULL, complaints);
	struct names *names = names_new();
	struct config *config;
	struct text text = {0};
	struct pins pins;

	pins_find(&pins, analysis, 1000000);
	if (pins.count < 200) {
		pins_write(&pins, NULL, "; rules\n", &text);
		ini_read_text(ini, "pins.ini", text.at, text.size);
		ini_inherit(ini);
		config = config_new(ini, names, complaints);
		if (complaints_count(complaints, COMPLAINT_ERROR)) {
			complaints_print(complaints, stderr);
			fputs(text.at, stderr);
			abort();
		}
		config_free(config);
	}
	text_free(&text);
	pins_free(&pins);
	names_free(names);
	ini_free(ini);
	complaints_free(complaints);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct analysis_filter filter = {0};
	struct error error;
	const char *path = file_of(data, size);
	struct inputs *inputs = inputs_open(&path, 1, &error);
	struct analysis *analysis = inputs ? analysis_read(inputs, &filter, ANALYSIS_WHOLE, &error) : NULL;

	inputs_close(inputs);
	if (!analysis) {
		assert(*error.text);
		return 0;
	}
	for (int way = 0; way < WAYS; way++) {
		check_balance(&analysis->result.totals[way].account);
		for (size_t i = 0; i < analysis->session_count; i++)
			check_balance(&analysis->result.sessions[i].ways[way].account);
	}
	analysis_print(analysis, file_nowhere());
	analysis_json(analysis, file_nowhere());
	if (size % 16 == 0) /* not always, as it is slow */
		assert(analysis_page(analysis, "fuzz", "/dev/null", &error) == 0);
	check_rules(analysis);
	analysis_free(analysis);
	return 0;
}
