#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Steering a run over HTTP and by `deadzone tell`: every route, access control, and atomic changes."""

import contextlib
import http.client
import json
import random
import re
import shutil
import socket
import stat
import subprocess
import threading
import time
import xml.etree.ElementTree

import api as api_of
import harness as h
from api import JSON, Api
from harness import check, check_equal, test

RULES = """
[device lab]
address = 127.0.0.0/8
[link default]
latency = 1ms
[link bad]
loss = 100%
[rule third]
nth = 3
direction = up
do = note
[rule gate]
at = 1h
do = blackout 10s
[rule eats]
direction = up
size = 4
do = drop
expect = 0-
"""


def controlled(scene, more=RULES, **options):
    return api_of.controlled(scene, more, **options)


@test
def every_route_answers_and_refuses_as_its_table_says(scene):
    proxy, (api,) = controlled(scene)
    device = scene.device(proxy)
    device.ask(b"hello")
    status, table = api.ask("GET", "/api/v1/openapi.json")
    check_equal((status, table["openapi"][:2]), (200, "3."))
    helped = h.run(h.BINARY, "help", "api").stdout
    good = {"/api/v1/sessions/{number}": "/api/v1/sessions/1", "/api/v1/wait": "/api/v1/wait?rule=third&count=0",
            "/api/v1/rules/{name}": "/api/v1/rules/third", "/api/v1/rules/{name}/fire": "/api/v1/rules/gate/fire",
            "/api/v1/links/{name}": "/api/v1/links/default"}
    bodies = {"/api/v1/links": {"name": "new", "loss": "1%"}, "/api/v1/rules": {"name": "new", "do": "note"}, "/api/v1/do": {"do": "note"}, "/api/v1/mark": {"text": "here"}, "/api/v1/rules/{name}": {"enabled": True},
              "/api/v1/links/{name}": {"up.loss": "0%"}}
    for path, methods in table["paths"].items():
        check(path in helped, f"`help api` does not name {path}")
        for method in methods:
            if path in ("/api/v1/stop", "/api/v1/events"):
                continue
            body = None if method == "get" else bodies.get(path)
            status, text = api.ask(method.upper(), good.get(path, path), body, raw=True)
            check_equal(status, 200, f"{method} {path}: {text[:300]}")
            if body:
                status, answer = api.ask(method.upper(), good.get(path, path), {"no-such-key": "x"})
                check_equal((status, list(answer)), (400, ["error"]), f"{method} {path} with a wrong key: {answer}")
                status, answer = api.ask(method.upper(), good.get(path, path), b"{")
                check_equal(status, 400, f"{method} {path} with half a body: {answer}")
                status, answer = api.ask(method.upper(), good.get(path, path), [1])
                check_equal(status, 400, f"{method} {path} with a list: {answer}")
                status, answer = api.ask(method.upper(), good.get(path, path), b"{}", {"Content-Type": "text/plain"})
                check_equal((status, "application/json" in answer["error"]), (400, True))
                status, answer = api.ask(method.upper(), good.get(path, path), b'{"x": "' + bytes(70000) + b'"}')
                check_equal(status, 413, f"{method} {path} with 70 kB")
        status, answer = api.ask("DELETE", good.get(path, path))
        check_equal((status, "takes" in answer["error"]), (405, True), path)
    for method, path in (("GET", "/nope"), ("GET", "/api/v1/sessions/99"), ("GET", "/api/v1/sessions/x"),
                         ("POST", "/api/v1/rules/none/fire"), ("PATCH", "/api/v1/links/none"), ("PATCH", "/api/v1/links/clean"),
                         ("GET", "/api/v1/wait?rule=none"), ("GET", "/api/v1/sessions/1/2"), ("GET", "/api/v1/sessions/%00")):
        status, answer = api.ask(method, path, {"loss": "1%"} if method == "PATCH" else None)
        check((status in (404, 400)) and "error" in answer, f"{method} {path}: {status} {answer}")
    status, answer = api.ask("POST", "/api/v1/stop")
    check_equal((status, answer), (202, {"done": True}))
    check_equal(proxy.wait(), 0)
    proxy.check_sane()


