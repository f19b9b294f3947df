"""A person served by the gateway under test, driven through the gateway's subscriber API.

`Subscriber` is what the scenarios need; `HttpSubscriber` maps it to JSON over HTTP and is the only place that knows the
gateway's paths, so it is the only file to adapt. `LocalSubscriber` maps it to a Python node, which lets the scenarios be
tested against this peer itself.

Events are dicts with `kind`: message(sender, text), result(ref, code), report(ref, code), presence(user, values),
invitation(sender, note), invite_answer(ref, accepted, note), invite_cancelled(note), contact_added(sender),
search(users, code), status(code). `ref` is what the sending call returned.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from typing import Callable
from urllib.parse import quote

from . import primitives
from .node import Node
from .wire import Address


class Subscriber(ABC):
    """What a scenario asks of a person. Addresses are `wv:` texts."""

    @abstractmethod
    def login(self) -> None:
        """Comes online."""

    @abstractmethod
    def search(self, number: str) -> tuple[int, list[str]]:
        """Finds a person by number; the result code and the addresses found."""

    @abstractmethod
    def add_contact(self, address: str) -> None:
        """Puts somebody on the contact list, which sends the notice."""

    @abstractmethod
    def send_message(self, to: str, text: str, report: bool = True) -> str:
        """Sends a message; a reference for `result` and `report` events."""

    @abstractmethod
    def subscribe(self, to: str) -> None:
        """Watches somebody's presence."""

    @abstractmethod
    def unsubscribe(self, to: str) -> None:
        """Stops watching."""

    @abstractmethod
    def ask_presence(self, of: str) -> None:
        """Asks once; the answer is a presence event."""

    @abstractmethod
    def publish(self, values: dict[str, str]) -> None:
        """Changes the own presence."""

    @abstractmethod
    def invite(self, to: str, note: str) -> str:
        """Invites to a chat; a reference for `invite_answer`."""

    @abstractmethod
    def cancel_invite(self, ref: str, to: str, note: str) -> None:
        """Takes an invitation back."""

    @abstractmethod
    def events(self, since: int = 0, wait: float = 0.0) -> list[dict]:
        """Events from a position on; waits up to `wait` seconds for the first."""

    def mark(self) -> int:
        """A position: events from here on are `events(mark)`."""
        return len(self.events(0))

    def expect(self, kind: str, timeout: float, since: int = 0, where: Callable[[dict], bool] = lambda _: True, **facts) -> dict | None:
        """The first event of a kind with these facts, as soon as it is there; None when the time is over."""
        deadline, at = time.monotonic() + timeout, since
        while True:
            left = deadline - time.monotonic()
            fresh = self.events(at, max(0.0, min(left, 5.0)))
            for event in fresh:
                if event["kind"] == kind and where(event) and all(_same(event.get(k), v) for k, v in facts.items()):
                    return event
            at += len(fresh)
            if left <= 0:
                return None


