#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs all tests, two suites at a time, and prints their outcome.

A suite is a program that speaks TAP on standard output: the unit tests (cmocka), the checks of layers and pages,
the replay tests, the end-to-end modules and the scenarios. Each has a time bound. A suite that dies, prints no plan,
prints fewer results than planned or a sanitizer's report counts as failed. The last line is `N passed, N failed`
over all tests; the exit status is 1 if something failed or nothing ran.

    python3 test/run.py [NAME ...]     only these: a suite (replay, e2e/cli), all of a kind (unit, fuzz, e2e) or, if
                                       none has that name, those whose name contains NAME; -NAME leaves suites out
    python3 test/run.py --browser      only the pages in a browser
"""

import concurrent.futures
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
HELPERS = ("api", "checks", "dtls", "harness", "lab", "packets", "shark", "sockets", "summaries")  # in test/e2e, without tests
SUITES_AT_A_TIME = 2
UNIT_BOUND, LAYERS_BOUND, REPLAY_BOUND, E2E_BOUND, SCENARIOS_BOUND = 120, 60, 120, 300, 300  # seconds
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|WARNING: \w+Sanitizer|runtime error:")
RESULT = re.compile(r"^(not )?ok\b *\d* *-? *(.*)$")
PLAN = re.compile(r"^1\.\.(\d+)")
SHOWN_LINES = 60  # of a failed test's or suite's output


class Suite:
    """One program that prints TAP and, after run(), its results."""

    def __init__(self, name, words, bound):
        self.name, self.words, self.bound = name, words, bound
        self.passed, self.skipped, self.failures = [], [], []
        self.seconds, self.child = 0.0, None

    def run(self):
        began = time.monotonic()
        output, errors, status = self._execute()
        self.seconds = time.monotonic() - began
        self._read(output)
        self._judge(output + errors, status)
        return self

    def _execute(self):
        environment = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP", PYTHONDONTWRITEBYTECODE="1")
        environment.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        try:
            self.child = child = subprocess.Popen(self.words, cwd=TOP, env=environment, stdin=subprocess.DEVNULL,
                                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                                  start_new_session=True)
        except OSError as error:
            return "", f"{self.words[0]}: {error.strerror}\n", "it cannot be started"
        try:
            output, errors = child.communicate(timeout=self.bound)
            status = child.returncode
        except subprocess.TimeoutExpired:
            output, errors = self._end(child)
            status = f"it took longer than {self.bound} s"
        return output.decode(errors="replace"), errors.decode(errors="replace"), status

    def interrupt(self):
        """Interrupts the suite. It has its own process group, which a signal to ours does not reach."""
        if self.child and self.child.poll() is None:
            self.child.send_signal(signal.SIGINT)

    @staticmethod
    def _end(child):
        """First interrupts the suite, so that it can clean up; then kills its whole process group."""
        child.send_signal(signal.SIGINT)
        try:
            return child.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            return child.communicate()

    def _read(self, output):
        """Reads the results; lines after a failed one (`#` lines of cmocka) are its output."""
        self.planned, self.results, failure = None, 0, None
        for line in output.splitlines():
            plan, result = PLAN.match(line), RESULT.match(line)
            if plan:
                self.planned = (self.planned or 0) + int(plan[1])
            elif result:
                self.results += 1
                failure = self._take(bool(result[1]), result[2])
            elif failure and line.strip():
                failure[1].append(line)

    def _take(self, failed, name):
        if re.search(r"# *SKIP", name, re.IGNORECASE):
            self.skipped.append(name)
        elif failed:
            self.failures.append((name, []))
            return self.failures[-1]
        else:
            self.passed.append(name)
        return None

    def _judge(self, everything, status):
        """A fault of the suite as a whole counts as one more failure."""
        wrong = []
        if SANITIZER.search(everything):
            wrong.append("a sanitizer reported an error")
        if isinstance(status, str):
            wrong.append(status)
        elif status < 0:
            wrong.append(f"it died of {signal.Signals(-status).name}")
        elif status and not self.failures:
            wrong.append(f"exit status {status}")
        if self.planned is None:
            wrong.append("it printed no plan")
        elif self.results != self.planned:
            wrong.append(f"{self.results} results of {self.planned} planned")
        if wrong:
            self.failures.append((f"({self.name}: {', '.join(wrong)})", everything.splitlines()))

    def show(self):
        state = "FAIL" if self.failures else "ok"
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        print(f"{state:<4} {self.name:<24} {len(self.passed)} passed, {len(self.failures)} failed{skipped}"
              f"  ({self.seconds:.1f} s)")
        for name in self.skipped:
            print(f"     skipped: {name}")
        for name, lines in self.failures:
            print(f"     failed: {name}")
            if len(lines) > SHOWN_LINES:
                half = SHOWN_LINES // 2
                lines = [*lines[:half], f"… {len(lines) - SHOWN_LINES} lines …", *lines[-half:]]
            for line in lines:
                print(f"       {line}")
        sys.stdout.flush()


def all_suites():
    """Returns all suites, the long ones first, so that no suite runs alone in the last minute."""
    python = sys.executable or "/usr/bin/python3"
    e2e = [path for path in (TOP / "test/e2e").glob("*.py") if path.stem not in HELPERS]
    first = ["kills", "capture", "impair", "relay", "peers", "signals", "cli"]
    e2e.sort(key=lambda path: (first.index(path.stem) if path.stem in first else len(first), path.stem))
    suites = [Suite(f"e2e/{path.stem}", [python, str(path)], E2E_BOUND) for path in e2e]
    if (TOP / "test/replay/run.py").exists():
        suites.append(Suite("replay", [python, "test/replay/run.py"], REPLAY_BOUND))
    suites.insert(0, Suite("scenarios", [python, "test/scenarios/run.py"], SCENARIOS_BOUND))  # the longest first
    suites.insert(2, Suite("oom", [python, "test/oom/run.py"], SCENARIOS_BOUND))
    suites.insert(1, Suite("ota", [python, "test/ota/run.py"], SCENARIOS_BOUND))
    suites.append(Suite("layers", ["sh", "test/layers.sh", "build"], LAYERS_BOUND))
    suites.append(Suite("docs", ["sh", "test/docs.sh", "build"], LAYERS_BOUND))
    for source in sorted((TOP / "test/unit").glob("test_*.c")):
        suites.append(Suite(f"unit/{source.stem}", [f"build/asan/test/{source.stem}"], UNIT_BOUND))
    for source in sorted((TOP / "test/fuzz").glob("fuzz_*.c")):
        corpus = f"test/fuzz/corpus/{source.stem.removeprefix('fuzz_')}"
        suites.append(Suite(f"fuzz/{source.stem}", [f"build/asan/test/{source.stem}", corpus], UNIT_BOUND))
    return suites


BROWSER = Suite("browser", [sys.executable or "/usr/bin/python3", "test/browser/run.py"], SCENARIOS_BOUND)


def named(suites, name):
    """Returns the suites of that name or kind or, if there are none, those whose name contains it."""
    exact = [suite for suite in suites if name in (suite.name, suite.name.partition("/")[0])]
    return exact or [suite for suite in suites if name in suite.name]


def chosen(suites, names):
    """Returns the suites of `names`, or all if none is given, without those that `-NAME` leaves out."""
    wanted = [suite for name in names if not name.startswith("-") for suite in named(suites, name)]
    unwanted = [suite for name in names if name.startswith("-") for suite in named(suites, name[1:])]
    all_wanted = all(name.startswith("-") for name in names)
    return [suite for suite in suites if (all_wanted or suite in wanted) and suite not in unwanted]


def main(names):
    every = [BROWSER] if names == ["--browser"] else all_suites()
    names = [] if every == [BROWSER] else names
    suites = chosen(every, names)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with concurrent.futures.ThreadPoolExecutor(SUITES_AT_A_TIME) as pool:
        try:
            for done in concurrent.futures.as_completed([pool.submit(suite.run) for suite in suites]):
                done.result().show()
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            for suite in suites:
                suite.interrupt()
            raise
    passed = sum(len(suite.passed) for suite in suites)
    failed = sum(len(suite.failures) for suite in suites)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
