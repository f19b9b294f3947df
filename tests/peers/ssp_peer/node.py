"""One SSP server: listener, client, ladder, sessions, and the transactions of its users.

Inbound documents are acknowledged first; the work is done in order on one worker thread (SSP reference §1.1, §16.2).
Outgoing requests are registered before they are sent and retried until they are taken or stale (§1.2). A scenario may look
at every inbound document before the node does (`intercept`), send raw octets (`raw`), or make the ladder misbehave
(`ladders.faults`).
"""

from __future__ import annotations

import itertools
import queue
import secrets
import threading
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from typing import Callable
from urllib.parse import urlsplit

from . import transport, wire
from .discovery import Dns
from .home import Asked, Home
from .ladder import Faults, Ladders, Session
from .personality import Personality
from .record import Record
from .transport import CLOSE, Inbound, Listener, Reply, Tls
from .wire import CONTENT_TYPE, Document, Transaction
from .xmltree import Malformed

Intercept = Callable[[Inbound, Document], Reply | None]


@dataclass
class Exchange:
    """A Request-mode transaction of ours and what came back for it; several answers are normal (§14.15)."""

    tid: str
    domain: str
    primitive: ET.Element
    owner: str | None = None
    generation: int = 0
    started: float = field(default_factory=time.monotonic)
    tries: int = 0
    answers: list[Transaction] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    taken: bool = False
    key: str | None = None
    replaced: bool = False

    def wait(self, timeout: float, count: int = 1) -> list[Transaction]:
        """The answers as soon as there are `count`, or those there are when the time is over."""
        with self.changed:
            self.changed.wait_for(lambda: len(self.answers) >= count, timeout)
            return list(self.answers)


