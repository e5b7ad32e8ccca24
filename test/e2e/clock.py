#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The wall clock steps while the relay runs (libfaketime): no interval changes, and an event reports the step."""

import glob
import os
import time

import harness as h
from harness import check, check_equal, test

LIBRARY = "/usr/lib/*/faketime/libfaketimeMT.so.1"


class Clock:
    """The wall clock of programs started with `options`; the monotonic one is real. The file is outside the sandbox."""

    def __init__(self, scene):
        self.file = scene.path("clock", "+0\n")
        # The sanitized build does not do: its runtime must be the first library, and would see the false clock.
        self.options = {"binary": h.TOP / "build/deadzone", "env": dict(
            os.environ, LD_PRELOAD=glob.glob(LIBRARY)[0], FAKETIME_TIMESTAMP_FILE=str(self.file), FAKETIME_NO_CACHE="1",
            FAKETIME_DONT_FAKE_MONOTONIC="1", DONT_FAKE_MONOTONIC="1")}

    def step(self, seconds):
        """Sets the clock to `seconds` from the real time, in one step."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n")
        fresh.rename(self.file)


def ini_of(scene, capture):
    return f"[proxy]\nlisten = 127.0.0.1:0\nupstream = {scene.cloud()}\n[capture]\n{capture}"


@test
def files_are_rotated_by_the_monotonic_clock(scene):
    clock = Clock(scene)
    began = time.monotonic()
    proxy = scene.start(ini_of(scene, f"file = {scene.folder}/cap.pcapng\nrotate_time = 1s\n"), "--no-sandbox",
                        capture=False, **clock.options).await_ready()
    device = scene.device(proxy)
    asked = 0
    for step, told in ((-3600, "-3600"), (3600, r"\+7200"), (0, "-3600")):
        clock.step(step)
        # Rotation must go on: at least one new file follows each step.
        begun = proxy.text.count("the capture goes on in")

        def more():
            nonlocal asked
            check_equal(device.ask(b"%d" % asked), b"%d" % asked)
            asked += 1
            return proxy.text.count("the capture goes on in") > begun

        h.until(more, f"a new file after the step to {step:+d} s")
        proxy.told(rf"clock-stepped {told}\.\d+s")
    proxy.signal(h.signal.SIGTERM)
    check_equal(proxy.wait(), 0)
    files = sorted(scene.folder.glob("cap*.pcapng"))
    check(len(files) <= time.monotonic() - began + 2, f"{len(files)} files of 1 s")
    packets = [packet for file in files for packet in h.read_capture(file)]
    check_equal(len([packet for packet in packets if packet.fields.get("verdict")]), 2 * asked, "datagrams in all files")
    stamps = [packet.time for packet in packets]
    check(max(stamps) - min(stamps) < 600e9, "the timestamps do not step")


@test
def no_datagram_waited_for_an_hour(scene):
    """The kernel's receive timestamps come from the wall clock."""
    clock = Clock(scene)
    proxy = scene.start(ini_of(scene, f"file = {scene.folder}/cap.pcapng\n"), "--no-sandbox", **clock.options).await_ready()
    device = scene.device(proxy)
    for step in (3600, -3600, 0):
        clock.step(step)
        told = proxy.text.count("clock-stepped")
        h.until(lambda: device.ask(b"here") and proxy.text.count("clock-stepped") > told, "the step to be noticed")
    summary = proxy.stop()
    for way in ("up", "down"):
        delay = summary["totals"][way]["delay_ms"]
        check(delay is None or delay["max"] < 600_000, f"{way}: {delay}")


@test
def keys_hold_packets_back_by_the_monotonic_clock(scene):
    clock = Clock(scene)
    keylog = scene.path("keys", "")
    proxy = scene.start(ini_of(scene, f"keylog = {keylog}\n"), "--no-sandbox", **clock.options).await_ready()
    device = scene.device(proxy)
    for step in (-3600, 3600):
        clock.step(step)
        device.ask(b"here")
        seen = proxy.summary_when(lambda s: True)["capture"]["written"]
        device.ask(b"and here")
        proxy.summary_when(lambda s: s["capture"]["written"] >= seen + 4, f"packets to be written after {step:+d} s")
    proxy.told("clock-stepped")
    proxy.stop()


if __name__ == "__main__":
    h.run_all()
