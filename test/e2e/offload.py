#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Datagrams of equal size are read and sent as one, with the same result as one by one."""

import socket
import struct

from checks import check, check_equal
from harness import run_all, test
from shark import arrivals, departures, read_capture

UDP_SEGMENT, UDP_GRO = 103, 104  # linux/udp.h
RULES = """
[link default]
loss = 20%
[rule each]
nth = every 5
direction = up
do = duplicate
"""
SIZES = [  # of each burst: the size of all but the last, the count, and the size of the last
    (100, 16, 100), (100, 16, 7), (1200, 10, 1200), (1, 5, 1), (500, 2, 499)]


def bursts():
    number = 0
    for size, count, last in SIZES:
        datas = []
        for i in range(count):
            datas.append(bytes([number % 251]) * (size if i + 1 < count else last))
            number += 1
        yield size, datas


def send_as_one(udp, size, datas):
    udp.sendmsg([b"".join(datas)], [(socket.SOL_UDP, UDP_SEGMENT, struct.pack("H", size))])


def relayed(scene, keys, as_one):
    """Returns what the cloud got and what the capture says of each datagram, and the packets."""
    cloud = scene.cloud(answer=None)
    proxy = scene.proxy(RULES, upstream=cloud, keys=keys)
    device = scene.device(proxy)
    count = 0
    for size, datas in bursts():
        if as_one:
            send_as_one(device.udp, size, datas)
        else:
            device.send(*datas)
        count += len(datas)
    proxy.when_received(count)
    summary = proxy.stop()
    check_equal(summary["totals"]["up"]["received"], count)
    packets = read_capture(proxy.capture)
    cloud.expect(summary["totals"]["up"]["sent"])
    return {
        "cloud": cloud.datas,
        "came": [(p.fields["n"], p.fields["verdict"], p.fields["by"], p.payload) for p in arrivals(packets, "up")],
        "left": [(p.fields["n"], p.fields.get("copy"), p.payload) for p in departures(packets, "up")],
    }, packets


@test
def the_same_datagrams_with_and_without(scene):
    plain, _ = relayed(scene, "offload = no\n", as_one=False)
    check_equal([data for _, _, _, data in plain["came"]], [data for _, datas in bursts() for data in datas])
    for keys, as_one in (("offload = no\n", True), ("offload = yes\n", False), ("offload = yes\n", True)):
        got, _ = relayed(scene, keys, as_one)
        for what, rows in plain.items():
            check_equal(got[what], rows, f"{what} ({keys.strip()}, {'as one' if as_one else 'one by one'})")


@test
def those_of_one_read_share_its_stamp(scene):
    _, packets = relayed(scene, "offload = yes\n", as_one=True)
    stamps = [packet.time for packet in arrivals(packets, "up")]
    at = 0
    for _, datas in bursts():
        check_equal(len(set(stamps[at : at + len(datas)])), 1, f"timestamps of the burst that begins with n={at + 1}")
        at += len(datas)


@test
def they_leave_as_one(scene):
    """A cloud with UDP_GRO sees this: the kernel hands it the datagrams in one piece, as they were sent."""
    cloud = scene.cloud(answer=None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.setsockopt(socket.SOL_UDP, UDP_GRO, 1)
        udp.settimeout(15)
        proxy = scene.proxy("", upstream=f"127.0.0.1:{udp.getsockname()[1]}", capture=False)
        device = scene.device(proxy)
        send_as_one(device.udp, 200, [bytes(200)] * 12)
        data, ancillary, _, _ = udp.recvmsg(65536, 256)
        check_equal(len(data), 12 * 200)
        check_equal([struct.unpack("i", value)[0] for _, kind, value in ancillary if kind == UDP_GRO], [200])
    cloud.close()


@test
def what_is_larger_than_a_frame_goes_one_by_one(scene):
    cloud = scene.cloud(answer=None)
    proxy = scene.proxy("", upstream=cloud)
    device = scene.device(proxy)
    send_as_one(device.udp, 5000, [bytes([i]) * 5000 for i in range(10)])
    check_equal([len(data) for data in cloud.expect(10)], [5000] * 10)
    check(proxy.stop()["totals"]["up"]["sent"] == 10, "all are sent")


if __name__ == "__main__":
    run_all()