@test
def errors_are_the_ini_readers_word_for_word(scene):
    proxy, (api,) = controlled(scene)
    rows = [("link default", "up.loss", "5"), ("link default", "latency", "fast"), ("link default", "jiter", "1ms"),
            ("link default", "rate", ""), ("link default", "loss", "101%"), ("rule eats", "do", "drp"),
            ("rule eats", "nth", "every"), ("rule third", "direction", "sideways"), ("rule eats", "device", "nobody")]
    for section, key, value in rows:
        ini = scene.path("whole.ini", f"{RULES}[proxy]\nlisten = 127.0.0.1:0\nupstream = 127.0.0.1:9\n")
        done = h.deadzone("run", "-c", ini, "--set", f"[{section}] {key} = {value}")
        check_equal(done.returncode, 2, f"{section} {key}")
        wanted = [line.split(": ", 1)[1] for line in done.stderr.splitlines() if ": note: " not in line]
        kind, name = section.split()
        status, answer = api.ask("PATCH", f"/api/v1/{kind}s/{name}", {key: value})
        check_equal((status, answer["error"].split("\n")), (400, wanted), f"[{section}] {key} = {value}")
        done = api.tell("set", f"[{section}] {key} = {value}")
        if value:
            check_equal((done.returncode, all(line in done.stderr for line in wanted)), (1, True), done.stderr)
    status, answer = api.ask("POST", "/api/v1/do", {"do": "drop"})
    check_equal((status, answer["error"]), (400, "do: `drop` needs a datagram; blackout, rebind, link, upstream and note need none"))
    status, answer = api.ask("POST", "/api/v1/rules/eats/fire")
    check_equal((status, "needs a datagram" in answer["error"]), (400, True))
    check_equal(len([e for e in h.events(h.read_capture(proxy.capture)) if "live" in e]), 0, "nothing was changed")
    proxy.stop()


@test
def who_may_not_ask_is_refused(scene):
    token = scene.path("token", "s3cret\nnot this\n")
    proxy, (api,) = controlled(scene, control=f"listen = 127.0.0.1:0\ntoken = {token}\n")
    right = {"Authorization": "Bearer s3cret"}
    check_equal(api.ask("GET", "/api/v1/summary", headers=right)[0], 200)
    for headers in ({}, {"Authorization": "Bearer s3cre"}, {"Authorization": "Bearer s3cret2"}, {"Authorization": "s3cret"},
                    {"Authorization": "Bearer "}, {"Authorization": "Basic s3cret"}):
        for path in ("/api/v1/summary", "/metrics", "/nope"):
            status, answer = api.ask("GET", path, headers=headers)
            check_equal((status, list(answer)), (401, ["error"]), f"{path} {headers}")
    status, page = api.ask("GET", "/", raw=True)
    check_equal((status, "asks for a token" in page), (401, True), "the page itself has no data, and asks")
    for headers in ({"Host": "evil.example"}, {"Host": f"evil.example:{api.port}"}, {"Host": "127.0.0.1.evil.example"},
                    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": f"https://127.0.0.1:{api.port}"},
                    {"Sec-Fetch-Site": "cross-site"}):
        status, answer = api.ask("GET", "/api/v1/summary", headers={**right, **headers})
        check_equal((status, list(answer)), (400, ["error"]), headers)
    for headers in ({"Host": f"localhost:{api.port}"}, {"Host": f"[::1]:{api.port}"}, {"Origin": f"http://127.0.0.1:{api.port}"}):
        check_equal(api.ask("GET", "/api/v1/summary", headers={**right, **headers})[0], 200, headers)
    check_equal(api.tell("summary").returncode, 1)
    done = api.tell("summary", "--token", token)
    check_equal((done.returncode, json.loads(done.stdout)["schema"]), (0, 1))
    token.write_text("another\n")
    check_equal(api.ask("POST", "/api/v1/reload", headers=right)[0], 200)
    check_equal(api.ask("GET", "/metrics", headers=right)[0], 401, "a reload reads the token anew")
    proxy.stop()
    ini = scene.path("open.ini", "[control]\nlisten = 0.0.0.0:8474\n")
    done = h.deadzone("check", ini)
    check_equal((done.returncode, "needs `token = FILE`" in done.stderr), (2, True), done.stderr)


