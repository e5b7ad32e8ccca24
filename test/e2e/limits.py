#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Shortages of ports, files and room in a socket, in a network of the test's own."""

import ctypes
import os
import pathlib
import resource
import subprocess
import time

from checks import Skip, check, check_equal
from harness import run_all, test

CLONE_NEWNET = 0x40000000  # linux/sched.h
PORTS = (40000, 40039)     # the kernel chooses from these
LISTEN, CLOUD, DEVICES = 30000, 30001, 20000  # outside that range


def own_network():
    """Gives this process and its children a loopback of their own; returns False if that is not allowed."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        return False
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("%d %d" % PORTS)
    return True


ALONE = own_network()


def asked(scene, keys, count, **options):
    """Lets `count` devices send, and checks that those served stay so. Returns (proxy, cloud, number served)."""
    if not ALONE:
        raise Skip("no network namespace can be made here")
    cloud = scene.cloud(port=CLOUD)
    proxy = scene.proxy(upstream=cloud, listen=f"127.0.0.1:{LISTEN}", keys=keys, capture=False, **options)
    everyone = [scene.device(proxy, port=DEVICES + i) for i in range(count)]
    served = 0
    for device in everyone:
        device.send(b"first")
        summary = proxy.when_received(everyone.index(device) + 1)
        refused = summary["totals"]["up"]["dropped"].get("max-sessions", 0)
        if not refused:
            check_equal(device.receive()[0], b"first")
            served += 1
    for device in everyone[:served]:
        check_equal(device.ask(b"again"), b"again")
    return proxy, cloud, served


@test
def ports_of_one_address(scene):
    proxy, _, served = asked(scene, "", 45)
    proxy.told(r"max_sessions = 10000, but there is room for 40 sessions: 40 ports \(net\.ipv4\.ip_local_port_range\) of 1 source address")
    check_equal(served, 40)
    check_equal(proxy.stop()["totals"]["up"]["dropped"], {"max-sessions": 5})


@test
def more_source_addresses_bring_more_ports(scene):
    proxy, cloud, served = asked(scene, "source = 127.0.0.1, 127.0.0.2\n", 45)
    proxy.told(r"room for 80 sessions: 40 ports \(net\.ipv4\.ip_local_port_range\) of 2 source addresses")
    check_equal(served, 45)
    seen = {address[0] for _, address, _, _ in cloud.received}
    check_equal(seen, {"127.0.0.1", "127.0.0.2"})
    check_equal(proxy.stop()["totals"]["up"]["dropped"], {})


@test
def an_old_port_makes_room_for_a_new_one(scene):
    if not ALONE:
        raise Skip("no network namespace can be made here")
    rule = "[rule shift]\ndirection = up\nnth = 2-\ndo = rebind\n"
    cloud = scene.cloud(port=CLOUD)
    proxy = scene.proxy(rule, upstream=cloud, listen=f"127.0.0.1:{LISTEN}", keys="max_sessions = 30\n", capture=False)
    everyone = [scene.device(proxy, port=DEVICES + i) for i in range(25)]
    for _ in range(4):
        for device in everyone:
            check_equal(device.ask(b"here"), b"here")
    summary = proxy.stop()
    check_equal(summary["totals"]["up"]["dropped"], {})
    check_equal(sum(session["rebinds"] for session in summary["sessions"]), 25 * 3)


@test
def files_of_the_process(scene):
    few = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))
    proxy, _, served = asked(scene, "source = 127.0.0.1, 127.0.0.2\n", 45, preexec_fn=few)
    room = int(proxy.told(r"room for (\d+) sessions: a process may have 80 files open; raise it with `ulimit -n`")[1])
    check_equal(served, room)
    check(20 < room < 45, f"room for {room}")
    check("no way to its cloud" not in proxy.text, proxy.text)
    check_equal(proxy.stop()["totals"]["up"]["dropped"], {"max-sessions": 45 - room})


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@test
def a_receive_buffer_that_the_kernel_does_not_give(scene):
    """As root the listener gets it all, and an upstream socket, opened after privileges are given up, does not."""
    limit = int(pathlib.Path("/proc/sys/net/core/rmem_max").read_text())
    if limit >= 1 << 29:
        raise Skip(f"net.core.rmem_max is {limit} here: it is enough")
    cloud = scene.cloud()
    proxy = scene.proxy(upstream=cloud, keys="receive_buffer = 1GiB\n")
    for _ in range(2):
        scene.device(proxy).ask(b"ping")
    proxy.stop()
    told = [line for line in proxy.lines if "receive_buffer: the kernel gives" in line]
    check_equal(len(told), 1, proxy.text)
    check(f" {2 * limit} of 1073741824 bytes; raise net.core.rmem_max" in told[0], told[0])


@test
def a_full_socket_keeps_what_it_gets_and_troubles_nobody(scene):
    if not ALONE:
        raise Skip("no network namespace can be made here")
    slow = ("ip link add slow type veth peer name end && ip addr add 10.9.0.1/24 dev slow && "
            "ip link set slow up && ip link set end up && "
            "ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:09 dev slow && "
            "tc qdisc add dev slow root tbf rate 64kbit burst 3000 limit 10000000")
    if subprocess.run(["sh", "-c", slow], capture_output=True, check=False).returncode:
        raise Skip("no slow interface can be made here")
    cloud = scene.cloud(port=CLOUD)
    sections = "[device far]\naddress = 127.0.0.2\nupstream = 10.9.0.2:5684\n"
    proxy = scene.proxy(sections, upstream=cloud, listen=f"127.0.0.1:{LISTEN}", capture=False)
    near = scene.device(proxy, port=DEVICES)
    far = scene.device(proxy, host="127.0.0.2", port=DEVICES)
    count = 600
    for _ in range(count):
        far.send(bytes(1200))
        check_equal(near.ask(b"quick"), b"quick")
    proxy.told("a socket's send buffer is full: datagrams wait for it, and count as late")
    summary = proxy.when_received(2 * count)
    before, began = cpu_seconds(proxy.pid), time.monotonic()
    for _ in range(20):
        check_equal(near.ask(b"quick"), b"quick")
        time.sleep(0.05)
    spent = (cpu_seconds(proxy.pid) - before) / (time.monotonic() - began)
    check(spent < 0.5, f"{spent:.2f} of a core while it waits")
    up = [session["up"] for session in summary["sessions"] if session["section"] == "far"][0]
    check(up["sent"] < count and up["queued"] > 0, f"all were sent: {up}")
    check_equal(up["sent"] + up["queued"], count)
    check_equal(proxy.stop()["totals"]["down"]["dropped"], {})


@test
def what_does_not_fit_the_path_is_cut_and_comes(scene):
    if not ALONE:
        raise Skip("no network namespace can be made here")
    subprocess.run(["ip", "link", "set", "lo", "mtu", "1400"], check=True)
    try:
        cloud = scene.cloud(port=CLOUD)
        proxy = scene.proxy(upstream=cloud, listen=f"127.0.0.1:{LISTEN}", capture=False)
        devices = [scene.device(proxy, port=DEVICES + i) for i in range(2)]
        for size in (*[100] * 10, 1000, 3000, 1400 - 28, 1400 - 27, 60000, 100):
            data = os.urandom(size)
            check_equal([device.ask(data) for device in devices], [data, data])
        burst = [os.urandom(1450) for _ in range(16)]  # these could leave in one call
        devices[0].send(*burst)
        check_equal(sorted(devices[0].receive()[0] for _ in burst), sorted(burst))
        totals = proxy.stop()["totals"]
        check_equal([totals[way]["dropped"] for way in ("up", "down")], [{}, {}])
    finally:
        subprocess.run(["ip", "link", "set", "lo", "mtu", "65536"], check=True)


if __name__ == "__main__":
    run_all()
