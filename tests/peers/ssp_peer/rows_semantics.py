"""Scenarios for the differences in meaning: SSP reference §14, items 9 to 22.

The peer has the habits of the observed one here; what the gateway has to do is to go on working: understand what it gets, tell its
people the right thing, and send what such a peer understands.
"""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace
from urllib.parse import urlsplit

from . import primitives, wire
from .context import PROMPT, Context
from .record import carries, noted
from .rows_ladder import step
from .scenarios import scenario
from .transport import Reply
from .wire import Document, Transaction
from .xmltree import attr, child

# The shortest TLS record that looks like a ClientHello to a server that peeks at it.
CLIENT_HELLO = bytes.fromhex("160301002a010000260303") + bytes(32) + bytes.fromhex("000002130101000000")


def _inbound(c: Context, name: str, timeout: float = 30, **more) -> tuple[Transaction, dict]:
    """The first transaction of this name the gateway sent since the start, with its log entry."""
    entry = c.wait(carries(name, **more), timeout, what=name)[0]
    return next(t for t in wire.decode(entry["body"].encode()).transactions if t.name == name), entry


def _responses(c: Context, tid: str) -> list[Transaction]:
    found = []
    for entry in c.seen(lambda e: e["dir"] == "in" and any(t["tid"] == tid for t in e["transactions"])):
        found += [t for t in wire.decode(entry["body"].encode()).transactions if t.tid == tid and not t.is_request]
    return found


def _await_responses(c: Context, tid: str, count: int, name: str, timeout: float = 15) -> list[Transaction]:
    """The answers of one kind under an id as soon as there are `count`, however they are spread over documents."""
    deadline = time.monotonic() + c.seconds(timeout)
    while True:
        at = c.peer.record.mark()
        found = [t for t in _responses(c, tid) if t.name == name]
        left = deadline - time.monotonic()
        if len(found) >= count or left <= 0:
            return found
        c.peer.record.wait(lambda e: e["dir"] == "in", left, at)


@scenario()
def row_14_9_first_message_deferred(c: Context) -> None:
    c.lose_sessions()
    c.peer.personality = replace(PROMPT, first_contact_delay=15.0)
    said = c.text("deferred")
    exchange = c.peer.request(c.session_domain, c.message_to_ada(said), c.bea_number)
    c.check(c.code(c.answers(exchange, 1, 60)[0]) == 200, "the deferred message was refused")
    c.ada_sees("message", text=said)


@scenario()
def row_14_9_gateway_first_contact(c: Context) -> None:
    c.peer.personality = PROMPT
    c.make_gateway_dial()
    c.bea_gets(c.marks["text"], 60)
    c.check(c.seen(step(1)), "the gateway did not open a session")


@scenario()
def row_14_11_gateway_does_not_leave_us_half_open(c: Context) -> None:
    c.peer.personality = PROMPT
    c.peer.ladders.faults.wrong_digest = True
    c.check(c.dial(3) is None, "the session came up with a wrong digest")
    c.wait(lambda e: carries("LoginResponse")(e) and 'code="2' not in e["body"], 10, what="LoginResponse that ends our handshake")
    c.peer.ladders.faults.wrong_digest = False
    c.peer.ladders.forget()
    c.check(c.dial() is not None, "a second handshake failed")


@scenario()
def row_14_12_report_in_request_mode(c: Context) -> None:
    c.peer.personality = PROMPT
    c.session()
    ref = c.ada.send_message(c.BEA, c.text("report as request"))
    c.ada_sees("report", 30, ref=ref, code=200)
    c.check(c.seen(carries("DeliveryStatusReport", "out", "Request")), "the peer did not send it as a request")


@scenario()
def row_14_12_report_in_response_mode(c: Context) -> None:
    c.peer.personality = replace(PROMPT, reports_as_requests=False)
    c.session()
    ref = c.ada.send_message(c.BEA, c.text("report as response"))
    c.ada_sees("report", 30, ref=ref, code=200)
    c.check(c.ada_count("report", ref=ref) == 1, "the report was told more than once")


@scenario()
def row_14_12_gateway_reports_in_response_mode(c: Context) -> None:
    c.peer.personality = PROMPT
    tid = "0000000412-0"
    exchange = c.put(c.message_to_ada(c.text("report to us"), report=True), tid)
    names = [t.name for t in c.answers(exchange, 2, 20)]
    c.check(names == ["SendMessageResponse", "DeliveryStatusReport"], f"the transaction was answered with {names}")
    report = exchange.answers[1].primitive
    parties = [str(wire.Address.parse(attr(child(report, "MessageInfo", *path), "userID")).local) for path in (("Recipient", "User"), ("Sender", "User"))]
    c.check(parties == [c.bea_number, c.ada_number], f"recipient and sender of the report are {parties}")


