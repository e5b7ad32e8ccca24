#!/bin/sh
# Proves which folder may use what: by the includes, and by what the objects of rules/ call. Prints TAP.
# usage: layers.sh BUILD
set -u
build=${1:-build}
. "$(dirname "$0")/tap.sh"

includes() { # folder, pattern of what it may not include
	grep -nE "^#include [<\"]($2)" "$1"/*.[ch]
}

echo 1..10
check "base includes no other folder" "$(includes base '(rules|capture|report|proxy)/')"
check "rules includes base alone" "$(includes rules '(capture|report|proxy)/')"
check "capture includes base alone" "$(includes capture '(rules|report|proxy)/')"
check "report includes all but proxy" "$(includes report 'proxy/')"
check "libevent lives in proxy" "$(includes base event2; includes rules event2; includes capture event2; includes report event2)"
check "libpcap lives in capture" "$(includes base pcap; includes rules pcap; includes report pcap/; includes proxy pcap)"
check "inih lives in one file" "$(grep -ln '^#include <ini.h>' base/*.c rules/*.c capture/*.c report/*.c proxy/*.c | grep -vx base/ini_read.c)"
check "jansson lives in report and proxy" "$(includes base jansson; includes rules jansson; includes capture jansson)"

forbidden='clock_gettime|gettimeofday|time|nanosleep|socket|send|sendto|sendmsg|recv|recvfrom|recvmsg|bind|connect'
forbidden="$forbidden|getrandom|random|rand|rand_r|drand48|open|open64|fopen|fopen64|read|write|close|printf|fprintf|puts|putchar|stdout|stderr"
calls() {
	for object in "$build"/obj/rules/*.o; do
		readelf -sW "$object" | awk -v o="$object" '$7 == "UND" && $8 { print o ": " $8 }'
	done
}
check "rules touches no clock, socket, file, random device or print" "$(calls | grep -E ": ($forbidden)(@.*)?$")"
check "the check itself sees what rules calls" "$(calls | grep -q ': malloc' || echo 'readelf shows no malloc in rules: is it built?')"
exit $failed
