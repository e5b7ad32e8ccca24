/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/cli/tell_show.h"

#include <inttypes.h>
#include <string.h>

#include "base/text.h"

static const char *get_string(const json_t *object, const char *key)
{
	const char *string = json_string_value(json_object_get(object, key));

	return string ? string : "-";
}

static json_int_t get_integer(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static json_int_t count_dropped(const json_t *session, const char *way)
{
	json_int_t sum = 0;
	const char *reason;
	json_t *count;

	json_object_foreach(json_object_get(json_object_get(session, way), "dropped"), reason, count)
	    sum += json_integer_value(count);
	return sum;
}

/* Prints text from another program, with control characters made visible. */
static void print_visible(const struct text *text, FILE *out)
{
	struct text visible = {0};

	text_add_visible(&visible, text->at, text->size);
	fwrite(visible.at, 1, visible.size, out);
	text_free(&visible);
}

void tell_show_sessions(const json_t *answer, bool is_first, FILE *out)
{
	struct text text = {0};
	const json_t *session;
	size_t i;

	if (is_first)
		text_add(&text, "%7s  %-24s  %-24s  %-16s  %-16s  %9s  %9s  %9s  %10s  %s\n", "SESSION",
		    "DEVICE", "CLOUD", "SECTION", "LINK", "UP", "DOWN", "DROPPED", "SECONDS", "STATE");
	json_array_foreach(json_object_get(answer, "sessions"), i, session)
	{
		text_add(&text,
		    "%7" JSON_INTEGER_FORMAT "  %-24s  %-24s  %-16s  %-16s  %9" JSON_INTEGER_FORMAT
		    "  %9" JSON_INTEGER_FORMAT "  %9" JSON_INTEGER_FORMAT "  %10.1f  %s\n",
		    get_integer(session, "s"), get_string(session, "device"), get_string(session, "cloud"),
		    get_string(session, "section"), get_string(session, "link"),
		    get_integer(json_object_get(session, "up"), "received"),
		    get_integer(json_object_get(session, "down"), "received"),
		    count_dropped(session, "up") + count_dropped(session, "down"),
		    json_number_value(json_object_get(session, "seconds")),
		    json_is_string(json_object_get(session, "ended")) ? get_string(session, "ended")
		                                                      : "active");
	}
	if (text.size)
		print_visible(&text, out);
	text_free(&text);
}

static void add_names(struct text *text, const json_t *answer, const char *key)
{
	const json_t *element;
	size_t i;

	if (!json_array_size(json_object_get(answer, key)))
		return;
	text_add(text, "; %s:", key);
	json_array_foreach(json_object_get(answer, key), i, element)
	{
		const char *name = json_is_string(element) ? json_string_value(element)
		                                           : get_string(element, "name");
		bool disabled = json_is_false(json_object_get(element, "enabled"));

		text_add(text, "%s %s%s", i ? "," : "", name, disabled ? " (disabled)" : "");
	}
	text_add(text, "\n");
}

void tell_show_config(const json_t *answer, bool is_first, FILE *out)
{
	struct text text = {0};

	(void)is_first;
	text_add(&text, "; deadzone %s, generation %" JSON_INTEGER_FORMAT ", seed %" JSON_INTEGER_FORMAT "\n",
	    get_string(answer, "version"), get_integer(answer, "generation"), get_integer(answer, "seed"));
	add_names(&text, answer, "listen");
	text_add(&text, "; upstream: %s\n", get_string(answer, "upstream"));
	add_names(&text, answer, "links");
	add_names(&text, answer, "devices");
	add_names(&text, answer, "rules");
	text_add(&text, "%s", get_string(answer, "ini"));
	print_visible(&text, out);
	text_free(&text);
}
