#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The relay itself: how datagrams are forwarded, from and to which addresses, and how sessions begin and end."""

import pathlib
import signal

import harness as h
from checks import until
from harness import check, check_equal, test

PATHS = [(device, cloud) for device in ("127.0.0.1", "::1") for cloud in ("127.0.0.1", "::1")]


def session(summary, number):
    return next(s for s in summary["sessions"] if s["s"] == number)


@test
def echo_in_every_pair_of_families(scene):
    for device_host, cloud_host in PATHS:
        cloud = scene.cloud(cloud_host)
        proxy = scene.proxy(upstream=cloud, listen=h.address_text(device_host, 0))
        device = scene.device(proxy)
        for i in range(20):
            check_equal(device.ask(b"hello %d" % i), b"hello %d" % i)
        summary = proxy.stop()
        check_equal(summary["totals"]["sessions"], 1)
        check_equal(summary["sessions"][0]["device"], device.address)
        check_equal((summary["totals"]["up"]["sent"], summary["totals"]["down"]["sent"]), (20, 20))
        check_equal(len({row[1] for row in cloud.received}), 1, "source ports of one session")
        packets = h.read_capture(proxy.capture)
        check_equal({p.source for p in h.arrivals(packets, "up")}, {(device_host, device.port)})
        check_equal({p.destination for p in h.departures(packets, "up")}, {(cloud_host, cloud.port)})
        check_equal({p.payload for p in h.departures(packets, "down")}, {b"hello %d" % i for i in range(20)})


@test
def a_device_at_two_listeners_is_two_sessions(scene):
    cloud = scene.cloud()
    proxy = scene.proxy(upstream=cloud, listen="127.0.0.1:0, 127.0.0.1:0, [::1]:0")
    first = scene.device(proxy.listeners[0])
    port = first.port
    check_equal(first.ask(b"one"), b"one")
    first.close()
    check_equal(scene.device(proxy.listeners[1], port=port).ask(b"two"), b"two")
    check_equal(scene.device(proxy.listeners[2]).ask(b"three"), b"three")
    summary = proxy.stop()
    check_equal(summary["totals"]["sessions"], 3)
    check_equal([s["device"] for s in summary["sessions"]][:2], [f"127.0.0.1:{port}"] * 2)
    check_equal(len({row[1] for row in cloud.received}), 3, "upstream sockets")


@test
def any_address_listeners_answer_from_the_address_spoken_to(scene):
    cloud = scene.cloud()
    proxy = scene.proxy(upstream=cloud, listen="0.0.0.0:0, [::]:0")
    port4, port6 = proxy.listeners[0][1], proxy.listeners[1][1]
    # These sockets are connected: an answer from any other address would never reach them.
    for target, host in ((("127.0.0.2", port4), "127.0.0.1"), (("127.0.0.3", port4), "127.0.0.4"),
                         (("::1", port6), "::1")):
        device = scene.device(target, host=host)
        for i in range(3):
            check_equal(device.ask(b"to %d" % i), b"to %d" % i)
    proxy.stop()
    packets = h.read_capture(proxy.capture)
    check_equal({p.source for p in h.departures(packets, "down")},
                {("127.0.0.2", port4), ("127.0.0.3", port4), ("::1", port6)})
    check_equal({p.destination for p in h.arrivals(packets, "up")},
                {("127.0.0.2", port4), ("127.0.0.3", port4), ("::1", port6)})


@test
def an_ipv6_any_listener_is_ipv6_only(scene):
    cloud = scene.cloud()
    port = h.free_port()
    proxy = scene.proxy(upstream=cloud, listen=f"0.0.0.0:{port}, [::]:{port}")
    check_equal(scene.device(("127.0.0.1", port)).ask(b"four"), b"four")
    check_equal(scene.device(("::1", port)).ask(b"six"), b"six")
    proxy.stop()


