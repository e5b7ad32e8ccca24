#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What the test suites of other projects ask of their UDP proxies, asked of deadzone, between real DTLS peers.

A scenario is a row of SCENARIOS: a name, an ini file below this folder (a fragment: links and rules), the peers that
talk through the proxy, and what must come of it. The runner wants of every scenario

  - that `deadzone check` has nothing to say about its ini file, and that every rule in it says with `expect` how
    often it must fire: the proxy's exit status 0 says that all of them did;
  - that the handshake completes, and that the lines typed into one peer come out of the other, unless the row says
    which are lost, or that there must be no connection;
  - balanced accounts, and no sanitizer's report.

    run.py [WORD ...]     only the scenarios whose names contain one of WORD

gnutls-serv binds all addresses, so everything runs in a network namespace of its own, which has nothing but a
loopback; where the machine allows none, the scenarios with gnutls-serv are skipped.
"""

import concurrent.futures
import itertools
import os
import pathlib
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
import harness as h  # noqa: E402
from harness import Failure, Skip, check, check_equal  # noqa: E402

AT_A_TIME = 4  # they mostly wait for one another's timers
PATIENCE = 30.0  # seconds for any one condition: peers double their timers up to here
ALONE = "DEADZONE_SCENARIOS_ALONE"  # set in the network namespace
CAPTURES = HERE.parent / "data"

# ---- Peers ----


class Peers:
    """A kind of server and client: how to call them and by which lines one knows how far they are.

    {port} is the server's own port, {to} the proxy's, {folder} has cert.pem, key.pem and psk.txt.
    """

    def __init__(self, server, client, listening, connected, echo=False, needs_namespace=False):
        self.server, self.client = server.split(), client.split()
        self.listening, self.connected = listening, connected
        self.echo = echo  # what the client says comes back to it; else both sides talk
        self.needs_namespace = needs_namespace


# Without -nbio s_client and s_server fall asleep in recv() when what has come is a record that they pass over.
S_SERVER = "openssl s_server -nbio -dtls1_2 -accept 127.0.0.1:{port}"
S_CLIENT = "openssl s_client -nbio -dtls1_2 -brief -connect 127.0.0.1:{to}"


def openssl(server, client):
    return Peers(f"{S_SERVER} {server}", f"{S_CLIENT} {client}",
                 r"^ACCEPT", r"^CONNECTION ESTABLISHED")


def gnutls(server, client):
    return Peers(f"gnutls-serv --udp --echo --noticket --port {{port}} {server}",
                 f"stdbuf -oL gnutls-cli --udp --insecure --noticket --port {{to}} {client} 127.0.0.1",
                 r"listening on IPv4", r"^- Handshake was completed", echo=True, needs_namespace=True)


PSK = "-psk 30313233 -cipher PSK-AES128-{0} -mtu 1400"
CERT = "-cert {folder}/cert.pem -key {folder}/key.pem -mtu {{0}}"
X509 = "--x509certfile {folder}/cert.pem --x509keyfile {folder}/key.pem"
ANON = "--priority NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+ANON-ECDH --mtu 180"
PAIRS = {
    "psk-ccm8": openssl("-nocert -no_ticket " + PSK.format("CCM8"), "-no_ticket " + PSK.format("CCM8")),
    "psk-gcm": openssl("-nocert -no_ticket " + PSK.format("GCM-SHA256"), "-no_ticket " + PSK.format("GCM-SHA256")),
    "psk-ticket": openssl("-nocert " + PSK.format("CCM8"), PSK.format("CCM8")),
    # The client's certificate makes its flight long: three datagrams of 256, and four of the server.
    "cert": openssl("-Verify 1 " + CERT.replace("{{0}}", "1400"), CERT.replace("{{0}}", "1400")),
    "cert-512": openssl("-Verify 1 " + CERT.replace("{{0}}", "512"), CERT.replace("{{0}}", "512")),
    "cert-256": openssl("-Verify 1 " + CERT.replace("{{0}}", "256"), CERT.replace("{{0}}", "256")),
    # With --mtu each handshake message is a datagram; below 400 the certificate is two.
    "gnutls": gnutls(f"{X509} --require-client-cert --mtu 450", f"{X509} --mtu 450"),
    "gnutls-256": gnutls(f"{X509} --require-client-cert --mtu 256", f"{X509} --mtu 256"),
    "gnutls-anon": gnutls(ANON, ANON),
    "gnutls-psk": gnutls("--pskpasswd {folder}/psk.txt --priority NORMAL:-KX-ALL:+PSK",
                         "--pskusername me --pskkey 30313233 --priority NORMAL:-KX-ALL:+PSK"),
    "gnutls-cli openssl": Peers(
        f"{S_SERVER} -mtu 256 -cert {{folder}}/cert.pem -key {{folder}}/key.pem",
        f"stdbuf -oL gnutls-cli --udp --insecure --port {{to}} --mtu 450 {X509} 127.0.0.1",
        r"^ACCEPT", r"^- Handshake was completed"),
    "openssl gnutls-serv": Peers(
        f"gnutls-serv --udp --echo --noticket --port {{port}} --mtu 450 {X509} --require-client-cert",
        f"{S_CLIENT} -mtu 256 -cert {{folder}}/cert.pem -key {{folder}}/key.pem",
        r"listening on IPv4", r"^CONNECTION ESTABLISHED", echo=True, needs_namespace=True),
}


def make_credentials(folder):
    """One key for both sides; small, so that a certificate is about 400 bytes."""
    done = h.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                 "2", "-subj", "/CN=lab", "-keyout", folder / "key.pem", "-out", folder / "cert.pem")
    check_equal(done.returncode, 0, done.stderr)
    (folder / "psk.txt").write_text("me:30313233\n")


# ---- What must come of it ----


class Talk:
    """The handshake completes, then these lines are typed, each waited for where it must arrive.

    A line is its sender (`up`: the client) and its text; `~` ahead of the text says that it is lost.
    """

    def __init__(self, *lines):
        self.lines = lines

    def run(self, scene, peers, proxy, server, client):
        client.told(peers.connected, patience=PATIENCE)
        for way, text in self.lines:
            if text.startswith("~"):
                self._say_in_vain(proxy, client if way == "up" else server, way, text[1:])
            else:
                self._say(peers, server, client, way, text)
        proxy.stop()
        for way, text in self.lines:
            if text.startswith("~"):
                check(text[1:] not in (server if way == "up" else client).lines, f"the line {text[1:40]!r} came")

    @staticmethod
    def _type(program, text):
        program.process.stdin.write(text.encode() + b"\n")
        program.process.stdin.flush()

    def _say(self, peers, server, client, way, text):
        speaker, listener = (client, server) if way == "up" else (server, client)
        self._type(speaker, text)
        (client if peers.echo else listener).told(rf"^{re.escape(text)}$", patience=PATIENCE)

    def _say_in_vain(self, proxy, speaker, way, text):
        """Waits until the proxy has it, so that the next line is no part of the same record."""
        before = proxy.summary_when(lambda summary: True)["totals"][way]["received"]
        self._type(speaker, text)
        proxy.when_received(before + 1, way)


class NoConnection:
    """The handshake never completes: it is watched until the rule has fired so often, or a summary is as wanted."""

    def __init__(self, until):
        self.until = until

    def run(self, scene, peers, proxy, server, client):
        proxy.summary_when(self.until, "the summary that ends this scenario", PATIENCE)
        check(not re.search(peers.connected, client.text, re.MULTILINE), f"it connected:\n{client.text}")
        proxy.stop()


def fired(rule, count):
    return lambda summary: summary["rules"][rule]["fired"] >= count


# Of OpenSSL both sides talk; an echo server cannot.
TALK = Talk(("up", "one of the device"), ("down", "one of the cloud"), ("up", "two"), ("down", "three"))
ECHO = Talk(("up", "one"), ("up", "two"))


def run_peers(scene, row, credentials):
    peers = PAIRS[row.peers]
    if peers.needs_namespace and ALONE not in os.environ:
        raise Skip("gnutls-serv binds all addresses, and there is no network namespace")

    def start(words, **ports):
        filled = [word.format(folder=credentials, **ports) for word in words]
        return scene.program(*filled, stdin=subprocess.PIPE, merge=True)

    for attempt in range(3):  # another scenario may have taken the port meanwhile
        port = h.free_port()
        server = start(peers.server, port=port)
        try:
            server.told(peers.listening)
            break
        except Failure:
            if attempt == 2:
                raise
    proxy = start_proxy(scene, row, f"127.0.0.1:{port}")
    client = start(peers.client, to=proxy.port)
    (row.want or (ECHO if peers.echo else TALK)).run(scene, peers, proxy, server, client)
    return proxy.summary


def start_proxy(scene, row, upstream):
    words = [word for one in row.sets for word in ("--set", one)]
    return scene.proxy("", *words, upstream=upstream, keys=f"include = {HERE / row.ini}")


# ---- CoAP ----


def run_coap(scene, row, _credentials):
    """A file is put on the server beside the proxy, and got block by block through it."""
    wanted = secrets.token_bytes(row.want)
    source, got = scene.path("source"), scene.folder / "got"
    source.write_bytes(wanted)
    port = h.free_port(span=2, kinds=(socket.SOCK_DGRAM, socket.SOCK_STREAM))
    server = scene.program("coap-server-openssl", "-A", "127.0.0.1", "-p", port, "-k", "0123", "-d", "10", "-v", "4",
                           merge=True)

    def ask(to, *words):
        return ["coap-client-openssl", "-v", "4", "-u", "me", "-k", "0123", *words, f"coaps://127.0.0.1:{to}/firmware"]

    def put():
        if server.process.poll() is not None:
            raise Failure(f"coap-server-openssl ended: {server.text}")
        h.run(*ask(port + 1, "-B", "2", "-m", "put", "-b", "1024", "-f", source))
        h.run(*ask(port + 1, "-B", "2", "-b", "1024", "-o", got))
        return got.exists() and got.read_bytes() == wanted

    h.until(put, "the file to be on the server")
    got.unlink()
    proxy = start_proxy(scene, row, f"127.0.0.1:{port + 1}")
    client = scene.program(*ask(proxy.port, "-B", "30", "-b", "1024", "-o", got), merge=True)
    client.wait(PATIENCE + 5)
    check(got.exists() and got.read_bytes() == wanted, "the file is not the same behind the proxy")
    return proxy.stop()


# ---- A recorded session ----


def run_simulation(scene, row, _credentials):
    """For what no peer of Debian speaks: a capture of one that does."""
    words = [word for one in row.sets for word in ("--set", one)]
    done = h.deadzone("simulate", "-c", HERE / row.ini, "-r", CAPTURES / row.want, "-w", scene.folder / "out.pcapng",
                      "--json", scene.folder / "summary.json", "--set", "[proxy] seed = 7", *words)
    check_equal(done.returncode, 0, f"exit status; it said:\n{done.stderr}\n")
    check_decoys(h.read_capture(scene.folder / "out.pcapng"))
    summary = h.read_json(scene.folder / "summary.json")
    h.check_balance(summary)
    return summary


def check_decoys(packets):
    """Each differs from its datagram, which leaves after it and untouched, in one bit."""
    came = {packet.key: packet.payload for packet in h.arrivals(packets)}
    left = h.departures(packets)
    for i, decoy in enumerate(left):
        if decoy.fields.get("of") != "decoy":
            continue
        original = came[decoy.key]
        flipped = sum(bin(a ^ b).count("1") for a, b in zip(decoy.payload, original))
        check_equal((len(decoy.payload), flipped), (len(original), 1), f"length and flipped bits of {decoy.comment}")
        check(any(packet.key == decoy.key and "copy" not in packet.fields and packet.payload == original
                  for packet in left[i:]), f"the datagram of {decoy.comment} did not leave after it")


# ---- What the summary must say beside ----


def total(summary, key):
    return sum(summary["totals"][way][key] for way in ("up", "down"))


def delay_of(way, at_least_ms):  # its buckets are up to 6 % wide
    def look(summary):
        p50 = summary["totals"][way]["delay_ms"]["p50"]
        check(p50 >= at_least_ms, f"half of the datagrams {way} took less than {p50} ms, not {at_least_ms}")
    return look


def dropped(reason, at_least):
    def look(summary):
        count = sum(summary["totals"][way]["dropped"].get(reason, 0) for way in ("up", "down"))
        check(count >= at_least, f"{count} datagrams dropped for {reason}, not {at_least}")
    return look


def corrupted(summary):
    check(total(summary, "corrupted") >= 1, "nothing was corrupted")


def reordered(way, at_least):
    def look(summary):
        count = summary["totals"][way]["reordered"]
        check(count >= at_least, f"{count} datagrams {way} were reordered, not {at_least}")
    return look


def permuted(way, order):
    """A datagram counts as reordered that is sent after a later one."""
    return reordered(way, sum(any(before > n for before in order[:i]) for i, n in enumerate(order)))


def copies_exactly(count):
    return lambda summary: check_equal(total(summary, "copies"), count, "copies")


# ---- The table ----


class Row:
    def __init__(self, ini, peers, want=None, sets=(), name="", look=None):
        self.ini, self.peers, self.want, self.sets, self.look = f"{ini}.ini", peers, want, tuple(sets), look
        self.name = f"{ini}{' ' + name if name else ''}, {peers}"


def rule_keys(rule, **values):
    return [f"[rule {rule}] {key} = {value}" for key, value in values.items()]


def mbedtls():
    big = "x" * 1450
    yield from (Row("mbedtls/reference", peers) for peers in ("psk-ccm8", "psk-gcm", "cert", "gnutls"))
    yield Row("mbedtls/drop-1-in-5", "gnutls-256")
    yield Row("mbedtls/drop-1-in-5", "cert-256", sets=rule_keys("drop", expect="2-"))
    yield from (Row("mbedtls/delay-1-in-3", peers) for peers in ("cert-256", "gnutls"))
    yield from (Row("mbedtls/duplicate-1-in-5", peers) for peers in ("cert-256", "gnutls-256"))
    yield from (Row("mbedtls/duplicate-all", peers) for peers in ("psk-gcm", "cert-256", "gnutls"))
    yield Row("mbedtls/duplicate-all", "coap", 5120)
    yield from (Row("mbedtls/pack", peers) for peers in ("cert-256", "gnutls"))
    yield from (Row("mbedtls/pack-duplicate-all", peers) for peers in ("cert-256", "gnutls"))
    for way, kinds in (("up", "client_hello certificate client_key_exchange certificate_verify change_cipher_spec "
                              "finished"),
                       ("down", "hello_verify_request server_hello certificate server_key_exchange "
                                "certificate_request server_hello_done change_cipher_spec finished")):
        for kind in kinds.split():
            alone = kind in ("client_hello", "hello_verify_request", "server_hello_done", "finished")  # no next one
            yield Row("mbedtls/hold-message", "gnutls", sets=rule_keys("hold", direction=way, dtls=kind),
                      name=f"{way} {kind}", look=None if alone else reordered(way, 1))
    yield Row("mbedtls/hold-message", "psk-ticket", sets=rule_keys("hold", dtls="new_session_ticket"),
              name="down new_session_ticket")
    for way in ("up", "down"):
        yield Row("mbedtls/hold-message", "cert-256", sets=rule_keys("hold", direction=way, dtls="certificate"),
                  name=f"{way} a fragment of certificate")
    yield Row("mbedtls/hold-two-certificates", "cert-256")
    yield Row("mbedtls/hold-ccs-and-ticket", "psk-ticket")
    for action, copies in (("decoy", 6), ("decoy 2 at 13", 6), ("decoy at 0", 6)):
        talk = Talk(*[(way, f"{way} {i}") for i in range(3) for way in ("up", "down")])
        yield Row("mbedtls/bad-mac", "psk-ccm8", talk, sets=rule_keys("decoy", do=action), name=action,
                  look=copies_exactly(copies))
    yield Row("mbedtls/bad-mac", "coap", 5120, sets=rule_keys("decoy", expect="10-"))
    yield Row("mbedtls/bad-cid", "simulate", "dtls12-cid-mbedtls.pcapng", look=copies_exactly(6))
    yield Row("mbedtls/3d-bad-cid", "simulate", "dtls12-cid-mbedtls.pcapng")
    yield from (Row("mbedtls/inject-client-hello", peers) for peers in ("psk-ccm8", "cert", "gnutls"))
    yield Row("mbedtls/mtu", "psk-ccm8", NoConnection(fired("mtu", 2)), name="107, below any handshake",
              sets=rule_keys("mtu", size="108-", expect="2-"))
    yield Row("mbedtls/mtu", "gnutls", NoConnection(fired("mtu", 2)), name="256, below the peers' own",
              sets=rule_keys("mtu", size="257-", expect="2-"))
    for bytes_, peers in ((256, "cert-256"), (512, "cert-512"), (1024, "psk-ccm8"), (1450, "psk-gcm")):
        talk = Talk(("up", "short"), ("up", "~" + big[:bytes_]), ("up", "short again"), ("down", "short too"))
        yield Row("mbedtls/mtu", peers, talk, name=str(bytes_), sets=rule_keys("mtu", size=f"{bytes_ + 1}-"))
    yield Row("mbedtls/mtu", "cert", NoConnection(fired("mtu", 2)), name="560, below the peers' own",
              sets=rule_keys("mtu", size="561-", expect="2-"))
    yield from (Row("mbedtls/3d", peers) for peers in ("cert-256", "gnutls", "gnutls-256", "openssl gnutls-serv"))
    yield from (Row("mbedtls/3d-chance", peers) for peers in ("cert-256", "gnutls"))
    talk = Talk(("up", "short"), ("up", "~" + big[:512]), ("up", "short again"))
    yield Row("mbedtls/3d-mtu", "cert-512", talk)
    yield Row("mbedtls/3d-mtu", "gnutls", sets=rule_keys("mtu", expect=0))


def quic_network_simulator():
    folder = "quic-network-simulator"
    yield Row(f"{folder}/simple-p2p", "coap", 10240, look=delay_of("down", 14))
    talk = Talk(*[("up", f"{'~' if i in (1, 5, 6, 7, 8) else ''}line {i}") for i in range(1, 11)])
    yield Row(f"{folder}/drop-list", "psk-ccm8", talk)
    yield Row(f"{folder}/drop-list-handshake", "psk-ccm8")
    yield Row(f"{folder}/amplification-limit", "psk-ccm8")
    yield Row(f"{folder}/blackhole", "coap", 10240, look=dropped("blackout", 1))
    yield Row(f"{folder}/blackhole-handshake", "psk-gcm", look=dropped("blackout", 1))
    yield Row(f"{folder}/blackhole-hold", "coap", 20480)
    # Seeds with a loss or two early: the peers take seconds for each.
    yield Row(f"{folder}/drop-rate", "coap", 10240, sets=["[proxy] seed = 6"], look=dropped("loss", 1))
    yield from (Row(f"{folder}/handshake-loss", "gnutls-psk", Talk(), sets=[f"[proxy] seed = {seed}"],
                    name=f"seed {seed}", look=dropped("loss", 1)) for seed in (2, 3, 6))
    yield Row(f"{folder}/corrupt-rate", "coap", 10240, sets=["[proxy] seed = 5"], look=corrupted)
    talk = Talk(*[("up", f"~lost {i}") for i in range(3)], ("up", "whole"), ("down", "whole too"))
    yield Row(f"{folder}/corrupt-every-record", "psk-gcm", talk)
    yield Row(f"{folder}/long-rtt", "psk-ccm8", look=delay_of("up", 280))
    yield Row(f"{folder}/slow-queue", "gnutls", look=delay_of("down", 50))
    yield Row(f"{folder}/short-queue", "gnutls", NoConnection(fired("again", 1)), look=dropped("queue", 2))


def gnutls_suite():
    for way, kinds in (("up", "client_hello certificate client_key_exchange certificate_verify finished"),
                       ("down", "server_hello certificate server_key_exchange certificate_request server_hello_done "
                                "finished")):
        for kind in kinds.split():
            count = 2 if kind == "client_hello" else 1  # with the cookie it is another message
            yield Row("gnutls/drop-message", "gnutls", sets=rule_keys("drop", direction=way, dtls=kind, expect=count),
                      name=f"{way} {kind}")
    yield from (Row("gnutls/drop-message", "gnutls-psk", sets=rule_keys("drop", direction=way, dtls=kind),
                    name=f"{way} {kind}")
                for way, kind in (("down", "hello_verify_request"), ("down", "server_hello"),
                                  ("up", "client_key_exchange")))
    yield Row("gnutls/drop-message", "gnutls-cli openssl", name="down server_hello")
    yield Row("gnutls/drop-each-flight", "gnutls")
    yield Row("gnutls/drop-all-once", "gnutls")
    for path in sorted((HERE / "gnutls").glob("dtls-sh-*.ini")):
        peers = "gnutls" if "full flights" in path.read_text() else "gnutls-anon"
        yield Row(f"gnutls/{path.stem}", peers)


def wolfssl():
    yield from (Row("wolfssl/drop-nth", "gnutls", sets=rule_keys("drop", nth=n), name=str(n)) for n in range(1, 16))
    for way, ordinals in (("up", (1, 2, 3, 4, 5)), ("down", (2, 3, 4, 5, 6, 7, 8))):
        yield from (Row("wolfssl/drop-nth-of-one-side", "cert-256", sets=rule_keys("drop", direction=way, nth=n),
                        name=f"{way} {n}") for n in ordinals)
    yield Row("wolfssl/drop-size", "psk-ticket")
    for order in itertools.permutations("123"):
        for side, way in (("client", "up"), ("server", "down")):
            yield Row(f"wolfssl/permute-{side}", "cert-256", sets=rule_keys("permute", do="permute " + " ".join(order)),
                      name="".join(order), look=permuted(way, order))
    for order in ("54321", "21435", "35142"):
        yield Row("wolfssl/permute-server-5", "gnutls", sets=rule_keys("permute", do="permute " + " ".join(order)),
                  name=order, look=permuted("down", order))
    yield from (Row("wolfssl/drop-nth", "coap", 2048, sets=rule_keys("drop", nth=n), name=str(n)) for n in (2, 4, 9))
    quick, slow = ("20ms", "100ms", "220ms"), ("100ms", "500ms", "1100ms")  # the last is past the peers' timers
    for delays in [*itertools.permutations(quick), slow, slow[::-1], ("100ms",) * 3, ("500ms",) * 3]:
        sets = [f"[rule {rule}] do = delay {delay}" for rule, delay in zip("abc", delays)]
        yield Row("wolfssl/delays", "psk-ccm8", sets=sets, name=",".join(delays))


SCENARIOS = [*mbedtls(), *quic_network_simulator(), *gnutls_suite(), *wolfssl()]

# ---- Running ----

scenes = []  # begun so far


def check_ini(ini):
    """It is right, and every rule of it says how often it must fire."""
    done = h.deadzone("check", HERE / ini)
    check_equal((done.returncode, done.stderr), (0, ""), f"deadzone check {ini}")
    text = (HERE / ini).read_text()
    check(text.startswith("; "), f"{ini} does not say what it models")
    for section in re.split(r"^(?=\[)", text, flags=re.MULTILINE)[1:]:
        if section.startswith("[rule "):
            check("\nexpect = " in section, f"{ini}: {section.splitlines()[0]} has no expect")


def run_one(row, credentials):
    """(ok or not ok, what TAP says of it, what was wrong)"""
    began = time.monotonic()
    scene = h.Scene()
    scenes.append(scene)
    try:
        check_ini(row.ini)
        summary = {"coap": run_coap, "simulate": run_simulation}.get(row.peers, run_peers)(scene, row, credentials)
        if row.look:
            row.look(summary)
        return "ok", f"{row.name} ({time.monotonic() - began:.1f} s)", []
    except Skip as skip:
        return "ok", f"{row.name} # SKIP {skip}", []
    except Exception as error:  # every failure is one scenario's own
        what = str(error) if isinstance(error, Failure) else traceback.format_exc()
        told = [f"set {one}" for one in row.sets] + what.splitlines() + scene.told()
        return "not ok", f"{row.name} ({time.monotonic() - began:.1f} s)", told
    finally:
        scene.close()


def enter_namespace():
    """Starts itself anew in a network namespace with a loopback alone, where the machine allows one."""
    if ALONE in os.environ:
        return
    enter = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    script = 'ip link set lo up && exec "$@"'
    if subprocess.run([*enter, "sh", "-c", script, "sh", "true"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL, check=False).returncode == 0:
        os.environ[ALONE] = "1"
        os.execvp(enter[0], [*enter, "sh", "-c", script, "sh", sys.executable, __file__, *sys.argv[1:]])


def main():
    try:
        enter_namespace()
    except FileNotFoundError:  # no `unshare`
        pass
    words = sys.argv[1:]
    rows = [row for row in SCENARIOS if not words or any(word in row.name for word in words)]
    print(f"1..{len(rows)}", flush=True)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="deadzone-") as folder:
        make_credentials(pathlib.Path(folder))
        pool = concurrent.futures.ThreadPoolExecutor(AT_A_TIME)
        try:
            for number, (state, name, told) in enumerate(pool.map(lambda row: run_one(row, folder), rows), 1):
                print(f"{state} {number} - {name}", *[f"# {line}" for line in told], sep="\n", flush=True)
                failed += state != "ok"
        except KeyboardInterrupt:  # what runs fails at once, and cleans up behind itself
            for program in [program for scene in scenes for program in scene.programs]:
                program.process.kill()
            failed += 1
        finally:
            pool.shutdown(cancel_futures=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
