#!/usr/bin/python3
"""The examples in doc/examples do what they say."""

import os
import shutil

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
    # One that fails keeps its capture, and says where.
    scene.path("pytest/test_fails.py", "from test_flash import INI, cloud\n\ndef test_fails(deadzone, cloud):\n"
                                       "    proxy = deadzone(INI, cloud, '[rule dead-zone] expect = 1')\n    proxy.expect()\n")
    done = h.run("pytest-3", "-p", "no:cacheprovider", "--basetemp", scene.path("base"), scene.path("pytest/test_fails.py"),
                 env=environment, patience=150)
    check_equal(done.returncode, 1, done.stdout)
    kept = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("capture: ")]
    check(len(kept) == 1 and os.path.exists(kept[0]), done.stdout)
    check("expected to fire 1 times" in done.stdout, done.stdout)


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
