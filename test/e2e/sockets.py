# SPDX-License-Identifier: BSD-2-Clause
"""UDP at both ends of the proxy: servers (Cloud) and sockets (Device) that see the TOS byte; HTTP over a Unix socket."""

import contextlib
import http.client
import random
import select
import socket
import struct
import threading
import time

from checks import PATIENCE, Failure, check

BELOW = 12000  # ports, from which free_port chooses


class HttpOverUnix(http.client.HTTPConnection):
    """An http.client connection to a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=PATIENCE)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def parse_target(target):
    """Returns the (address, port) of a Cloud, an (address, port) pair or a port on 127.0.0.1."""
    if isinstance(target, int):
        return ("127.0.0.1", target)
    return target if isinstance(target, tuple) else (target.host, target.port)


def address_text(host, port):
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def free_port(host="127.0.0.1", kinds=(socket.SOCK_DGRAM,), span=1):
    """Returns a free port, for peers that cannot bind port 0: one below those that the kernel gives to sockets that ask
    for none, so that only another caller could take it meanwhile."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as range_:
        first = int(range_.read().split()[0])
    while True:
        with contextlib.ExitStack() as stack:
            port = random.randrange(first - BELOW, first - span) if first > 1024 + BELOW else 0
            try:
                for i in range(span):
                    for kind in kinds:
                        held = stack.enter_context(socket.socket(family, kind))
                        held.bind((host, port + i if port else 0))
                        port = port or held.getsockname()[1]
                return port
            except OSError:
                continue


def udp_socket(host):
    """Returns a UDP socket that receives the TOS byte, with a buffer large enough for a test's burst."""
    six = ":" in host
    udp = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    if six:
        udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
    else:
        udp.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    return udp


def tos_ancillary(udp, tos):
    """Returns the ancillary data for sendmsg; the kernel takes an int for both families."""
    if tos is None:
        return []
    if udp.family == socket.AF_INET6:
        return [(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, struct.pack("i", tos))]
    return [(socket.IPPROTO_IP, socket.IP_TOS, struct.pack("i", tos))]


def receive(udp):
    """Returns (bytes, address, TOS)."""
    data, ancillary, _, address = udp.recvmsg(65536, 256)
    for level, kind, value in ancillary:
        if (level, kind) in ((socket.IPPROTO_IP, socket.IP_TOS), (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)):
            return data, address, value[0]
    return data, address, None


class Cloud:
    """A UDP server in a thread. `answer(data)` returns the datagrams to send back; with None it never answers."""

    def __init__(self, host="127.0.0.1", port=0, answer=lambda data: [data]):
        self.answer, self.received, self._news = answer, [], threading.Condition()
        self.udp = udp_socket(host)
        self.udp.bind((host, port))
        self.host, self.port = host, self.udp.getsockname()[1]
        self._wake, self._stop = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __str__(self):
        return address_text(self.host, self.port)

    def _serve(self):
        while True:
            ready, _, _ = select.select([self.udp, self._wake], [], [])
            if self._wake in ready:
                return
            try:
                data, address, tos = receive(self.udp)
            except OSError:  # an ICMP error about an earlier datagram
                continue
            now = time.time_ns()
            with self._news:
                self.received.append((data, address, tos, now))
                self._news.notify_all()
            for reply in self.answer(data) if self.answer else []:
                with contextlib.suppress(OSError):
                    self.udp.sendmsg([reply], tos_ancillary(self.udp, tos), 0, address)

    @property
    def datas(self):
        with self._news:
            return [row[0] for row in self.received]

    def expect(self, count, patience=PATIENCE):
        """Waits for `count` datagrams in all; returns the bytes of each in order of arrival."""
        with self._news:
            self._news.wait_for(lambda: len(self.received) >= count, patience)
            datas = [row[0] for row in self.received]
        check(len(datas) >= count, f"the cloud got {len(datas)} of {count} datagrams: {datas[:20]!r}")
        return datas

    def close(self):
        if self.udp.fileno() < 0:
            return
        self._stop.send(b"x")
        self._thread.join(PATIENCE)
        for one in (self.udp, self._wake, self._stop):
            one.close()


class Device:
    """A UDP socket connected to a listener."""

    def __init__(self, target, host=None, port=0):
        to = parse_target(target)
        host = host or ("::1" if ":" in to[0] else "127.0.0.1")
        self.udp = udp_socket(host)
        self.udp.bind((host, port))
        self.udp.connect(to)
        self.address = address_text(host, self.udp.getsockname()[1])
        self.port = self.udp.getsockname()[1]

    def send(self, *datas, tos=None):
        for data in datas:
            self.udp.sendmsg([data], tos_ancillary(self.udp, tos))

    def receive(self, patience=PATIENCE):
        """Returns (bytes, TOS)."""
        self.udp.settimeout(patience)
        try:
            data, _, tos = receive(self.udp)
        except TimeoutError:
            raise Failure(f"device {self.address} waited {patience} s in vain for a datagram") from None
        return data, tos

    def expect(self, count, patience=PATIENCE):
        return [self.receive(patience)[0] for _ in range(count)]

    def ask(self, data, patience=PATIENCE):
        self.send(data)
        return self.receive(patience)[0]

    def pending(self):
        """Returns the datagrams that have arrived by now."""
        datas = []
        self.udp.setblocking(False)
        with contextlib.suppress(OSError):
            while True:
                datas.append(receive(self.udp)[0])
        return datas

    def close(self):
        self.udp.close()
