#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Tests the live page and the report's page in headless Chromium, driven by playwright-core: `make check-browser`.

Screenshots at three widths in both themes stay in build/browser/.
"""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys


TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "test/e2e"))
os.environ.setdefault("DEADZONE_BINARY", str(TOP / "build/deadzone"))

import dtls  # noqa: E402
import harness as h  # noqa: E402
from harness import check, check_equal, test  # noqa: E402

SHOTS = TOP / "build/browser"
STEERED = """
[link default]
latency = 20ms
rate = 200kbit
[link bad]
loss = 30%
[rule seen]
nth = every 10
do = note
"""


def page(step, url, *words, patience=90):
    """Runs one step of page.mjs; returns what it found."""
    environment = dict(os.environ, PLAYWRIGHT=str(SHOTS))
    done = h.run("node", TOP / "test/browser/page.mjs", step, url, *words, env=environment, patience=patience)
    check_equal(done.returncode, 0, done.stdout + done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    check_equal(found["wrong"], [], f"errors of the page at {step}")
    return found


def steered(scene, upstream, more=STEERED, control="127.0.0.1:0", keys=""):
    proxy = scene.proxy(f"[control]\nlisten = {control}\n{more}", upstream=upstream, ready=1, keys=keys)
    return proxy, "http://" + re.search(r"control listen=(\S+)", proxy.text)[1] + "/"


@test
def a_blackout_is_pressed_and_a_real_transfer_stalls_and_recovers(scene):
    dtls.need("coap-client-openssl", "coap-server-openssl")
    server = dtls.coap_server(scene)
    image = scene.path("image", "".join(chr(32 + i * 7 % 90) for i in range(60000)))
    dtls.coap("-m", "put", "-b", "1024", "-f", image, port=server.port, path="image", patience=30)
    proxy, url = steered(scene, f"127.0.0.1:{server.port}")
    client = subprocess.Popen(["coap-client-openssl", "-k", dtls.KEY, "-u", dtls.IDENTITY, "-B", "90", "-b", "512", "-o",
                               str(scene.path("got")), f"coaps://127.0.0.1:{proxy.port}/image"])
    try:
        found = page("blackout", url, "2s")
        check("blackout 2s" in found["answer"] and "1 session" in found["answer"], found)
        client.wait(90)
    finally:
        client.kill()
        client.wait()
    check_equal(scene.path("got").read_text(), image.read_text(), "the image after the blackout")
    summary = proxy.stop()
    dropped = sum(summary["totals"][way]["dropped"].get("blackout", 0) for way in ("up", "down"))
    check(dropped > 0, "the blackout dropped nothing")
    events = h.events(h.read_capture(proxy.capture))
    check(any("blackout-begins 2s by=api" in event for event in events), events)


@test
def what_is_pressed_is_done(scene):
    cloud = scene.cloud()
    proxy, url = steered(scene, cloud)
    scene.device(proxy).ask(b"hello")
    found = page("press", url)
    check("[link default] up.loss: `much`" in found["refused"], found)
    summary = proxy.stop()
    check_equal(summary["sessions"][0]["link"], "bad")
    changes = [one["change"] for one in summary["changes"]]
    check_equal(changes, ["do session=1 link bad", "set [link default] up.loss = 7%", "disable seen"])


@test
def a_page_that_is_opened_late_shows_what_was_and_ends_a_blackout(scene):
    proxy, url = steered(scene, scene.cloud())
    text = page("empty", url)["told"]
    check("No device has a session yet" in text and "Nothing has arrived" in text and f"/dev/udp/127.0.0.1/{proxy.port}" in text, text)
    device = scene.device(proxy)
    for i in range(4):
        device.ask(b"before the page")
    h.until(lambda: len(h.run("curl", "-s", url + "api/v1/history").stdout) > 600, "some samples")
    check_equal(h.run(h.BINARY, "tell", "do", "blackout 1h", "--to", url[7:-1]).returncode, 0)
    found = page("late", url)
    check(found["samples"] >= 2 and "session 1" in found["left"], found)
    check_equal(device.ask(b"after it"), b"after it")
    proxy.stop()


@test
def a_campaign_leads_from_a_square_to_the_report_of_a_failed_case(scene):
    scene.path("net.ini", f"[proxy]\nlisten = 127.0.0.1:0\nupstream = {scene.cloud()}\n[rule cut]\ndirection = up\nnth = 9999\ndo = drop\n")
    ini = scene.path("campaign.ini", f"""[campaign]