@test
def empty_and_largest_datagrams(scene):
    for device_host, cloud_host in PATHS:
        proxy = scene.proxy(upstream=scene.cloud(cloud_host), listen=h.address_text(device_host, 0))
        device = scene.device(proxy)
        for data in (b"", b"x", bytes(range(256)) * 256, b"deadzone" * 9000, b""):
            data = data[:65507]
            check(device.ask(data) == data, f"{len(data)} bytes {device_host} to {cloud_host} came back changed")
        summary = proxy.stop()
        check_equal(summary["totals"]["up"]["bytes"], 1 + 2 * 65507)
        check_equal(sorted({len(p.payload) for p in h.departures(h.read_capture(proxy.capture))}), [0, 1, 65507])


@test
def what_ipv4_cannot_carry_drops_with_an_error(scene):
    cloud = scene.cloud("127.0.0.1")
    proxy = scene.proxy(upstream=cloud, listen="[::1]:0")
    device = scene.device(proxy)
    device.send(bytes(65527))
    check_equal(device.ask(b"after"), b"after")
    summary = proxy.stop()
    check_equal(summary["totals"]["up"]["dropped"], {"error": 1})
    packets = h.read_capture(proxy.capture)
    unsent = [p for p in packets if "unsent" in p.words]
    check_equal([(p.key, p.fields["reason"], p.interface) for p in unsent], [(("1", "up", 1), "error", "cloud")])


@test
def tos_and_ecn_go_both_ways(scene):
    for device_host, cloud_host in PATHS:
        cloud = scene.cloud(cloud_host)
        proxy = scene.proxy(upstream=cloud, listen=h.address_text(device_host, 0))
        device = scene.device(proxy)
        values = [0xB9, 0x00, 0x02, 0x8B, 0x28]
        for tos in values:
            device.send(b"tos", tos=tos)
            check_equal(device.receive()[1], tos, f"TOS at the device, {device_host} to {cloud_host}")
        check_equal([row[2] for row in cloud.received], values, f"TOS at the cloud, {device_host} to {cloud_host}")
        proxy.stop()
        packets = h.read_capture(proxy.capture)
        for kind in (h.arrivals, h.departures):
            for way in ("up", "down"):
                check_equal([p.tos for p in kind(packets, way)], values, f"TOS in the capture, {kind.__name__} {way}")


@test
def idle_sessions_end_and_begin_anew(scene):
    cloud = scene.cloud()
    proxy = scene.proxy(upstream=cloud, keys="idle_timeout = 300ms")
    device = scene.device(proxy)
    device.ask(b"first")
    proxy.told(rf"s=1 session-begins device={device.address} link=\S+$")
    proxy.told(r"s=1 session-ends idle$")
    device.ask(b"second")
    proxy.told(rf"s=2 session-begins device={device.address}")
    summary = proxy.stop()
    check_equal([(s["s"], s["ended"]) for s in summary["sessions"]][0], (1, "idle"))
    check_equal([s["up"]["received"] for s in summary["sessions"]], [1, 1])
    check_equal(summary["totals"]["sessions"], 2)
    check("s=1 session-ends idle" in h.events(h.read_capture(proxy.capture)), "no session-ends event in the capture")


@test
def a_session_with_waiting_datagrams_is_not_idle(scene):
    cloud = scene.cloud()
    proxy = scene.proxy("[link default]\nlatency = 700ms", upstream=cloud, keys="idle_timeout = 200ms")
    check_equal(scene.device(proxy).ask(b"slow"), b"slow")
    check_equal(proxy.stop()["totals"]["sessions"], 1)


def asleep(proxy):
    """Returns whether each of its threads sleeps, in each of 20 readings."""
    stats = [path.read_text() for path in pathlib.Path(f"/proc/{proxy.pid}/task").glob("*/stat") for _ in range(20)]
    return all(stat.rpartition(")")[2].split()[0] == "S" for stat in stats)


@test
def a_listener_that_is_busy_with_many_devices_rests_when_all_is_done(scene):
    cloud = scene.cloud()
    proxy = scene.proxy(upstream=cloud, capture=False)
    devices = [scene.device(proxy) for _ in range(300)]
    for device in devices:
        check_equal(device.ask(b"first"), b"first")
    for number in range(3):
        proxy.signal(signal.SIGSTOP)
        for device in devices:
            device.send(b"%d a" % number, b"%d b" % number)
        proxy.signal(signal.SIGCONT)
        for device in devices:
            check_equal(device.expect(2), [b"%d a" % number, b"%d b" % number])
        until(lambda: asleep(proxy), "all threads to sleep")
        check_equal(devices[number].ask(b"then"), b"then")
    check_equal(proxy.stop()["totals"]["up"]["sent"], 300 * 7 + 3)


