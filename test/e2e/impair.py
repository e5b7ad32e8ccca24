#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Effects of links and rules on datagrams, seen at both ends, in the capture and in the summary."""

import re
import signal
import time

import harness as h
from harness import check, check_equal, test


def numbered(count, head=b"datagram"):
    return [head + b" %d" % i for i in range(1, count + 1)]


def one_way(scene, ini, datas, *extra, keys="", joint=None, status=0):
    """Sends datagrams from one device to a cloud that never answers; returns (what the cloud got, summary, packets).

    It ends when all have arrived and none is queued. If rules join them, they leave as `joint` datagrams."""
    cloud = scene.cloud(answer=None)
    proxy = scene.proxy(ini, *extra, upstream=cloud, keys=keys)
    scene.device(proxy).send(*datas)
    done = proxy.summary_when(lambda s: s["totals"]["up"]["received"] == len(datas) and
                              not s["totals"]["up"]["queued"], "all to arrive and leave")
    got = cloud.expect(joint or done["totals"]["up"]["sent"])
    summary = proxy.stop(status)
    return got, summary, h.read_capture(proxy.capture)


def rules(summary):
    return {name: (counts["matched"], counts["fired"]) for name, counts in summary["rules"].items()}


def survivors(scene, conditions, datas, action="drop"):
    """Returns the ordinals of the datagrams that a dropping rule lets pass."""
    got, summary, packets = one_way(scene, f"[rule it]\n{conditions}\ndo = {action}\n", datas)
    passed = [p.key[2] for p in h.arrivals(packets) if p.fields["verdict"] == "send"]
    check_equal(got, [datas[n - 1] for n in passed], "the cloud got what the capture says")
    dropped = [p for p in h.arrivals(packets) if p.fields["verdict"] == "drop"]
    check_equal({(p.fields["by"], p.fields["reason"]) for p in dropped}, {("rule:it", "rule")} if dropped else set())
    check_equal(summary["rules"]["it"]["fired"], len(dropped))
    return passed


# ---- Links ----


@test
def latency_is_never_early(scene):
    sent_at, cloud = [], scene.cloud()
    proxy = scene.proxy("[link default]\nup.latency = 40ms\ndown.latency = 25ms", upstream=cloud)
    device = scene.device(proxy)
    for i in range(20):
        sent_at.append(time.time_ns())
        device.ask(b"%d" % i)
        check(time.time_ns() - sent_at[-1] >= 65_000_000, "the answer came early")
    for began, row in zip(sent_at, cloud.received):
        check(row[3] - began >= 40_000_000, f"it was {(row[3] - began) / 1e6} ms on its way up")
    summary = proxy.stop()
    for way, least in (("up", 40), ("down", 25)):
        delay = summary["totals"][way]["delay_ms"]
        # Percentiles come from buckets up to 6 % wide; the maximum is exact.
        check(0.94 * least <= delay["p50"] <= delay["p99"] <= delay["max"] >= least, f"{way} {delay}")
        check(delay["p50"] < least + 20, f"{way} {delay}: is the machine this slow?")
        for p in h.arrivals(h.read_capture(proxy.capture), way):
            check_equal(p.fields["delay"], f"{least}.000ms")
    check(summary["lateness_us"]["p50"] <= summary["lateness_us"]["max"], summary["lateness_us"])


@test
def jitter_keeps_order_or_not(scene):
    for order in ("keep", "free"):
        datas = numbered(200)
        got, _, packets = one_way(scene, f"[link default]\nlatency = 20ms\njitter = 20ms\norder = {order}", datas)
        check_equal(sorted(got), sorted(datas))
        check_equal(got == datas, order == "keep", f"order = {order} kept the order")
        delays = [h.milliseconds(p.fields["delay"]) for p in h.arrivals(packets)]
        least, most = min(delays), max(delays)
        check(0 <= least and most <= 40.001 and most - least > 15, f"delays from {least} to {most}")