class Node:
    """A server for one domain. `peers` maps the domains it can discover to a URL; `scale` shortens every delay."""

    def __init__(self, domain: str, users: dict[str, str], peers: dict[str, str], personality: Personality, port: int = 0,
                 tls: Tls | None = None, log: str | None = None, scale: float = 1.0) -> None:
        self.domain, self.peers, self.personality, self.tls, self.scale = domain, dict(peers), personality, tls, scale
        self.home = Home(domain, users)
        self.record = Record(log)
        self.ladders = Ladders(self)
        self.intercept: Intercept | None = None
        self.tells_unknown_sessions = False  # answers 403 even when the habit is to close: a test can't wait for ever
        self._sessions: list[Session] = []
        self._exchanges: dict[str, Exchange] = {}
        self.redirects: dict[str, list[str]] = {}
        self.gateway: str | None = None  # a home server's: everybody beyond the own domain is reached through it
        self.dns: Dns | None = None  # asked for the servers of a domain, in place of `peers`
        self.proves_host = False  # over TLS a server has to prove the name of its host instead of the service domain
        self.dials = True  # opens sessions for what it has to send; a scenario that wants to be dialled turns it off
        self._newest: dict[str, Exchange] = {}
        self._changed = threading.Condition()
        self._generation = 0
        self._numbers = itertools.count(int(time.time()) % 100000)
        self._work: queue.Queue = queue.Queue()
        self._stopping = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()
        self.listener = Listener(port, self.receive, tls, lambda what: self.record.note("probe", kind=what))
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.listener.port}/"

    # Life.

    def vanish(self) -> None:
        """Stops listening, as a server whose process died (§14.20); the state stays."""
        self.listener.close()

    def come_back(self) -> None:
        """Listens again on the same port with the sessions intact."""
        self.listener = Listener(self.listener.port, self.receive, self.tls, lambda what: self.record.note("probe", kind=what))

    def trust(self, ca: str) -> None:
        """Takes the certificates of this authority, and no others of those it calls."""
        if self.tls:
            self.tls.ca = ca
        self.listener.trust(ca)

    def close(self) -> None:
        """Stops serving and sending."""
        self._stopping.set()
        self._work.put(None)
        self.listener.close()
        self.record.shut()

    def settle(self, timeout: float) -> None:
        """Waits until what came in is answered; an answer that is cut off leaves the other side waiting for it."""
        with self._work.all_tasks_done:
            self._work.all_tasks_done.wait_for(lambda: self._work.unfinished_tasks == 0, timeout)

    def reset(self, personality: Personality) -> None:
        """Back to a clean state with the sessions kept: what a scenario starts from."""
        self._generation += 1
        self.intercept, self.ladders.faults, self.personality, self.dials = None, Faults(), personality, True
        self.ladders.forget()
        self.redirects.clear()
        self.home.groups.clear()
        self.home.outcomes.clear()
        for user in self.home.users.values():
            user.events.clear()
            user.watchers.clear()
            user.blocked.clear()
            user.in_groups.clear()
            user.accepts, user.open_to_all = True, True
            user.presence = {"OnlineStatus": "T", "UserAvailability": "AVAILABLE"}

    def state(self) -> dict:
        """What a test may want to see."""
        with self._changed:
            return {
                "domain": self.domain, "url": self.url, "personality": self.personality.name,
                "sessions": [vars(s) for s in self._sessions], "handshakes": self.ladders.underway(),
                "blocked": sorted(self.ladders.blocked),
                "users": {u.local: {"events": u.events, "watchers": list(u.watchers)} for u in self.home.users.values()},
            }

    def scaled(self, seconds: float) -> float:
        return seconds * self.scale

    def later(self, delay: float, action: Callable[[], object]) -> None:
        """Runs an action on its own thread after a delay, unless the node has stopped or was reset."""
        generation = self._generation

        def run() -> None:
            if not self._stopping.is_set() and generation == self._generation:
                action()

        timer = threading.Timer(delay, run)
        timer.daemon = True
        timer.start()

    # Sessions.

    def discover(self, domain: str) -> list[str] | None:
        """The URLs to try for a domain; None when it has no SRV record."""
        if self.dns:
            scheme = "https" if self.tls else "http"
            known = [f"{scheme}://{host}:{port}/" for host, port in self.dns.servers(domain)]
        else:
            known = [self.peers[domain]] if domain in self.peers else []
        usual = [url for one in known for url in transport.candidates(one, self.personality.https_first)]
        return self.redirects.pop(domain, []) + usual or None

    def origin(self, session: Session) -> str:
        """The domain of those whom the other side writes without one."""
        return "" if session.peer_domain == self.gateway else session.peer_domain

    def new_session_id(self) -> str:
        return f"{next(self._numbers) if self.personality.half_open_forever else secrets.token_hex(8)}@{self.domain}"

    def new_tid(self) -> str:
        return f"{next(self._numbers):010}-0" if self.personality.half_open_forever else secrets.token_hex(8)

    def session_up(self, session: Session) -> None:
        with self._changed:
            if session not in self._sessions:
                self._sessions.append(session)
            self._changed.notify_all()

    def session_usable(self, session: Session) -> None:
        with self._changed:
            session.usable = True
            self._changed.notify_all()

    def drop_session(self, session: Session) -> None:
        with self._changed:
            if session in self._sessions:
                self._sessions.remove(session)

    def drop_sessions(self) -> list[Session]:
        """Loses all sessions, as a server without a database would."""
        with self._changed:
            lost, self._sessions = self._sessions, []
            return lost

    def sessions(self, domain: str) -> list[Session]:
        with self._changed:
            return [s for s in self._sessions if s.peer_domain == domain and s.usable]

    def await_session(self, domain: str, timeout: float, but: tuple[Session, ...] = ()) -> Session | None:
        """The newest usable session with a domain as soon as there is one that is not in `but`."""
        with self._changed:
            self._changed.wait_for(lambda: any(s not in but for s in self.sessions(domain)), timeout)
            return next((s for s in reversed(self.sessions(domain)) if s not in but), None)

    def session(self, domain: str, timeout: float) -> Session | None:
        """A session with a domain, opening one when there is none."""
        have = self.sessions(domain)
        return have[-1] if have else self.ladders.dial(domain, timeout)

    # Out.

    def request(self, domain: str, primitive: ET.Element, owner: str | None = None, tid: str | None = None) -> Exchange:
        """Registers and sends a request for a user; keeps trying in the background until it is taken or stale."""
        exchange = Exchange(tid or self.new_tid(), self.gateway or domain, primitive, owner, self._generation)
        with self._changed:
            self._exchanges[exchange.tid] = exchange
        self.later(0, lambda: self._persist(exchange))
        return exchange

    def submit_to(self, domain: str, primitive: ET.Element, key: str | None = None) -> None:
        """A server-originated request, tried at once on this thread when a session is up; a later one with the same
        `key` takes its place while it still waits."""
        domain = self.gateway or domain
        exchange = Exchange(self.new_tid(), domain, primitive, None, self._generation)
        with self._changed:
            self._exchanges[exchange.tid] = exchange
            if key:
                exchange.key = key
                if older := self._newest.get(key):
                    older.replaced = True
                self._newest[key] = exchange
        if not (self.sessions(domain) and self._attempt(exchange)):
            self.later(0, lambda: self._persist(exchange))

    def submit_soon(self, session: Session, primitive: ET.Element) -> None:
        self.submit_to(session.peer_domain, primitive)

    def follow_up(self, session: Session, tid: str, primitive: ET.Element) -> None:
        """A delivery report or invitation answer: a late Response, or a Request of its own (§14.12)."""
        if self.personality.reports_as_requests:
            self.submit_to(session.peer_domain, primitive)
        else:
            self.send(session, [Transaction("Response", tid, primitive)])

    def send(self, session: Session, transactions: list[Transaction]) -> int:
        """Posts one document of a session once; the HTTP status."""
        headers = {}
        if any(t.is_request for t in transactions):
            headers = {"x-wv-transactionid": transactions[0].tid, "x-wv-sessionid": session.own_id}
        elif self.personality.echoes_session_header:
            headers = {"x-wv-sessionid": session.peer_id}
        return self.post(session.url, Document(transactions, session.own_id), headers, session.peer_domain)

    def post(self, url: str, document: Document, headers: dict[str, str], domain: str) -> int:
        return self.raw(document.encode(self.personality), url, domain, headers)

    def raw(self, body: bytes, url: str, domain: str, headers: dict[str, str] | None = None, content_type: str = CONTENT_TYPE) -> int:
        """Posts octets as they are and records them; the HTTP status, 0 when the connection ended without one."""
        entry = self.record.open("out", body, url=url, headers=headers or {})
        host = urlsplit(url).hostname or ""
        address = self.dns.address(host) if self.dns and any(c.isalpha() for c in host) else None
        proven = host if self.proves_host and address else domain
        status = transport.post(url, body, headers, self.tls, proven, content_type=content_type, address=address)
        self.record.close(entry, status)
        return status

    def _persist(self, exchange: Exchange) -> None:
        while not self._stopping.is_set() and exchange.generation == self._generation:
            stale = time.monotonic() - exchange.started > self.scaled(self.personality.validity)
            if exchange.replaced or stale or self._attempt(exchange):
                return
            self._stopping.wait(self.scaled(self.personality.retry_after * exchange.tries))

    def _attempt(self, exchange: Exchange) -> bool:
        p = self.personality
        exchange.tries += 1
        first_contact = not self.sessions(exchange.domain)
        session = self.session(exchange.domain, self.scaled(p.handshake_deadline)) if self.dials or not first_contact else None
        if session is None:
            return False
        if first_contact and p.first_contact_delay:
            self._stopping.wait(self.scaled(p.first_contact_delay))
        status = self.send(session, [Transaction("Request", exchange.tid, exchange.primitive)])
        if 200 <= status < 300:
            with exchange.changed:
                exchange.taken = True
                exchange.changed.notify_all()
            return True
        if status in (403, 404):
            self.drop_session(session)
        return False

    # In.

    def receive(self, inbound: Inbound) -> Reply:
        """What to answer to one POST."""
        entry = self.record.open("in", inbound.body, source=inbound.source, scheme=inbound.scheme, headers=inbound.headers,
                                 client_names=inbound.client_names)
        reply = self._admit(inbound)
        self.record.close(entry, reply.status)
        return reply

    def _admit(self, inbound: Inbound) -> Reply:
        kind = next((v for k, v in inbound.headers.items() if k.lower() == "content-type"), "")
        if not kind.lower().startswith(CONTENT_TYPE):
            return self._refuse(415)
        try:
            document = wire.decode(inbound.body)
        except Malformed:
            return Reply(400)
        if self.intercept and (reply := self.intercept(inbound, document)):
            return reply
        if document.is_setup:
            return self.ladders.receive(inbound, document.transactions[0])
        with self._changed:
            session = next((s for s in self._sessions if s.peer_id == document.session_id), None)
        if session is None:
            return Reply(403) if self.tells_unknown_sessions else self._refuse(403)
        return Reply(200, after=lambda: self._work.put((session, document)))

    def _refuse(self, status: int) -> Reply:
        return Reply(CLOSE if self.personality.closes_silently else status)

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            try:
                self._process(*item)
            except Exception as error:  # a peer's document must not end the worker
                self.record.note("failed", error=f"{type(error).__name__}: {error}")
            finally:
                self._work.task_done()

    def _process(self, session: Session, document: Document) -> None:
        asked: list[Asked] = []
        for transaction in document.transactions:
            if transaction.is_request:
                asked.append(self.home.answer(self, session, transaction))
            else:
                self._answered(session, transaction)
        for action in (f for a in asked for f in a.first):
            action()
        replies = [Transaction("Response", a.tid, r) for a in asked for r in a.replies]
        if replies:
            self.send(session, replies)
        for action in (f for a in asked for f in a.then):
            action()

    def _answered(self, session: Session, transaction: Transaction) -> None:
        with self._changed:
            exchange = self._exchanges.get(transaction.tid)
        if exchange is None and self.personality.reads_only_responses:
            return
        if exchange is not None:
            with exchange.changed:
                exchange.answers.append(transaction)
                exchange.changed.notify_all()
        self.home.response(session, transaction, exchange.owner if exchange else None, exchange.primitive if exchange else None)
