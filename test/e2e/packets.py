# SPDX-License-Identifier: BSD-2-Clause
"""Packets and classic captures, made by hand."""

import socket
import struct

ETHERNET, NULL, RAW, LOOP, SLL, SLL2 = 1, 0, 101, 108, 113, 276
DEVICE, CLOUD = ("192.0.2.7", 40112), ("198.51.100.9", 5684)
DEVICE6, CLOUD6 = ("2001:db8::7", 40112), ("2001:db8::9", 5684)


def ip_bytes(address):
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def udp(source, target, payload):
    return struct.pack("!HHHH", source[1], target[1], 8 + len(payload), 0) + payload


def ip(source, target, payload, extension=b""):
    inner = extension + udp(source, target, payload)
    if ":" in source[0]:
        first = 0 if extension else 17
        return struct.pack("!IHBB", 6 << 28, len(inner), first, 64) + ip_bytes(source[0]) + ip_bytes(target[0]) + inner
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(inner), 1, 0, 64, 17, 0) + ip_bytes(source[0]) + \
        ip_bytes(target[0]) + inner


def framed(link, packet, vlans=()):
    """Returns the packet in a frame of this link type."""
    six = packet[0] >> 4 == 6
    kind = struct.pack("!H", 0x86DD if six else 0x0800)
    tags = b"".join(struct.pack("!HH", 0x8100, tag) for tag in vlans)
    if link == ETHERNET:
        return bytes(12) + tags + kind + packet
    if link == SLL:
        return struct.pack("!HHH", 0, 1, 6) + bytes(8) + kind + packet
    if link == SLL2:
        return kind + bytes(18) + packet
    if link == NULL:
        return struct.pack("<I", 10 if six else 2) + packet
    if link == LOOP:
        return struct.pack("!I", 24 if six else 2) + packet
    return packet


def pcap(link, frames, step=0.01, snaplen=262144):
    """Returns a classic pcap file with microsecond timestamps. A frame may be a pair of its seconds since 1970 and its
    bytes; otherwise the frames are `step` seconds apart."""
    out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, snaplen, link)
    for number, frame in enumerate(frames):
        at = 1_700_000_000 + number * step
        if isinstance(frame, tuple):
            at, frame = frame
        micro = round(at * 1_000_000)
        out += struct.pack("<IIII", micro // 1_000_000, micro % 1_000_000, len(frame[:snaplen]), len(frame)) + \
            frame[:snaplen]
    return out
