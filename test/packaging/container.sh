#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Builds the Containerfile on a base that debootstrap makes, and runs it. Prints TAP.
# usage: container.sh BUILD         needs root and a network
set -u
build=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(pwd)/$build/packaging
. "$here/../tap.sh"
mkdir -p "$work/lab" "$work/captures"
# It needs no daemon, no overlay file system and no namespaces of its own, so that it works inside other containers too.
engine="buildah --root $work/containers --runroot $work/containers-run --storage-driver vfs"
tool() {
	$engine "$@"
}
container=
trap '[ -z "$container" ] || tool rm "$container" >/dev/null' EXIT

base() {
	tool inspect --type image localhost/debian-base >/dev/null 2>&1 && return
	[ -f "$work/bookworm.tar" ] || {
		debootstrap --variant=minbase bookworm "$work/new" >"$work/debootstrap.log" 2>&1 || { tail -n 5 "$work/debootstrap.log"; return; }
		tar -C "$work/new" -cf "$work/bookworm.tar" . && rm -rf "$work/new"
	}
	id=$(tool from scratch) && tool add -q "$id" "$work/bookworm.tar" / >/dev/null && tool commit -q "$id" localhost/debian-base >/dev/null
	tool rm "$id" >/dev/null
}

build_image() {
	tool bud -q --isolation chroot --layers --build-arg BASE=localhost/debian-base -t deadzone -f Containerfile . >"$work/container.log" 2>&1 ||
		tail -n 20 "$work/container.log"
}

wait_for() { # FILE PATTERN
	for _ in $(seq 100); do
		grep -q "$2" "$1" && return
		sleep 0.1
	done
	echo "it does not say $2:"
	cat "$1"
}

run_image() {
	chmod 777 "$work/captures"
	timeout 120 $engine run --isolation chroot -v "$work/lab:/etc/deadzone:ro" -v "$work/captures:/captures" "$container" -- "$@"
}

talk() { # a device sends through the container to a cloud outside
	python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
while True:
    data, sender = s.recvfrom(65536)
    s.sendto(data, sender)
' >"$work/cloud" 2>/dev/null &
	cloud=$!
	wait_for "$work/cloud" '[0-9]'
	printf '[proxy]\nlisten = 127.0.0.1:0\nupstream = 127.0.0.1:%s\n[capture]\nfile = lab.pcapng\n' "$(cat "$work/cloud")" >"$work/lab/lab.ini"
	rm -f "$work/captures/"*
	run_image deadzone run -c /etc/deadzone/lab.ini 2>"$work/said" &
	running=$!
	wait_for "$work/said" 'ready listen='
	python3 -c '
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("127.0.0.1", int(sys.argv[1])))
s.settimeout(15)
for n in range(10):
    s.send(b"datagram %d" % n)
    assert s.recv(100) == b"datagram %d" % n
' "$(sed -n 's/.*ready listen=127.0.0.1:\([0-9]*\).*/\1/p' "$work/said")" 2>&1
	pkill -TERM -f '^/usr/bin/deadzone run -c /etc/deadzone/lab.ini'
	wait $running || echo "exit status $?"
	kill $cloud
	run_image deadzone report lab.pcapng | grep -q 'session 1 ' || echo "the report lacks the session"
	stat -c %U:%u "$work/captures/lab.pcapng" | grep -q '^root' && echo "it ran as root"
}

echo 1..4
check "a base from debootstrap" "$(base)"
check "the image is built" "$(build_image)"
container=$(tool from deadzone)
# In other engines -v replaces a volume of the image; in `buildah run` it does not.
tool config --volume /etc/deadzone- --volume /captures- "$container"
check "it is not root, and starts deadzone" "$(
	[ "$(tool inspect --type image --format '{{.OCIv1.Config.User}} {{index .OCIv1.Config.Entrypoint 0}}' deadzone)" = "deadzone deadzone" ] || echo no
	run_image deadzone --version | grep -q "^deadzone " || echo "it does not run")"
check "a device talks to a cloud through it, and the capture is outside" "$(talk)"
exit $failed
