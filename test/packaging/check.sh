#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Checks the Debian package: lintian, that two builds give the same bytes, and in fresh roots of Debian 12 and 13:
# installing, the main job as a user who is not root (debian/tests), and removing, which leaves captures and configuration
# alone. Prints TAP.
# usage: check.sh BUILD VERSION          needs root, for the roots, and a network, for Debian's packages
set -u
build=$1 version=$2
arch=$(dpkg --print-architecture)
here=$(cd "$(dirname "$0")" && pwd)
work=$(pwd)/$build/packaging
. "$here/../tap.sh"
. "$here/root.sh"
mkdir -p "$work"
deb=$build/deb/deadzone_${version}_$arch.deb
symbols=$build/deb/deadzone-dbgsym_${version}_$arch.deb

echo 1..12
check "lintian finds nothing" "$(lintian --allow-root -I --pedantic --fail-on none "$build/deb/deadzone_${version}_$arch.changes" 2>&1)"

again() { # builds again at another path and time, and with other user settings
	rm -rf "$work/elsewhere" && mkdir -p "$work/elsewhere/deadzone-$version"
	git ls-files -z | xargs -0 cp --parents -t "$work/elsewhere/deadzone-$version"
	(umask 002 && cd "$work/elsewhere/deadzone-$version" && TZ=Asia/Tokyo LC_ALL=C.UTF-8 HOME=/nowhere \
		dpkg-buildpackage -b -us -uc >../build.log 2>&1) || tail -n 20 "$work/elsewhere/build.log"
	for file in "$deb" "$symbols"; do
		cmp "$file" "$work/elsewhere/$(basename "$file")" 2>&1
	done
}
check "two builds give the same bytes" "$(again)"
rm -rf "$work/elsewhere"

files_of() { # lists all files except what packages and caches own
	(cd "$root" && find . -xdev \( -path ./proc -o -path ./dev -o -path ./var/cache -o -path ./var/lib/apt -o -path ./var/lib/dpkg \
		-o -path ./var/log -o -path ./tmp -o -path ./src \) -prune -o -print | sort)
}

for suite in bookworm trixie; do
	check "$suite: a fresh root" "$(root_of $suite)"
	mkdir -p "$root/src"
	cp "$deb" "$root/src/deadzone.deb"
	cp -r debian/tests "$root/src/"
	check "$suite: what the main job needs" "$(quiet inside "apt-get -qq update; apt-get -qq install -y --no-install-recommends python3 \
		adduser; apt-get -qq install -y --no-install-recommends /src/deadzone.deb; apt-get -qq purge -y deadzone")"
	files_of >"$work/before"
	check "$suite: it installs" "$(quiet inside 'apt-get -qq install -y --no-install-recommends /src/deadzone.deb
		deadzone --version | grep -qx "deadzone '"$version"'"
		getent passwd deadzone >/dev/null')"
	check "$suite: the main job runs from the installed files, not as root" "$(quiet inside 'useradd -m someone
		mkdir /home/someone/t && chown someone /home/someone/t
		su someone -c "AUTOPKGTEST_TMP=/home/someone/t sh /src/tests/main-job"
		userdel -rf someone
		mkdir -p /var/lib/deadzone/lab && touch /var/lib/deadzone/lab/x.pcapng && touch /etc/deadzone/lab.ini')"
	check "$suite: removal leaves captures and configuration alone" "$(quiet inside 'apt-get -qq purge -y deadzone'; files_of >"$work/after"
		printf '%s\n' ./etc/deadzone ./etc/deadzone/lab.ini ./var/lib/deadzone ./var/lib/deadzone/lab ./var/lib/deadzone/lab/x.pcapng >"$work/kept"
		diff "$work/before" "$work/after" | sed -n 's/^[<>] //p' | grep -vE '^./etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|^\./var/mail|^\./etc/\.pwd\.lock' | diff - "$work/kept")"
done
rm -rf "$root" "$work/before" "$work/after" "$work/kept"
exit $failed
