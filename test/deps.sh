#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Installs the named Debian packages that are missing. Quick if none is.
set -eu
missing=
native=$(dpkg --print-architecture)
for package in "$@"; do
	dpkg-query -W -f '${Architecture} ${db:Status-Status}\n' "$package" 2>/dev/null | grep -qxE "($native|all) installed" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
root=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || { echo "these packages are missing, and there is no sudo to install them:$missing" >&2; exit 1; }
	root=sudo
fi
echo "installing:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
	$root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing >"$log" 2>&1
}
install || { $root apt-get update >"$log" 2>&1 && install; } || { tail -n 20 "$log" >&2; exit 1; }
