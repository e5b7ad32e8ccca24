#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A flash test from a shell: a blackout once the 40th big datagram has come down, and a verdict by exit status.
#
#     sh doc/examples/steer.sh proxy.ini "COMMAND that flashes the device"
#
# proxy.ini needs a rule to wait for:
#
#     [rule blocks]
#     direction = down
#     size = 400-
#     do = note
set -eu
ini=$1 flash=$2
deadzone=${DEADZONE:-deadzone}
control=$(mktemp -u)
"$deadzone" run -q -c "$ini" --set "[control] listen = unix:$control" -w flash.pcapng --junit flash.xml &
proxy=$!
trap '"$deadzone" tell stop --to "unix:$control" 2>/dev/null || kill $proxy 2>/dev/null || true' EXIT
until [ -S "$control" ]; do # it is there once the run listens
	kill -0 $proxy || exit 1
	sleep 0.1
done
sh -c "$flash" &
flashing=$!
"$deadzone" tell wait blocks --count 40 --timeout 5m --to "unix:$control"
"$deadzone" tell mark "blackout in the middle of the flash" --to "unix:$control"
"$deadzone" tell do "blackout 40s" --to "unix:$control"
wait $flashing || status=$?
"$deadzone" tell stop --to "unix:$control"
trap - EXIT
wait $proxy || status=$? # 3: an `expect` did not hold
exit "${status:-0}"
