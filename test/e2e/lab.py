# SPDX-License-Identifier: BSD-2-Clause
"""Hosts of a test's own network: each is a network namespace, and veth pairs join them.

    lab = Lab(scene)                      # device (wlan0's side) - gateway - cloud (the uplink), IPv4 and IPv6
    with lab.gateway: ...                 # sockets made here belong to that host
    lab.gateway.run("nft", "-f", path)    # so do programs

A namespace lives as long as this process, or a program that was started in it; so nothing is left behind.
"""

import ctypes
import os
import re
import threading

import checks
from checks import Failure, Skip

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def enter(descriptor):
    if LIBC.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Host:
    """A network namespace."""

    def __init__(self, name):
        self.name, self.fd = name, -1
        thread = threading.Thread(target=self._make)
        thread.start()
        thread.join()
        if self.fd < 0:
            raise Skip("no network namespace can be made here (needs root)")
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.path = f"/proc/{os.getpid()}/fd/{self.fd}"
        self.run("ip", "link", "set", "lo", "up")

    def _make(self):
        if LIBC.unshare(CLONE_NEWNET) == 0:
            self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self):
        enter(self.fd)
        return self

    def __exit__(self, *_):
        enter(self._home)

    @property
    def inside(self):
        """Popen options that start a program on this host."""
        return {"preexec_fn": lambda: enter(self.fd)}

    def try_run(self, *words, **options):
        return checks.run(*words, **self.inside, **options)

    def run(self, *words, **options):
        done = self.try_run(*words, **options)
        if done.returncode:
            raise Failure(f"{self.name}: {' '.join(map(str, words))}: {done.stderr}")
        return done.stdout

    def set(self, key, value):
        """Sets a sysctl of this namespace."""
        self.run("sh", "-c", f"echo {value} > /proc/sys/{key.replace('.', '/')}")

    def close(self):
        os.close(self.fd)
        os.close(self._home)


class Lab:
    """A device's, a gateway's and a cloud's host. The cloud reaches the device only through the gateway, and the
    gateway masquerades nothing unless masquerade() is called."""

    DEVICE, GATEWAY, UPLINK, CLOUD = "10.9.0.2", "10.9.0.1", "10.8.0.1", "10.8.0.2"
    DEVICE6, GATEWAY6, UPLINK6, CLOUD6 = "fd09::2", "fd09::1", "fd08::1", "fd08::2"

    def __init__(self, scene, mtu=1500):
        self.scene = scene
        self.device, self.gateway, self.cloud = (scene.keep(Host(name)) for name in ("device", "gateway", "cloud"))
        self._join(self.device, "eth0", (self.DEVICE, self.DEVICE6), self.gateway, "wlan0", (self.GATEWAY, self.GATEWAY6), mtu)
        self._join(self.cloud, "eth0", (self.CLOUD, self.CLOUD6), self.gateway, "eth0", (self.UPLINK, self.UPLINK6), mtu)
        for host, way, way6 in ((self.device, self.GATEWAY, self.GATEWAY6), (self.cloud, self.UPLINK, self.UPLINK6)):
            host.run("ip", "route", "add", "default", "via", way)
            host.run("ip", "-6", "route", "add", "default", "via", way6)
        self.gateway.set("net.ipv4.ip_forward", 1)
        self.gateway.set("net.ipv6.conf.all.forwarding", 1)

    @staticmethod
    def _join(one, name, addresses, other, other_name, other_addresses, mtu):
        one.run("ip", "link", "add", name, "mtu", mtu, "type", "veth", "peer", "name", other_name, "mtu", mtu, "netns", other.path)
        for host, link, (four, six) in ((one, name, addresses), (other, other_name, other_addresses)):
            host.run("ip", "addr", "add", f"{four}/24", "dev", link)
            host.run("ip", "-6", "addr", "add", f"{six}/64", "dev", link, "nodad")
            host.run("ip", "link", "set", link, "up")

    def masquerade(self):
        self.nft('table inet uplink {\n chain post {\n type nat hook postrouting priority srcnat; oifname "eth0" masquerade;\n }\n}')

    def nft(self, text):
        self.gateway.run("nft", "-f", self.scene.path("own.nft", text))

    def rules(self):
        return self.gateway.run("nft", "list", "ruleset")

    def ip_rules(self):
        """Returns the policy rules, and the routes of other tables than the usual ones."""
        words = [("rule", "show"), ("-6", "rule", "show"), ("route", "show", "table", "all"), ("-6", "route", "show", "table", "all")]
        lines = [line for w in words for line in self.gateway.run("ip", *w).splitlines()]
        return [line for line in lines if "lookup" in line or re.search(r"table (?!local)", line)]

    def server(self, host=CLOUD, port=5684, **options):
        with self.gateway if host in (self.GATEWAY, self.GATEWAY6) else self.cloud:
            return self.scene.cloud(host, port, **options)

    def client(self, host=CLOUD, port=5684, **options):
        """Returns a device that talks to `host`; its server address is fixed."""
        with self.device:
            return self.scene.device((host, port), host=self.DEVICE6 if ":" in host else self.DEVICE, **options)

    def start(self, ini, *extra, **options):
        return self.scene.start(ini, *extra, **self.gateway.inside, **options)

    def proxy(self, more="", *extra, listen="127.0.0.1:15684", keys="", **options):
        return self.scene.proxy(more, *extra, upstream="original", listen=listen, keys=keys, **self.gateway.inside, **options)
