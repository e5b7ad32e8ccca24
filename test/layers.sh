#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Proves which folder may use what: by the includes, and by what the objects call. Prints TAP.
# usage: layers.sh BUILD
set -u
build=${1:-build}
. "$(dirname "$0")/tap.sh"

includes() { # folder, pattern of what it may not include
	grep -nE "^#include [<\"]($2)" "$1"/*.[ch]
}

calls() { # folder, pattern of what its objects may not call
	for source in "$1"/*.c; do
		object=$build/obj/${source%.c}.o
		readelf -sW "$object" | awk -v o="$object" '$7 == "UND" && $8 { print o ": " $8 }'
	done | grep -E ": ($2)(@.*)?$"
}

echo 1..25
check "base includes no other folder" "$(includes base '(rules|capture|report|campaign|proxy)/')"
check "rules includes base alone" "$(includes rules '(capture|report|campaign|proxy)/')"
check "capture includes base alone" "$(includes capture '(rules|report|campaign|proxy)/')"
check "report includes neither campaign nor proxy" "$(includes report '(campaign|proxy)/')"
check "campaign includes no proxy" "$(includes campaign 'proxy/')"
check "what runs campaigns includes run, and neither relay, control nor cli" "$(includes proxy/campaign 'proxy/(relay|control|cli)/')"
check "nothing but cli includes what runs campaigns" "$(for folder in base rules capture report campaign proxy/run proxy/relay proxy/control; do includes $folder 'proxy/campaign/'; done)"
check "run includes no other part of proxy" "$(includes proxy/run 'proxy/(relay|gateway|sandbox|control|cli|campaign)/')"
check "sandbox includes run, and no other part of proxy" "$(includes proxy/sandbox 'proxy/(relay|gateway|control|cli|campaign)/')"
check "gateway includes run and sandbox, and no other part of proxy" "$(includes proxy/gateway 'proxy/(relay|control|cli|campaign)/')"
check "relay includes run, and neither control nor cli" "$(includes proxy/relay 'proxy/(control|cli)/')"
check "control includes relay and run, not cli" "$(includes proxy/control 'proxy/cli/')"
check "libevent lives in control and cli" "$(for folder in base rules capture report campaign proxy/run proxy/relay proxy/gateway proxy/campaign; do includes $folder event2; done)"
check "libevent's HTTP lives in control" "$(includes proxy/cli 'event2/http')"
check "libpcap lives in capture" "$(for folder in base rules report campaign proxy/run proxy/relay proxy/gateway proxy/control proxy/campaign proxy/cli; do includes $folder pcap/; done)"
check "libmnl and libnftables live in gateway" "$(for folder in base rules capture report campaign proxy/run proxy/relay proxy/control proxy/campaign proxy/cli; do includes $folder '(libmnl|nftables)/'; done)"
check "libseccomp lives in sandbox" "$(for folder in base rules capture report campaign proxy/run proxy/relay proxy/gateway proxy/control proxy/campaign proxy/cli; do includes $folder '(seccomp)\.h'; done)"
check "inih lives in one file" "$(grep -ln '^#include <ini.h>' */*.c */*/*.c | grep -vx base/ini_read.c)"
check "jansson lives in report, campaign and proxy" "$(for folder in base rules capture; do includes $folder jansson; done)"

print='printf|fprintf|puts|putchar|stdout|stderr|__printf_chk|__fprintf_chk'
socket='socket|send|sendto|sendmsg|sendmmsg|recv|recvfrom|recvmsg|recvmmsg|bind|connect|listen|accept'
outside="clock_gettime|gettimeofday|time|nanosleep|$socket|getrandom|random|rand|rand_r|drand48"
outside="$outside|open|open64|fopen|fopen64|read|write|close|$print"
check "rules touches no clock, socket, file, random device or print" "$(calls rules "$outside")"
check "campaign starts no process and touches no socket" "$(calls campaign "$socket|fork|execve|kill|waitpid|poll|system|$print")"
check "base and capture print nothing" "$(for folder in base capture; do calls $folder "printf|puts|putchar|stderr|__printf_chk"; done)"
check "run opens no socket; of threads it starts the writer of output alone" "$(calls proxy/run "$socket|pthread_create" | grep -v "output.o: pthread_create")"
check "relay uses no libevent" "$(calls proxy/relay 'event_.*|evhttp_.*|bufferevent_.*')"
check "the check itself sees what rules calls" "$(calls rules malloc | grep -q malloc || echo 'readelf shows no malloc in rules: is it built?')"
exit $failed
