/* SPDX-License-Identifier: BSD-2-Clause */
/* ini_set: settings on top of the files: "[SECTION] KEY = VALUE" from the command line, the API or a capture.
 */
#include <string.h>

#include "base/ini_lines.h"

static void drop_entries(struct ini_section *section, const char *key)
{
	size_t kept = 0;

	for (size_t i = 0; i < section->entry_count; i++)
		if (strcmp(section->entries[i].key, key) != 0)
			section->entries[kept++] = section->entries[i];
	section->entry_count = kept;
}

/* Turns "do += note" into "do = note". Returns true if there was a `+`: the value is added to the others. */
static bool strip_plus(char *key)
{
	char *equals = strchr(key, '=');

	if (!equals || equals == key || equals[-1] != '+')
		return false;
	equals[-1] = ' ';
	return true;
}

/* Applies one setting; `as` is used as the name of the file that it comes from. */
static void apply_setting(struct ini *ini, const char *assignment, const char *as)
{
	struct ini_lines file = {.ini = ini, .name = as};
	const struct section_kind *kind;
	struct ini_section *own, *section;
	const char *close = strchr(assignment, ']'), *name;
	char *key, *value;
	char inside[INI_SECTION_MAX + 1];
	size_t equals;
	bool appends;
	int way;

	if (assignment[0] != '[' || !close || strpbrk(assignment, "\r\n")) {
		ini_complain_line(&file, "`%s` is no setting; one is \"[SECTION] KEY = VALUE\"", assignment);
		return;
	}
	key = ini_trim(ini->arena, close + 1);
	if (!ini_check_header(
	        &file, arena_text(ini->arena, assignment, (size_t)(close + 1 - assignment)), inside) ||
	    !(kind = ini_parse_header(&file, inside, &name)))
		return;
	appends = strip_plus(key);
	/* The key is added to a section of its own first; if that section already exists, it is changed
	 * instead. */
	own = file.section = ini_section_new(ini, kind, name, file.name, 0);
	file.skip = false;
	if (!ini_check_assignment(&file, key))
		return;
	equals = strcspn(key, "=");
	value = ini_trim(ini->arena, key + equals + 1);
	key = ini_trim(ini->arena, arena_text(ini->arena, key, equals));
	ini_handle_assignment(&file, own->title, key, value);
	if (!own->entry_count)
		return;
	if (strcmp(kind->name, "proxy") == 0 && strcmp(key, "include") == 0) {
		file.stack[file.depth++] = as; /* the file that it names is included like any other */
		ini_read_includes(&file, own, &own->entries[0]);
		ini_merge_settings(ini);
		return;
	}
	if (appends && !(keys_find(kind, key, &way)->flags & (KEY_LIST | KEY_REPEATED))) {
		ini_complain_key(&file, key, "has one value: it is set with `=`");
		return;
	}
	section = dictionary_get(&ini->by_name, kind, own->name);
	if (section) {
		if (!appends)
			drop_entries(section, own->entries[0].key);
		ini_entry_add(ini, section, &own->entries[0]);
	} else {
		ini_section_add(ini, own);
	}
	text_add(&ini->text, "; %s %s\n", INI_SETTINGS, assignment);
}

bool ini_replaces_includes(const char *assignment)
{
	static const char proxy[] = "[proxy]", include[] = "include";
	const char *key = assignment + sizeof(proxy) - 1;

	if (strncmp(assignment, proxy, sizeof(proxy) - 1) != 0)
		return false;
	key += strspn(key, " \t");
	if (strncmp(key, include, sizeof(include) - 1) != 0)
		return false;
	key += sizeof(include) - 1;
	return key[strspn(key, " \t")] == '=';
}

void ini_replace_includes(struct ini *ini)
{
	ini->includes_replaced = true;
}

void ini_set(struct ini *ini, const char *assignment)
{
	apply_setting(ini, assignment, INI_SETTINGS);
}

void ini_set_live(struct ini *ini, const char *assignment, enum ini_live files)
{
	ini->live = files == INI_LIVE_ANY       ? INI_REGULAR
	            : files == INI_LIVE_REFUSED ? INI_REFUSED
	                                        : INI_CONFINED;
	apply_setting(ini, assignment, INI_LIVE);
}
