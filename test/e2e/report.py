#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""`deadzone report`: its figures from a capture, compared with those that the run itself counted."""

import json
import re
import time

import dtls
import harness as h
from harness import check, check_equal, deadzone, test
from packets import CLOUD, DEVICE, RAW, ip, pcap
from summaries import differences

MIXED = """
[device lab]
identity = bench-1
nat_timeout = 10s
link = bad
[link bad]
latency = 3ms
jitter = 2ms
loss = 5%
duplicate = 10%
corrupt = 10%
reorder = 10%
[link joined]
latency = 2ms
duplicate = 30%
corrupt = 30%
loss = 20%
[rule seventh]
nth = every 7
do = note
[rule dark]
direction = up
nth = 30
do = blackout 50ms up hold
[rule black]
direction = down
nth = 60
do = blackout 20ms
[rule copies]
nth = every 11
do = duplicate 2
do = decoy
[rule again]
nth = every 13
do = replay 2
[rule more]
nth = every 17
do = inject 0102
[rule groups]
direction = down
nth = every 5
do = permute 3 1 2
[rule port]
direction = up
nth = 50
do = rebind
[rule over]
direction = up
nth = 70
limit = 1
do = link joined
[rule joined]
direction = up
nth = 72-80
do = pack 5ms
[rule gone]
nth = 90-93
do = drop
[rule never]
size = 9000
do = drop
expect = 1-
"""


def report(path, *words):
    done = h.deadzone("report", path, *words)
    check_equal((done.returncode, done.stderr), (0, ""), f"report {words}")
    return done.stdout


def run_mixed(scene, more=MIXED, rounds=120, status=3, **options):
    cloud = scene.cloud()
    proxy = scene.proxy(more, upstream=cloud, **options)
    device = scene.device(proxy)
    for i in range(rounds):
        device.send(b"datagram %d " % i + bytes(i % 50))
        device.pending()  # limits the rate
    proxy.when_received(rounds)
    proxy.summary_when(lambda s: not s["totals"]["up"]["queued"] + s["totals"]["down"]["queued"], "all to leave")
    return proxy, proxy.stop(status)


@test
def figures_equal_the_runs_own_to_the_last_datagram(scene):
    proxy, summary = run_mixed(scene)
    check_equal(list(differences(summary, json.loads(report(proxy.capture, "--json")))), [])
    check_equal(summary["failed"], [{"rule": "never", "want": "1-", "got": 0}])
    check_equal((summary["exit"], summary["sessions"][0]["identity"]), (3, "bench-1"))
    up = summary["sessions"][0]["up"]
    check(up["copies"] and up["dropped"] and up["corrupted"] and up["reordered"], f"each kind of fate occurs: {up}")


@test
def a_port_that_nothing_left_by_and_old_ones_are_known(scene):
    cloud = scene.cloud()
    ini = "[rule none]\ndirection = up\nsession = 1\ndo = drop\n[rule port]\nsession = 2\ndirection = up\nnth = 2\ndo = rebind\n"
    proxy = scene.proxy(ini, upstream=cloud)
    scene.device(proxy).send(b"one", b"two")
    proxy.when_received(2)
    second = scene.device(proxy)
    for _ in range(4):
        second.ask(b"answered")
    summary = proxy.stop()
    told = json.loads(report(proxy.capture, "--json"))
    check_equal(list(differences(summary, told)), [])
    check_equal([one["old_ports"] for one in summary["sessions"]], [0, 1])
    check(all(one["port"] for one in summary["sessions"]), summary["sessions"])


@test
def losses_are_those_of_originals_and_bytes_those_that_left(scene):
    more = MIXED + "[rule short]\nnth = every 9\ndo = truncate 12\n[rule many]\ndirection = up\nnth = 3-8\ndo = duplicate 40\n" \
        "[link tight]\nrate = 1Mbit\nqueue = 5p\n[rule tight]\ndirection = up\nnth = 100-\ndo = link tight\ndo = duplicate 20\n"
    proxy, summary = run_mixed(scene, more)
    told = json.loads(report(proxy.capture, "--json"))["sessions"][0]
    left = [packet for packet in h.departures(h.read_capture(proxy.capture)) if packet.sent]
    for way in ("up", "down"):
        loss = told["network"][way]["loss"]
        dropped = sum(summary["totals"][way]["dropped"].values())
        check_equal((loss["datagrams"] + loss["copies"], sum(one["count"] for one in loss["causes"])), (dropped, loss["datagrams"]))
        check_equal(loss["share"], round(loss["datagrams"] / summary["totals"][way]["received"], 6))
        check(not loss["runs"] or loss["mean_run"] <= loss["longest_run"], loss)
        own = [packet for packet in left if packet.fields["dir"] == way]
        check_equal(told["network"][way]["wire_bytes"], sum(packet.length - 14 for packet in own))
    check(told["network"]["up"]["loss"]["copies"], "copies are lost, too")


