#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The examples in doc/examples do what they say."""

import itertools
import os
import shutil
import socket

import dtls
import harness as h
from harness import check, check_equal, test

EXAMPLES = h.TOP / "doc/examples"


@test
def pytest_steers_a_real_transfer(scene):
    dtls.need("pytest-3", "coap-client-openssl", "coap-server-openssl")
    shutil.copytree(EXAMPLES / "pytest", scene.path("pytest"))
    environment = dict(os.environ, DEADZONE=h.BINARY, PYTHONDONTWRITEBYTECODE="1")
    done = h.run("pytest-3", "-p", "no:cacheprovider", "--basetemp", scene.path("base"), scene.path("pytest"), env=environment, patience=150)
    check_equal(done.returncode, 0, done.stdout + done.stderr)
    check("2 passed" in done.stdout, done.stdout)
    # A test that fails keeps its capture, and says where.
    scene.path("pytest/test_fails.py", "from test_flash import INI, cloud\n\ndef test_fails(deadzone, cloud):\n"
                                       "    proxy = deadzone(INI, cloud, '[rule dead-zone] expect = 1')\n    proxy.expect()\n")
    done = h.run("pytest-3", "-p", "no:cacheprovider", "--basetemp", scene.path("base"), scene.path("pytest/test_fails.py"),
                 env=environment, patience=150)
    check_equal(done.returncode, 1, done.stdout)
    kept = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("capture: ")]
    check(len(kept) == 1 and os.path.exists(kept[0]), done.stdout)
    check("expected exactly 1 firing, got " in done.stdout, done.stdout)


def github_step():
    """Returns the shell lines of the step that runs deadzone, as GitHub passes them to bash -e."""
    lines = (h.TOP / "doc/howto/ci.md").read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.endswith("- run: |"))
    indent = " " * (len(lines[first + 1]) - len(lines[first + 1].lstrip()))
    return "\n".join(line[len(indent):] for line in itertools.takewhile(lambda line: line.startswith(indent), lines[first + 1:]))


@test
def a_ci_step_fails_with_the_test_and_with_the_run(scene):
    """The step of doc/howto/ci.md fails with the status of the test or of the run."""
    step = github_step()
    check("deadzone tell stop" in step and "wait $proxy" in step, step)
    bin_folder = scene.folder / "bin"
    bin_folder.mkdir()
    (bin_folder / "deadzone").symlink_to(h.BINARY)
    port, control = h.free_port(), h.free_port(kinds=(socket.SOCK_STREAM,))
    scene.path("lab.ini", f"[proxy]\nlisten = 127.0.0.1:{port}\nupstream = {scene.cloud()}\n[control]\n"
                          f"listen = 127.0.0.1:{control}\n[rule seen]\ndirection = up\ndo = note\nexpect = 1-\n")
    send = (f"import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.connect(('127.0.0.1', {port}))\n"
            "s.settimeout(20)\ns.send(b'x')\ns.recv(10)\n")
    step = step.replace("tell stop", f"tell stop --to 127.0.0.1:{control}")
    for body, status in ((f'python3 -c "{send}"', 0), (f'python3 -c "{send}"; exit 7', 7), ("exit 0", 3)):
        scene.path("flash-test", f"#!/bin/sh\n{body}\n").chmod(0o755)
        done = h.run("bash", "-e", "-c", step, cwd=scene.folder,
                     env=dict(os.environ, PATH=f"{bin_folder}:{os.environ['PATH']}"))
        check_equal(done.returncode, status, (body, done.stdout, done.stderr, scene.path("run.log").read_text()))
        check(scene.path("captures/flash.pcapng").exists() and scene.path("deadzone.xml").exists(), "files of the step")


@test
def a_shell_script_steers_too(scene):
    cloud = scene.cloud()
    port = h.free_port()
    ini = scene.path("proxy.ini", f"[proxy]\nlisten = 127.0.0.1:{port}\nupstream = {cloud}\n"
                                  "[rule blocks]\ndirection = down\nsize = 400-\ndo = note\nexpect = 40-\n")
    flash = scene.path("flash.py", "import socket, sys\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.settimeout(20)\n"
                                   f"s.connect(('127.0.0.1', {port}))\nfor i in range(40):\n    s.send(bytes(500))\n    s.recv(1000)\n")
    done = h.run("sh", EXAMPLES / "steer.sh", ini, f"python3 {flash}", cwd=scene.folder, env=dict(os.environ, DEADZONE=h.BINARY))
    check_equal(done.returncode, 0, done.stdout + done.stderr)
    told = h.events(h.read_capture(scene.path("flash.pcapng")))
    check(any("blackout-begins 40s" in event for event in told), told)
    check('tests="1" failures="0"' in scene.path("flash.xml").read_text(), scene.path("flash.xml").read_text())


h.run_all()
