#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A device for campaigns: sends probes to $DEADZONE_HOST:$DEADZONE_PORT and passes if the echo of each comes back.

    device.py [PROBES]     exit status 0: all came back, 1: some did not

The link is assumed to keep order: once the last message is echoed, what has not come will not. So the outcome
depends on what the network did to each datagram, never on how busy the machine is.
"""

import os
import socket
import sys

PATIENCE, TRIES = 2.0, 30


def main():
    probes = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    device = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    device.connect((os.environ["DEADZONE_HOST"], int(os.environ["DEADZONE_PORT"])))
    device.settimeout(PATIENCE)
    sent = {b"probe %d" % i for i in range(probes)}
    for probe in sorted(sent):
        device.send(probe)
    came = set()
    for _ in range(TRIES):
        device.send(b"end")
        try:
            while (answer := device.recv(2000)) != b"end":
                came |= {answer} & sent
            break
        except (TimeoutError, ConnectionRefusedError):
            continue
    else:
        print("no answer at all")
        return 1
    print(f"{len(came)} of {probes} came back")
    with open(os.environ["DEADZONE_MEASURES"], "a", encoding="ascii") as measures:
        measures.write(f"echoes {len(came)}\n")
    return 0 if len(came) == probes else 1


if __name__ == "__main__":
    sys.exit(main())
