#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""prepare: starts libcoap's server as a cloud for one case, and tells the proxy where it is.

It stays in the background; the campaign ends it with the case. The firmware is a file of 4 KiB.
"""

import os
import pathlib
import random
import socket
import subprocess
import sys
import time

KEY, PATIENCE = "0123456789abcdef", 10.0


def free_port():
    """A port such that it and the next are free on UDP and TCP: the server takes both."""
    for _ in range(200):
        port = random.SystemRandom().randrange(20000, 60000, 2)
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                for offset in (0, 1):
                    with socket.socket(socket.AF_INET, kind) as probe:
                        probe.bind(("127.0.0.1", port + offset))
            return port
        except OSError:
            continue
    sys.exit("no free ports")


def is_bound(port):
    return any(line.split()[1].endswith(f":{port:04X}") for line in open("/proc/net/udp", encoding="ascii") if ":" in line)


def main():
    folder, port = pathlib.Path(os.environ["DEADZONE_DIR"]), free_port()
    firmware = folder / "firmware"
    firmware.write_bytes(random.Random(int(os.environ["DEADZONE_SEED"])).randbytes(4096))
    subprocess.Popen(["coap-server-openssl", "-A", "127.0.0.1", "-p", str(port), "-k", KEY, "-h", "hint", "-d", "1"],
                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE
    while not is_bound(port + 1):
        if time.monotonic() > deadline:
            sys.exit("coap-server did not come up")
        time.sleep(0.01)
    subprocess.run(["coap-client-notls", "-m", "put", "-f", firmware, f"coap://127.0.0.1:{port}/firmware"], check=True)
    with open(os.environ["DEADZONE_SET"], "a", encoding="ascii") as settings:
        settings.write(f"[proxy] upstream = 127.0.0.1:{port + 1}\n")


if __name__ == "__main__":
    main()