@test
def a_unix_socket_is_for_its_owner_alone(scene):
    path = scene.path("control.sock")
    proxy, (api,) = controlled(scene, control=f"listen = unix:{path}\n")
    check_equal(stat.S_IMODE(path.stat().st_mode), 0o600)
    check_equal(api.ask("GET", "/api/v1/summary")[0], 200)
    check_equal(api.tell("mark", "half of the flash").returncode, 0)
    proxy.process.kill()
    proxy.wait()
    check(path.exists(), "a killed run leaves the file behind")
    again, (api,) = controlled(scene, control=f"listen = unix:{path}\n")
    check_equal(api.ask("GET", "/api/v1/summary")[0], 200, "the next run takes its place")
    again.stop()
    check(not path.exists(), "a run that ends removes it")


@test
def strangers_on_the_connection(scene):
    proxy, (api,) = controlled(scene)

    def raw(data, patience=20.0, half=False):
        with socket.create_connection(("127.0.0.1", api.port), timeout=patience) as one:
            answer = b""
            with contextlib.suppress(OSError):  # it may have answered and closed before all is sent
                one.sendall(data)
                if half:
                    one.shutdown(socket.SHUT_WR)
                while part := one.recv(65536):
                    answer += part
            return answer

    host = f"Host: 127.0.0.1:{api.port}\r\n".encode()
    two = raw(b"GET /metrics HTTP/1.1\r\n" + host + b"\r\nGET /nope HTTP/1.1\r\n" + host + b"Connection: close\r\n\r\n")
    check_equal((two.count(b"HTTP/1.1 200"), two.count(b"HTTP/1.1 404")), (1, 1), "pipelined")
    answer = raw(b"GET /metrics HTTP/1.1\r\n" + host + b"Connection: close\r\n\r\n", half=True)
    check(not answer or answer.startswith(b"HTTP/1.1 200"), ("half closed", answer[:80]))
    for data in (b"\0\xff\x16\x03\x01", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"A" * 100000, b"GET /" + b"a" * 60000 + b" HTTP/1.1\r\n\r\n",
                 b"POST /api/v1/mark HTTP/1.1\r\n" + host + b"Content-Length: -1\r\n\r\n",
                 b"POST /api/v1/mark HTTP/1.1\r\n" + host + b"Content-Length: 99999999999\r\n\r\n"):
        answer = raw(data + b"\r\n\r\n", half=True)
        check(b" 200 " not in answer[:20], (data[:40], answer[:80]))
    began = time.monotonic()
    check(raw(b"GET /metrics HT", patience=25.0)[:12] != b"HTTP/1.1 200", "a request that never ends is not answered")
    check(time.monotonic() - began > 8, f"its connection is closed after 10 s, not {time.monotonic() - began:.1f}")
    held = [socket.create_connection(("127.0.0.1", api.port), timeout=5) for _ in range(64)]

    def refused():
        held.append(socket.create_connection(("127.0.0.1", api.port), timeout=5))
        held[-1].sendall(b"GET /metrics HTTP/1.1\r\n" + host + b"\r\n")
        with contextlib.suppress(ConnectionResetError):
            return held[-1].recv(100).startswith(b"HTTP/1.1 503 ")
        return True  # the reset overtook its answer, since our request was not read

    try:
        # The connection before may still have had its place when the 64 came; then one of them was closed instead.
        check(refused() or refused(), "the 65th connection is refused")
    finally:
        for one in held:
            one.close()
    h.until(lambda: served(api), "the others' places to be free again")
    proxy.stop()


