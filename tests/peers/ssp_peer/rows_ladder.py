"""Scenarios for the ladder: SSP reference §4.6, one or more a row.

As initiator the peer dials the gateway and misbehaves; as responder it makes the gateway dial and then misbehaves: a partner
because somebody at the gateway writes to its people, a home server because a partner beyond the gateway does. What the gateway has to do is the [R] part of §4.6: acknowledge first, send step 2 not too early and repeat it with the
same secret, start its own handshakes anew with a new id and secret, and never be blocked by a half-open one.
"""

from __future__ import annotations

import time
from dataclasses import replace

from . import primitives, wire
from .context import PROMPT, Context, Skipped
from .ladder import Faults
from .personality import STRICT
from .record import carries
from .scenarios import scenario
from .wire import Document, Transaction

REPEATS = (0.5, 1.0, 2.0, 4.0, 8.0)
STEP2_AFTER = 0.45  # the least time after the acknowledgement that the observed peer could take, with room for the clocks
OWN_DEADLINE = 60   # a gateway's own handshake ends by then (§4.6 [R])


def step(number: int, direction: str = "in"):
    """Matches the ladder step in the log. Steps 1, 3, 5 are the initiator's."""
    name = ("SendSecretToken", "LoginRequest", "LoginResponse")[(number - 1) // 2]
    return carries(name, direction, "Request" if number % 2 else "Response")


def _delivered(c: Context, timeout: float = 120) -> None:
    c.bea_gets(c.marks["text"], timeout)


def _restarted(c: Context, timeout: float = OWN_DEADLINE + 60) -> None:
    """The gateway's later attempt has a new id and a new secret, and its message arrives once."""
    _delivered(c, timeout)
    tries = c.step1s()
    c.check(len(tries) >= 2, f"the gateway began {len(tries)} handshakes, wanted a second one")
    c.check(len({t for t, _ in tries}) == len(tries), "a new handshake used an old transaction id")
    c.check(len({s for _, s in tries}) == len(tries), "a new handshake used an old secret")


def _no_session(c: Context, session) -> None:
    c.check(session is None, "the session came up all the same")


def _ladder_works(c: Context) -> None:
    c.peer.ladders.faults = Faults()
    c.check(c.dial() is not None, "a correct ladder afterwards failed")
    c.healthy()


@scenario()
def row_4_6_no_srv_for_claimed_domain(c: Context) -> None:
    token = primitives.send_secret_token(c.p, "nosrv.invalid", "0123456789abcdef0123456789abcdef")
    body = Document([Transaction("Request", "nosrv-1", token)]).encode(c.p)
    c.peer.raw(body, c.gateway_url, c.gateway_domain)
    c.never(carries("SendSecretToken", "in", "Response"), 2, "a step 2 for a domain that is not ours")
    _ladder_works(c)


@scenario()
def row_4_6_agreement_but_no_srv(c: Context) -> None:
    if c.silent_domain is None:
        raise Skipped("no agreement with a domain that has no SRV record in this set-up")
    token = primitives.send_secret_token(c.p, c.silent_domain, "0123456789abcdef0123456789abcdef")
    body = Document([Transaction("Request", "silent-1", token)]).encode(c.p)
    c.peer.raw(body, c.gateway_url, c.gateway_domain)
    c.never(carries("SendSecretToken", "in", "Response"), 2, "a step 2 to a server that is not the claimed domain's")
    # Nothing is half open: the next handshake of the real peer works, and a message to that domain fails for good.
    _ladder_works(c)
    ref = c.ada.send_message(f"wv:zoe@{c.silent_domain}", c.text("to nowhere"))
    c.ada_sees("result", ref=ref, code=516)


@scenario()
def row_4_6_peer_finds_no_srv_for_us(c: Context) -> None:
    c.peer.personality = PROMPT
    known, dns = dict(c.peer.peers), c.peer.dns
    c.peer.peers.clear()
    c.peer.dns = None
    try:
        c.make_gateway_dial()
        c.wait(lambda e: step(1)(e) and e["answer"] == 0, 30, what="refused step 1")
    finally:
        c.peer.peers.update(known)
        c.peer.dns = dns
        c.peer.ladders.forget()
    _restarted(c)


@scenario()
def row_4_6_ack_before_step2(c: Context) -> None:
    c.check(c.dial() is not None, "no session")
    first = c.wait(lambda e: step(1, "out")(e) and e["answer"] == 200, what="step 1 taken with 200")[-1]
    second = c.wait(step(2), what="step 2")[0]
    c.check(first["answered_at"] - first["at"] < 2, f"the acknowledgement took {first['answered_at'] - first['at']:.1f} s")
    c.check(second["at"] > first["answered_at"], "step 2 came before the 200 to step 1")


@scenario()
def row_4_6_peer_answers_at_once(c: Context) -> None:
    c.peer.personality = replace(STRICT, step2_delay=0.0)
    c.make_gateway_dial()
    _delivered(c)


@scenario()
def row_4_6_peer_answers_before_its_ack(c: Context) -> None:
    c.peer.personality = replace(STRICT, step2_delay=0.0)

    def answer_first(_inbound, document: Document):
        step1 = document.transactions[0]
        if not (document.is_setup and step1.is_request and step1.name == "SendSecretToken"):
            return None
        reply = c.peer.ladders.receive(_inbound, step1)
        if reply.after:
            reply.after()
            c.peer.record.wait(lambda e: step(2, "out")(e) and e["answered_at"], 5, c.marks["peer"])
        reply.after = None
        return reply

    c.peer.intercept = answer_first
    c.make_gateway_dial()
    _delivered(c)


@scenario()
def row_4_6_no_target_takes_step2(c: Context) -> None:
    c.peer.ladders.faults = Faults(refuse={2: 99})
    _no_session(c, c.dial(1 + sum(REPEATS) + 3))
    at = [e["at"] for e in c.seen(step(2))]
    c.check(len(at) >= 1 + len(REPEATS), f"step 2 came {len(at)} times, wanted it and {len(REPEATS)} repetitions")
    for have, wanted in zip((b - a for a, b in zip(at, at[1:])), REPEATS):
        low, high = wanted * c.scale * 0.8, wanted * c.scale * 1.6 + 0.6
        c.check(low <= have <= high, f"step 2 repeated after {have:.2f} s, wanted {wanted * c.scale:.2f} s")
    c.peer.ladders.forget()
    _ladder_works(c)


@scenario()
def row_4_6_no_target_takes_step1(c: Context) -> None:
    c.peer.personality = PROMPT
    c.peer.ladders.faults = Faults(refuse={1: 1})
    c.make_gateway_dial()
    _restarted(c)


@scenario()
def row_4_6_step2_too_early(c: Context) -> None:
    c.peer.personality = PROMPT
    c.check(c.dial() is not None, "no session with a peer that refuses an early step 2")
    acknowledged = [e for e in c.seen(step(1, "out")) if e["answer"] == 200][-1]["answered_at"]
    first = c.seen(step(2))[0]["at"]
    c.check(first - acknowledged >= STEP2_AFTER * c.scale, f"step 2 came {first - acknowledged:.2f} s after the acknowledgement")
    c.healthy()


@scenario()
def row_4_6_step2_repeated_with_same_secret(c: Context) -> None:
    c.peer.personality = PROMPT
    c.peer.ladders.faults = Faults(refuse={2: 2})
    c.check(c.dial() is not None, "no session after step 2 was refused twice")
    bodies = [wire.decode(e["body"].encode()).transactions[0].primitive for e in c.seen(step(2))]
    secrets = {wire.secret_of(b) for b in bodies}
    c.check(len(bodies) >= 3 and len(secrets) == 1, f"{len(bodies)} step 2 with {len(secrets)} secrets")
    c.healthy()


@scenario()
def row_4_6_step2_repeated_by_peer(c: Context) -> None:
    c.peer.ladders.faults = Faults(repeat={2})
    c.make_gateway_dial()
    _delivered(c)
    c.healthy()


@scenario()
def row_4_6_wrong_digest_in_step3(c: Context) -> None:
    c.peer.ladders.faults = Faults(wrong_digest=True)
    _no_session(c, c.dial(6))
    refused = [e for e in c.seen(step(3, "out")) if not 200 <= (e["answer"] or 0) < 300]
    told = c.seen(lambda e: carries("LoginResponse")(e) and 'code="2' not in e["body"])
    c.check(refused or told, "the gateway took a wrong digest without a word")
    c.check(not c.seen(step(4)), "the gateway went on to step 4 after a wrong digest")
    c.peer.ladders.forget()
    _ladder_works(c)


@scenario()
def row_4_6_wrong_digest_in_step4(c: Context) -> None:
    c.peer.personality = PROMPT
    c.peer.ladders.faults = Faults(wrong_digest=True)
    c.make_gateway_dial()
    c.wait(step(4, "out"), 40, what="step 4 sent")
    c.peer.ladders.faults = Faults()
    c.never(lambda e: step(5)(e) and 'code="200"' in e["body"] and e["transactions"][0]["tid"] == c.step1s()[0][0], 1.5, "a step 5")
    c.peer.ladders.forget()
    _restarted(c)


@scenario()
def row_4_6_peer_refuses_step3(c: Context) -> None:
    c.peer.personality = PROMPT
    c.peer.ladders.faults = Faults(refuse={3: 1})
    c.make_gateway_dial()
    c.wait(step(3), 40, what="step 3")
    c.peer.ladders.forget()
    _restarted(c)


@scenario()
def row_4_6_peer_refuses_step5(c: Context) -> None:
    c.peer.personality = PROMPT
    c.peer.ladders.faults = Faults(refuse={5: 1})
    c.make_gateway_dial()
    c.wait(step(5), 40, what="step 5")
    c.peer.ladders.forget()
    _restarted(c)


@scenario()
def row_4_6_step3_for_unknown_transaction(c: Context) -> None:
    proof = primitives.login_request(c.p, c.peer.domain, b"whatever")
    answer = c.peer.raw(Document([Transaction("Request", "never-seen", proof)]).encode(c.p), c.gateway_url, c.gateway_domain)
    c.check(not 200 <= answer < 300, f"answered {answer}")
    c.never(step(4), 1.5, "a step 4")
    _ladder_works(c)


@scenario()
def row_4_6_error_status_from_initiator(c: Context) -> None:
    c.peer.ladders.faults = Faults(login_status=500)
    _no_session(c, c.dial(5))
    c.check(not c.seen(lambda e: step(6)(e) and 'code="200"' in e["body"]), "the gateway accepted a failed login")
    c.peer.ladders.forget()
    _ladder_works(c)


@scenario()
def row_4_6_error_status_from_responder(c: Context) -> None:
    c.peer.personality = PROMPT
    c.peer.ladders.faults = Faults(login_status=500)
    c.make_gateway_dial()
    c.wait(step(6, "out"), 40, what="step 6 sent")
    c.peer.ladders.faults = Faults()
    c.peer.drop_sessions()
    _restarted(c)


@scenario()
def row_4_6_step5_before_digest(c: Context) -> None:
    c.peer.ladders.faults = Faults(jump=True)
    _no_session(c, c.dial(5))
    c.check(not c.seen(lambda e: step(6)(e) and 'code="200"' in e["body"]), "the gateway accepted step 5 without a digest")
    c.peer.ladders.forget()
    _ladder_works(c)


@scenario()
def row_4_6_step6_before_digest(c: Context) -> None:
    c.peer.ladders.faults = Faults(jump=True)
    c.make_gateway_dial()
    c.wait(step(6, "out"), 40, what="step 6 sent")
    c.peer.ladders.faults = Faults()
    early = c.peer.record.wait(lambda e: e["dir"] == "in" and e["session"] is not None and e["answer"] == 200, 1.0, c.marks["peer"])
    c.check(not early or c.seen(step(5)), "the gateway used a session that was announced before the digest")
    _delivered(c)


@scenario()
def row_4_6_peer_never_goes_on_as_initiator(c: Context) -> None:
    c.peer.ladders.faults = Faults(skip={3})
    _no_session(c, c.dial(4))
    c.check(c.seen(step(2)), "no step 2 came")
    c.peer.ladders.forget()
    started = time.monotonic()
    _ladder_works(c)
    c.check(time.monotonic() - started < c.seconds(20), "the half-open handshake held the next one up")
    c.peer.ladders.faults = Faults(skip={3})
    _no_session(c, c.dial(4))
    c.peer.reset(STRICT)
    c.make_gateway_dial()
    _delivered(c)


@scenario()
def row_4_6_new_step1_replaces_the_old(c: Context) -> None:
    c.peer.ladders.faults = Faults(refuse={2: 99})
    _no_session(c, c.dial(1))
    c.wait(step(2), what="step 2 of the first handshake")
    c.peer.ladders.forget()
    c.peer.ladders.faults = Faults()
    c.check(c.dial() is not None, "the repeated step 2 of a handshake that the peer had given up spoilt the next one")
    c.healthy()


@scenario()
def row_4_6_peer_never_goes_on_as_responder(c: Context) -> None:
    c.peer.ladders.faults = Faults(skip={2})
    c.make_gateway_dial()
    first = c.wait(step(1), 30, what="step 1")[0]["transactions"][0]["tid"]
    # The gateway gives up by itself, says so, and starts anew.
    c.wait(lambda e: carries("LoginResponse", "in", "Request", tid=first)(e) and 'code="2' not in e["body"], OWN_DEADLINE + 60, what="end")
    c.peer.ladders.faults = Faults()
    c.peer.ladders.forget()
    _restarted(c)
