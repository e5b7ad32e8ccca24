#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Minutes at half the greatest rate, with capture: memory must stay flat; what was lost is told.

    python3 test/bench/soak.py [MINUTES]
"""

import statistics
import subprocess
import sys
import threading
import time

import bench

STEP = 5.0        # seconds between two looks
GROWTH = 1 << 20  # bytes that the last third may have above the second: what the allocator does by itself
INI = ("max_sessions = 2000\nidle_timeout = 30s\nmax_queued = 1GiB\n---\n[link default]\nlatency = 20ms\njitter = 5ms\n"
       "loss = 1%\nduplicate = 1%\n[device any]\nnat_timeout = 10s\n[capture]\nrotate_size = 64MiB\nkeep = 3\n")


def greatest_rate():
    one = bench.Proxy(ini=INI, capture=True)
    got = bench.load(one, devices=500, window=8192, seconds=3)
    one.stop()
    return got["paid"] / got["seconds"]


def main():
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10
    rate = greatest_rate() / 2
    one = bench.Proxy(ini=INI, capture=True)
    words = bench.load_words(one, devices=500, rate=int(rate), cold=True, seconds=minutes * 60)
    print(f"{rate:.0f} datagrams a second for {minutes:g} minutes", flush=True)
    done = {}
    loading = threading.Thread(target=lambda: done.update(bench.figures(subprocess.run(
        words, stdout=subprocess.PIPE, text=True, check=True, preexec_fn=bench.pin(bench.CORES[-1])).stdout)))
    loading.start()
    memory = []
    while loading.is_alive():
        memory.append(one.resident())
        if len(memory) % 12 == 1:
            print(f"  {len(memory) * STEP - STEP:5.0f} s  {memory[-1] / 1e6:7.2f} MB", flush=True)
        time.sleep(STEP)
    loading.join()
    summary = one.stop()
    third = len(memory) // 3
    growth = statistics.median(memory[-third:]) - statistics.median(memory[third : 2 * third])
    up = summary["totals"]["up"]
    print(f"received {up['received']} of {done['sent']:.0f} sent; kernel drops {summary['kernel_drops']},"
          f" capture lost {summary['capture']['lost']}; the last third has {growth / 1024:.0f} KiB more than the second")
    if growth > GROWTH:
        print("MISSED: memory grows")
        return 1
    print("held: memory is flat")
    return 0


if __name__ == "__main__":
    sys.exit(main())
