#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Several workers: devices are spread, verdicts equal those of one worker, and requests reach all of them."""

import re
import signal

import harness as h
from harness import check, check_equal, run_all, test
from shark import arrivals, events, read_capture

DEVICES, ROUNDS = 24, 20
LATE_NS = 100_000_000  # packets may be out of order by this much
KEYS = "workers = 3\n"
RULES = """
[link default]
loss = 20%
corrupt = 5%
jitter = 2ms
latency = 5ms
order = free
[rule some]
direction = up
probability = 30%
do = delay 1ms
[rule few]
direction = up
nth = 7
do = drop
"""


def devices(scene, proxy, count=DEVICES):
    """Returns devices, each of its own address, from which its draws derive; the kernel spreads by address and port."""
    return [scene.device(proxy, host=f"127.0.1.{i + 1}") for i in range(count)]


def workers_of(packets):
    """Returns the worker of each session: packet ids of worker k of N are k modulo N."""
    return {packet.fields["s"]: int(packet.id, 0) % 3 for packet in arrivals(packets)}


def decided(scene, keys):
    """Returns the fates of each device's datagrams, by its address, and the summary and packets."""
    cloud = scene.cloud(answer=None)
    proxy = scene.proxy(RULES, upstream=cloud, keys=keys)
    everyone = devices(scene, proxy)
    for number in range(ROUNDS):
        for device in everyone:
            device.send(b"%03d of a device" % number)
    proxy.when_received(DEVICES * ROUNDS)
    summary = proxy.stop()
    packets = read_capture(proxy.capture)
    fates = {}
    for packet in arrivals(packets, "up"):
        fields = packet.fields
        fates.setdefault(packet.source[0], []).append(
            (int(fields["n"]), fields["verdict"], fields["by"], fields.get("delay"), fields.get("did")))
    return {address: sorted(rows) for address, rows in fates.items()}, summary, packets


@test
def verdicts_are_those_of_one_worker(scene):
    one, _, _ = decided(scene, "")
    three, summary, packets = decided(scene, KEYS)
    check_equal(len(one), DEVICES)
    check_equal(three, one, "verdicts by device")
    check_equal(summary["totals"]["sessions"], DEVICES)
    check_equal(summary["rules"]["few"], {"matched": DEVICES * ROUNDS, "fired": DEVICES})
    check(len(set(workers_of(packets).values())) > 1, "all devices came to one worker")


@test
def the_capture_of_all_is_one(scene):
    _, _, packets = decided(scene, KEYS)
    ids = [packet.id for packet in arrivals(packets)]
    check_equal(len(set(ids)), len(ids), "packet ids")
    latest = 0
    for packet in packets:
        check(packet.time > latest - LATE_NS, f"a packet is {latest - packet.time} ns late: {packet.comment}")
        latest = max(latest, packet.time)
    begun = sorted(int(re.match(r"s=(\d+) ", line)[1]) for line in events(packets) if " session-begins " in line)
    check_equal(begun, list(range(1, DEVICES + 1)), "session numbers")


@test
def what_is_asked_for_reaches_every_worker_once(scene):
    cloud = scene.cloud()
    rule = "[rule gate]\nat = 1h\ndo = note\nexpect = 1\n[control]\nlisten = 127.0.0.1:0\n"
    proxy = scene.proxy(rule, upstream=cloud, keys=KEYS, ready=1)
    to = proxy.told(r"control listen=(\S+)")[1]
    everyone = devices(scene, proxy)
    for device in everyone:
        device.ask(b"here")

    def tell(*words):
        done = h.deadzone("tell", "--to", to, *words)
        check_equal(done.returncode, 0, f"{words}: {done.stderr}")

    tell("fire", "gate")
    tell("wait", "gate", "--count", "1", "--timeout", "5s")
    tell("do", "note")
    tell("do", "blackout 1h")
    for device in everyone:
        device.send(b"dark")
    proxy.when_received(2 * DEVICES)
    proxy.signal(signal.SIGHUP)
    proxy.told("reload ok generation=2")
    summary = proxy.stop()
    check_equal(summary["totals"]["up"]["dropped"], {"blackout": DEVICES})
    check_equal(summary["rules"]["gate"]["fired"], 1)
    told = events(read_capture(proxy.capture))
    check_equal(sum("blackout-begins" in line for line in told), DEVICES)
    check_equal(sum(line.endswith("note by=api") for line in told), 1)