class HttpSubscriber(Subscriber):
    """The gateway's subscriber API, as best guessed; adapt `_call` and the paths to what the gateway has."""

    POLL = 0.1  # seconds between polls when the server answers at once

    def __init__(self, base: str, user: str, password: str) -> None:
        self.base, self.user, self.password = base.rstrip("/"), user, password
        self.token: str | None = None
        self._local: list[dict] = []
        self._seen: list[dict] = []
        self._cursor = 0  # how many of the gateway's events were read

    def login(self) -> None:
        answer = self._call("POST", "/v1/login", {"user": self.user, "password": self.password})
        if "token" not in answer:
            raise ConnectionError(f"login of {self.user} was refused: {answer}")
        self.token = answer["token"]

    def search(self, number: str) -> tuple[int, list[str]]:
        answer = self._call("POST", "/v1/search", {"number": number})
        return int(answer.get("code", 200)), [u["address"] for u in answer.get("users", [])]

    def add_contact(self, address: str) -> None:
        self._call("POST", "/v1/contacts", {"address": address})

    def send_message(self, to: str, text: str, report: bool = True) -> str:
        answer = self._call("POST", "/v1/messages", {"to": to, "text": text, "report": report})
        ref = str(answer.get("id", ""))
        if "code" in answer:
            self._local.append({"kind": "result", "ref": ref, "code": int(answer["code"])})
        return ref

    def subscribe(self, to: str) -> None:
        self._call("POST", "/v1/subscriptions", {"to": to})

    def unsubscribe(self, to: str) -> None:
        self._call("DELETE", f"/v1/subscriptions/{quote(to, safe='')}")

    def ask_presence(self, of: str) -> None:
        answer = self._call("GET", f"/v1/presence/{quote(of, safe='')}")
        if "values" in answer:
            self._local.append({"kind": "presence", "user": of, "values": answer["values"]})

    def publish(self, values: dict[str, str]) -> None:
        self._call("PUT", "/v1/presence", values)

    def invite(self, to: str, note: str) -> str:
        return str(self._call("POST", "/v1/invitations", {"to": to, "note": note}).get("id", ""))

    def cancel_invite(self, ref: str, to: str, note: str) -> None:
        self._call("DELETE", f"/v1/invitations/{quote(ref, safe='')}", {"to": to, "note": note})

    def events(self, since: int = 0, wait: float = 0.0) -> list[dict]:
        deadline = time.monotonic() + wait
        while True:
            left = max(0.0, deadline - time.monotonic())
            fresh = self._call("GET", f"/v1/events?after={self._cursor}&wait={left:.1f}").get("events", [])
            self._cursor += len(fresh)
            self._seen.extend(fresh)
            self._seen.extend(self._local)
            self._local.clear()
            if len(self._seen) > since or left <= 0:
                return self._seen[since:]
            threading.Event().wait(self.POLL)

    def _call(self, method: str, path: str, body: dict | None = None) -> dict:
        request = urllib.request.Request(self.base + path, json.dumps(body).encode() if body is not None else None, method=method)
        request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.loads(response.read() or b"{}")
        except urllib.error.HTTPError as error:
            said = error.read()
            try:
                return json.loads(said)
            except ValueError:
                return {"code": error.code}


class LocalSubscriber(Subscriber):
    """A user of a Python node."""

    def __init__(self, node: Node, local: str) -> None:
        self.node, self.local, self.user = node, local, node.home.users[local]
        self.address = node.home.address(local)

    def login(self) -> None:
        self.user.presence["OnlineStatus"] = "T"

    def search(self, number: str) -> tuple[int, list[str]]:
        answers = self._ask(next(iter(self.node.peers)), primitives.search(self.node.personality, self.address, "USER_MOBILE_NUMBER", number)).wait(30)
        event = self.expect("search", 5) if answers and answers[0].name == "SearchResponse" else None
        return (event["code"], event["users"]) if event else (405, [])

    def add_contact(self, address: str) -> None:
        self._ask(Address.parse(address).domain, primitives.contact_added(self.address, [address], self.user.friendly_name))

    def send_message(self, to: str, text: str, report: bool = True) -> str:
        ref = secrets.token_hex(6)
        self._ask(Address.parse(to).domain, primitives.send_message(self.node.personality, self.address, [to], text, ref, report), ref)
        return ref

    def subscribe(self, to: str) -> None:
        self._ask(Address.parse(to).domain, primitives.subscribe(self.node.personality, self.address, [to]))

    def unsubscribe(self, to: str) -> None:
        self._ask(Address.parse(to).domain, primitives.unsubscribe(self.node.personality, self.address, [to]))

    def ask_presence(self, of: str) -> None:
        self._ask(Address.parse(of).domain, primitives.get_presence(self.node.personality, self.address, [of]))

    def publish(self, values: dict[str, str]) -> None:
        self.node.home.publish(self.node, self.user, values)

    def invite(self, to: str, note: str) -> str:
        ref = secrets.token_hex(6)
        self._ask(Address.parse(to).domain, primitives.invite(self.node.personality, ref, self.address, to, note))
        return ref

    def cancel_invite(self, ref: str, to: str, note: str) -> None:
        self._ask(Address.parse(to).domain, primitives.cancel_invite(self.node.personality, ref, self.address, to, note))

    def events(self, since: int = 0, wait: float = 0.0) -> list[dict]:
        changed = self.node.home.changed
        with changed:
            changed.wait_for(lambda: len(self.user.events) > since, wait)
            return [_with_ref(e) for e in self.user.events[since:]]

    def _ask(self, domain: str, primitive, ref: str | None = None):
        return self.node.request(domain, primitive, self.local)


def _with_ref(event: dict) -> dict:
    return {**event, "ref": event.get("message_id") or event.get("invite_id")}


def _same(have, want) -> bool:
    if isinstance(want, str) and want.lower().startswith("wv:"):
        return Address.parse(str(have)) == Address.parse(want)
    return have == want
