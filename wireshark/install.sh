#!/bin/sh
# Puts the extcap, the Lua script and the profile where this user's Wireshark looks for them.
#
#     install.sh DEADZONE      DEADZONE: the installed program's path; below DESTDIR where that is set
set -eu
deadzone=$1
here=$(cd "$(dirname "$0")" && pwd)
folders=$(tshark -G folders 2>/dev/null || wireshark -G folders 2>/dev/null) || {
	echo "neither tshark nor wireshark is installed: where it keeps its files is not known" >&2
	exit 1
}
folder() { # of these names the first that Wireshark knows
	for name in "$@"; do
		path=$(echo "$folders" | sed -n "s|^$name: *	*||p" | head -n 1)
		[ -n "$path" ] && echo "${DESTDIR:-}$path" && return
	done
	echo "Wireshark names no $1" >&2
	exit 1
}
extcap=$(folder 'Personal Extcap path' 'Extcap path')
lua=$(folder 'Personal Lua Plugins' 'Personal Plugins')
profile=$(folder 'Personal configuration')/profiles/deadzone
mkdir -p "$extcap" "$lua" "$profile"
sed "s|@deadzone@|$deadzone|" "$here/extcap.in" >"$extcap/deadzone"
chmod 755 "$extcap/deadzone"
cp "$here/deadzone.lua" "$lua/deadzone.lua"
cp "$here"/profile/* "$profile/"
echo "deadzone is in Wireshark's list of interfaces ($extcap)"
echo "fields deadzone.* ($lua), profile \"deadzone\" ($profile): choose it at the bottom right, or wireshark -C deadzone"
