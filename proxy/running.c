#include "proxy/running.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/log.h"
#include "proxy/relay.h"

#define EVENT_TEXT_MAX 60000

void running_facts(const struct running *running, struct summary_facts *facts)
{
	*facts = (struct summary_facts){.setup = running->setup,
	    .version = DEADZONE_VERSION,
	    .seed = running->seed,
	    .changes = running->changes,
	    .change_count = running->change_count};
	crew_facts(running->crew, facts);
	facts->ended = running->stopped;
	facts->is_over = running->stopped != 0;
}

void running_sheet(const struct running *running, struct sheet *sheet)
{
	struct summary_facts facts;

	crew_halt(running->crew);
	running_facts(running, &facts);
	summary_sheet(
	    running->summary, crew_cores(running->crew), &facts, (enum exit_status)running->status, sheet);
	crew_go(running->crew);
}

void running_event(struct running *running, const char *text)
{
	ns_t at;

	crew_halt(running->crew); /* the recorder is the first worker's */
	at = crew_wall(running->crew, relay_now());
	if (running->capture)
		capture_event(capture_recorder(running->capture, 0), text, at);
	feed_put(running->feed, text, at);
	crew_go(running->crew);
}

void running_stop(struct running *running)
{
	crew_stop(running->crew);
	event_base_loopbreak(running->base);
}

bool running_rotate(struct running *running, const char **why)
{
	int failed;

	if (!running->capture) {
		*why = "there is no capture to start anew";
		return false;
	}
	crew_halt(running->crew);
	failed = capture_rotate(running->capture, NULL);
	crew_go(running->crew);
	if (failed)
		*why = "the capture goes to standard output: no new file can be started";
	return !failed;
}

/* ---- Changes ---- */

static void swap_in(struct running *running, struct setup *setup)
{
	struct setup *before = running->setup;

	running->setup = setup;
	crew_reload(running->crew, setup, running->seed);
	setup_free(before);
}

/* A new file begins with the text in force; where none is started it stands in events. */
static void capture_reloaded(struct running *running)
{
	const char *ini = ini_text(running->setup->ini);
	struct text text = {0};

	crew_halt(running->crew);
	text_add(&text, "reload generation=%u", running->generation);
	if (running->capture && !capture_starts_anew(running->capture)) {
		/* A packet holds so much; a longer text goes into several. */
		for (size_t at = 0, size = strlen(ini), part = 1; at < size || part == 1;
		     at += EVENT_TEXT_MAX, part++) {
			text_clear(&text);
			text_add(&text, "reload generation=%u part=%zu\n%.*s", running->generation, part,
			    EVENT_TEXT_MAX, ini + at);
			running_event(running, text.at);
		}
	} else {
		running_event(running, text.at);
		if (running->capture)
			capture_rotate(running->capture, ini);
	}
	crew_go(running->crew);
	text_free(&text);
}

size_t running_reload(struct running *running, struct text *told)
{
	struct complaints *complaints = complaints_new();
	size_t changes = live_changes(running->live), errors;
	struct setup *setup = live_load(running->live, complaints);
	char text[80];

	log_status(""); /* what follows stands in lines of its own */
	log_complaints(complaints);
	errors = complaints_count(complaints, COMPLAINT_ERROR);
	if (told)
		complaints_errors(complaints, told);
	complaints_free(complaints);
	if (!setup) {
		snprintf(text, sizeof(text), "reload failed errors=%zu", errors);
		log_error("%s", text);
		running_event(running, text);
		return errors;
	}
	swap_in(running, setup);
	running->generation++;
	capture_reloaded(running);
	log_error("reload ok generation=%u", running->generation);
	if (changes)
		log_error(
		    "%zu live change%s gone: the files count again", changes, changes == 1 ? " is" : "s are");
	return 0;
}

static void remember(struct running *running, const char *line)
{
	struct summary_facts facts;

	if (running->change_count == CHANGES_MOST)
		return;
	running_facts(running, &facts);
	running->changes = realloc(running->changes, (running->change_count + 1) * sizeof(*running->changes));
	assert(running->changes);
	running->changes[running->change_count++] = (struct sheet_change){
	    facts.now - facts.began, strdup(line)};
}

struct live_result running_change(struct running *running, const char *line)
{
	struct live_result result;
	struct text event = {0};
	ns_t now;

	crew_halt(running->crew);
	crew_turn(running->crew); /* what was due before it came happens first */
	now = relay_now();
	text_add(&event, "live %s", line);
	result = live_apply(running->live, crew_cores(running->crew), running->setup, line, now);
	if (result.status == LIVE_DONE) {
		running_event(running, event.at);
		log_tell("%s", event.at);
		remember(running, line);
	}
	if (result.setup)
		swap_in(running, result.setup);
	crew_turn(running->crew);
	crew_go(running->crew);
	text_free(&event);
	return result;
}
