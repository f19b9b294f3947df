"""A person served by the gateway under test, driven through the gateway's subscriber API.

`Subscriber` is what the scenarios need; `HttpSubscriber` maps it to JSON over HTTP and is the only place that knows the
gateway's paths, so it is the only file to adapt. `LocalSubscriber` maps it to a Python node, which lets the scenarios be
tested against this peer itself.

Events are dicts with `kind`: message(sender, text), result(ref, code), report(ref, code), presence(user, values),
invitation(sender, note), invite_answer(ref, accepted, note), invite_cancelled(note), contact_added(sender),
search(users, code), status(code). `ref` is what the sending call returned.
"""

from __future__ import annotations

import http.client
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


THINK = "no hurry"  # an invitation whose note says so is not answered


class HttpSubscriber(Subscriber):
    """The gateway's subscriber API (`/v1/openapi.json`): calls as JSON, events as a server-sent stream."""

    def __init__(self, base: str, user: str, password: str) -> None:
        self.base, self.user, self.password = base.rstrip("/"), user, password
        self.token: str | None = None
        self._listening = False
        self._had: set[str] = set()  # what came before: events may come twice after a broken connection
        self._seen: list[dict] = []
        self._changed = threading.Condition()

    def login(self) -> None:
        answer = self._call("POST", "/v1/login", {"user": self.user, "password": self.password})
        if "token" not in answer:
            raise ConnectionError(f"login of {self.user} was refused: {answer}")
        self.token = answer["token"]
        if not self._listening:
            self._listening = True
            threading.Thread(target=self._listen, daemon=True).start()

    def search(self, number: str) -> tuple[int, list[str]]:
        answer = self._call("POST", "/v1/search", {"pairs": [{"element": "USER_MOBILE_NUMBER", "text": number}]})
        return _code(answer), [u["address"] for u in answer.get("users", [])]

    def add_contact(self, address: str) -> None:
        self._call("POST", "/v1/contacts", {"address": address})

    def open_group(self, topic: str, guest: str) -> str:
        """A group of the gateway's, to which somebody is invited; its address."""
        answer = self._call("POST", "/v1/groups", {"topic": topic, "invite": [guest]})
        return answer["group"]

    def end_group(self, group: str) -> None:
        self._call("DELETE", f"/v1/groups/{quote(group, safe='')}")

    def send_message(self, to: str, text: str, report: bool = True) -> str:
        ref = secrets.token_hex(6)
        answer = self._call("POST", "/v1/messages", {"to": [to], "text": text, "report": report, "id": ref})
        self._tell({"kind": "result", "ref": ref, "code": _code(answer)})
        return ref

    def subscribe(self, to: str) -> None:
        self._call("PUT", f"/v1/subscriptions/{quote(to, safe='')}", {})

    def unsubscribe(self, to: str) -> None:
        self._call("DELETE", f"/v1/subscriptions/{quote(to, safe='')}")

    def ask_presence(self, of: str) -> None:
        answer = self._call("GET", f"/v1/presence/{quote(of, safe='')}")
        if "address" in answer:
            self._tell({"kind": "presence", "user": answer["address"], "values": _values(answer)})

    def publish(self, values: dict[str, str]) -> None:
        self._call("PUT", "/v1/presence", {"attributes": {name: value == "T" if value in ("T", "F") else value for name, value in values.items()}})

    def invite(self, to: str, note: str) -> str:
        return str(self._call("POST", "/v1/invitations", {"to": to, "note": note}).get("id", ""))

    def cancel_invite(self, ref: str, to: str, note: str) -> None:
        self._call("POST", f"/v1/invitations/{quote(ref, safe='')}/cancel", {"note": note})

    def events(self, since: int = 0, wait: float = 0.0) -> list[dict]:
        with self._changed:
            self._changed.wait_for(lambda: len(self._seen) > since, wait)
            return self._seen[since:]

    def _tell(self, event: dict) -> None:
        with self._changed:
            self._seen.append(event)
            self._changed.notify_all()

    def _listen(self) -> None:
        """Reads the stream, and takes it up again after the last event when it ends."""
        last = ""
        while True:
            request = urllib.request.Request(self.base + "/v1/events", headers={"Authorization": f"Bearer {self.token}", **({"Last-Event-ID": last} if last else {})})
            try:
                with urllib.request.urlopen(request, timeout=3600) as stream:
                    kind = ""
                    for line in stream:
                        name, _, value = line.decode().rstrip("\r\n").partition(":")
                        value = value.removeprefix(" ")
                        if name == "event":
                            kind = value
                        elif name == "id":
                            last = value
                        elif name == "data":
                            self._event(kind, json.loads(value))
            except (OSError, http.client.HTTPException):
                threading.Event().wait(0.2)  # the gateway restarts: there is nothing to wait on but time

    def _event(self, kind: str, body: dict) -> None:
        if (held := str(body.get("inbox_id", ""))) in self._had:
            return
        if held:
            self._had.add(held)
        if kind == "message":
            self._tell({"kind": "message", "sender": body["from"], "text": body.get("text") or ""})
        elif kind == "report":
            self._tell({"kind": "report", "ref": body["message_id"], "code": body["status"]})
        elif kind == "presence":
            self._tell({"kind": "presence", "user": body["address"], "values": _values(body)})
        elif kind == "invitation":
            self._tell({"kind": "invitation", "ref": body["invitation_id"], "sender": body["by"], "note": body.get("note") or ""})
            # She accepts everything but what she has to think about; the answer is a document of its own.
            if THINK not in (body.get("note") or ""):
                self._call("POST", f"/v1/invitations/{quote(body['invitation_id'], safe='')}/answer", {"accept": True})
        elif kind == "invitation-answer":
            self._tell({"kind": "invite_answer", "ref": body["invitation_id"], "accepted": body["is_accepted"], "note": body.get("note") or ""})
        elif kind == "invitation-cancelled":
            self._tell({"kind": "invite_cancelled", "ref": body["invitation_id"], "note": body.get("note") or ""})
        elif kind == "notice":
            self._tell({"kind": "contact_added", "sender": body["by"]})
        if "inbox_id" in body:
            # The device has it: whoever asked for a report gets one.
            self._call("POST", f"/v1/inbox/{body['inbox_id']}/ack")

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
                return {"error": {"status": error.code}}


def _code(answer: dict) -> int:
    """The IMPS status of an answer."""
    return int(answer["error"]["status"]) if "error" in answer else 200


def _values(presence: dict) -> dict[str, str]:
    shown = {True: "T", False: "F"}
    return {one["name"]: shown.get(one["value"], one["value"]) for one in presence.get("attributes", []) if isinstance(one["value"], (bool, str))}


class LocalSubscriber(Subscriber):
    """A user of a Python node."""

    def __init__(self, node: Node, local: str) -> None:
        self.node, self.local, self.user = node, local, node.home.users[local]
        self.address = node.home.address(local)

    def login(self) -> None:
        self.user.presence["OnlineStatus"] = "T"

    def search(self, number: str, at: str | None = None) -> tuple[int, list[str]]:
        answers = self._ask(at or next(iter(self.node.peers)), primitives.search(self.node.personality, self.address, "USER_MOBILE_NUMBER", number)).wait(30)
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
        return _person(str(have)) == _person(want)
    return have == want


def _person(address: str) -> Address:
    """Whom an address names: a number is the person with any domain or none, because the domain goes when the number is ported."""
    parsed = Address.parse(address)
    return Address(parsed.local, "") if parsed.local.startswith("+") else parsed
