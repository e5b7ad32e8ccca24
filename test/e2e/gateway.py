#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Interception on a gateway: devices that cannot be told another server, in network namespaces of a test's own."""

from checks import check, check_equal
from harness import deadzone, read_json, run_all, test
from lab import Lab
from shark import read_capture, tshark

# What a user who does without [gateway] could load.
OWN_TABLE = """table inet own {
 chain pre {
  type filter hook prerouting priority mangle; policy accept;
  iifname "wlan0" meta l4proto udp meta nfproto ipv4 meta mark set 0x1 tproxy ip to 127.0.0.1:15684 accept
  iifname "wlan0" meta l4proto udp meta nfproto ipv6 meta mark set 0x1 tproxy ip6 to :15684 accept
 }
}
"""


def redirect_by_hand(lab):
    lab.nft(OWN_TABLE)
    for family in ("-4", "-6"):
        lab.gateway.run("ip", family, "rule", "add", "fwmark", "1", "lookup", "77")
        lab.gateway.run("ip", family, "route", "add", "local", "default", "dev", "lo", "table", "77")


@test
def each_session_goes_where_its_device_sent_it(scene):
    lab = Lab(scene)
    redirect_by_hand(lab)
    clouds = [lab.server(port=5684), lab.server(port=5685), lab.server(lab.CLOUD6, 5684)]
    proxy = lab.proxy(listen="127.0.0.1:15684, [::]:15684")
    device = lab.client()
    check_equal(device.ask(b"one"), b"one")
    with lab.device:
        other = scene.device((lab.CLOUD, 5685), host=lab.DEVICE, port=0)
    check_equal(other.ask(b"two"), b"two")
    check_equal(lab.client(lab.CLOUD6).ask(b"six"), b"six")
    for size in (3000, 20000):
        check_equal(device.ask(b"x" * size), b"x" * size, "a datagram above the MTU")
    check_equal([cloud.datas[0] for cloud in clouds], [b"one", b"two", b"six"])
    check_equal(clouds[0].received[0][1][0], lab.UPLINK, "the cloud sees the gateway")
    summary = proxy.stop()
    check_equal([s["cloud"] for s in summary["sessions"]],
                [f"{lab.CLOUD}:5684", f"{lab.CLOUD}:5685", f"[{lab.CLOUD6}]:5684"])
    rows = set(tshark(proxy.capture, "-Y", "udp", "-T", "fields", "-e", "ip.src", "-e", "ip.dst").splitlines())
    check({f"{lab.DEVICE}\t{lab.CLOUD}", f"{lab.CLOUD}\t{lab.DEVICE}", f"{lab.UPLINK}\t{lab.CLOUD}"} <= rows,
          f"the capture has the real addresses: {rows}")


@test
def two_clouds_of_one_socket_are_two_sessions(scene):
    lab = Lab(scene)
    redirect_by_hand(lab)
    lab.server(port=5684)
    lab.server(port=5683)
    proxy = lab.proxy()
    device = lab.client()
    for port in (5684, 5683, 5684):
        device.udp.connect((lab.CLOUD, port))
        check_equal(device.ask(b"to %d" % port), b"to %d" % port)
    summary = proxy.stop()
    check_equal([s["up"]["received"] for s in summary["sessions"]], [2, 1])


@test
def what_is_sent_to_deadzone_itself_is_refused(scene):
    lab = Lab(scene)
    proxy = lab.proxy(listen="0.0.0.0:15684")
    lab.client(lab.GATEWAY, 15684).send(b"one", b"two")
    proxy.told("sends to deadzone itself")
    check_equal(proxy.when_received(2)["totals"]["up"]["dropped"], {"not-allowed": 2})
    proxy.stop()


@test
def a_section_for_a_destination(scene):
    lab = Lab(scene)
    redirect_by_hand(lab)
    staging = lab.server(port=7777)
    lab.server(port=5683)
    proxy = lab.proxy(f"[device staging]\ndestination = 192.0.2.0/24:5684\nupstream = {staging}\n"
                      "[device plain]\ndestination = 10.8.0.2\n")
    check_equal(lab.client("192.0.2.9", 5684).ask(b"to nobody's address"), b"to nobody's address")
    check_equal(lab.client(lab.CLOUD, 5683).ask(b"plain"), b"plain")
    summary = proxy.stop()
    check_equal([(s["section"], s["cloud"]) for s in summary["sessions"]], [("staging", str(staging)), ("plain", f"{lab.CLOUD}:5683")])


@test
def a_simulation_finds_the_same_sessions_and_the_same_luck(scene):
    lab = Lab(scene)
    redirect_by_hand(lab)
    lab.server(port=5684)
    lab.server(port=5683)
    proxy = lab.proxy("[link default]\nlatency = 1ms\njitter = 1ms\nloss = 30%\n[device a]\ndestination = 10.8.0.2:5683\n")
    device = lab.client()
    for i in range(60):
        device.udp.connect((lab.CLOUD, 5684 if i % 3 else 5683))
        device.send(b"x%02d" % i)
    proxy.when_received(60)
    proxy.summary_when(lambda s: s["totals"]["down"]["received"] >= s["totals"]["up"]["sent"] and not s["totals"]["up"]["queued"] + s["totals"]["down"]["queued"])
    run = proxy.stop()
    again = scene.path("again.json")
    done = deadzone("simulate", "-c", proxy.ini, "-r", proxy.capture, "--json", again)
    check_equal(done.returncode, 0, done.stderr)
    simulated = read_json(again)
    for one, other in zip(run["sessions"], simulated["sessions"], strict=True):
        check_equal([one[key] for key in ("section", "cloud")], [other[key] for key in ("section", "cloud")])
        for way in ("up", "down"):
            check_equal(one[way]["dropped"], other[way]["dropped"], f"{one['cloud']} {way}")
    check_equal(read_capture(proxy.capture) != [], True)


if __name__ == "__main__":
    run_all()
