# SPDX-License-Identifier: BSD-2-Clause
"""Captures as tshark reads them, and the comments of their packets."""

import re
import struct

from checks import check, check_equal, run

# Block types of pcapng
SECTION, INTERFACE, NAMES, STATISTICS, ENHANCED = 0x0A0D0D0A, 1, 4, 5, 6

FIELDS = ("frame.number", "frame.time_epoch", "frame.interface_name", "frame.packet_flags", "frame.packet_id",
          "frame.comment", "frame.len", "frame.cap_len", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "udp.srcport",
          "udp.dstport", "udp.payload", "ip.dsfield", "ipv6.tclass")


class Packet:
    """One packet of a capture; `fields` are the key=value words of its comment, `words` the others."""

    def __init__(self, row):
        seconds, _, fraction = row["frame.time_epoch"].partition(".")
        self.time = int(seconds) * 10**9 + int((fraction + "0" * 9)[:9])
        self.interface = row["frame.interface_name"]
        self.direction = int(row["frame.packet_flags"] or "0", 0) & 3
        self.id = row["frame.packet_id"]
        self.comment = row["frame.comment"]
        self.fields, self.words = parse_comment(self.comment)
        self.length, self.kept = int(row["frame.len"]), int(row["frame.cap_len"])
        self.source = (row["ip.src"] or row["ipv6.src"], int(row["udp.srcport"] or 0))
        self.destination = (row["ip.dst"] or row["ipv6.dst"], int(row["udp.dstport"] or 0))
        self.payload = bytes.fromhex(row["udp.payload"].replace(":", ""))
        self.tos = int(row["ip.dsfield"] or row["ipv6.tclass"] or "0", 0)

    @property
    def arrival(self):
        return "verdict" in self.fields

    @property
    def sent(self):
        return "sent" in self.words

    @property
    def key(self):
        """The session, direction and number that a departure shares with its arrival."""
        return self.fields["s"], self.fields["dir"], int(self.fields["n"])

    @property
    def event(self):
        """The text of an event, without the syslog header."""
        return self.payload.decode(errors="replace").split("deadzone: ", 1)[-1]


def parse_comment(comment):
    fields, words = {}, []
    for word in comment.split():
        key, equals, value = word.partition("=")
        if equals:
            fields[key] = value
        else:
            words.append(word)
    return fields, words


def milliseconds(text):
    match = re.fullmatch(r"(\d+\.\d{3})ms", text)
    check(match, f"{text!r} is not milliseconds with three decimals")
    return float(match[1])


def tshark(path, *words):
    """Returns the output of tshark; a complaint about the file is a failure."""
    done = run("tshark", "-r", path, *words)
    complaints = [line for line in done.stderr.splitlines() if line and not line.startswith("Running as user")]
    check(done.returncode == 0 and not complaints, f"tshark on {path}: {done.returncode} {complaints}")
    return done.stdout


def read_capture(path):
    """Returns every packet of a capture."""
    words = ["-n", "-T", "fields", "-E", "separator=/t", "-E", "occurrence=f"]
    for field in FIELDS:
        words += ["-e", field]
    rows = [line.split("\t") for line in tshark(path, *words).splitlines()]
    for row in rows:
        check_equal(len(row), len(FIELDS), f"fields of {row}")
    return [Packet(dict(zip(FIELDS, row))) for row in rows]


def arrivals(packets, way=None):
    return [p for p in packets if p.arrival and way in (None, p.fields["dir"])]


def departures(packets, way=None):
    return [p for p in packets if p.sent and way in (None, p.fields["dir"])]


def events(packets):
    return [p.event for p in packets if p.interface == "events"]


def blocks(path):
    """Returns [(type, body)] of the whole blocks, and the bytes after the last one."""
    data, at, found = path.read_bytes(), 0, []
    while at + 12 <= len(data):
        kind, size = struct.unpack_from("<II", data, at)
        if at + size > len(data):
            break
        check(size % 4 == 0 and size >= 12, f"block of {size} bytes at {at}")
        check_equal(struct.unpack_from("<I", data, at + size - 4)[0], size, f"trailing size of the block at {at}")
        found.append((kind, data[at + 8:at + size - 4]))
        at += size
    return found, data[at:]
