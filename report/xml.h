/* SPDX-License-Identifier: BSD-2-Clause */
/* xml: text as the content or an attribute of XML and HTML. */
#ifndef REPORT_XML_H
#define REPORT_XML_H

#include <stddef.h>
#include <stdio.h>

/* Writes text that may come from anywhere: markup is escaped, and what XML 1.0 does not allow even escaped
 * (control characters, invalid UTF-8, U+FFFE and U+FFFF) is made visible or replaced. */
void xml_put(const char *text, FILE *out);
void xml_put_bytes(const char *text, size_t size, FILE *out);

#endif
