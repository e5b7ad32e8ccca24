#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Builds the unit and replay tests for another architecture, without sanitizers, and runs them under qemu.
# usage: emulated.sh ARCH
set -eu
machine=$(dpkg-architecture -a "$1" -q DEB_HOST_GNU_TYPE 2>/dev/null)
emulator=qemu-${machine%%-*}-static
folder=$(pwd)/build/emulated
make -s -j2 BUILD="$folder" CC="$machine-gcc" SANITIZE=-O1 emulated >"$folder.log" 2>&1 || { tail -n 20 "$folder.log"; exit 1; }
passed=0 failed=0

count() { # NAME TAP
	good=$(echo "$2" | grep -c '^ok') || :
	bad=$(echo "$2" | grep -c '^not ok') || :
	echo "$2" | grep -q '^1\.\.[1-9]' || bad=$((bad + 1))
	passed=$((passed + good))
	failed=$((failed + bad))
	[ "$bad" = 0 ] || { echo "$1:"; echo "$2" | tail -n 20; }
}

for test in "$folder"/asan/test/test_*; do
	said=$(CMOCKA_MESSAGE_OUTPUT=TAP $emulator "$test" 2>&1) || :
	count "$(basename "$test")" "$said"
done
said=$(REPLAY="$emulator $folder/asan/test/replay" python3 test/replay/run.py 2>&1) || :
count replay "$said"
echo "$1, under qemu: $passed passed, $failed failed"
[ $failed = 0 ]
