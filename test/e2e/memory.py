#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs the plain binary under valgrind, with all kinds of rules: no invalid read, no leak.

The sandbox is off: valgrind does not know its system calls, and opens files of its own.
"""

import os
import pathlib

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
os.environ["DEADZONE_BINARY"] = str(TOP / "build/deadzone")  # before the harness reads it

from checks import check_equal, run  # noqa: E402
from harness import run_all, test  # noqa: E402

VALGRIND = ("valgrind", "-q", "--error-exitcode=99", "--leak-check=full", "--show-leak-kinds=definite,indirect")

BUSY = """
[device d]
nat_timeout = 50ms
[link default]
latency = 5ms
jitter = 3ms
distribution = paretonormal
correlation = 30%
loss = 10%
loss_run = 2
duplicate = 20%
reorder = 10%
rate = 1Mbit
queue = 20p
[rule dark]
nth = 9
do = blackout 30ms hold
[rule group]
direction = up
nth = 3-5
do = permute 3 1 2
[rule joint]
direction = down
nth = every 4
do = pack 10ms
[rule copies]
nth = every 5
do = decoy 2
do = inject 00ff
do = replay 1
[rule shift]
direction = up
nth = every 10
do = rebind
"""


@test
def a_run_with_all_kinds_of_rules(scene):
    cloud = scene.cloud()
    proxy = scene.proxy(BUSY, "--no-sandbox", upstream=cloud, prefix=VALGRIND)
    devices = [scene.device(proxy) for _ in range(2)]
    for number in range(40):
        for device in devices:
            device.send(b"datagram %d" % number)
    proxy.when_received(80)
    proxy.stop()


@test
def check_of_good_and_bad_files(scene):
    bad = scene.path("bad.ini", "[proxy]\nlistn = 1\n[link a]\nlike = b\nrate = 5\n[rule r]\ndo = permute 1 1\n[rul x]\n")
    good = scene.path("good.ini", BUSY)
    for path, status in ((bad, 2), (good, 0)):
        done = run(*VALGRIND, os.environ["DEADZONE_BINARY"], "check", path)
        check_equal(done.returncode, status, done.stderr)


run_all()
