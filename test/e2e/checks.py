# SPDX-License-Identifier: BSD-2-Clause
"""Checks, waits for a condition, and programs that run to their end."""

import subprocess
import time

PATIENCE = 15.0  # seconds that any condition may take on a busy machine


class Failure(Exception):
    """A check that did not hold."""


class Skip(Exception):
    """The machine lacks what the test needs."""


def check(condition, what):
    if not condition:
        raise Failure(what)


def check_equal(got, want, what=""):
    if got != want:
        raise Failure(f"{what + ': ' if what else ''}got {got!r}, want {want!r}")


def until(condition, what, patience=PATIENCE):
    """Polls `condition` until its answer is true; returns that answer."""
    deadline = time.monotonic() + patience
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise Failure(f"waited {patience:.0f} s in vain for {what}")
        time.sleep(0.01)


def run(*words, patience=60.0, **options):
    """Runs a program to its end; returns a CompletedProcess with text."""
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=patience,
                          check=False, errors="replace", **options)
