#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Builds the package for another architecture in a root of Debian 12, so that this machine's packages stay as they are, and
# runs the unit and replay tests there under qemu.
# usage: cross.sh BUILD VERSION ARCH
set -eu
build=$1 version=$2 arch=$3
here=$(cd "$(dirname "$0")" && pwd)
work=$(pwd)/$build/packaging
. "$here/root.sh"
mkdir -p "$work" "$build/deb"

[ -f "$work/cross-$arch.tar" ] || {
	root_of bookworm
	mkdir -p "$root/src/debian"
	cp debian/control debian/changelog "$root/src/debian"
	said=$(inside "dpkg --add-architecture $arch; apt-get -qq update
		apt-get -qq install -y --no-install-recommends crossbuild-essential-$arch qemu-user-static python3 iproute2 libcmocka-dev:$arch
		cd /src && apt-get -qq build-dep -y --no-install-recommends --host-architecture $arch --build-profiles cross ./
		apt-get clean") || { echo "$said" | tail -n 20 >&2; exit 1; }
	tar -C "$root" -cf "$work/cross-$arch.tar" .
}
rm -rf "$root" && mkdir "$root" && tar -C "$root" -xf "$work/cross-$arch.tar"
rm -rf "$root/src" && mkdir -p "$root/src/deadzone"
git ls-files -z | xargs -0 cp --parents -t "$root/src/deadzone"
inside "cd /src/deadzone && dpkg-buildpackage -b -us -uc -a$arch -Pcross" >"$build/deb/build-$arch.log" ||
	{ tail -n 30 "$build/deb/build-$arch.log" >&2; exit 1; }
cp "$root/src/"*.deb "$build/deb/"
inside "cd /src/deadzone && sh test/packaging/emulated.sh $arch"
rm -rf "$root"
