#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Checks that the pages say what the program says. Prints TAP. usage: docs.sh BUILD
set -u
build=${1:-build}
. "$(dirname "$0")/tap.sh"

missing() { # page's name, its file; words on standard input
	page=$(mandoc -T utf8 "$2" | sed 's/.\x08//g')
	words=0
	while read -r word; do
		words=$((words + 1))
		echo "$page" | grep -qF -- "$word" || echo "$1 does not say \`$word\`"
	done
	[ $words -ge 5 ] || echo "the program printed only $words of them"
}

echo 1..5
check "the man pages pass mandoc's lint" \
	"$(mandoc -T lint "$build/deadzone.1" "$build/deadzone.ini.5" 2>/dev/null | grep -v 'referenced manual not found')"
check "deadzone.ini(5) names every key that \`help ini\` names" \
	"$("$build/deadzone" help ini | sed -n 's/^  \([a-z_]*\)\( +\)\{0,1\} = .*/\1/p' | missing "deadzone.ini(5)" "$build/deadzone.ini.5")"
check "deadzone(1) names every command" \
	"$("$build/deadzone" --help | sed -n 's/^  deadzone \([a-z-]*\) .*/\1/p' | missing "deadzone(1)" "$build/deadzone.1")"
check "deadzone(1) names every option of run" \
	"$("$build/deadzone" help run | sed -n 's/^  .*--\([a-z]*\).*/--\1/p' | missing "deadzone(1)" "$build/deadzone.1")"
check "proxy.ini and all profiles pass the check" "$(for f in proxy.ini rules/profiles/*.ini; do "$build/deadzone" check "$f" 2>&1; done)"
exit $failed