@test
def another_port_is_another_session(scene):
    cloud = scene.cloud()
    proxy = scene.proxy(upstream=cloud)
    for i in range(3):
        scene.device(proxy).ask(b"device %d" % i)
    summary = proxy.stop()
    check_equal([s["s"] for s in summary["sessions"]], [1, 2, 3])
    check_equal({s["identity"] for s in summary["sessions"]}, {"127.0.0.1"})


@test
def past_max_sessions_the_silent_unanswered_one_makes_room(scene):
    cloud = scene.cloud(answer=lambda data: [data] if data.startswith(b"ask") else [])
    proxy = scene.proxy("[device slow]\naddress = 127.0.0.3\nlink = slow\n[link slow]\nlatency = 1h",
                        upstream=cloud, keys="max_sessions = 3")
    answered, mute = scene.device(proxy), scene.device(proxy)
    mute_and_slow = scene.device(proxy, host="127.0.0.3")
    answered.ask(b"ask 1")
    mute_and_slow.send(b"never gets there")
    proxy.told("s=2 session-begins")
    mute.send(b"mute")
    cloud.expect(2)
    third = scene.device(proxy)
    third.ask(b"ask 2")  # takes the place of session 2, which has been silent for longer
    proxy.told("s=2 session-ends")
    fourth = scene.device(proxy)
    fourth.ask(b"ask 3")  # takes the place of session 3
    proxy.told("s=3 session-ends")
    refused = [scene.device(proxy) for _ in range(2)]
    for device in refused:  # all sessions that are left have been answered
        device.send(b"ask 4", b"ask 5")
    proxy.summary_when(lambda s: s["totals"]["up"]["dropped"].get("max-sessions") == 5, "4 refused and 1 evicted")
    for device in (answered, third, fourth):
        check_equal(device.ask(b"ask again"), b"ask again")
    summary = proxy.stop()
    check_equal(session(summary, 2)["up"]["dropped"], {"max-sessions": 1}, "the evicted session's queued datagram")
    check_equal(summary["totals"]["sessions"], 5)
    check_equal(len([line for line in proxy.lines if "is refused" in line]), 1, "number of messages")
    check_equal([d.pending() for d in refused], [[], []])
    packets = h.read_capture(proxy.capture)
    drops = [p for p in h.arrivals(packets) if p.fields.get("reason") == "max-sessions"]
    check_equal([p.key for p in drops], [("0", "up", n) for n in range(1, 5)])
    unsent = [(p.key, p.fields["reason"]) for p in packets if "unsent" in p.words]
    check_equal(unsent, [(("2", "up", 1), "max-sessions")])


@test
def only_allowed_devices_are_served(scene):
    cloud = scene.cloud()
    proxy = scene.proxy(upstream=cloud, listen="127.0.0.1:0, [::1]:0",
                        keys="allow = 127.0.0.2, 127.0.1.0/24\nallow = ::1")
    stranger = scene.device(proxy, host="127.0.0.9")
    stranger.send(b"let", b"me", b"in")
    check_equal(scene.device(proxy, host="127.0.0.2").ask(b"a"), b"a")
    check_equal(scene.device(proxy, host="127.0.1.77").ask(b"b"), b"b")
    check_equal(scene.device(proxy.listeners[1]).ask(b"c"), b"c")
    summary = proxy.stop()
    check_equal(summary["totals"]["up"]["dropped"], {"not-allowed": 3})
    check_equal(summary["totals"]["up"]["received"], 6)
    check_equal(summary["totals"]["sessions"], 3)
    check_equal(len([line for line in proxy.lines if "is refused" in line]), 1, "number of messages")
    drops = [p for p in h.arrivals(h.read_capture(proxy.capture)) if p.fields["verdict"] == "drop"]
    check_equal([(p.key, p.fields["reason"]) for p in drops], [(("0", "up", n), "not-allowed") for n in (1, 2, 3)])