config = net.ini
test = {TOP}/test/campaign/device.py 3
seeds = 1-2
[axis cut]
set = [rule cut] nth
values = 9999, 2
names = clean, cut
[axis board]
values = argon, boron
[search cut]
set = [rule cut] do
value = truncate {{}}
from = 1
to = 40
worse = less
runs = 4
[sweep each]
at = datagrams
limit = 2
references = 1
""")
    done = h.deadzone("campaign", "-q", "-c", ini, "-o", scene.path("out"), "--only", "m/*", "--only", "*/*/clean+argon*", patience=90)
    check_equal(done.returncode, 3, done.stderr)
    found = page("campaign", scene.path("out/report.html").as_uri())
    check_equal((found["squares"], found["curves"], found["faults"], found["wide"]), (4, 1, 2, False), str(found))
    check("requirements failed" in found["verdict"] and "0 of 2 passed" in found["cases"] and "--shrink m/cut+" in found["cases"], str(found))
    check("m cut+argon" in found["report"], str(found))


@test
def the_report_draws_a_handshake_as_a_ladder(scene):
    dtls.need("openssl")
    server = dtls.openssl_psk_server(scene, dtls.PSK_CIPHERS[0])
    proxy = scene.proxy("[rule lost]\ndtls = server_hello\nattempt = 1\ndo = drop\nexpect = 1\n", upstream=f"127.0.0.1:{server.port}")
    dtls.openssl_psk_client(scene, proxy.port, dtls.PSK_CIPHERS[0])
    proxy.summary_when(lambda s: s["sessions"] and s["sessions"][0]["down"]["sent"] >= 3, "the handshake")
    proxy.stop()
    html = scene.path("ladder.html")
    check_equal(h.deadzone("report", proxy.capture, "--html", html).returncode, 0)
    found = page("ladder", html.as_uri())
    check(found["crosses"] >= 2 and any("server_hello" in row and "lost" in row for row in found["rows"]), found)
    check(any("again" in row for row in found["rows"]), found)
    check("expected" in found["rules"], found)


@test
def a_thousand_sessions_render_and_stay_responsive(scene):
    cloud = scene.cloud()
    proxy, url = steered(scene, cloud, "")
    for _ in range(1000):
        scene.device(proxy).send(b"hello")
    proxy.when_received(1000)
    found = page("many", url)
    check_equal(found["rows"], 1000)
    check(found["spent"] < 3000, f"three searches took {found['spent']:.0f} ms")
    proxy.stop()


@test
def it_says_when_the_proxy_is_gone_and_comes_back(scene):
    cloud, port = scene.cloud(), h.free_port(kinds=(socket.SOCK_STREAM,))
    proxy, url = steered(scene, cloud, "", f"127.0.0.1:{port}")
    viewer = scene.program("node", TOP / "test/browser/page.mjs", "lost", url, env=dict(os.environ, PLAYWRIGHT=str(SHOTS)))
    viewer.told("^there$", patience=60)
    proxy.stop()
    viewer.told("^gone$", patience=60)
    again, _ = steered(scene, cloud, "", f"127.0.0.1:{port}")
    viewer.told('"told":"The connection to the proxy is lost', patience=60)
    check_equal(viewer.wait(30), 0)
    again.stop()


@test
def a_token_is_asked_for(scene):
    token = scene.path("token", "s3cret\n")
    proxy = scene.proxy(f"[control]\nlisten = 127.0.0.1:0\ntoken = {token}\n", upstream=scene.cloud(), ready=1)
    url = "http://" + re.search(r"control listen=(\S+)", proxy.text)[1] + "/"
    page("token", url, "s3cret")
    proxy.stop()


@test
def both_pages_fit_every_width_and_theme(scene):
    cloud = scene.cloud()
    proxy, url = steered(scene, cloud, STEERED + "[device lab]\n[rule dark]\nnth = 30\ndirection = up\ndo = blackout 200ms\n")
    devices = [scene.device(proxy) for _ in range(12)]
    for i in range(60):
        for device in devices:
            device.send(b"datagram %d" % i)
            device.pending()
    check_equal(page("looks", url, SHOTS / "live")["wide"], [])
    proxy.when_echoed()
    proxy.stop()
    html = scene.path("report.html")
    check_equal(h.deadzone("report", proxy.capture, "--html", html).returncode, 0)
    check_equal(page("looks", html.as_uri(), SHOTS / "report")["wide"], [])
    found = page("report", html.as_uri())
    check("dir=up n=1 " in found["first"] and found["second"] != found["first"], found)
    check_equal(found["sessions"], 12)
    check(found["events"] > 12, found)


if __name__ == "__main__":
    h.run_all()
