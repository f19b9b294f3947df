"""Session establishment: the 2 x 2 ladder of six documents, both roles (SSP reference §4).

One `Handshake` is one climb. As initiator it is matched by the peer's domain in step 2 and by its own transaction id
afterwards; as responder by the initiator's id. Every step is acknowledged first and worked on after the acknowledgement
was flushed. `Faults` makes a side misbehave on purpose. Matching states:

    initiator: dialled -> (2) -> challenged -> (4) -> proven -> (6) -> up
    responder: called -> (2 taken) -> (3) -> proven -> (5) -> up
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field

from . import primitives, wire
from .transport import CLOSE, Inbound, Reply
from .wire import Transaction
from .xmltree import attr, child, children, named


@dataclass
class Session:
    """An open session; each side writes its own id (§4.4)."""

    own_id: str
    peer_id: str
    peer_domain: str
    url: str
    opened_by: str
    usable: bool = True  # for output; a responder's becomes so when step 6 was sent
    at: float = field(default_factory=time.time)


@dataclass
class Faults:
    """What to do wrong in the ladder; steps are numbered as in §4.1."""

    skip: set[int] = field(default_factory=set)      # steps never sent
    repeat: set[int] = field(default_factory=set)    # steps sent twice
    refuse: dict[int, int] = field(default_factory=dict)  # step -> how many times to refuse it when it comes in
    jump: bool = False                               # 5 instead of 3, or 6 instead of 4: before any digest was proven
    wrong_digest: bool = False
    login_status: int = 200
    secret_encoding: str | None = None
    redirect: list[str] = field(default_factory=list)  # step 6 sends the initiator there (extension)


@dataclass
class Handshake:
    """One climb of the ladder."""

    initiator: bool
    tid: str
    peer_domain: str
    own_secret: str
    peer_secret: bytes | None = None
    url: str | None = None
    peer_proven: bool = False
    visible_at: float = float("inf")
    session_id: str = ""
    peer_session_id: str = ""
    session: Session | None = None
    failure: str | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)  # `url` is known


class Ladders:
    """All handshakes of a node."""

    def __init__(self, node) -> None:
        self.node = node
        self.faults = Faults()
        self._lock = threading.RLock()
        self._open: list[Handshake] = []
        self.blocked: set[str] = set()  # §4.6 last row: domains with a half-open record and no handshake to go on with

    def dial(self, domain: str, timeout: float) -> Session | None:
        """Opens a session with a domain; None when it does not come up in time or is blocked by a half-open one."""
        p = self.node.personality
        with self._lock:
            waiting = next((h for h in self._open if h.initiator and h.peer_domain == domain), None)
            if p.half_open_forever and (domain in self.blocked or any(h.peer_domain == domain for h in self._open)):
                if waiting is None:
                    self.node.record.note("half-open", domain=domain)
                    return None
            fresh = waiting is None
            handshake = waiting or Handshake(True, secrets.token_hex(6), domain, secrets.token_hex(16))
            if fresh:
                self._open.append(handshake)
        if fresh:
            self._guard(handshake)
            self._step1(handshake)
        handshake.ended.wait(timeout)
        return handshake.session

    def settle(self, timeout: float) -> None:
        """Waits until the handshakes that are under way have ended: one that is forgotten leaves the other side waiting for it."""
        until = time.monotonic() + timeout
        with self._lock:
            under_way = list(self._open)
        for handshake in under_way:
            handshake.ended.wait(max(0.0, until - time.monotonic()))

    def forget(self) -> None:
        """Drops every handshake and half-open record, as after a restart without state."""
        with self._lock:
            for handshake in list(self._open):
                self._end(handshake, "forgotten")
            self.blocked.clear()

    def underway(self) -> list[dict]:
        """What is open, for the control interface."""
        with self._lock:
            return [{"peer": h.peer_domain, "initiator": h.initiator, "tid": h.tid} for h in self._open]

    def receive(self, inbound: Inbound, step: Transaction) -> Reply:
        """Takes one setup document."""
        if named(step.primitive, "SendSecretToken"):
            return self._secret(step)
        if named(step.primitive, "LoginRequest"):
            return self._login_request(step)
        if named(step.primitive, "LoginResponse"):
            return self._login_response(step)
        return self._refuse(404)

    # Initiator.

    def _step1(self, handshake: Handshake) -> None:
        token = primitives.send_secret_token(self.node.personality, self.node.domain, handshake.own_secret, self.faults.secret_encoding)
        for url in self.node.discover(handshake.peer_domain) or []:
            if self._post(handshake, url, "Request", handshake.tid, token, 1):
                handshake.visible_at = time.monotonic() + self.node.scaled(self.node.personality.visible_after)
                handshake.url = url
                handshake.reached.set()
                return
        self._end(handshake, "no target took step 1")

    def _step3(self, handshake: Handshake) -> None:
        if not handshake.reached.wait(10):
            return
        if self.faults.jump:
            return self._step5(handshake)
        self._post(handshake, handshake.url, "Request", handshake.tid, self._proof(handshake), 3)

    def _step5(self, handshake: Handshake) -> None:
        handshake.session_id = self.node.new_session_id()
        answer = primitives.login_response(self.node.personality, handshake.session_id, self.faults.login_status)
        self._post(handshake, handshake.url, "Request", handshake.tid, answer, 5)

    # Responder.

    def _step2(self, handshake: Handshake, attempt: int = 0) -> None:
        if handshake.ended.is_set() or 2 in self.faults.skip:
            return
        p = self.node.personality
        token = primitives.send_secret_token(p, self.node.domain, handshake.own_secret, self.faults.secret_encoding)
        for url in [handshake.url] if handshake.url else self.node.discover(handshake.peer_domain) or []:
            if self._post(handshake, url, "Response", f"b-{handshake.tid[:20]}", token, 2):
                handshake.url = url
                handshake.reached.set()
                if self.faults.jump:
                    self._step6(handshake)
                return
        if attempt < len(p.step2_repeats):
            self.node.later(self.node.scaled(p.step2_repeats[attempt]), lambda: self._step2(handshake, attempt + 1))
        else:
            self._end(handshake, "no target took step 2")

    def _step4(self, handshake: Handshake) -> None:
        if handshake.reached.wait(10):
            self._post(handshake, handshake.url, "Response", handshake.tid, self._proof(handshake), 4)

    def _step6(self, handshake: Handshake) -> None:
        if self.faults.redirect:
            self._post(handshake, handshake.url, "Response", handshake.tid, primitives.redirect(self.node.personality, self.faults.redirect), 6)
            self.node.drop_session(handshake.session)
            return self._end(handshake, "redirected")
        answer = primitives.login_response(self.node.personality, handshake.session_id or self.node.new_session_id(), self.faults.login_status)
        if self._post(handshake, handshake.url, "Response", handshake.tid, answer, 6) and handshake.session:
            self._end(handshake, None)
            self.node.session_usable(handshake.session)

    # What comes in.

    def _secret(self, step: Transaction) -> Reply:
        domain, secret = wire.service_domain(attr(step.primitive, "serviceID")), wire.secret_of(step.primitive)
        if domain is None or secret is None:
            return self._refuse(400)
        p = self.node.personality
        if step.is_request:
            if self._told_to_refuse(1):
                return self._refuse(503)
            if not self.node.discover(domain):
                if p.half_open_forever:
                    self.blocked.add(domain)
                return self._refuse(403)
            handshake = Handshake(False, step.tid, domain, secrets.token_hex(16), peer_secret=secret)
            with self._lock:
                older = [h for h in self._open if h.peer_domain == domain and not h.initiator and not h.peer_proven]
                self._open.append(handshake)
            if not p.half_open_forever:
                for abandoned in older:  # its step 2 would be taken for this one's, which is matched by the domain alone (§4.1)
                    self._end(abandoned, "a new step 1 came")
            self._guard(handshake)
            return Reply(200, after=lambda: self.node.later(self.node.scaled(p.step2_delay), lambda: self._step2(handshake)))
        with self._lock:
            handshake = next((h for h in self._open if h.initiator and h.peer_domain == domain and h.peer_secret is None), None)
            if handshake is None or self._told_to_refuse(2):
                return self._refuse(404)
            if time.monotonic() < handshake.visible_at and p.visible_after:
                self.node.record.note("step-2-too-early", domain=domain)
                return self._refuse(404)
            handshake.peer_secret = secret
        return Reply(200, after=lambda: self.node.later(0, lambda: self._step3(handshake)))

    def _login_request(self, step: Transaction) -> Reply:
        number = 3 if step.is_request else 4
        handshake = self._find(step)
        if handshake is None or self._told_to_refuse(number):
            return self._refuse(404)
        if wire.service_domain(attr(step.primitive, "serviceID")) != handshake.peer_domain:
            return self._refuse(403)
        if not wire.digest_matches(child(step.primitive, "PasswordDigest"), handshake.own_secret.encode()):
            return self._fail(handshake, "wrong digest", 403)
        handshake.peer_proven = True
        go_on = self._step4 if step.is_request else self._step5
        return Reply(200, after=lambda: self.node.later(0, lambda: go_on(handshake)))

    def _login_response(self, step: Transaction) -> Reply:
        number = 5 if step.is_request else 6
        handshake = self._find(step)
        if handshake is None or self._told_to_refuse(number):
            return self._refuse(404)
        code = attr(child(step.primitive, "Status"), "code") or "404"
        if not code.startswith("2"):
            if code == "302" and handshake.initiator:
                self.node.redirects[handshake.peer_domain] = [
                    url for r in children(child(step.primitive, "RedirectList"), "Redirect") if (url := attr(r, "url"))]
            self._end(handshake, f"refused with {code}")
            return self._refuse(200)
        if not handshake.peer_proven:
            return self._fail(handshake, "login response before the digest was proven", 403)
        handshake.peer_session_id = attr(step.primitive, "sessionID") or ""
        handshake.session_id = handshake.session_id or self.node.new_session_id()
        handshake.session = Session(handshake.session_id, handshake.peer_session_id, handshake.peer_domain, handshake.url,
                                    "us" if handshake.initiator else "them",
                                    handshake.initiator or self.node.personality.half_open_forever)
        self.node.session_up(handshake.session)
        if handshake.initiator:
            self._end(handshake, None)
            return Reply(200)
        return Reply(200, after=lambda: self.node.later(0, lambda: self._step6(handshake)))

    def _find(self, step: Transaction) -> Handshake | None:
        with self._lock:
            return next((h for h in self._open if h.tid == step.tid and h.initiator != step.is_request), None)

    def _fail(self, handshake: Handshake, why: str, code: int) -> Reply:
        self._end(handshake, why)
        if not self.node.personality.explicit_failure:
            return self._refuse(code)
        mode = "Request" if handshake.initiator else "Response"
        refusal = primitives.login_response(self.node.personality, None, 409)
        tell = lambda: self._post(handshake, handshake.url, mode, handshake.tid, refusal, 0)  # noqa: E731
        return Reply(code, after=lambda: self.node.later(0, tell))

    def _proof(self, handshake: Handshake):
        secret = b"not the secret" if self.faults.wrong_digest else handshake.peer_secret
        return primitives.login_request(self.node.personality, self.node.domain, secret)

    def _post(self, handshake: Handshake, url: str, mode: str, tid: str, primitive, step: int) -> bool:
        if step in self.faults.skip:
            return True
        document = wire.Document([Transaction(mode, tid, primitive)])
        headers = {"x-wv-transactionid": tid} if step in (1, 2) else {}
        taken = [200 <= self.node.post(url, document, headers, handshake.peer_domain) < 300
                 for _ in range(2 if step in self.faults.repeat else 1)]
        return taken[0]

    def _told_to_refuse(self, step: int) -> bool:
        left = self.faults.refuse.get(step, 0)
        self.faults.refuse[step] = left - 1
        return left > 0

    def _refuse(self, status: int) -> Reply:
        return Reply(CLOSE if self.node.personality.closes_silently else status)

    def _guard(self, handshake: Handshake) -> None:
        p = self.node.personality
        if not p.half_open_forever:
            self.node.later(self.node.scaled(p.handshake_deadline), lambda: handshake.ended.is_set() or self._end(handshake, "deadline"))

    def _end(self, handshake: Handshake, failure: str | None) -> None:
        with self._lock:
            if handshake in self._open:
                self._open.remove(handshake)
        handshake.failure = failure
        if failure:
            self.node.record.note("handshake-failed", domain=handshake.peer_domain, why=failure)
        handshake.ended.set()
