# SPDX-License-Identifier: BSD-2-Clause
# Sourced by the shell tests: check NAME LINES prints one line of TAP; if there are LINES, they say what is wrong.
number=0
failed=0

check() { # name, offending lines
	number=$((number + 1))
	if [ -z "$2" ]; then
		echo "ok $number - $1"
	else
		echo "not ok $number - $1"
		echo "$2" | sed 's/^/# /'
		failed=1
	fi
}