@test
def max_sessions_counts_all_workers(scene):
    cloud = scene.cloud()
    proxy = scene.proxy("", upstream=cloud, keys=KEYS + "max_sessions = 10\n")
    everyone = devices(scene, proxy)
    for device in everyone[:10]:
        device.ask(b"first")
    for device in everyone[10:]:
        device.send(b"too many")
    proxy.when_received(DEVICES)
    for device in everyone[:10]:
        check_equal(device.ask(b"still"), b"still")
    summary = proxy.stop()
    check_equal(summary["totals"]["sessions"], 10)
    check_equal(summary["totals"]["up"]["dropped"], {"max-sessions": DEVICES - 10})


@test
def max_queued_counts_all_workers(scene):
    cloud = scene.cloud()
    proxy = scene.proxy("[link default]\nlatency = 1h\n", upstream=cloud, keys=KEYS + "max_queued = 20800B\n")
    for device in devices(scene, proxy):
        for _ in range(10):
            device.send(bytes(100))
    proxy.when_received(10 * DEVICES)
    up = proxy.stop()["totals"]["up"]
    check(90 <= up["queued"] <= 100, f"{up['queued']} datagrams of 208 bytes wait; the limit is 20800 bytes")
    check_equal(up["dropped"], {"overload": 10 * DEVICES - up["queued"]})


@test
def an_address_that_another_holds_is_not_shared(scene):
    cloud = scene.cloud()
    first = scene.proxy("", upstream=cloud, keys=KEYS)
    ini = scene.path("second.ini", f"[proxy]\nlisten = 127.0.0.1:{first.port}\nupstream = {cloud}\n{KEYS}")
    second = h.deadzone("run", "-c", ini)
    check_equal(second.returncode, 1)
    check(f"`127.0.0.1:{first.port}` cannot be listened on" in second.stderr, second.stderr)
    check_equal(scene.device(first).ask(b"mine"), b"mine")


@test
def what_each_worker_cannot_know_is_told(scene):
    ini = scene.path("cid.ini", "[proxy]\nworkers = 2\n[device all]\nfollow_cid = yes\n")
    done = h.deadzone("check", ini)
    check_equal(done.returncode, 2)
    check(re.search(r"cid\.ini:4: \[device all\] follow_cid: needs `workers = 1`", done.stderr), done.stderr)
    ini = scene.path("scope.ini", "[proxy]\nworkers = 2\n[rule all]\nscope = all\ndo = note\n")
    done = h.deadzone("check", ini)
    check_equal(done.returncode, 0)
    check(re.search(r"scope\.ini:4: note: \[rule all\] scope: with `workers` above 1", done.stderr), done.stderr)
    ini = scene.path("many.ini", "[proxy]\nworkers = 65\n")
    done = h.deadzone("check", ini)
    check("`65` is out of range; it is 1 to 64" in done.stderr, done.stderr)


@test
def a_reload_knows_how_many_workers_there_are(scene):
    """Their number stays until the next start, whatever the file says by then."""
    proxy = scene.proxy("[device all]\nfollow_cid = no\n", upstream=scene.cloud(), keys=KEYS)
    before = proxy.ini.read_text()
    proxy.ini.write_text(before.replace("workers = 3", "workers = 1").replace("follow_cid = no", "follow_cid = yes"))
    proxy.signal(signal.SIGHUP)
    proxy.told(r"reload failed errors=1")
    check("follow_cid: needs `workers = 1` from the start of the run on" in proxy.text, proxy.text)
    proxy.stop()


if __name__ == "__main__":
    run_all()
