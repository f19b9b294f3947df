"""What a scenario works with: the peer, the gateway's person, and the checks.

A run keeps one peer on one port; every scenario starts from `Context.start`, which resets the peer to a personality and keeps
its sessions. Times a scenario writes are seconds of real operation; `scale` shortens them together with the peer's own.
"""

from __future__ import annotations

import secrets
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field, replace
from typing import Callable

from . import primitives, wire, xmltree
from .ladder import Session
from .node import Exchange, Node
from .personality import OBSERVED, STRICT, Personality
from .record import Match, carries
from .subscriber import LocalSubscriber, Subscriber
from .wire import Transaction
from .xmltree import attr, child

# A message that opens a session waits for the queue run in real life; scenarios open it first unless they are about that.
PROMPT = replace(OBSERVED, first_contact_delay=0.0, retry_after=2.0)


class Failed(Exception):
    """An expectation of a scenario did not hold."""


class Skipped(Exception):
    """A scenario that cannot be run with this set-up; the text says why."""


@dataclass
class Context:
    """One gateway under test, seen from one peer in one role."""

    peer: Node
    ada: Subscriber
    gateway_url: str
    gateway_domain: str
    role: str = "partner"
    ada_number: str = "+447700900123"
    al_number: str = "+447700900124"
    bea_number: str = "+447700900456"
    ben_number: str = "+447700900457"
    scale: float = 1.0
    cay_number: str = "+447700900789"
    third_user: str | None = None
    silent_domain: str | None = None    # one that the gateway has an agreement with and that has no SRV record
    gateway_service: str | None = None  # its name in sessions with a home server; else its domain
    partner: Node | None = None         # role home: a partner beyond the gateway
    other_partner: Node | None = None   # role dials: a second partner, so that there are several sessions
    second_home: Node | None = None     # role home: another home server behind the same gateway
    restart: Callable[[], None] | None = None
    al: Callable[[], Subscriber] | None = None  # the gateway's second person, who is away until this is called
    marks: dict = field(default_factory=dict)

    # Names.

    @property
    def session_domain(self) -> str:
        """What the gateway speaks as towards this peer."""
        return self.gateway_service or self.gateway_domain

    @property
    def ADA(self) -> str:
        return f"wv:{self.ada_number}@{self.gateway_domain}"

    @property
    def AL(self) -> str:
        return f"wv:{self.al_number}@{self.gateway_domain}"

    @property
    def BEA(self) -> str:
        return self.peer.home.address(self.bea_number)

    @property
    def BEN(self) -> str:
        return self.peer.home.address(self.ben_number)

    @property
    def p(self) -> Personality:
        return self.peer.personality

    @property
    def bea(self):
        return self.peer.home.users[self.bea_number]

    # Setting out.

    def start(self, personality: Personality = STRICT) -> None:
        """A clean peer with this personality; the marks are set to now."""
        self.peer.settle(self.seconds(20))
        self.peer.ladders.settle(self.seconds(5))
        self.peer.reset(personality)
        self.peer.tells_unknown_sessions = True
        self.marks = {"peer": self.peer.record.mark(), "ada": self.ada.mark()}

    def session(self) -> Session:
        """An open session, made with prompt manners when there is none."""
        have = self.peer.sessions(self.session_domain)
        session = have[-1] if have else self.dial()
        self.check(session is not None, "no session with the gateway could be opened")
        return session

    def dial(self, timeout: float = 40) -> Session | None:
        """The peer climbs the ladder."""
        return self.peer.ladders.dial(self.session_domain, self.seconds(timeout))

    def lose_sessions(self) -> None:
        """Ends every session on both sides: logs out, then answers as a server that knows none of them."""
        self.peer.settle(self.seconds(20))
        for session in self.peer.drop_sessions():
            self.peer.send(session, [Transaction("Request", self.peer.new_tid(), primitives.logout())])

    def make_gateway_dial(self) -> str:
        """Leaves the gateway without a session and gives it a message to send; the reference of that message.

        Towards a home server the message comes from a partner beyond the gateway, where the set-up has one.
        """
        self.peer.dials = False
        # Before the sessions end: the gateway may have an answer left that makes it open the next one.
        self.marks = {"peer": self.peer.record.mark(), "ada": self.ada.mark()}
        self.lose_sessions()
        return self.far_sender().send_message(self.BEA, self.text("first contact"))

    def far_sender(self) -> Subscriber:
        """Somebody beyond the gateway who writes to the peer's people."""
        if self.role != "home" or self.partner is None:
            return self.ada
        self.partner.settle(self.seconds(20))
        self.partner.reset(STRICT)
        return LocalSubscriber(self.partner, self.cay_number)

    def text(self, about: str) -> str:
        """A message text that occurs nowhere else."""
        self.marks["text"] = f"{about} {secrets.token_hex(4)}"
        return self.marks["text"]

    # Asking and expecting.

    def seconds(self, real: float) -> float:
        """A deadline: the scaled time and a second for a busy machine."""
        return real * self.scale + 1.0

    def check(self, holds: object, detail: str) -> None:
        if not holds:
            raise Failed(detail)

    def ask(self, primitive: ET.Element, tid: str | None = None, timeout: float = 10) -> Transaction:
        """Sends a request to the gateway in the open session; its first answer."""
        return self.answers(self.put(primitive, tid), 1, timeout)[0]

    def put(self, primitive: ET.Element, tid: str | None = None) -> Exchange:
        """Sends a request without waiting for the answer."""
        self.session()
        return self.peer.request(self.session_domain, primitive, self.bea_number, tid)

    def answers(self, exchange: Exchange, count: int, timeout: float = 10) -> list[Transaction]:
        found = exchange.wait(self.seconds(timeout), count)
        self.check(len(found) >= count, f"{len(found)} of {count} answers to {xmltree.name(exchange.primitive)}, taken: {exchange.taken}")
        return found

    def code(self, answer: Transaction) -> int:
        """The status code of an answer, wherever it stands."""
        element = answer.primitive if answer.name.lower() == "status" else child(answer.primitive, "Status")
        return int(attr(element, "code") or 0)

    def codes(self, answer: Transaction) -> list[int]:
        """The overall code and those of the detailed results."""
        element = answer.primitive if answer.name.lower() == "status" else child(answer.primitive, "Status")
        return [self.code(answer)] + [int(attr(d, "code") or 0) for d in xmltree.children(element, "DetailedResult")]

    def expect_code(self, primitive: ET.Element, *wanted: int) -> Transaction:
        """Asks, and checks that the answer has one of the codes, overall or in its details."""
        answer = self.ask(primitive)
        self.check(any(c in wanted for c in self.codes(answer)), f"answered {answer.name} {self.codes(answer)}, wanted {wanted}")
        return answer

    def wait(self, match: Match, timeout: float = 10, count: int = 1, what: str = "document") -> list[dict]:
        """Entries of the peer's log since the start; documents of ours once they were answered."""
        done = lambda e: match(e) and (e["dir"] != "out" or e["answer"] is not None)  # noqa: E731
        found = self.peer.record.wait(done, self.seconds(timeout), self.marks["peer"], count)
        self.check(len(found) >= count, f"{len(found)} of {count} {what} within {timeout * self.scale:.0f} s")
        return found

    def seen(self, match: Match) -> list[dict]:
        """What is in the log since the start, without waiting."""
        return self.peer.record.since(self.marks["peer"], match)

    def never(self, match: Match, within: float, what: str) -> None:
        """Nothing of this kind comes within a time."""
        found = self.peer.record.wait(match, within * self.scale, self.marks["peer"], 1)
        self.check(not found, f"{what} came")

    def ada_sees(self, kind: str, timeout: float = 10, **facts) -> dict:
        """An event at the gateway's person since the start."""
        event = self.ada.expect(kind, self.seconds(timeout), self.marks["ada"], **facts)
        self.check(event is not None, f"the gateway's subscriber never saw {kind} {facts}")
        return event

    def ada_count(self, kind: str, **facts) -> int:
        """How many such events there are since the start."""
        return sum(1 for e in self.ada.events(self.marks["ada"]) if e["kind"] == kind and all(e.get(k) == v for k, v in facts.items()))

    def bea_gets(self, text: str, timeout: float = 10, times: int = 1) -> None:
        """Bea has the message, and exactly so often."""
        changed, bea = self.peer.home.changed, self.bea
        count = lambda: sum(1 for e in bea.events if e["kind"] == "message" and e["text"] == text)  # noqa: E731
        with changed:
            changed.wait_for(lambda: count() >= times, self.seconds(timeout))
            self.check(count() == times, f"Bea has the message {count()} times, wanted {times}")

    # Pieces that many scenarios share.

    def watch_bea(self) -> None:
        """Ada watches Bea and her first values were taken."""
        self.session()
        self.ada.subscribe(self.BEA)
        self.wait(carries("SubscribeRequest"), 30, what="subscription")
        self.wait(lambda e: carries("PresenceNotification", "out")(e) and e["answer"] == 200 and "OnlineStatus" in e["body"],
                  what="notification taken")

    def publish_status(self, text: str) -> None:
        """Bea changes her StatusText."""
        self.peer.home.publish(self.peer, self.bea, {"StatusText": text})

    def ada_sees_status(self, text: str, timeout: float = 10) -> None:
        """Ada is shown that StatusText of Bea's."""
        event = self.ada.expect("presence", self.seconds(timeout), self.marks["ada"], lambda e: e["values"].get("StatusText") == text, user=self.BEA)
        self.check(event, f"the gateway's subscriber never saw StatusText {text!r}")

    def message_to_ada(self, text: str, message_id: str | None = None, **more) -> ET.Element:
        return primitives.send_message(self.p, more.pop("sender", self.BEA), more.pop("to", [self.ADA]), text,
                                       message_id or f"m-{secrets.token_hex(6)}", **more)

    def healthy(self) -> None:
        """The gateway still serves us: a message gets through."""
        text = self.text("still there")
        answer = self.ask(self.message_to_ada(text))
        self.check(self.code(answer) == 200, f"a plain message afterwards is answered {self.codes(answer)}")
        self.ada_sees("message", text=text)

    def step1s(self) -> list[tuple[str, str]]:
        """(transaction id, secret) of every handshake the gateway began, in order of first appearance."""
        found = []
        for entry in self.seen(carries("SendSecretToken", "in", "Request")):
            primitive = wire.decode(entry["body"].encode()).transactions[0]
            pair = (primitive.tid, (wire.secret_of(primitive.primitive) or b"").decode())
            if pair not in found:
                found.append(pair)
        return found

    def now(self) -> float:
        return time.time()