@test
def what_was_refused_and_what_waits_is_counted_too(scene):
    cloud = scene.cloud()
    proxy = scene.proxy("[rule dark]\nnth = 3\ndirection = up\ndo = blackout 1h hold\n", upstream=cloud,
                        keys="max_sessions = 1")
    first = scene.device(proxy)
    for _ in range(2):
        first.ask(b"answered")
    second = scene.device(proxy)
    second.send(b"one too many")
    first.send(b"dark", b"waits", b"waits too")
    proxy.when_received(6)
    summary = proxy.stop()
    told = json.loads(report(proxy.capture, "--json"))
    check_equal(list(differences(summary, told)), [])
    check_equal(told["totals"]["up"]["dropped"], {"max-sessions": 1})
    check_equal(told["sessions"][0]["up"]["queued"], 3)


@test
def of_a_killed_run_only_the_closing_figures_are_missing(scene):
    cloud = scene.cloud()
    proxy = scene.proxy("[rule every]\ndo = note\n", upstream=cloud)
    device = scene.device(proxy)
    for i in range(20):
        device.ask(b"%d" % i)
    h.until(lambda: len(h.arrivals(h.read_capture(proxy.capture))) >= 40, "the writer to catch up")
    proxy.process.kill()
    proxy.wait()
    told = json.loads(report(proxy.capture, "--json"))
    check_equal([told[key] for key in ("rules", "lateness_us", "kernel_drops", "exit")], [None] * 4)
    check_equal(told["capture"]["lost"], None)
    check_equal((told["totals"]["up"]["received"], told["totals"]["down"]["sent"]), (20, 20))
    check("it has no closing statistics" in report(proxy.capture), "the text says what is missing")


@test
def classic_pcap_tells_losses_and_delays_by_the_bytes(scene):
    more = "[capture]\nformat = pcap\n[link default]\nlatency = 5ms\n[rule third]\nnth = every 3\ndirection = up\ndo = drop\n"
    cloud = scene.cloud()
    proxy = scene.proxy(more, upstream=cloud)
    device = scene.device(proxy)
    device.send(*[b"number %d" % i for i in range(30)])
    cloud.expect(20)
    proxy.when_received(20, "down")
    device.expect(20)
    later = scene.device(proxy)  # a datagram that never left counts as lost once others come a second later
    time.sleep(1.2)
    later.ask(b"later")
    proxy.stop()
    told = json.loads(report(proxy.capture, "--json"))
    one = told["sessions"][0]
    check_equal((one["up"]["received"], one["up"]["sent"], one["up"]["dropped"]), (30, 20, {"loss": 10}))
    check_equal((one["down"]["received"], one["down"]["sent"]), (20, 20))
    check(5 <= one["up"]["delay_ms"]["p50"] < 50, one["up"]["delay_ms"])
    check("what never left was lost" in report(proxy.capture), "the text says how losses were found")


@test
def any_other_capture_is_told_without_fates(scene):
    done = h.run("editcap", "-F", "pcap", "test/data/dtls12-cid-mbedtls.pcapng", scene.path("other.pcap"), cwd=h.TOP)
    check_equal(done.returncode, 0, done.stderr)
    told = json.loads(report(scene.path("other.pcap"), "--json"))
    check_equal(told["seed"], None)
    check_equal(len(told["sessions"]), 1)
    dtls_story = told["sessions"][0]["dtls"]
    check_equal([one["kind"] for one in dtls_story["handshakes"]], ["full"])
    check(dtls_story["cid_datagrams"]["up"] > 0, dtls_story)


@test
def handshakes_and_their_retry_timers(scene):
    dtls.need("openssl")
    cipher = dtls.PSK_CIPHERS[0]
    server = dtls.openssl_psk_server(scene, cipher)
    rules = ("[rule first]\ndtls = server_hello\nattempt = 1-2\ndo = drop\nexpect = 2\n"
             "[rule dark]\ndtls = application_data\ndirection = up\nnth = 2\nlimit = 1\ndo = blackout 300ms down\n")
    proxy = scene.proxy(rules, upstream=f"127.0.0.1:{server.port}")
    client = dtls.openssl_psk_client(scene, proxy.port, cipher)
    dtls.exchange(client, server, 1)
    client.say("in the dark")
    server.hears("in the dark")
    server.say("is lost")
    proxy.told("blackout-ends")
    client.say("in the light")
    server.hears("in the light")
    server.say("and back")
    client.hears("and back")
    proxy.stop()
    one = json.loads(report(proxy.capture, "--json"))["sessions"][0]
    handshake = one["dtls"]["handshakes"][0]
    check_equal(handshake["kind"], "full")
    again = {(f["dir"], f["begins_with"]): f["again_after_seconds"] for f in handshake["flights"] if f["sends"] > 1}
    gaps = again.get(("down", "server_hello")) or again.get(("up", "client_hello"))
    check(gaps and 0.9 < gaps[0] < 1.6, f"OpenSSL retransmits after a second: {again}")
    blackout = one["blackouts"][0]
    check_equal((blackout["by"], blackout["dir"], blackout["hold"]), ("rule:dark", "down", False))
    check(abs(blackout["until"] - blackout["at"] - 0.3) < 0.1, blackout)
    check(blackout["data_again_after_seconds"]["both"] > 0, blackout)
    text = report(proxy.capture)
    for words in ("handshake at", "full", "sent 3 times: again after", "RFC 6347", "data through both ways"):
        check(words in text, f"{words!r} is not in\n{text}")


