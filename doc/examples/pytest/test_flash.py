# SPDX-License-Identifier: BSD-2-Clause
"""Two tests of a real transfer: libcoap's client fetches a file over DTLS, through deadzone, from libcoap's server.

    apt-get install python3-pytest libcoap3-bin
    DEADZONE=build/deadzone pytest doc/examples/pytest
"""
import pathlib
import random
import socket
import subprocess
import time

import pytest

INI = pathlib.Path(__file__).with_name("flash.ini")
KEY = "secret"
IMAGE = random.Random(1).randbytes(20000)


def free_port():
    """A port whose neighbour is free too: coap-server takes DTLS on the one above."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as next_one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            try:
                next_one.bind(("127.0.0.1", port + 1))
                return port
            except OSError:
                continue


def fetch(port, into, seconds=60):
    return subprocess.Popen(["coap-client-openssl", "-k", KEY, "-u", "lab", "-B", str(seconds), "-b", "512", "-o", str(into),
                             f"coaps://127.0.0.1:{port}/image"])


@pytest.fixture
def cloud(tmp_path):
    """A CoAP server that holds the image; gives its DTLS address."""
    port = free_port()
    server = subprocess.Popen(["coap-server-openssl", "-A", "127.0.0.1", "-p", str(port), "-k", KEY, "-h", "hint", "-d", "10"])
    (tmp_path / "image.bin").write_bytes(IMAGE)
    put = ["coap-client-openssl", "-k", KEY, "-u", "lab", "-B", "10", "-b", "1024", "-m", "put", "-f", str(tmp_path / "image.bin"),
           f"coaps://127.0.0.1:{port + 1}/image"]
    back = tmp_path / "back.bin"
    deadline = time.monotonic() + 30
    while not back.exists() or back.read_bytes() != IMAGE:  # coap-client's exit status says nothing
        assert time.monotonic() < deadline, "the server does not hold the image"
        subprocess.run(put, check=False, timeout=30)
        fetch(port + 1, back).wait(60)
    yield f"127.0.0.1:{port + 1}"
    server.kill()
    server.wait()


def test_the_image_arrives(deadzone, cloud, tmp_path):
    proxy = deadzone(INI, cloud)
    fetch(proxy.port, tmp_path / "got.bin").wait(60)
    summary = proxy.expect()
    assert (tmp_path / "got.bin").read_bytes() == IMAGE
    assert summary["sessions"][0]["handshakes"] == 1


def test_it_survives_a_dead_zone_in_the_middle(deadzone, cloud, tmp_path):
    proxy = deadzone(INI, cloud, "[rule dead-zone] expect = 1")
    client = fetch(proxy.port, tmp_path / "got.bin")
    proxy.wait("blocks", count=15)  # in the middle of some forty blocks
    proxy.tell("mark", "in the middle")
    proxy.tell("fire", "dead-zone")
    client.wait(60)
    summary = proxy.expect()
    assert (tmp_path / "got.bin").read_bytes() == IMAGE
    assert summary["totals"]["up"]["dropped"].get("blackout", 0) + summary["totals"]["down"]["dropped"].get("blackout", 0) > 0