def served(api):
    try:
        return api.ask("GET", "/metrics", raw=True)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


@test
def mutated_requests_never_break_it(scene):
    """In bodies, queries and headers a few bytes are changed; each request is answered or its connection closed."""
    proxy, (api,) = controlled(scene)
    scene.device(proxy).ask(b"hello")
    chance, host = random.Random(3), f"Host: 127.0.0.1:{api.port}\r\nConnection: close\r\n"
    seeds = [
        f"POST /api/v1/do HTTP/1.1\r\n{host}Content-Type: application/json\r\nContent-Length: 39\r\n\r\n" '{"do": "blackout 1ms up", "session": 1}',
        f"GET /api/v1/wait?rule=third&count=0&timeout=1ms HTTP/1.1\r\n{host}\r\n",
        f"PATCH /api/v1/links/default HTTP/1.1\r\n{host}Content-Type: application/json\r\nContent-Length: 19\r\n\r\n" '{"up.loss": "0.5%"}',
        f"POST /api/v1/rules/gate/fire HTTP/1.1\r\n{host}Content-Length: 0\r\n\r\n",
        f"GET /api/v1/sessions/1 HTTP/1.1\r\n{host}\r\n",
    ]
    odd = [b"\0", b"%", b"%00", b"\xff", b"{", b'"', b"\\u0000", b"\n", b"[", b"9" * 30, b"-1", b"e999", b"/", b"..", b"&", b"="]
    for _ in range(1500):
        data = bytearray(chance.choice(seeds).encode())
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data))
            data[at:at + chance.randint(0, 3)] = chance.choice(odd) if chance.random() < 0.7 else chance.randbytes(2)
        with socket.create_connection(("127.0.0.1", api.port), timeout=h.PATIENCE) as one, contextlib.suppress(ConnectionError):
            one.sendall(data)
            one.shutdown(socket.SHUT_WR)
            while one.recv(65536):
                pass
    check(served(api), "it still answers")
    proxy.stop()