@test
def loss_is_what_the_capture_says(scene):
    datas = numbered(1000)
    got, summary, packets = one_way(scene, "[link default]\nloss = 30%", datas)
    lost = [p.key[2] for p in h.arrivals(packets) if p.fields.get("reason") == "loss"]
    check_equal(summary["totals"]["up"]["dropped"], {"loss": len(lost)})
    check_equal(got, [data for n, data in enumerate(datas, 1) if n not in set(lost)])
    # 1000 draws at 30 % are 300 ± 14.5; the bounds are six standard deviations, though the seed is fixed.
    check(213 <= len(lost) <= 387, f"{len(lost)} of 1000 lost")
    check_equal({p.fields["by"] for p in h.arrivals(packets) if p.key[2] in lost}, {"link:default"})


@test
def loss_in_runs(scene):
    datas = numbered(2000)
    _, _, packets = one_way(scene, "[link default]\nloss = 20%\nloss_run = 8", datas)
    text = "".join("x" if p.fields["verdict"] == "drop" else "." for p in h.arrivals(packets))
    runs = [len(run) for run in re.findall("x+", text)]
    # There are about 50 runs of geometric length, mean 8; the standard deviation of their mean is 8/sqrt(50) = 1.1.
    check(4 < sum(runs) / len(runs) < 14, f"runs of loss {runs}")


@test
def duplicates(scene):
    datas = numbered(20)
    got, summary, packets = one_way(scene, "[link default]\nduplicate = 100%\nlatency = 5ms", datas)
    check_equal(sorted(got), sorted(datas * 2))
    up = summary["totals"]["up"]
    check_equal((up["received"], up["copies"], up["sent"]), (20, 20, 40))
    copies = [p for p in h.departures(packets) if "copy" in p.fields]
    check_equal([(p.key[2], p.fields["copy"], p.fields["of"]) for p in copies],
                [(n, "1", "link") for n in range(1, 21)])
    check_equal({p.fields["copies"] for p in h.arrivals(packets)}, {"1"})


@test
def corruption_flips_one_bit(scene):
    datas = [bytes(range(n, n + 50)) for n in range(100)]
    got, summary, packets = one_way(scene, "[link default]\ncorrupt = 100%", datas)
    flips = []
    for before, after, p in zip(datas, got, h.arrivals(packets)):
        check_equal(len(after), len(before))
        bits = [(i, bit) for i, (a, b) in enumerate(zip(before, after)) for bit in range(8) if (a ^ b) >> bit & 1]
        check_equal(len(bits), 1, f"bits flipped from {before} to {after}")
        check_equal(p.fields["did"], "corrupt:%d.%d" % bits[0])
        flips.append(bits[0])
    check_equal(summary["totals"]["up"]["corrupted"], 100)
    check(len({byte for byte, _ in flips}) > 20 and len({bit for _, bit in flips}) == 8, f"bits flipped {flips}")


@test
def mtu_counts_ip_headers(scene):
    datas = [bytes(size) for size in (100, 572, 573, 1000)]
    got, summary, packets = one_way(scene, "[link default]\nmtu = 600", datas)
    check_equal([len(data) for data in got], [100, 572])
    check_equal(summary["totals"]["up"]["dropped"], {"mtu": 2})
    check_equal([p.fields.get("reason") for p in h.arrivals(packets)], [None, None, "mtu", "mtu"])
    cloud = scene.cloud()
    proxy = scene.proxy("[link default]\nmtu = 600", upstream=cloud, listen="[::1]:0")
    device = scene.device(proxy)
    device.send(bytes(553))
    check_equal(len(device.ask(bytes(552))), 552, "an IPv6 device has 48 bytes of headers")
    check_equal(proxy.stop()["totals"]["up"]["dropped"], {"mtu": 1})


