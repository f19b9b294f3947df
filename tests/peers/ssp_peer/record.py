"""Everything that crossed the wire, in order, for tests to assert on.

An entry is a plain dict: `n` (position), `dir` (`in`, `out` or `note`), `at` and `answered_at` (seconds, Unix time), `answer` (HTTP
status; 0 when the connection ended without a response), `url` or `source`, `headers`, `body`, `setup`, `session` and
`transactions` (mode, tid, primitive, and the attributes of the primitive). Waiting is on a condition with a deadline.
"""

from __future__ import annotations

import json
import threading
import time
from typing import Callable

from . import wire, xmltree

Match = Callable[[dict], bool]


class Record:
    """Append-only log with waiters; each finished entry is also a JSON line in `path`."""

    def __init__(self, path: str | None = None) -> None:
        self._entries: list[dict] = []
        self._changed = threading.Condition()
        self._file = open(path, "a", encoding="utf-8") if path else None

    def open(self, direction: str, body: bytes, **facts) -> dict:
        """Starts an entry, before the answer is known."""
        entry = {"dir": direction, "at": time.time(), "answer": None, "answered_at": None, **facts, **describe(body)}
        with self._changed:
            entry["n"] = len(self._entries)
            self._entries.append(entry)
            self._changed.notify_all()
        return entry

    def close(self, entry: dict, answer: int | None) -> None:
        """Notes the HTTP answer of an entry."""
        with self._changed:
            entry["answer"], entry["answered_at"] = answer, time.time()
            if self._file and not self._file.closed:
                self._file.write(json.dumps(entry) + "\n")
                self._file.flush()
            self._changed.notify_all()

    def note(self, what: str, **facts) -> None:
        """Something worth telling that is no document: a TLS probe, an ended handshake."""
        self.close(self.open("note", b"", what=what, **facts), None)

    def mark(self) -> int:
        """A position; entries from here on are `since(mark)`."""
        with self._changed:
            return len(self._entries)

    def since(self, mark: int = 0, match: Match | None = None) -> list[dict]:
        """Entries from a mark on."""
        with self._changed:
            return [e for e in self._entries[mark:] if match is None or match(e)]

    def wait(self, match: Match, timeout: float, mark: int = 0, count: int = 1) -> list[dict]:
        """The matching entries as soon as there are `count`; what there is when the time is over."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                found = [e for e in self._entries[mark:] if match(e)]
                left = deadline - time.monotonic()
                if len(found) >= count or left <= 0:
                    return found
                self._changed.wait(left)

    def shut(self) -> None:
        """Closes the file."""
        if self._file:
            self._file.close()


def describe(body: bytes) -> dict:
    """What a document is, for a log entry; never fails."""
    facts: dict = {"body": body.decode("utf-8", "replace"), "setup": False, "session": None, "transactions": []}
    if not body:
        return facts
    try:
        document = wire.decode(body)
    except xmltree.Malformed as error:
        return {**facts, "malformed": str(error)}
    facts["setup"], facts["session"] = document.is_setup, document.session_id
    facts["transactions"] = [
        {"mode": t.mode, "tid": t.tid, "primitive": t.name, **dict(t.primitive.attrib)} for t in document.transactions
    ]
    return facts


def carries(primitive: str, direction: str = "in", mode: str | None = None, **attributes) -> Match:
    """Matches entries that hold such a transaction."""

    def match(entry: dict) -> bool:
        return entry["dir"] == direction and any(
            t["primitive"].lower() == primitive.lower()
            and (mode is None or t["mode"] == mode)
            and all(str(t.get(k)) == str(v) for k, v in attributes.items())
            for t in entry["transactions"]
        )

    return match


def noted(what: str) -> Match:
    """Matches notes of a kind."""
    return lambda entry: entry["dir"] == "note" and entry.get("what") == what
