# SPDX-License-Identifier: BSD-2-Clause
"""A run's HTTP API, as a client sees it."""

import contextlib
import http.client
import json
import re

import harness as h
from sockets import HttpOverUnix

JSON = {"Content-Type": "application/json"}


class Api:
    """A client of one of a run's control addresses."""

    def __init__(self, proxy, to):
        self.proxy, self.to = proxy, to
        self.path = to[5:] if to.startswith("unix:") else None
        if not self.path:
            self.host, port = to.rsplit(":", 1)
            self.port = int(port)

    def connection(self):
        return HttpOverUnix(self.path) if self.path else http.client.HTTPConnection(self.host.strip("[]"), self.port, timeout=h.PATIENCE)

    def ask(self, method, path, body=None, headers=None, raw=False):
        """Returns (status, answer); the answer is decoded JSON unless `raw`."""
        connection = self.connection()
        with contextlib.closing(connection):
            data = json.dumps(body).encode() if body is not None and not isinstance(body, bytes) else body
            connection.request(method, path, data, {**(JSON if data else {}), **(headers or {})})
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, text.decode() if raw else json.loads(text)

    def tell(self, *words, **options):
        return h.run(h.BINARY, "tell", *words, "--to", self.to, **options)


def controlled(scene, more, control="listen = 127.0.0.1:0\n", cloud=None, **options):
    cloud = cloud or scene.cloud()
    proxy = scene.proxy(f"[control]\n{control}{more}", upstream=cloud, ready=1, **options)
    places = [re.search(r"control listen=(\S+)", line)[1] for line in proxy.lines if "control listen=" in line]
    return proxy, [Api(proxy, place) for place in places]
