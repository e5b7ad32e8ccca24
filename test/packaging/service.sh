#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Tests the installed service under a real systemd: boots a root of Debian 12 in systemd-nspawn, with a network of its own. Prints TAP.
# usage: service.sh BUILD VERSION          needs root and, for Debian's packages, a network
set -u
build=$1 version=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$(pwd)/$build/packaging
. "$here/../tap.sh"
. "$here/root.sh"
mkdir -p "$work"
machine=

end() {
	[ -z "$machine" ] || kill "$machine" 2>/dev/null
	wait 2>/dev/null
	rm -rf "$root"
}
trap end EXIT

boot() {
	root_of bookworm
	cp "$build/deb/deadzone_${version}_$(dpkg --print-architecture).deb" "$root/root/deadzone.deb"
	quiet inside 'apt-get -qq update
		apt-get -qq install -y --no-install-recommends systemd-sysv dbus python3 adduser iproute2 libnftables1 /root/deadzone.deb'
	mkdir -p "$root/etc/systemd/system/deadzone@lab.service.d"
	# Shorter times, so that the test need not wait for half a minute.
	printf '[Service]\nWatchdogSec=2\nRestartSec=100ms\nTimeoutAbortSec=1\n' >"$root/etc/systemd/system/deadzone@lab.service.d/test.conf"
}

on() { # WORDS: runs them on the machine
	nsenter -t "$init" -m -u -i -n -p -r -w "$@" 2>&1
}

until_true() { # WORDS: tries them for 30 s
	for _ in $(seq 150); do
		"$@" >/dev/null 2>&1 && return
		sleep 0.2
	done
	echo "waited in vain for: $*"
}

started() {
	systemd-nspawn -q -D "$root" --register=no --keep-unit --private-network -b --console=pipe </dev/null >"$work/boot.log" 2>&1 &
	machine=$!
	until_true has_init
}
has_init() {
	init=$(pgrep -P "$machine") && [ -n "$init" ] && on systemctl is-system-running | grep -qE 'running|degraded'
}

configure() { # LINES
	printf '[proxy]\nlisten = 127.0.0.1:5684\nupstream = 127.0.0.1:5999\n[capture]\nfile = lab.pcapng\n%s\n' "$1" >"$root/etc/deadzone/lab.ini"
}

main_pid() {
	on systemctl show -P MainPID deadzone@lab
}

in_journal() { # PATTERN
	on journalctl -u deadzone@lab --no-pager -o cat | grep -q "$1"
}

echo 1..9
check "a machine with the package" "$(boot)"
started
configure ''
check "it is started, and then ready" "$(on systemctl start deadzone@lab; on systemctl is-active deadzone@lab | grep -vx active
	until_true in_journal 'ready listen=127.0.0.1:5684')"
check "a device talks through it, and the status line says so" "$(on python3 -c '
import socket
cloud = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
cloud.bind(("127.0.0.1", 5999))
device = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
device.connect(("127.0.0.1", 5684))
for s in (cloud, device):
    s.settimeout(15)
device.send(b"hello")
data, sender = cloud.recvfrom(100)
cloud.sendto(data, sender)
assert device.recv(100) == b"hello"'
	has_status() { on systemctl show -P StatusText deadzone@lab | grep -q '^1 session, 2 datagrams received'; }
	until_true has_status)"
check "no root, no capability, no new privileges, system calls filtered" "$(
	on cat "/proc/$(main_pid)/status" >"$work/status"
	for line in 'CapEff:.*0000000000000000' 'CapBnd:.*0000000000000000' 'NoNewPrivs:.*1' 'Seccomp:.*2'; do
		grep -q "$line" "$work/status" || grep "${line%%:*}" "$work/status"
	done
	grep '^Uid:.0' "$work/status"; rm -f "$work/status")"
check "the group can control it and read its captures; others can do neither" "$(
	on useradd -m -G deadzone member; on useradd -m stranger
	on su member -c 'deadzone tell --to unix:/run/deadzone/lab/control mark here && deadzone report /var/lib/deadzone/lab/lab.pcapng >/dev/null'
	on su stranger -c 'deadzone tell --to unix:/run/deadzone/lab/control mark here' | grep -v 'Permission denied'
	on su stranger -c 'cat /var/lib/deadzone/lab/lab.pcapng' | grep -v 'Permission denied')"
check "it reads its ini file again" "$(configure '[link default]
latency = 5ms'; on systemctl reload deadzone@lab; until_true in_journal 'reload ok generation=2')"
check "the watchdog ends a process that hangs, and it is restarted" "$(before=$(main_pid); on sh -c "kill -STOP $before"
	is_another() { now=$(main_pid) && [ "$now" != 0 ] && [ "$now" != "$before" ]; }
	until_true is_another; until_true in_journal 'Watchdog timeout')"
check "with a wrong ini file it is not restarted again and again" "$(on systemctl stop deadzone@lab; configure 'nonsense = 1'
	on systemctl start deadzone@lab >/dev/null
	on systemctl show -P ExecMainStatus deadzone@lab | grep -vx 2; on systemctl show -P NRestarts deadzone@lab | grep -vx '[01]'
	on systemctl show -P ActiveState deadzone@lab | grep -vx failed)"
check "with the drop-in it intercepts, without being root" "$(
	mkdir -p "$root/etc/systemd/system/deadzone@lab.service.d"
	cp "$root/usr/share/doc/deadzone/examples/deadzone-gateway.conf" "$root/etc/systemd/system/deadzone@lab.service.d/gateway.conf"
	nsenter -t "$init" -n sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
	on ip link add wlan0 type veth peer name device; on ip address add 10.9.0.1/24 dev wlan0; on ip link set wlan0 up
	printf '[proxy]\nlisten = 0.0.0.0:15684\nupstream = original\n[gateway]\ninterface = wlan0\n' >"$root/etc/deadzone/lab.ini"
	on systemctl daemon-reload; on systemctl reset-failed deadzone@lab; on systemctl start deadzone@lab
	on systemctl is-active deadzone@lab | grep -vx active && on journalctl -u deadzone@lab --no-pager -o cat | tail -n 15
	on grep '^Uid:.0' "/proc/$(main_pid)/status"; on systemctl stop deadzone@lab)"
exit $failed
