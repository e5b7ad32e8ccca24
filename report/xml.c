/* SPDX-License-Identifier: BSD-2-Clause */
#include "report/xml.h"

#include <string.h>

#include "base/text.h"

/* U+FFFE and U+FFFF are no characters in XML. */
static const char *const not_characters[] = {"\xef\xbf\xbe", "\xef\xbf\xbf"};
#define REPLACEMENT "\xef\xbf\xbd"

static int is_no_character(const char *at)
{
	return strncmp(at, not_characters[0], 3) == 0 || strncmp(at, not_characters[1], 3) == 0;
}

void xml_put_bytes(const char *text, size_t size, FILE *out)
{
	struct text visible = {0};

	text_add_visible(&visible, text, size);
	for (const char *c = visible.size ? visible.at : ""; *c; c++) {
		switch (*c) {
		case '&': fputs("&amp;", out); break;
		case '<': fputs("&lt;", out); break;
		case '>': fputs("&gt;", out); break;
		case '"': fputs("&quot;", out); break;
		default:
			if (is_no_character(c)) {
				fputs(REPLACEMENT, out);
				c += 2;
			} else {
				fputc(*c, out);
			}
		}
	}
	text_free(&visible);
}

void xml_put(const char *text, FILE *out)
{
	xml_put_bytes(text ? text : "", text ? strlen(text) : 0, out);
}