@scenario()
def row_14_12_invite_answer_in_request_mode(c: Context) -> None:
    c.peer.personality = PROMPT
    c.session()
    ref = c.ada.invite(c.BEA, "Lunch?")
    event = c.ada_sees("invite_answer", 30, ref=ref, accepted=True)
    c.check(wire.Address.parse(event.get("sender", c.BEA)).local == c.bea_number, f"the answer is said to be from {event.get('sender')}")
    sent = c.wait(carries("InviteResponse", "out", "Request"), what="answers in Request mode")
    c.check(sent[-1]["answer"] == 200, f"an answer in Request mode got HTTP {sent[-1]['answer']}")
    c.bea.accepts = False
    ref = c.ada.invite(c.BEA, "Tea?")
    c.ada_sees("invite_answer", 30, ref=ref, accepted=False)


@scenario()
def row_14_12_gateway_answers_invitation_in_response_mode(c: Context) -> None:
    c.peer.personality = PROMPT
    exchange = c.put(primitives.invite(c.p, "inv-12", c.BEA, c.ADA, "Lunch?"), "0000000413-0")
    names = [t.name for t in c.answers(exchange, 2, 20)]
    c.check(names == ["Status", "InviteResponse"], f"the transaction was answered with {names}")
    answer = exchange.answers[1].primitive
    parties = [wire.Address.parse(attr(child(answer, tag, "User"), "userID")).local for tag in ("Inviting", "Responding")]
    c.check(sorted(parties) == sorted([c.bea_number, c.ada_number]), f"parties {parties}")
    c.check(child(answer, "Status") is not None, "no Status in the InviteResponse")


@scenario()
def row_14_13_presence_answer_without_status(c: Context) -> None:
    c.peer.personality = PROMPT
    c.session()
    c.bea.presence["StatusText"] = "no status here"
    c.ada.ask_presence(c.BEA)
    c.wait(carries("GetPresenceRequest"), 30, what="presence request")
    c.ada_sees_status("no status here")
    c.check("<Status" not in c.seen(carries("GetPresenceResponse", "out"))[-1]["body"].replace("<StatusText", ""), "the peer sent a Status")


@scenario()
def row_14_13_gateway_sends_status(c: Context) -> None:
    answer = c.ask(primitives.get_presence(c.p, c.BEA, [c.ADA], ("OnlineStatus",)), timeout=20)
    c.check(answer.name == "GetPresenceResponse" and c.code(answer) == 200, f"answered {answer.name} {c.codes(answer)}")


@scenario()
def row_14_14_one_id_for_several_invitations(c: Context) -> None:
    c.peer.personality = PROMPT
    session, tid = c.session(), "0000000414-0"
    for n, invited in enumerate((c.ADA, c.AL)):
        invitation = primitives.invite(c.p, "inv-14", c.BEA, invited, f"both of you {n}")
        c.check(c.peer.send(session, [Transaction("Request", tid, invitation)]) == 200, "not taken")
    c.ada_sees("invitation", note="both of you 0")
    codes = [c.code(t) for t in _await_responses(c, tid, 2, "Status")]
    c.check(codes == [200, 200], f"two invitations under one id were answered {codes}")


@scenario()
def row_14_14_retried_document_keeps_its_id(c: Context) -> None:
    c.peer.personality = PROMPT
    session, tid, said = c.session(), "0000000415-0", c.text("retried")
    document = Document([Transaction("Request", tid, c.message_to_ada(said))], session.own_id)
    for _ in range(2):
        c.check(c.peer.post(session.url, document, {}, c.gateway_domain) == 200, "not taken")
    c.ada_sees("message", text=said)
    codes = [c.code(t) for t in _await_responses(c, tid, 2, "SendMessageResponse")]
    c.check(codes == [200, 200], f"a document that was sent twice was answered {codes}")
    c.check(c.ada_count("message", text=said) == 1, "delivered twice")


@scenario()
def row_14_15_several_responses_for_one_id(c: Context) -> None:
    c.peer.personality = replace(PROMPT, reports_as_requests=False)
    c.session()
    ref = c.ada.send_message(c.BEA, c.text("two answers"))
    c.ada_sees("report", 30, ref=ref, code=200)
    tids = [e["transactions"][0]["tid"] for e in c.seen(lambda e: carries("SendMessageResponse", "out")(e) or carries("DeliveryStatusReport", "out")(e))]
    c.check(len(tids) == 2 and len(set(tids)) == 1, f"the peer answered under {tids}")


