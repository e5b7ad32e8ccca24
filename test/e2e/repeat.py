#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Repeatability: the same seed and datagrams give the same verdicts, whatever other devices do meanwhile."""

import harness as h
from harness import check, check_equal, test

FIELDS = ("n", "by", "verdict", "reason", "did", "copies", "hold")
LUCK = """
[link default]
latency = 2ms
jitter = 2ms
correlation = 30%
loss = 15%
loss_run = 2
duplicate = 10%
corrupt = 10%
reorder = 5%
reorder_by = 2ms
[rule chance]
probability = 20%
do = delay 1ms-3ms
[rule flip]
nth = every 9
do = corrupt 2
"""


def luck(scene, order, ini=LUCK, hosts=("127.0.0.2", "127.0.0.3", "127.0.0.4"), keys="", count=60):
    """Returns the verdicts {host: [...]} of devices that send by turns ("each") or one after another ("all")."""
    cloud = scene.cloud(answer=None)
    proxy = scene.proxy(ini, upstream=cloud, keys=keys)
    devices = [scene.device(proxy, host=host) for host in hosts]
    for device in devices if order == "all" else reversed(devices):
        device.send(b"%060d" % 0)
        proxy.when_received(devices.index(device) + 1 if order == "all" else len(devices) - devices.index(device))
    turns = [(d, i) for d in devices for i in range(1, count)]
    for device, i in turns if order == "all" else sorted(turns, key=lambda turn: turn[1]):
        device.send(b"%060d" % i)
    proxy.when_received(count * len(hosts))
    proxy.stop()
    found = {host: [] for host in hosts}
    for p in sorted(h.arrivals(h.read_capture(proxy.capture), "up"), key=lambda p: p.key[2]):
        found[p.source[0]].append(tuple(p.fields.get(key) for key in FIELDS))
    return found


@test
def the_same_seed_gives_the_same_verdicts(scene):
    first, second = luck(scene, "all"), luck(scene, "each")
    for host, verdicts in first.items():
        check_equal(second[host], verdicts, host)
    check(len({tuple(v) for v in first.values()}) == 3, "each device has its own luck")
    check(any(v[2] == "drop" for v in first["127.0.0.2"]), "nothing was lost")
    other = luck(scene, "all", ini="[rule other]\nprobability = 50%\ndo = note\n" + LUCK)
    for host, verdicts in first.items():
        without = [(n, ",".join(one for one in by.split(",") if one != "rule:other"), *rest)
                   for n, by, *rest in other[host]]
        check_equal(without, verdicts, f"{host} with one more rule")


@test
def identity_takes_luck_along(scene):
    devices = "[device lab]\naddress = 127.0.0.2, 127.0.0.9\nidentity = electron-7\n"
    at_home = luck(scene, "all", ini=devices + LUCK, hosts=("127.0.0.2",))
    away = luck(scene, "all", ini=devices + LUCK, hosts=("127.0.0.9",))
    check_equal(away["127.0.0.9"], at_home["127.0.0.2"])
    check(luck(scene, "all", hosts=("127.0.0.2",))["127.0.0.2"] != at_home["127.0.0.2"], "the identity changes nothing")


@test
def two_sessions_may_not_share_an_identity(scene):
    proxy = scene.proxy("[device lab]\naddress = 127.0.0.2, 127.0.0.9\nidentity = electron-7\n", upstream=scene.cloud())
    for host in ("127.0.0.2", "127.0.0.9"):
        scene.device(proxy, host=host).ask(b"hello")
    proxy.told("electron-7")
    summary = proxy.stop()
    check_equal([s["identity"] for s in summary["sessions"]], ["electron-7", "127.0.0.9"])


if __name__ == "__main__":
    h.run_all()