@test
def a_cloud_that_goes_down_and_comes_back(scene):
    other = scene.cloud()
    port = h.free_port()
    proxy = scene.proxy(f"[device other]\naddress = 127.0.0.2\nupstream = {other}", upstream=f"127.0.0.1:{port}")
    device, bystander = scene.device(proxy), scene.device(proxy, host="127.0.0.2")
    for i in range(10):  # nobody listens there: ICMP says so
        device.send(b"lost %d" % i)
        check_equal(bystander.ask(b"fine %d" % i), b"fine %d" % i)
    proxy.summary_when(lambda s: s["totals"]["up"]["sent"] == 20, "20 sent")
    cloud = scene.cloud(port=port)
    for i in range(5):
        check_equal(device.ask(b"back %d" % i), b"back %d" % i)
    cloud.close()
    device.send(b"lost again")
    proxy.summary_when(lambda s: s["totals"]["up"]["sent"] == 26, "26 sent")
    again = scene.cloud(port=port)
    check_equal(device.ask(b"and back"), b"and back")
    check_equal(again.datas, [b"and back"])
    summary = proxy.stop()
    check_equal(summary["totals"]["sessions"], 2)
    check_equal(summary["totals"]["up"]["dropped"], {})


@test
def a_name_that_does_not_resolve(scene):
    proxy = scene.proxy(upstream="no-such-host.invalid:5684")
    device = scene.device(proxy)
    device.send(b"one")
    proxy.told("upstream no-such-host.invalid:5684 cannot be looked up", patience=40)
    proxy.summary_when(lambda s: s["totals"]["up"]["dropped"] == {"error": 1}, "a drop", 40)

    def tries_again():
        device.send(b"more")
        return len([line for line in proxy.lines if "cannot be looked up" in line]) > 1

    h.until(tries_again, "another lookup", 40)
    proxy.summary_when(lambda s: s["totals"]["up"]["queued"] == 0, "all dropped", 40)
    totals = proxy.stop()["totals"]["up"]
    check_equal(totals["dropped"], {"error": totals["received"]})
    packets = h.read_capture(proxy.capture)
    dead = [p for p in packets if p.fields.get("reason") == "error"]
    check_equal({p.key[2] for p in dead}, set(range(1, totals["received"] + 1)), "each has a record of its drop")


@test
def a_name_that_resolves(scene):
    cloud = scene.cloud()
    proxy = scene.proxy(upstream=f"localhost:{cloud.port}")
    device = scene.device(proxy)
    check_equal(device.ask(b"by name"), b"by name")
    summary = proxy.stop()
    check_equal(summary["totals"]["up"]["dropped"], {})
    check_equal({p.destination for p in h.departures(h.read_capture(proxy.capture), "up")},
                {("127.0.0.1", cloud.port)})


@test
def an_upstream_that_leads_back_is_refused_at_start(scene):
    for listen, upstream in (("127.0.0.1", "127.0.0.1"), ("[::1]", "[::1]"), ("127.0.0.1", "localhost")):
        port = h.free_port("::1" if listen == "[::1]" else "127.0.0.1")
        ini = scene.path("loop.ini", f"[proxy]\nlisten = {listen}:{port}\nupstream = {upstream}:{port}\n")
        done = h.deadzone("run", "-c", ini)
        check_equal(done.returncode, 2, done.stderr)
        check(done.stderr.startswith(f"{ini}:3: [proxy] upstream: "), done.stderr)


@test
def an_upstream_that_leads_back_is_refused_when_known(scene):
    """If the files alone show it, the proxy does not even start."""
    for upstream in ("127.0.0.1", "localhost"):
        port = h.free_port("0.0.0.0")
        proxy = scene.start(f"[proxy]\nlisten = 0.0.0.0:{port}\nupstream = {upstream}:{port}\n")
        proxy.told("leads back to our own listener")
        if "ready listen=" not in proxy.text and proxy.wait() == 2:
            continue
        proxy.await_ready()
        scene.device(("127.0.0.1", port)).send(b"round and round")
        proxy.summary_when(lambda s: s["totals"]["up"]["dropped"] == {"error": 1}, "a drop")
        check_equal(proxy.stop()["totals"]["sessions"], 1)


