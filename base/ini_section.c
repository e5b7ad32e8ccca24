/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/ini_section.h"

#include <stdarg.h>
#include <string.h>

#include "base/text.h"

const struct ini_entry *ini_entry(const struct ini_section *section, const char *key)
{
	for (size_t i = section->entry_count; i-- > 0;)
		if (strcmp(section->entries[i].key, key) == 0)
			return &section->entries[i];
	return NULL;
}

struct place ini_place(const struct ini_section *section, const struct ini_entry *entry)
{
	return (struct place){.file = entry ? entry->file : section->file,
	    .line = entry ? entry->line : section->line,
	    .section = section->title,
	    .key = entry ? entry->key : NULL};
}

static void add_complaint(const struct ini_section *section, const struct ini_entry *entry,
    struct complaints *complaints, enum complaint_kind kind, const char *format, va_list list)
{
	struct place place = ini_place(section, entry);
	struct text text = {0};

	text_add_list(&text, format, list);
	complaints_add(complaints, kind, &place, "%s", text.at);
	text_free(&text);
}

void ini_complain(const struct ini_section *section, const struct ini_entry *entry,
    struct complaints *complaints, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	add_complaint(section, entry, complaints, COMPLAINT_ERROR, format, list);
	va_end(list);
}

void ini_note(const struct ini_section *section, const struct ini_entry *entry, struct complaints *complaints,
    const char *format, ...)
{
	va_list list;

	va_start(list, format);
	add_complaint(section, entry, complaints, COMPLAINT_NOTE, format, list);
	va_end(list);
}