@scenario()
def row_14_15_no_answer_at_all(c: Context) -> None:
    c.peer.personality = PROMPT
    c.session()

    def swallow(_inbound, document: Document):
        return Reply(200) if any(t.name == "InviteRequest" for t in document.transactions) else None

    c.peer.intercept = swallow
    threading.Thread(target=c.ada.invite, args=(c.BEA, "hello?"), daemon=True).start()
    c.wait(carries("InviteRequest"), 30, what="invitation")
    c.healthy()
    said = c.text("meanwhile")
    c.ada.send_message(c.BEA, said)
    c.bea_gets(said, 30)


@scenario()
def row_14_16_notification_before_status(c: Context) -> None:
    c.peer.personality = PROMPT
    c.session()
    c.bea.presence["StatusText"] = "before the status"
    c.ada.subscribe(c.BEA)
    c.ada_sees_status("before the status", 30)
    first = c.seen(carries("PresenceNotification", "out"))[0]["n"]
    answers = c.wait(lambda e: carries("Status", "out", "Response")(e), what="status")
    c.check(first < answers[0]["n"], "the peer sent the status first")


@scenario()
def row_14_16_empty_notification_is_not_offline(c: Context) -> None:
    c.peer.personality = PROMPT
    c.watch_bea()
    c.publish_status("here I am")
    c.ada_sees_status("here I am")
    at = c.ada.mark()
    c.peer.submit_to(c.session_domain, primitives.presence_notification(c.p, [c.ADA], {}))
    c.peer.submit_to(c.session_domain, primitives.presence_notification(c.p, [c.ADA], {c.BEA: None}))
    c.wait(lambda e: carries("PresenceNotification", "out")(e) and "PresenceValue userID" in e["body"] and "Qualifier" not in e["body"]
           and e["answer"] == 200, what="empty notification taken")
    c.publish_status("still here")
    c.ada_sees_status("still here")
    wrong = [e for e in c.ada.events(at) if e["kind"] == "presence" and e["values"].get("OnlineStatus") == "F"]
    c.check(not wrong, "an empty notification was shown as offline")


@scenario()
def row_14_16_more_attributes_than_asked(c: Context) -> None:
    c.peer.personality = PROMPT
    c.bea.presence.update({"Alias": "B", "StatusMood": "HAPPY", "FreeTextLocation": "Quay", "Unheard": "of"})
    c.watch_bea()
    c.publish_status("with more")
    c.ada_sees_status("with more")
    sent = c.wait(carries("PresenceNotification", "out"))[-1]
    c.check(sent["answer"] == 200, f"answered {sent['answer']}")


@scenario()
def row_14_16_notification_after_unsubscription(c: Context) -> None:
    c.peer.personality = PROMPT
    c.watch_bea()
    c.ada.unsubscribe(c.BEA)
    c.wait(carries("UnsubscribeRequest"), 30, what="unsubscription")
    c.publish_status("nobody asked")
    c.wait(lambda e: carries("PresenceNotification", "out")(e) and "nobody asked" in e["body"] and e["answer"] == 200, what="notification taken")
    c.healthy()


@scenario()
def row_14_17_only_the_newest_notification(c: Context) -> None:
    c.expect_code(primitives.subscribe(c.p, c.BEA, [c.ADA]), 200)
    c.wait(carries("PresenceNotification"), 20, what="first notification")
    c.marks["peer"] = c.peer.record.mark()
    refusing = threading.Event()
    refusing.set()

    def refuse(_inbound, document: Document):
        return Reply(503) if refusing.is_set() and any(t.name == "PresenceNotification" for t in document.transactions) else None

    c.peer.intercept = refuse
    for n in range(4):
        c.ada.publish({"StatusText": f"state {n}"})
    c.wait(lambda e: carries("PresenceNotification")(e) and e["answer"] == 503, 20, what="refused notification")
    refusing.clear()
    last = c.wait(lambda e: carries("PresenceNotification")(e) and e["answer"] == 200 and "state 3" in e["body"], 120, what="the newest state")[0]
    later = c.peer.record.wait(lambda e: carries("PresenceNotification")(e) and e["n"] > last["n"] and any(f"state {n}" in e["body"] for n in range(3)),
                               6 * c.scale, c.marks["peer"])
    c.check(not later, "an older state came after the newest")


@scenario()
def row_14_18_session_header_is_a_hint(c: Context) -> None:
    session, said = c.session(), c.text("headers")
    document = Document([Transaction("Request", c.peer.new_tid(), c.message_to_ada(said))], session.own_id)
    for headers in ({"x-wv-sessionid": session.peer_id, "x-wv-transactionid": "other"}, {"x-wv-sessionid": "0@nowhere.invalid"}, {}):
        c.check(c.peer.post(session.url, document, headers, c.gateway_domain) == 200, f"refused with headers {headers}")
    c.ada_sees("message", text=said)


