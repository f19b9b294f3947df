"""A small loopback HTTP interface, so that a test in any language can drive a peer.

    POST /send         {"document": xml} raw octets, or {"primitive": xml, "mode", "tid", "domain"} wrapped in the session
    POST /dial         {"domain", "timeout"}               opens a session
    POST /expect       {"match": {...}, "timeout", "since", "count"}   waits for log entries
    POST /personality  {"name": "strict"|"observed", "switches": {...}}
    POST /faults       fields of ladder.Faults
    POST /publish      {"user": local, "values": {...}}
    GET  /log?since=N  · GET /state · POST /reset · POST /vanish · POST /return · POST /stop

A match has `dir`, `primitive`, `mode`, `answer` and `contains` (text in the body), each optional, plus attributes of the
primitive. Every answer is JSON; `/expect` answers 200 when the count was reached and 408 when not.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Callable
from urllib.parse import parse_qs, urlsplit

from . import personality, xmltree
from .ladder import Faults
from .node import Node
from .wire import Transaction


class Control:
    """Serves the interface for one node on 127.0.0.1."""

    def __init__(self, node: Node, port: int) -> None:
        self.stopped = threading.Event()
        actions = Actions(node, self.stopped)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._run({"/log": actions.log, "/state": actions.state})

            def do_POST(self) -> None:
                self._run(actions.posts)

            def _run(self, table: dict[str, Callable]) -> None:
                parts = urlsplit(self.path)
                action = table.get(parts.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                try:
                    given = {k: v[0] for k, v in parse_qs(parts.query).items()} | (json.loads(body) if body else {})
                    status, answer = action(given) if action else (404, {"error": "no such action"})
                except (ValueError, KeyError, TypeError, xmltree.Malformed) as error:
                    status, answer = 400, {"error": f"{type(error).__name__}: {error}"}
                said = json.dumps(answer, default=str).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Actions:
    """The actions, each from the JSON given to (status, JSON)."""

    def __init__(self, node: Node, stopped: threading.Event) -> None:
        self.node, self.stopped = node, stopped
        self.posts = {
            "/send": self.send, "/dial": self.dial, "/expect": self.expect, "/personality": self.personality, "/faults": self.faults,
            "/publish": self.publish, "/reset": self.reset, "/vanish": self.vanish, "/return": self.come_back, "/stop": self.stop,
        }

    def send(self, given: dict) -> tuple[int, dict]:
        domain = given.get("domain") or next(iter(self.node.peers))
        if "document" in given:
            status = self.node.raw(given["document"].encode(), given.get("url") or self.node.peers[domain], domain)
            return 200, {"http": status}
        session = self.node.session(domain, float(given.get("timeout", 30)))
        if session is None:
            return 409, {"error": "no session"}
        primitive = xmltree.parse(given["primitive"].encode(), repair=False)
        if given.get("mode", "Request") == "Request":
            exchange = self.node.request(domain, primitive, given.get("owner"), given.get("tid"))
            answers = exchange.wait(float(given.get("timeout", 0)), int(given.get("count", 1)))
            shown = [xmltree.fragment(t.primitive, personality.STRICT) for t in answers]
            return 200, {"tid": exchange.tid, "taken": exchange.taken, "answers": shown}
        return 200, {"http": self.node.send(session, [Transaction("Response", given["tid"], primitive)])}

    def dial(self, given: dict) -> tuple[int, dict]:
        session = self.node.ladders.dial(given.get("domain") or next(iter(self.node.peers)), float(given.get("timeout", 30)))
        return (200, vars(session)) if session else (409, {"error": "no session"})

    def expect(self, given: dict) -> tuple[int, dict]:
        count = int(given.get("count", 1))
        found = self.node.record.wait(lambda e: matches(e, given["match"]), float(given.get("timeout", 10)), int(given.get("since", 0)), count)
        return 200 if len(found) >= count else 408, {"entries": found}

    def personality(self, given: dict) -> tuple[int, dict]:
        base = personality.BY_NAME[given.get("name", self.node.personality.name)]
        self.node.personality = dataclasses.replace(base, **given.get("switches", {}))
        return 200, dataclasses.asdict(self.node.personality)

    def faults(self, given: dict) -> tuple[int, dict]:
        fields = {k: set(v) if k in ("skip", "repeat") else v for k, v in given.items()}
        if "refuse" in fields:
            fields["refuse"] = {int(k): v for k, v in fields["refuse"].items()}
        self.node.ladders.faults = Faults(**fields)
        return 200, {}

    def publish(self, given: dict) -> tuple[int, dict]:
        self.node.home.publish(self.node, self.node.home.users[given["user"]], given["values"])
        return 200, {}

    def log(self, given: dict) -> tuple[int, dict]:
        return 200, {"entries": self.node.record.since(int(given.get("since", 0)))}

    def state(self, _: dict) -> tuple[int, dict]:
        return 200, self.node.state()

    def reset(self, given: dict) -> tuple[int, dict]:
        self.node.reset(personality.BY_NAME[given.get("name", self.node.personality.name)])
        return 200, {}

    def vanish(self, _: dict) -> tuple[int, dict]:
        self.node.vanish()
        return 200, {}

    def come_back(self, _: dict) -> tuple[int, dict]:
        self.node.come_back()
        return 200, {}

    def stop(self, _: dict) -> tuple[int, dict]:
        self.stopped.set()
        return 200, {}


def matches(entry: dict, wanted: dict) -> bool:
    """Whether a log entry fits a match."""
    wanted = dict(wanted)
    for key in ("dir", "answer"):
        if key in wanted and entry[key] != wanted.pop(key):
            return False
    if wanted.pop("contains", "") not in entry["body"]:
        return False
    if not wanted:
        return True
    return any(all(str(t.get(k, "")).lower() == str(v).lower() for k, v in wanted.items()) for t in entry["transactions"])
