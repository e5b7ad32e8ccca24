# SPDX-License-Identifier: BSD-2-Clause
"""A fixture `deadzone`: a run of the proxy that a test starts, steers and holds to what it expects.

    proxy = deadzone("flash.ini", upstream="127.0.0.1:5684")    # up to its ready line; proxy.port is where devices go
    proxy.tell("do", "blackout 5s")                             # see `deadzone help tell`
    proxy.wait("dead-zone")                                     # until that rule has fired
    summary = proxy.expect()                                    # stops it; fails where an `expect` did not hold

$DEADZONE names the program. When a test fails its captures stay, and the report says where.
"""
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

PROGRAM = os.environ.get("DEADZONE", "deadzone")


class Proxy:
    def __init__(self, ini, folder, upstream, sets=()):
        self.capture, self.json, self.control = folder / "run.pcapng", folder / "run.json", f"unix:{folder}/control"
        words = ["run", "-c", ini, "-w", self.capture, "--json", self.json]
        for one in ("[proxy] listen = 127.0.0.1:0", f"[proxy] upstream = {upstream}", f"[control] listen = {self.control}", *sets):
            words += ["--set", one]
        self.process = subprocess.Popen([PROGRAM, *map(str, words)], stderr=subprocess.PIPE, text=True)
        self.said = []
        for line in self.process.stderr:
            self.said.append(line)
            if found := re.search(r"ready listen=\S+:(\d+) ", line):
                self.port = int(found[1])
                return
        pytest.fail("deadzone did not start:\n" + "".join(self.said))

    def tell(self, *words):
        return subprocess.run([PROGRAM, "tell", *words, "--to", self.control], check=True, capture_output=True, text=True).stdout

    def wait(self, rule, count=1, timeout="30s"):
        self.tell("wait", rule, "--count", str(count), "--timeout", timeout)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.said += self.process.communicate(timeout=30)[1]
        return self.process.returncode

    def expect(self, status=0):
        assert self.stop() == status, "".join(self.said)
        return json.loads(self.json.read_text())


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    for proxy in getattr(item, "proxies", []):
        if report.when == "call" and report.failed:
            item.keep_captures = True
            report.sections.append(("deadzone", f"capture: {proxy.capture}\n" + "".join(proxy.said)))


@pytest.fixture
def deadzone(request, tmp_path_factory):
    request.node.proxies = proxies = []
    folders = []

    def start(ini, upstream, *sets):
        folders.append(tmp_path_factory.mktemp("deadzone"))
        proxies.append(Proxy(ini, folders[-1], upstream, sets))
        return proxies[-1]

    yield start
    for proxy in proxies:
        proxy.stop()
    if not getattr(request.node, "keep_captures", False):
        for folder in folders:
            shutil.rmtree(folder)