@scenario()
def row_14_19_tls_on_plain_listener(c: Context) -> None:
    parts = urlsplit(c.gateway_url)
    other = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" if parts.scheme == "https" else CLIENT_HELLO
    with socket.create_connection((parts.hostname, parts.port), 5) as connection:
        connection.settimeout(5)
        connection.sendall(other)
        try:
            while connection.recv(4096):
                pass
        except TimeoutError:
            c.check(False, f"a connection that speaks the wrong way to the {parts.scheme} port stays open")
        except OSError:
            pass
    c.check(c.dial() is not None, "no session afterwards")


@scenario()
def row_14_19_gateway_tries_https_first(c: Context) -> None:
    c.peer.personality = PROMPT
    c.make_gateway_dial()
    c.bea_gets(c.marks["text"], 60)
    first = c.seen(step(1))[0]
    if c.peer.tls:
        c.check(first["scheme"] == "https", "the first step came without TLS")
    else:
        probes = c.seen(noted("probe"))
        c.check(probes and probes[0]["n"] < first["n"], "https was not tried before http on the same port")


@scenario()
def row_14_20_peer_vanishes_and_returns(c: Context) -> None:
    c.peer.personality = PROMPT
    c.session()
    c.peer.vanish()
    said = c.text("while away")
    try:
        sender = threading.Thread(target=c.ada.send_message, args=(c.BEA, said), daemon=True)
        sender.start()
        sender.join(c.seconds(8))
    finally:
        c.peer.come_back()
    c.bea_gets(said, 180)
    c.healthy()


@scenario()
def row_14_20_gateway_sends_what_the_peer_needs(c: Context) -> None:
    c.peer.personality = PROMPT
    c.session()
    c.ada.send_message(c.BEA, c.text("complete"))
    c.ada.subscribe(c.BEA)
    ref = c.ada.invite(c.BEA, "Lunch?")
    for name in ("SendMessageRequest", "SubscribeRequest", "InviteRequest"):
        transaction, _ = _inbound(c, name)
        user = child(transaction.primitive, "MetaInfo", "Requestor", "User")
        c.check(attr(user, "userID"), f"{name} has no MetaInfo/Requestor/User")
        if name == "InviteRequest":
            c.check(attr(transaction.primitive, "inviteType"), "InviteRequest has no inviteType")
    c.check(ref is not None, "no reference for the invitation")


@scenario()
def row_14_21_sender_of_third_domain(c: Context) -> None:
    said = c.text("under another name")
    message = c.message_to_ada(said, sender="wv:mallory@charlie.example", requestor=c.BEA)
    c.expect_code(message, 901)
    c.check(not c.ada.expect("message", 1.0, c.marks["ada"], text=said), "delivered under the name of a third domain")


@scenario()
def row_14_21_foreign_inviter(c: Context) -> None:
    for primitive in (primitives.invite(c.p, "inv-21", c.BEA, c.ADA, "who?"), primitives.cancel_invite(c.p, "inv-21", c.BEA, c.ADA)):
        party = child(primitive, "Inviting", "User")
        party = party if party is not None else child(primitive, "Canceling", "User")
        party.set("userID", "wv:mallory@charlie.example")
        c.expect_code(primitive, 901)
    c.check(not c.ada.expect("invitation", 1.0, c.marks["ada"]), "the invitation was passed on")


@scenario()
def row_14_22_repeated_message_delivered_once(c: Context) -> None:
    c.peer.personality = PROMPT
    said, message_id = c.text("twice"), f"twice-{c.now():.3f}"
    codes = [c.code(c.ask(c.message_to_ada(said, message_id))) for _ in range(2)]
    c.check(codes == [200, 200], f"answered {codes}")
    c.ada_sees("message", text=said)
    c.healthy()
    c.check(c.ada_count("message", text=said) == 1, "a repeated message was delivered twice")


@scenario()
def row_14_22_gateway_does_not_repeat(c: Context) -> None:
    c.peer.personality = PROMPT
    c.session()
    let_go = threading.Event()
    answer = c.peer.home.answer

    def slowly(node, session, transaction):
        asked = answer(node, session, transaction)
        if transaction.name == "SendMessageRequest":
            let_go.wait(8 * c.scale)
        return asked

    c.peer.home.answer = slowly
    said = c.text("patience")
    try:
        c.ada.send_message(c.BEA, said)
        c.bea_gets(said, 20)
        c.wait(carries("SendMessageResponse", "out"), 15, what="late answer")
    finally:
        let_go.set()
        c.peer.home.answer = answer
    c.healthy()
    c.bea_gets(said, 5)