@test
def reordering_holds_some_back(scene):
    datas = numbered(100)
    got, summary, packets = one_way(
        scene, "[link default]\nreorder = 10%\nreorder_by = 3p\nreorder_wait = 300ms", datas)
    check_equal(sorted(got), sorted(datas))
    held = [p.key[2] for p in h.arrivals(packets) if p.fields.get("hold") == "reorder:3p"]
    check(2 <= len(held) <= 25, f"held back {held}")
    order = [int(data.split()[1]) for data in got]
    prompt = [n for n in order if n not in held]
    check_equal(prompt, sorted(prompt), "the others keep their order")
    for n in held:
        if n <= 90:
            overtook = [later for later in prompt if later > n and order.index(later) < order.index(n)]
            check_equal(len(overtook), 3, f"how many overtook {n} in {order}")
    check(summary["totals"]["up"]["reordered"] > 0, summary["totals"]["up"])


@test
def a_rate_spaces_datagrams_and_fills_its_queue(scene):
    # 972 + 28 bytes at 400 kbit/s take 20 ms each; one is in service and five wait.
    datas = [bytes(972)] * 20
    _, summary, packets = one_way(scene, "[link default]\nrate = 400kbit\nqueue = 5p", datas)
    up = summary["totals"]["up"]
    check(5 <= up["sent"] <= 7 and up["dropped"] == {"queue": 20 - up["sent"]}, f"{up}")
    stamps = [p.time for p in h.departures(packets)]
    lates = [h.milliseconds(p.fields["late"]) for p in h.departures(packets)]
    for n, (stamp, late) in enumerate(zip(stamps, lates), 1):
        check_equal(round((stamp - h.arrivals(packets)[0].time) / 1e6 - late - 20 * n, 0), 0, f"datagram {n}")


# ---- Rules: conditions ----


@test
def nth_and_size(scene):
    datas = [bytes([n]) * (10 * n) for n in range(1, 21)]
    everything = list(range(1, 21))
    for condition, dropped in (("nth = 3", [3]), ("nth = 2,5-7,19-", [2, 5, 6, 7, 19, 20]),
                               ("nth = every 5", [5, 10, 15, 20]),
                               ("size = 50", [5]), ("size = 30-50, 190-", [3, 4, 5, 19, 20]), ("size = -20", [1, 2]),
                               ("size = 100-\nnth = 2", [11]), ("size = 100-\nlimit = 2", [10, 11]),
                               ("direction = down", []), ("direction = either\nnth = 4", [4]),
                               ("session = 2", []), ("session = 1-3\nnth = 1", [1]), ("dtls = none\nnth = 20", [20]),
                               ("dtls = handshake", []), ("dtls_not = handshake\nlimit = 1", [1])):
        check_equal(survivors(scene, condition, datas), [n for n in everything if n not in dropped], condition)


@test
def probability_is_drawn_after_nth(scene):
    passed = survivors(scene, "probability = 50%\nnth = 1-300", numbered(400))
    check_equal(passed[-100:], list(range(301, 401)))
    check(95 <= 400 - len(passed) <= 205, f"{400 - len(passed)} of 300 dropped")  # 150 ± 8.7, six standard deviations


@test
def directions_count_for_themselves(scene):
    cloud = scene.cloud()
    proxy = scene.proxy("[rule each]\nnth = 2\ndo = note\n[rule both]\ndirection = either\nnth = 3\ndo = note",
                        upstream=cloud)
    device = scene.device(proxy)
    for i in range(3):
        device.ask(b"%d" % i)
    check_equal(rules(proxy.stop()), {"each": (6, 2), "both": (6, 1)})
    noted = [e for e in h.events(h.read_capture(proxy.capture)) if " note " in e]
    check_equal([re.sub(r"^s=1 note by=rule:", "", e) for e in noted],
                ["each dir=up n=2", "both dir=up n=2", "each dir=down n=2"])


@test
def limit_and_scope(scene):
    for scope, passed in (("session", [0, 2, 1]), ("all", [0, 4, 3])):
        cloud = scene.cloud(answer=None)
        proxy = scene.proxy(f"[rule few]\nlimit = 2\nscope = {scope}\ndo = drop", upstream=cloud)
        total = 0
        for count in (2, 4, 3):
            scene.device(proxy).send(*numbered(count))
            total += count
            proxy.when_received(total)
        summary = proxy.stop()
        check_equal([s["up"]["sent"] for s in summary["sessions"]], passed, f"scope = {scope}")
        check_equal(rules(summary), {"few": (9, 9 - sum(passed))})


