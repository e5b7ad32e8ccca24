#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Installs what building for another architecture takes: cross.sh ARCH
set -eu
arch=$1
root=$([ "$(id -u)" = 0 ] || echo sudo)
dpkg --print-foreign-architectures | grep -qx "$arch" || { $root dpkg --add-architecture "$arch" && $root apt-get update -qq; }
sh "$(dirname "$0")/../deps.sh" "crossbuild-essential-$arch"
missing=
for package in libevent-dev libinih-dev libjansson-dev libmnl-dev libpcap-dev libseccomp-dev libzstd-dev zlib1g-dev libnftables-dev; do
	dpkg-query -W -f '${db:Status-Status}' "$package:$arch" 2>/dev/null | grep -qx installed || missing="$missing $package:$arch"
done
[ -z "$missing" ] || $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
