#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Builds the unit and replay tests for another architecture, without sanitizers, and runs them under qemu.
# usage: emulated.sh ARCH
set -eu
machine=$(dpkg-architecture -a "$1" -q DEB_HOST_GNU_TYPE)
emulator=qemu-${machine%%-*}-static
folder=$(pwd)/build/emulated
make -s -j2 BUILD=$folder CC="$machine-gcc" SANITIZE=-O1 emulated
failed=0 passed=0
for test in $folder/asan/test/test_*; do
	case $test in *.d) continue ;; esac
	said=$(CMOCKA_MESSAGE_OUTPUT=TAP $emulator "$test" 2>&1) || :
	passed=$((passed + $(echo "$said" | grep -c '^ok' || :)))
	wrong=$(echo "$said" | grep '^not ok' || :)
	echo "$said" | grep -q '^1\.\.' || wrong="$test printed no plan"
	[ -z "$wrong" ] || { echo "$said" | tail -n 20; failed=$((failed + $(echo "$wrong" | wc -l))); }
done
said=$(REPLAY="$emulator $folder/asan/test/replay" python3 test/replay/run.py) || :
passed=$((passed + $(echo "$said" | grep -c '^ok' || :)))
wrong=$(echo "$said" | grep '^not ok' || :)
[ -z "$wrong" ] || { echo "$said" | tail -n 20; failed=$((failed + $(echo "$wrong" | wc -l))); }
echo "$1: $passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