@test
def since_starts_anew_at_each_firing(scene):
    datas = [b"x", b"trigger!", b"x", b"x", b"x", b"trigger!", b"x", b"x", b"x"]
    ini = "[rule trigger]\nsize = 8\ndo = note\n[rule second]\nsince = trigger\nnth = 2\ndo = drop\n"
    got, summary, packets = one_way(scene, ini, datas)
    check_equal([p.key[2] for p in h.arrivals(packets) if p.fields["verdict"] == "drop"], [4, 8])
    check_equal(rules(summary)["trigger"], (2, 2))
    check_equal(len(got), 7)


@test
def every_rule_acts_on_the_datagram_as_it_came(scene):
    ini = ("[rule cut]\nsize = 100\ndo = truncate 10\n[rule longs]\nsize = 100\ndo = set 0 65\n"
           "[rule shorts]\nsize = 10\ndo = drop\n")
    got, summary, packets = one_way(scene, ini, [bytes(100), bytes(10)])
    check_equal(got, [b"A" + bytes(9)])
    check_equal(rules(summary), {"cut": (1, 1), "longs": (1, 1), "shorts": (1, 1)})
    check_equal(h.arrivals(packets)[0].fields["did"].count("truncate:10"), 1)


@test
def after_and_until(scene):
    cloud = scene.cloud()
    proxy = scene.proxy("[rule early]\ndirection = up\nuntil = 500ms\ndo = set 0 69\n"
                        "[rule late]\ndirection = up\nafter = 500ms\ndo = set 0 76\n", upstream=cloud)
    device, letters = scene.device(proxy), []
    began = time.monotonic()
    while time.monotonic() - began < 0.8:
        letters.append(device.ask(b"?")[:1])
    summary = proxy.stop()
    early = summary["rules"]["early"]["fired"]
    check_equal(b"".join(letters), b"E" * early + b"L" * (len(letters) - early))
    check(early and summary["rules"]["late"]["fired"] == len(letters) - early, summary["rules"])
    packets = h.arrivals(h.read_capture(proxy.capture), "up")
    for p, letter in zip(packets, letters):
        age = (p.time - packets[0].time) / 1e6
        check(letter == (b"E" if age < 500 else b"L") or abs(age - 500) < 1, f"{letter} at {age} ms")


# ---- Rules: actions ----


@test
def actions_on_bytes(scene):
    for action, data, want in (("truncate 3", b"abcdef", [b"abc"]), ("truncate 9", b"abcdef", [b"abcdef"]),
                               ("set 1 90", b"abc", [b"aZc"]), ("corrupt 1 at 0", b"abc", [b"`bc"]),
                               ("inject 0102ff", b"abc", [b"abc", b"\x01\x02\xff"]),
                               ("duplicate 2", b"abc", [b"abc"] * 3),
                               ("decoy 1 at 0", b"abc", [b"`bc", b"abc"]), ("bypass", b"abc", [b"abc"]),
                               ("drop", b"abc", [])):
        got, summary, _ = one_way(scene, f"[rule it]\ndo = {action}", [data])
        check_equal(got, want, action)
        check_equal(rules(summary)["it"], (1, 0 if action == "truncate 9" else 1), action)


@test
def actions_in_time(scene):
    five = numbered(5)
    for action, want, keys in (("delay 150ms", [1, 3, 4, 5, 2], "nth = 2"), ("hold 2", [1, 3, 4, 2, 5], "nth = 2"),
                               ("permute 3 1 2", [3, 1, 2, 4, 5], "nth = 1-3"),
                               ("replay 1", [1, 2, 3, 2, 4, 5], "nth = 3")):
        got, summary, packets = one_way(scene, f"[rule it]\n{keys}\ndo = {action}", five)
        check_equal([five.index(data) + 1 for data in got], want, action)
        for p in h.departures(packets):
            check(h.milliseconds(p.fields["late"]) < 1000, f"{action}: {p.comment}")
        check_equal(summary["totals"]["up"]["sent"], len(want))


