#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Checks that gcc and clang on Debian 12 and 13 build without a warning, in fresh roots. Prints TAP.
# usage: compilers.sh BUILD          needs root, and a network for Debian's packages
set -u
build=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(pwd)/$build/packaging
. "$here/../tap.sh"
. "$here/root.sh"
mkdir -p "$work"

echo 1..6
for suite in bookworm trixie; do
	check "$suite: a root with compilers" "$(root_of $suite
		mkdir -p "$root/src" && git ls-files -z | xargs -0 cp --parents -t "$root/src"
		quiet inside 'apt-get -qq update
			apt-get -qq install -y --no-install-recommends gcc clang make libc6-dev
			cd /src && apt-get -qq build-dep -y --no-install-recommends ./')"
	for compiler in gcc clang; do
		check "$suite: $compiler gives no warning" "$(quiet inside "cd /src && make CC=$compiler BUILD=build/$compiler STRICT=1 all
			build/$compiler/deadzone --version
			build/$compiler/deadzone report test/data/dtls12-cid-mbedtls.pcapng >/dev/null")"
	done
done
rm -rf "$root"
exit $failed
