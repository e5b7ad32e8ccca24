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

everywhere='base rules capture report campaign proxy/run proxy/sandbox proxy/gateway proxy/relay proxy/control proxy/campaign proxy/cli'

elsewhere() { # pattern of what no folder may include but those named
	pattern=$1
	shift
	for folder in $everywhere; do
		case " $* " in
		*" $folder "*) ;;
		*) includes "$folder" "$pattern" ;;
		esac
	done
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
check "proxy/campaign includes run, and neither relay, control nor cli" "$(includes proxy/campaign 'proxy/(relay|control|cli)/')"
check "nothing but cli includes proxy/campaign" "$(elsewhere 'proxy/campaign/' proxy/campaign proxy/cli)"
check "run includes no other part of proxy" "$(includes proxy/run 'proxy/(relay|gateway|sandbox|control|cli|campaign)/')"
check "sandbox includes run, and no other part of proxy" "$(includes proxy/sandbox 'proxy/(relay|gateway|control|cli|campaign)/')"
check "gateway includes run and sandbox, and no other part of proxy" "$(includes proxy/gateway 'proxy/(relay|control|cli|campaign)/')"
check "relay includes run, and neither control nor cli" "$(includes proxy/relay 'proxy/(control|cli)/')"
check "control includes relay and run, not cli" "$(includes proxy/control 'proxy/cli/')"
check "libevent lives in control and cli" "$(elsewhere event2 proxy/control proxy/cli)"
check "libevent's HTTP lives in control" "$(includes proxy/cli 'event2/http')"
check "libpcap lives in capture" "$(elsewhere pcap/ capture)"
check "libmnl and libnftables live in gateway" "$(elsewhere '(libmnl|nftables)/' proxy/gateway)"
check "libseccomp lives in sandbox" "$(elsewhere '(seccomp)\.h' proxy/sandbox)"
check "inih lives in one file" "$(grep -ln '^#include <ini.h>' */*.c */*/*.c | grep -vx base/ini_read.c)"
check "jansson lives in report, campaign and proxy" "$(elsewhere jansson report campaign proxy/run proxy/sandbox proxy/gateway proxy/relay proxy/control proxy/campaign proxy/cli)"

print='printf|fprintf|puts|putchar|stdout|stderr|__printf_chk|__fprintf_chk'
socket='socket|send|sendto|sendmsg|sendmmsg|recv|recvfrom|recvmsg|recvmmsg|bind|connect|listen|accept'
outside="clock_gettime|gettimeofday|time|nanosleep|$socket|getrandom|random|rand|rand_r|drand48"
outside="$outside|open|open64|fopen|fopen64|read|write|close|$print"
check "rules touches no clock, socket, file, random device or print" "$(calls rules "$outside")"
check "campaign starts no process and touches no socket" "$(calls campaign "$socket|fork|execve|kill|waitpid|poll|system|$print")"
check "base and capture print nothing" "$(for folder in base capture; do calls $folder "printf|puts|putchar|stderr|__printf_chk"; done)"
check "run opens no socket, and starts no thread but the writer of output" "$(calls proxy/run "$socket|pthread_create" | grep -v "output.o: pthread_create")"
check "relay uses no libevent" "$(calls proxy/relay 'event_.*|evhttp_.*|bufferevent_.*')"
check "the check itself sees what rules calls" "$(calls rules malloc | grep -q malloc || echo 'readelf shows no malloc in rules: is it built?')"
exit $failed