@test
def tell_steers_a_run(scene):
    cloud = scene.cloud()
    proxy, (api,) = controlled(scene, cloud=cloud)
    device = scene.device(proxy)
    device.ask(b"hello")
    check_equal(api.tell("do", "blackout 1h down hold").returncode, 0)
    device.send(b"no answer")
    cloud.expect(2)
    proxy.when_received(2, "down")
    check_equal(proxy.summary_when(lambda s: s["totals"]["down"]["queued"] == 1)["totals"]["down"]["queued"], 1)
    check_equal(api.tell("do", "link bad", "--session", "1").returncode, 0)
    check_equal(api.tell("do", "link bad", "--session", "2").returncode, 1)
    done = api.tell("do", "link profile:3g")
    check("tell add \"[link NAME] like = profile:3g\"" in done.stderr, f"the error says what to type: {done}")
    check_equal(api.tell("add", "[link mobile] like = profile:3g").returncode, 0)
    check_equal(api.tell("do", "link mobile", "--session", "1").returncode, 0)
    check_equal(api.tell("do", "rebind", "--identity", "127.0.0.1").returncode, 0)
    check_equal(api.tell("do", "link default", "--device", "lab").returncode, 0)
    done = api.tell("do", "link default", "--device", "labb")
    check_equal((done.returncode, "there is no [device labb]" in done.stderr), (1, True), done.stderr)
    done = api.tell("wait", "third", "--timeout", "100ms")
    check_equal((done.returncode, "the time is over" in done.stderr), (1, True), done.stderr)
    waiting = threading.Thread(target=lambda: results.append(api.tell("wait", "third").returncode))
    results = []
    waiting.start()
    device.send(b"the third")
    waiting.join(h.PATIENCE)
    check_equal(results, [0])
    check_equal(api.tell("fire", "gate").returncode, 0)
    check_equal(api.tell("mark", "50 % of the flash").returncode, 0)
    check_equal(api.tell("set", "[link default] up.loss = 100%").returncode, 0)
    device.send(b"is lost")
    proxy.when_received(4)
    check_equal(api.tell("rotate").returncode, 0)
    check_equal(api.tell("reload").returncode, 0)
    summary = json.loads(api.tell("summary").stdout)
    check_equal(summary["sessions"][0]["up"]["dropped"], {"blackout": 1})
    check_equal(summary["rules"]["gate"], {"matched": 0, "fired": 1})
    check_equal([one["change"].split()[0] for one in summary["changes"]], ["do", "do", "set", "do", "do", "do", "fire", "set"])
    for words, status in ((("dance",), 2), (("do",), 2), (("summary", "now"), 2), (("mark", "x", "--count", "2"), 2),
                          (("set", "loss = 5%"), 2), (("set", "[proxy] seed = 5"), 2), (("do", "jump"), 1), (("fire", "nobody"), 1)):
        check_equal(api.tell(*words).returncode, status, words)
    done = h.run(h.BINARY, "tell", "summary", "--to", "127.0.0.1:9")
    check_equal((done.returncode, "nobody answers" in done.stderr), (1, True), done.stderr)
    check_equal(api.tell("stop").returncode, 0)
    check_equal(proxy.wait(), 0)
    told = [event for event in h.events(h.read_capture(proxy.capture))]
    for words in ("live do blackout 1h down hold", "live fire gate", "mark 50 % of the flash", "live set [link default] up.loss = 100%"):
        check(any(words in event for event in told), f"{words!r} is no event of {told}")


@test
def links_and_rules_are_added_while_it_runs(scene):
    proxy, (api,) = controlled(scene, "[link default]\nlatency = 1ms\n")
    device = scene.device(proxy)
    check_equal(device.ask(b"one"), b"one")
    check_equal(api.ask("POST", "/api/v1/links", {"name": "tunnel", "loss": "100%", "down.latency": "5ms"})[0], 200)
    check_equal(api.ask("POST", "/api/v1/rules", {"name": "enter", "direction": "up", "nth": "2", "do": ["link tunnel", "note"]})[0], 200)
    check_equal(api.tell("add", "[rule seen]\ndirection = up\nnth = 2\ndo = note").returncode, 0)
    check_equal(api.tell("add", "[link calm] latency = 2ms").returncode, 0)
    device.ask(b"two")
    device.send(b"three", b"four")
    proxy.when_received(4)
    summary = proxy.summary_when(lambda s: s["totals"]["up"]["dropped"] == {"loss": 2}, "two losses in the tunnel")
    check_equal([summary["rules"][name]["fired"] for name in ("enter", "seen")], [1, 1])
    check_equal(summary["sessions"][0]["link"], "tunnel")
    for method, path, body, status, words in (
            ("POST", "/api/v1/links", {"name": "tunnel", "loss": "1%"}, 409, "there is a [link tunnel] already"),
            ("POST", "/api/v1/rules", {"name": "empty", "nth": "3"}, 400, "lacks `do"),
            ("POST", "/api/v1/rules", {"nth": "3", "do": "drop"}, 400, "name"),
            ("POST", "/api/v1/rules", {"name": 3, "do": "drop"}, 400, "must be of type string"),
            ("POST", "/api/v1/rules", {"name": "a b", "do": "drop"}, 400, "letters, digits"),
            ("POST", "/api/v1/rules", {"name": "x", "do": "drop, note"}, 400, "one action a line"),
            ("POST", "/api/v1/links", {"name": "x", "delay": "1ms"}, 400, "did you mean `latency`?"),
            ("POST", "/api/v1/links", {"name": "x"}, 400, "names no key")):
        got, answer = api.ask(method, path, body)
        check_equal((got, words in answer["error"]), (status, True), f"{body}: {answer}")
    for text, words in (("[device x] identity = a", "takes a section"), ("[rule y]\nnth 3", "is no `KEY = VALUE`")):
        done = api.tell("add", text)
        check_equal((done.returncode, words in done.stderr), (2, True), done.stderr)
    config = api.tell("config").stdout
    for line in ("; links: default, tunnel, calm", "; rules: enter, seen", "latency = 1ms", "[rule enter] do += note"):
        check(line in config, f"{line!r} is not in\n{config}")
    sessions = api.tell("sessions").stdout.splitlines()
    check_equal(sessions[0].split(), ["SESSION", "DEVICE", "CLOUD", "SECTION", "LINK", "UP", "DOWN", "DROPPED", "SECONDS", "STATE"])
    check_equal(len(sessions), 2, sessions)
    check(re.match(r" +1  127\.0\.0\.1:\d+ +127\.0\.0\.1:\d+ +- +tunnel +4 +2 +2 ", sessions[1]), sessions[1])
    again = scene.path("again.json")
    summary = proxy.stop()
    done = h.deadzone("simulate", "--live", "-q", "-c", proxy.ini, "-r", proxy.capture, "--json", again)
    check_equal(done.returncode, 0, done.stderr)
    for way in ("up", "down"):
        check_equal(h.read_json(again)["totals"][way]["dropped"], summary["totals"][way]["dropped"])