@test
def hold_ends_after_a_second_without_others(scene):
    began = time.monotonic()
    got, _, _ = one_way(scene, "[rule it]\nnth = 2\ndo = hold 3", numbered(3))
    check_equal(got, [numbered(3)[i] for i in (0, 2, 1)])
    check(1.0 <= time.monotonic() - began, "it was held for less than 1 s")


@test
def pack_joins_datagrams(scene):
    got, summary, packets = one_way(scene, "[rule it]\nnth = 1\ndo = pack 100ms", [b"one ", b"two ", b"three"], joint=1)
    check_equal(got, [b"one two three"])
    check_equal(summary["totals"]["up"]["sent"], 3, "each datagram counts")
    check_equal([p.fields.get("packed") for p in h.departures(packets)], ["1,2,3"])


@test
def several_actions_in_order(scene):
    got, _, packets = one_way(scene, "[rule it]\ndo = set 0 65\ndo = duplicate\ndo = set 1 66\n", [b"abc"])
    check_equal(sorted(got), sorted([b"ABc", b"Abc"]), "a copy has the bytes of the moment it is made")
    copy = next(p for p in h.departures(packets) if "copy" in p.fields)
    check_equal((copy.payload, copy.fields["of"]), (b"Abc", "duplicate"))


# ---- Blackouts and times ----


@test
def a_blackout_drops(scene):
    cloud = scene.cloud()
    proxy = scene.proxy("[rule dark]\ndirection = up\nnth = 3\ndo = blackout 400ms", upstream=cloud)
    device = scene.device(proxy)
    for i in (1, 2):
        device.ask(b"%d" % i)
    device.send(*[b"victim"] * 4)
    proxy.told("s=1 blackout-begins 400ms.* by=rule:dark")
    proxy.told("s=1 blackout-ends")
    check_equal(device.ask(b"light"), b"light")
    summary = proxy.stop()
    check_equal(summary["totals"]["up"]["dropped"], {"blackout": 4}, "the datagram that starts it is dropped, too")
    packets = h.arrivals(h.read_capture(proxy.capture), "up")
    check_equal([p.fields.get("reason") for p in packets], [None, None] + ["blackout"] * 4 + [None])
    check_equal({p.fields["by"].split(",")[0] for p in packets[2:6]}, {"rule:dark"})


@test
def a_blackout_holds_and_releases_in_order(scene):
    cloud = scene.cloud()
    proxy = scene.proxy("[rule dark]\ndirection = up\nnth = 1\ndo = blackout 400ms both hold", upstream=cloud)
    device, datas = scene.device(proxy), numbered(30)
    began = time.time_ns()
    device.send(*datas)
    check_equal(cloud.expect(30), datas)
    check_equal(device.expect(30), datas)
    check(all(row[3] - began >= 400_000_000 for row in cloud.received), "held until the blackout ends")
    summary = proxy.stop()
    check_equal((summary["totals"]["up"]["sent"], summary["totals"]["up"]["dropped"]), (30, {}))
    packets = h.read_capture(proxy.capture)
    check_equal({p.fields.get("hold") for p in h.arrivals(packets, "up")}, {"blackout"})
    check_equal([p.key[2] for p in h.departures(packets, "up")], list(range(1, 31)))


@test
def a_blackout_of_one_direction(scene):
    cloud = scene.cloud()
    proxy = scene.proxy("[rule dark]\ndirection = up\nnth = 1\ndo = blackout 1h down", upstream=cloud)
    device = scene.device(proxy)
    device.send(*numbered(5))
    check_equal(cloud.expect(5), numbered(5))
    proxy.summary_when(lambda s: s["totals"]["down"]["dropped"] == {"blackout": 5}, "5 drops down")
    check_equal(proxy.stop()["totals"]["up"]["dropped"], {})