@test
def overlapping_blackouts_end_each_at_their_own_time(scene):
    capture, made = scene.path("asked.pcap"), scene.path("made.pcapng")
    capture.write_bytes(pcap(RAW, [ip(DEVICE, CLOUD, b"datagram")] * 20, step=0.1))
    ini = scene.path("two.ini", "[rule long]\nnth = 2\ndo = blackout 500ms\n"
                                "[rule late]\nat = 400ms\ndo = blackout 1s\n")
    check_equal(deadzone("simulate", "-c", ini, "-r", capture, "-w", made).returncode, 0)
    told = json.loads(report(made, "--json"))["sessions"][0]["blackouts"]
    check_equal([(one["by"], round(one["at"], 3), round(one["until"], 3)) for one in told],
                [("rule:long", 0.1, 0.6), ("rule:late", 0.4, 1.4)])


@test
def data_comes_through_again_without_dtls_too(scene):
    capture, made = scene.path("asked.pcap"), scene.path("made.pcapng")
    capture.write_bytes(pcap(RAW, [ip(DEVICE, CLOUD, b"asked"), ip(CLOUD, DEVICE, b"answered")] * 10, step=0.1))
    ini = scene.path("dark.ini", "[rule dark]\nat = 500ms\ndo = blackout 450ms\n")
    check_equal(deadzone("simulate", "-c", ini, "-r", capture, "-w", made).returncode, 0)
    blackout = json.loads(report(made, "--json"))["sessions"][0]["blackouts"][0]
    again = blackout["data_again_after_seconds"]
    check_equal({key: round(value, 3) for key, value in again.items()}, {"up": 0.05, "down": 0.15, "both": 0.15})


@test
def an_unfinished_and_a_resumed_handshake(scene):
    told = json.loads(report(h.TOP / "test/data/dtls12-resume-openssl.pcapng", "--json"))
    kinds = [one["kind"] for session in told["sessions"] for one in session["dtls"]["handshakes"]]
    check_equal(kinds, ["full", "resumed"])
    dtls.need("openssl")
    server = dtls.openssl_psk_server(scene, dtls.PSK_CIPHERS[0])
    proxy = scene.proxy("[rule lost]\ndtls = server_hello\ndo = drop\nexpect = 1-\n", upstream=f"127.0.0.1:{server.port}")
    dtls.openssl_psk_client(scene, proxy.port, dtls.PSK_CIPHERS[0])
    proxy.summary_when(lambda s: s["rules"]["lost"]["fired"] >= 1, "the ServerHello")
    proxy.stop()
    one = json.loads(report(proxy.capture, "--json"))["sessions"][0]
    check_equal([(x["kind"], x["seconds"]) for x in one["dtls"]["handshakes"]], [("unfinished", None)])
    check("unfinished at the end of the capture" in report(proxy.capture), report(proxy.capture))


@test
def the_page_stands_by_itself(scene):
    ini = "[link default]\n; </script><!-- <script>alert(1)</script>\nlatency = 1ms\n"
    proxy, _ = run_mixed(scene, ini, rounds=20, status=0)
    page = scene.path("page.html")
    check_equal(report(proxy.capture, "--html", page), "")
    text = page.read_text()
    check(not re.search(r"""(src|href)\s*=\s*["']?https?:|@import|url\(["']?https?:""", text), "the page loads from outside")
    data = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)[1]
    run = json.loads(data)
    check("<!-- <script>alert(1)" in run["ini"], "the ini text is there")
    check("<" not in data, "the page's data has no `<`, which HTML would interpret")
    check_equal(len(run["marks"]["at"]), 40)
    check_equal({len(column) for column in run["marks"].values()}, {40})


@test
def what_cannot_be_read_is_said(scene):
    for path, words in ((scene.path("none.pcapng"), "No such file"), (scene.path("text.pcapng", "no capture\n"), "neither pcap nor pcapng"),
                        (scene.path("empty.pcapng", ""), "holds no packets")):
        done = h.deadzone("report", path)
        check_equal((done.returncode, done.stdout), (2, ""))
        check(words in done.stderr and str(path) in done.stderr, done.stderr)
    proxy, _ = run_mixed(scene, "", rounds=1, status=0)
    done = h.deadzone("report", proxy.capture, "--html", scene.path("no") / "such" / "folder.html")
    check_equal(done.returncode, 2)
    check("cannot be written" in done.stderr, done.stderr)


h.run_all()