@test
def devices_have_their_own_clouds_and_verdicts(scene):
    cloud, second = scene.cloud(), scene.cloud("::1")
    proxy = scene.proxy(f"""
[device dead]
address = 127.0.0.2
link = dead
[device elsewhere]
address = 127.0.0.3
upstream = {second}
[device ruled]
address = 127.0.0.4, 127.0.0.5
[link dead]
up.loss = 100%
[rule third]
device = ruled
direction = up
nth = 3
do = drop
""", upstream=cloud)
    hosts = [f"127.0.0.{i}" for i in range(1, 6)]
    devices = [scene.device(proxy, host=host) for host in hosts]
    for i in range(10):
        for device in devices:
            device.send(f"{device.address} {i}".encode())
    summary = proxy.summary_when(lambda s: s["totals"]["up"]["received"] == 50 and s["totals"]["down"]["sent"] == 38,
                                 "50 datagrams up and 38 down")
    got = {d.address: d.expect(n) for d, n in zip(devices, (10, 0, 10, 9, 9))}
    for device, left_out in zip(devices, ((), range(10), (), (2,), (2,))):
        check_equal(got[device.address], [f"{device.address} {i}".encode() for i in range(10) if i not in left_out])
    check_equal(len(second.received), 10)
    summary = proxy.stop()
    sections = {s["device"]: (s["section"], s["link"], s["up"]["dropped"]) for s in summary["sessions"]}
    check_equal([sections[d.address][0] for d in devices], [None, "dead", "elsewhere", "ruled", "ruled"])
    check_equal([sections[d.address][2] for d in devices], [{}, {"loss": 10}, {}, {"rule": 1}, {"rule": 1}])
    check_equal(summary["rules"], {"third": {"matched": 20, "fired": 2}})


@test
def a_burst_of_many_devices_is_not_mixed_up(scene):
    cloud = scene.cloud()
    proxy = scene.proxy("[link default]\nlatency = 20ms\njitter = 10ms", upstream=cloud)
    devices = [scene.device(proxy) for _ in range(40)]
    for i in range(5):
        for device in devices:
            device.send(f"{device.port}/{i}".encode())
    for device in devices:
        check_equal(device.expect(5), [f"{device.port}/{i}".encode() for i in range(5)], device.address)
    summary = proxy.stop()
    check_equal(summary["totals"]["sessions"], 40)
    check_equal({s["up"]["sent"] for s in summary["sessions"]}, {5})


@test
def max_queued_drops_with_overload(scene):
    cloud = scene.cloud()
    proxy = scene.proxy("[link default]\nup.latency = 1h", upstream=cloud, keys="max_queued = 12KiB")  # each takes 1,104 bytes
    device = scene.device(proxy)
    device.send(*[bytes(1000)] * 20)
    summary = proxy.when_received(20)
    check_equal(summary["totals"]["up"]["queued"], 11)
    check_equal(summary["totals"]["up"]["dropped"], {"overload": 9})
    totals = proxy.stop()["totals"]["up"]
    check_equal((totals["queued"], totals["sent"]), (11, 0))
    drops = [p for p in h.arrivals(h.read_capture(proxy.capture)) if p.fields.get("reason") == "overload"]
    check_equal([p.key for p in drops], [("1", "up", n) for n in range(12, 21)])


@test
def upstream_sockets_leave_from_the_sources_in_turn(scene):
    cloud = scene.cloud()
    proxy = scene.proxy(upstream=cloud, keys="source = 127.0.0.21, 127.0.0.22")
    for i in range(4):
        scene.device(proxy).ask(b"%d" % i)
    check_equal([row[1][0] for row in cloud.received], ["127.0.0.21", "127.0.0.22"] * 2)
    proxy.stop()


if __name__ == "__main__":
    h.run_all()
