#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Captures of a proxy that is killed at a random moment: kill -9, two hundred times."""

import contextlib
import os
import random
import threading
import time

import harness as h
from harness import check, check_equal, test
from shark import ENHANCED, blocks


@test
def kill_9_at_any_moment(scene):
    """Each time the file is intact up to its last complete block, and has all datagrams older than 500 ms."""
    chance = random.Random(20)
    cloud = scene.cloud()
    for turn in range(200):
        proxy = scene.proxy("[link default]\nduplicate = 20%", upstream=cloud)
        device, answered = scene.device(proxy), []
        end = time.monotonic() + chance.choice((0.0, 0.02, 0.1, 0.3, 0.6)) * chance.random()
        killer = threading.Timer(end - time.monotonic(), proxy.process.kill)
        killer.start()
        while time.monotonic() < end:
            with contextlib.suppress(OSError):  # refused: the proxy is dead already
                device.send(*[bytes(chance.randrange(1400))] * 5)
            answered += [time.monotonic()] * 5
            device.pending()
            time.sleep(0.002)  # limits the rate, so that tshark need not read for long
        killer.join()
        proxy.wait()
        found, rest = blocks(proxy.capture)
        os.truncate(proxy.capture, proxy.capture.stat().st_size - len(rest))
        packets = h.read_capture(proxy.capture) if found else []
        check_equal(len(packets), len([kind for kind, _ in found if kind == ENHANCED]))
        check(len(rest) < 4096, f"turn {turn}: {len(rest)} bytes after the last complete block")
        old = len([stamp for stamp in answered if stamp < end - 0.5])
        check(len(h.arrivals(packets, "up")) >= old, f"turn {turn}: {len(h.arrivals(packets, 'up'))} of {old} old ones")


h.run_all()