@test
def at_and_every(scene):
    cloud = scene.cloud()
    proxy = scene.proxy("[rule at]\nat = 200ms\ndo = note\n[rule every]\nevery = 100ms\nlimit = 4\ndo = note\n"
                        "[rule first]\nat = 50ms\nevery = 200ms\nlimit = 2\ndo = link other\n"
                        "[link other]\nlatency = 1ms\n", upstream=cloud)
    device = scene.device(proxy)
    device.ask(b"begin")
    proxy.told("note by=rule:every", 4)
    proxy.told("note by=rule:at")
    summary = proxy.stop()
    check_equal({name: fired for name, (_, fired) in rules(summary).items()}, {"at": 1, "every": 4, "first": 2})
    check_equal(summary["sessions"][0]["link"], "other")
    packets = h.read_capture(proxy.capture)
    began = h.arrivals(packets)[0].time
    for name, due in (("at", [200]), ("every", [100, 200, 300, 400])):
        noted = [p for p in packets if p.interface == "events" and p.event.endswith(f"note by=rule:{name}")]
        got = [(p.time - began) / 1e6 for p in noted]
        check(len(got) == len(due) and all(want - 1 <= g < want + 100 for g, want in zip(got, due)), f"{name}: {got}")


# ---- Checks ----


@test
def expect_fails_the_run(scene):
    ini = ("[rule never]\nnth = 1000\nexpect = 1-\ndo = drop\n[rule twice]\nlimit = 2\nexpect = 2\ndo = note\n"
           "[rule much]\nexpect = 0-2\ndo = note\n")
    _, summary, _ = one_way(scene, ini, numbered(5), status=3)
    check_equal(summary["failed"],
                [{"rule": "never", "want": "1-", "got": 0}, {"rule": "much", "want": "0-2", "got": 5}])
    check_equal(summary["exit"], 3)


@test
def expect_each_looks_at_every_session(scene):
    proxy = scene.proxy("[rule some]\ndirection = up\nnth = 2\nexpect = 1 each\ndo = note", upstream=scene.cloud())
    for count in (3, 1, 2):
        device = scene.device(proxy)
        for data in numbered(count):
            device.ask(data)
    summary = proxy.stop(status=3)
    check_equal([(f["rule"], f["got"]) for f in summary["failed"]], [("some", 0)])
    check("session 2" in proxy.text, proxy.text)


@test
def expect_sessions(scene):
    for want, status in (("1", 0), ("2-", 3), ("0", 3)):
        _, summary, _ = one_way(scene, "", [b"x"], keys=f"expect_sessions = {want}", status=status)
        check_equal(summary["failed"], [] if not status else [{"check": "expect_sessions", "want": want, "got": 1}])


@test
def max_lateness(scene):
    for limit, status in (("1us", 3), ("1h", 0)):
        cloud = scene.cloud()
        proxy = scene.proxy("[link default]\nlatency = 2ms", upstream=cloud, keys=f"max_lateness = {limit}")
        device = scene.device(proxy)
        for data in numbered(20):
            device.ask(data)
        summary = proxy.stop(status)
        check_equal([f["check"] for f in summary["failed"]], ["max_lateness"] if status else [])
        check("max_lateness" in proxy.text or not status, proxy.text)


@test
def strict_counts_what_the_kernel_dropped(scene):
    """While the proxy is stopped (SIGSTOP), more arrives than its smallest buffer takes."""
    cloud = scene.cloud(answer=None)
    proxy = scene.proxy(upstream=cloud, keys="strict = yes\nreceive_buffer = 4KiB")
    device = scene.device(proxy)
    device.send(b"first")
    cloud.expect(1)
    proxy.signal(signal.SIGSTOP)
    device.send(*[bytes(1000)] * 200)
    proxy.signal(signal.SIGCONT)
    h.until(lambda: len(cloud.received) > 1, "what the buffer took")
    device.send(b"a later one brings the count")
    proxy.summary_when(lambda s: s["kernel_drops"] > 0, "kernel drops")
    summary = proxy.stop(status=3)
    check_equal(summary["failed"], [{"check": "strict", "want": "0", "got": summary["kernel_drops"]}])
    check_equal(summary["kernel_drops"] + summary["totals"]["up"]["received"], 202)


if __name__ == "__main__":
    h.run_all()
