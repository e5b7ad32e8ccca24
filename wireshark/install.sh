#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Puts the extcap, the Lua script and the profile where this user's Wireshark looks for them, or takes them away.
#
#     install.sh DEADZONE      DEADZONE: the program's path; below DESTDIR if that is set
#     install.sh --uninstall
#
# With WIRESHARK_LIB (as /usr/lib/x86_64-linux-gnu/wireshark) and WIRESHARK_SHARE (/usr/share/wireshark) it installs for all
# users into these folders, as packages do, without a Wireshark.
#
# Each piece is installed for itself: if one has no place that this user may write to, the others are still there.
set -u
here=$(cd "$(dirname "$0")" && pwd)
ask_wireshark() { # where does this user's keep its files?
	folders=$(tshark -G folders 2>/dev/null || wireshark -G folders 2>/dev/null) || {
		echo "neither tshark nor wireshark is installed: where it keeps its files is not known" >&2
		exit 1
	}
	extcap=$(folder 'Personal Extcap path' 'Extcap path')
	lua=$(folder 'Personal Lua Plugins' 'Personal Plugins')
	profile=$(folder 'Personal configuration')/profiles/deadzone
}

folder() { # of these names the first that Wireshark knows
	for name in "$@"; do
		path=$(echo "$folders" | sed -n "s|^$name: *	*||p" | head -n 1)
		[ -n "$path" ] && echo "${DESTDIR:-}$path" && return
	done
}

if [ -n "${WIRESHARK_LIB:-}" ]; then
	extcap=$WIRESHARK_LIB/extcap
	lua=$WIRESHARK_LIB/plugins
	profile=$WIRESHARK_SHARE/profiles/deadzone
else
	ask_wireshark
fi

if [ "$1" = --uninstall ]; then
	rm -f "$extcap/deadzone" "$lua/deadzone.lua" || status=1
	rm -rf "$profile" || status=1
	exit "${status:-0}"
fi

missing=0
piece() { # FOLDER WHAT HINT: can it be installed there?
	[ -n "$1" ] && mkdir -p "$1" 2>/dev/null && [ -w "$1" ] && return
	echo "not installed: $2${1:+, for $1 cannot be written}${3:+; $3}" >&2
	missing=$((missing + 1))
	return 1
}
if piece "$extcap" "deadzone as an interface of Wireshark" "this Wireshark has no such folder for each user: run it as root for all users"; then
	sed "s|@deadzone@|$1|" "$here/extcap.in" >"$extcap/deadzone" && chmod 755 "$extcap/deadzone"
	echo "interface: deadzone appears in Wireshark's list ($extcap)"
fi
if piece "$lua" "the fields deadzone.*" ""; then
	cp "$here/deadzone.lua" "$lua/deadzone.lua"
	echo "fields: deadzone.* ($lua)"
fi
if piece "$profile" "the profile deadzone" ""; then
	cp "$here"/profile/* "$profile/"
	echo "profile: deadzone ($profile); choose it at the bottom right, or start wireshark -C deadzone"
fi
[ "$missing" -lt 3 ]
