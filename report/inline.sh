#!/bin/sh
# A page as one file: a line `@include FILE` is replaced by that file of the chart library.
#
#     DYGRAPHS=FOLDER sh report/inline.sh PAGE.html
exec awk -v folder="$DYGRAPHS" '
$1 == "@include" {
	while ((status = (getline line < (folder "/" $2))) > 0) print line
	if (status < 0) { print "cannot read " folder "/" $2 >"/dev/stderr"; exit 1 }
	next
}
{ print }' "$1"