@test
def events_come_as_they_happen_and_resume(scene):
    proxy, (api,) = controlled(scene)

    def stream(last, count):
        connection = api.connection()
        connection.request("GET", "/api/v1/events", headers={"Last-Event-ID": last} if last else {})
        answer = connection.getresponse()
        check_equal((answer.status, answer.getheader("Content-Type")), (200, "text/event-stream"))
        told = []
        while len(told) < count:
            line = answer.readline().decode().rstrip("\n")
            if line.startswith("id: "):
                told.append([line[4:]])
            elif line.startswith("data: "):
                told[-1].append(line[6:])
        while told and len(told[-1]) < 2:
            told[-1].append(answer.readline().decode().rstrip("\n")[6:])
        connection.close()
        return told

    for text in ("one", "two", "three"):
        check_equal(api.ask("POST", "/api/v1/mark", {"text": text})[0], 200)
    check_equal([one[1] for one in stream("0", 3)], ["mark one", "mark two", "mark three"])
    check_equal([one[1] for one in stream("2", 1)], ["mark three"])
    results = []
    listener = threading.Thread(target=lambda: results.extend(stream(None, 1)))
    listener.start()
    h.until(lambda: api.ask("POST", "/api/v1/mark", {"text": "now"})[0] == 200 and (time.sleep(0.05) or results), "the event")
    listener.join(h.PATIENCE)
    check_equal(results[0][1], "mark now")
    with socket.create_connection(("127.0.0.1", api.port)) as deaf:  # listens and never reads
        deaf.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1:{api.port}\r\n\r\n".encode())
        for _ in range(50):
            check_equal(api.ask("POST", "/api/v1/mark", {"text": "x" * 1000})[0], 200)
    proxy.stop()


@test
def a_change_touches_only_what_comes_after_it(scene):
    cloud = scene.cloud(answer=None)
    more = "[link default]\nlatency = 2s\n"
    proxy, (api,) = controlled(scene, more, cloud=cloud, keys="max_queued = 1GiB")
    device = scene.device(proxy)
    for i in range(100):
        device.send(*[b"%d" % (100 * i + k) for k in range(100)])
        proxy.when_received(100 * (i + 1))
    check_equal(api.ask("PATCH", "/api/v1/links/default", {"up.loss": "100%", "latency": "1ms"})[0], 200)
    device.send(*[b"late"] * 50)
    cloud.expect(10000, patience=60)
    summary = proxy.stop()
    check_equal(summary["totals"]["up"]["dropped"], {"loss": 50}, "nothing that waited was lost, and all of the rest")
    check_equal(summary["totals"]["up"]["sent"], 10000)


