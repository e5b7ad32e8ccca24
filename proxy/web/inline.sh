#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Writes a page as one file: each line `@include FILE` becomes that file, of this folder or of the chart library.
#
#     DYGRAPHS=FOLDER sh proxy/web/inline.sh PAGE.html
exec awk -v here="$(dirname "$1")" -v library="$DYGRAPHS" '
function include(path,    line, status, any) {
	while ((status = (getline line < path)) > 0) { print line; any = 1 }
	close(path)
	return status == 0 && any
}
$1 == "@include" {
	if (!include(here "/" $2) && !include(library "/" $2)) { print "cannot read " $2 > "/dev/stderr"; exit 1 }
	next
}
{ print }' "$1"