@test
def a_thousand_changes_under_load_misjudge_nothing_and_simulate_says_the_same(scene):
    more = "[link default]\nloss = 5%\n[rule tenth]\nnth = every 10\ndirection = up\ndo = drop\n"
    proxy, (api,) = controlled(scene, more)
    device, stop = scene.device(proxy), threading.Event()

    def load():
        while not stop.is_set():
            device.send(*[b"datagram"] * 5)
            device.pending()
            time.sleep(0.001)

    sender = threading.Thread(target=load)
    sender.start()
    try:
        connection = api.connection()
        for i in range(1000):
            body = {"loss": f"{i % 20}%"} if i % 3 else {"enabled": i % 2 == 0}
            path = "/api/v1/links/default" if i % 3 else "/api/v1/rules/tenth"
            connection.request("PATCH", path, json.dumps(body), JSON)
            answer = connection.getresponse()
            check_equal((answer.status, answer.read() and None), (200, None), f"change {i}")
        connection.close()
    finally:
        stop.set()
        sender.join()
    summary = proxy.stop()
    check_equal(len(summary["changes"]), 1000)
    check(summary["totals"]["up"]["received"] > 1000, summary["totals"]["up"])
    again = scene.path("again.pcapng")
    done = h.deadzone("simulate", "-q", "--live", "-c", proxy.ini, "-r", proxy.capture, "-w", again, "--json", scene.path("again.json"))
    check_equal((done.returncode, done.stderr), (0, ""))

    def verdicts(path):
        return {packet.key: packet.fields["verdict"] for packet in h.arrivals(h.read_capture(path))}

    live, virtual = verdicts(proxy.capture), verdicts(again)
    check_equal([key for key in live if live[key] != virtual.get(key)], [], "verdicts that differ")


@test
def metrics_are_what_prometheus_takes(scene):
    proxy, (api,) = controlled(scene)
    for _ in range(3):
        scene.device(proxy).ask(b"hello")
    status, text = api.ask("GET", "/metrics", raw=True)
    check_equal(status, 200)
    if not shutil.which("promtool"):
        raise h.Skip("promtool is not installed")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False)
    check_equal((done.returncode, done.stderr.strip()), (0, ""))
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    check_equal(values['deadzone_received_datagrams_total{direction="up"}'], "3")
    check_equal(values['deadzone_rule_fired_total{rule="third"}'], "0")
    check_equal(values['deadzone_link_datagrams_total{link="default",direction="up"}'], "3")
    check("127.0.0.1" not in text, "no series by address")
    labels = {label for key in values for label in re.findall(r'(\w+)="', key)}
    check_equal(labels, {"direction", "reason", "rule", "link", "le", "version"})
    proxy.stop()


@test
def the_outcome_as_junit(scene):
    more = "[rule often]\ndo = note\nexpect = 2-\n[rule never]\nsize = 9\ndo = drop\nexpect = 1\n"
    path = scene.path("junit.xml")
    proxy = scene.proxy(more, "--junit", path, upstream=scene.cloud(), keys="expect_sessions = 1")
    scene.device(proxy).ask(b"hello")
    proxy.stop(status=3)
    suite = xml.etree.ElementTree.parse(path).getroot()
    check_equal((suite.tag, suite.get("tests"), suite.get("failures")), ("testsuite", "3", "1"))
    cases = {case.get("name"): case.find("failure") for case in suite}
    check_equal((cases["often"], cases["expect_sessions"]), (None, None))
    check_equal(cases["never"].get("message"), "wanted 1 firings, got 0")


h.run_all()
