"""Scenarios for the role `dials`: the peer is a home server that can't be told of the gateway.

It looks up `_imps-server._tcp` of whom it writes to, opens a session with that domain, answers 901 to a sender who is not of the
session's domain, and does not relay. Its resolver is the gateway's DNS view. Nothing in its code knows that all of its sessions are
with one gateway. Beyond stand two partners, another home server of the same kind, and people of the gateway's own domain.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Callable

from . import primitives, wire
from .context import Context, Skipped
from .node import Node
from .personality import STRICT
from .record import carries
from .rows_home import _sees
from .rows_ladder import step
from .scenarios import scenario
from .subscriber import LocalSubscriber
from .wire import Document, Transaction
from .xmltree import attr

CAY, EVE, DEE = "+447700900789", "+447700900821", "+447700900654"


def row(play: Callable[[Context], None]) -> Callable[[Context], None]:
    """A scenario of this role; nobody of the home servers may answer 901, whatever crosses the wire in it."""

    @functools.wraps(play)
    def checked(c: Context) -> None:
        if c.other_partner is None:
            raise Skipped("no two partners beyond the gateway in this set-up")
        for node in (c.partner, c.other_partner, c.second_home):
            node.settle(c.seconds(20))
            node.reset(STRICT)
        since = {node: node.record.mark() for node in (c.peer, c.second_home)}
        play(c)
        for node, mark in since.items():
            refused = node.record.since(mark, lambda e: e["dir"] == "out" and 'code="901"' in e["body"])
            c.check(not refused, f"{node.domain} answered 901: {refused and refused[0]['body'][:300]}")

    return scenario("dials")(checked)


def _partners(c: Context) -> list[tuple[Node, LocalSubscriber]]:
    return [(c.partner, LocalSubscriber(c.partner, CAY)), (c.other_partner, LocalSubscriber(c.other_partner, EVE))]


def _bea(c: Context) -> LocalSubscriber:
    return LocalSubscriber(c.peer, c.bea_number)


def _is_from(c: Context, event: dict, person: LocalSubscriber) -> None:
    address = wire.Address.parse(event["sender"])
    c.check((address.local, address.domain) == (person.local, person.node.domain), f"the sender is {event['sender']}, not {person.address}")


@row
def dials_message_to_each_partner(c: Context) -> None:
    bea = _bea(c)
    for node, person in _partners(c):
        said = c.text(f"to {node.domain}")
        ref = bea.send_message(person.address, said)
        event = _sees(c, person, "message", text=said)
        c.check(wire.Address.parse(event["sender"]).local == c.bea_number, f"the sender is {event['sender']}")
        _sees(c, bea, "result", ref=ref, code=200)
        _sees(c, bea, "report", ref=ref, code=200)
        c.check(c.peer.sessions(node.domain), f"there is no session with {node.domain}")
    names = {s["peer_domain"] for s in c.peer.state()["sessions"]}
    c.check(not any("gateway" in name for name in names), f"sessions with {names}")


@row
def dials_message_from_each_partner(c: Context) -> None:
    bea = _bea(c)
    for node, person in _partners(c):
        said = c.text(f"from {node.domain}")
        ref = person.send_message(c.BEA, said)
        _is_from(c, _sees(c, bea, "message", text=said), person)
        _sees(c, person, "result", ref=ref, code=200)
        _sees(c, person, "report", ref=ref, code=200)
    if c.peer.tls:
        entries = c.peer.record.since(c.marks["peer"], carries("SendMessageRequest"))
        shown = [name for entry in entries for name in entry["client_names"]]
        c.check(all(node.domain in shown for node, _ in _partners(c)), f"the gateway showed {shown}")


@row
def dials_presence_of_partners(c: Context) -> None:
    bea = _bea(c)
    for _, person in _partners(c):
        bea.subscribe(person.address)
    for node, person in _partners(c):
        _sees(c, bea, "presence", where=lambda e: "OnlineStatus" in e["values"], user=person.address)
        person.publish({"StatusText": f"On the train of {node.domain}"})
        _sees(c, bea, "presence", where=lambda e: e["values"].get("StatusText") == f"On the train of {node.domain}", user=person.address)


@row
def dials_presence_for_partners(c: Context) -> None:
    bea = _bea(c)
    for _, person in _partners(c):
        person.subscribe(c.BEA)
        _sees(c, person, "presence", where=lambda e: "OnlineStatus" in e["values"])
    watchers = {wire.Address.parse(w).domain for w in bea.user.watchers}
    c.check(watchers == {node.domain for node, _ in _partners(c)}, f"watched from {watchers}")
    bea.publish({"StatusText": "At home"})
    for _, person in _partners(c):
        _sees(c, person, "presence", where=lambda e: e["values"].get("StatusText") == "At home")


@row
def dials_search_at_each_partner(c: Context) -> None:
    for node, person in _partners(c):
        bea = _bea(c)
        code, users = bea.search(person.local, at=node.domain)
        c.check(code == 200 and [wire.Address.parse(u).local for u in users] == [person.local], f"code {code}, found {users}")
        c.bea.events.clear()


@row
def dials_search_by_partners(c: Context) -> None:
    for _, person in _partners(c):
        code, users = person.search(c.bea_number, at=c.peer.domain)
        c.check(code == 200 and [wire.Address.parse(u).local for u in users] == [c.bea_number], f"code {code}, found {users}")


@row
def dials_invitation_both_ways(c: Context) -> None:
    bea = _bea(c)
    for node, person in _partners(c):
        ref = bea.invite(person.address, f"Lunch at {node.domain}?")
        _sees(c, person, "invitation", note=f"Lunch at {node.domain}?")
        _sees(c, bea, "invite_answer", ref=ref, accepted=True)
        ref = person.invite(c.BEA, f"Dinner with {node.domain}?")
        _is_from(c, _sees(c, bea, "invitation", note=f"Dinner with {node.domain}?"), person)
        _sees(c, person, "invite_answer", ref=ref, accepted=True)


@row
def dials_everything_at_once(c: Context) -> None:
    bea, sent = _bea(c), []
    for n in range(10):
        for _, person in _partners(c):
            sent.append((bea, person, said := c.text(f"out {n}"), bea.send_message(person.address, said)))
            sent.append((person, bea, said := c.text(f"in {n}"), person.send_message(c.BEA, said)))
    for sender, recipient, said, ref in sent:
        event = _sees(c, recipient, "message", 60, text=said)
        if recipient is bea:
            _is_from(c, event, sender)
        _sees(c, sender, "report", 60, ref=ref, code=200)


@row
def dials_gateway_opens_as_each_partner(c: Context) -> None:
    c.peer.dials = False
    mark = c.peer.record.mark()
    c.lose_sessions()
    bea, said = _bea(c), {}
    for _, person in _partners(c):
        said[person] = c.text("first contact")
        person.send_message(c.BEA, said[person])
    for person, text in said.items():
        _is_from(c, _sees(c, bea, "message", 90, text=text), person)
    opened = [wire.service_domain(attr(wire.decode(e["body"].encode()).transactions[0].primitive, "serviceID"))
              for e in c.peer.record.since(mark, step(1))]
    c.check(set(opened) == {node.domain for node, _ in _partners(c)}, f"the gateway opened sessions as {opened}")


@row
def dials_our_own_people_and_another_home_server(c: Context) -> None:
    bea, dee = _bea(c), LocalSubscriber(c.second_home, DEE)
    said, back = c.text("next door"), c.text("and back")
    bea.send_message(dee.address, said)
    _is_from(c, _sees(c, dee, "message", text=said), bea)
    dee.send_message(c.BEA, back)
    _is_from(c, _sees(c, bea, "message", text=back), dee)
    said, back = c.text("to our own"), c.text("from our own")
    bea.send_message(c.ADA, said)
    c.ada_sees("message", text=said)
    ref = c.ada.send_message(c.BEA, back)
    c.bea_gets(back)
    c.ada_sees("report", ref=ref, code=200)


@row
def dials_restart_keeps_every_session(c: Context) -> None:
    if c.restart is None:
        raise Skipped("no way to restart the gateway in this set-up")
    bea = _bea(c)
    for _, person in _partners(c):
        said = c.text("before")
        bea.send_message(person.address, said)
        _sees(c, person, "message", text=said)
        person.subscribe(c.BEA)
        _sees(c, person, "presence", where=lambda e: "OnlineStatus" in e["values"])
    c.restart()
    mark = c.peer.record.mark()
    for _, person in _partners(c):
        said, back = c.text("after"), c.text("back after")
        bea.send_message(person.address, said)
        _sees(c, person, "message", 60, text=said)
        person.send_message(c.BEA, back)
        _is_from(c, _sees(c, bea, "message", 60, text=back), person)
    bea.publish({"StatusText": "Still here"})
    for _, person in _partners(c):
        _sees(c, person, "presence", 60, where=lambda e: e["values"].get("StatusText") == "Still here")
    opened = c.peer.record.since(mark, step(1)) + c.peer.record.since(mark, step(1, "out"))
    c.check(not opened, f"{len(opened)} sessions were opened anew")


@row
def dials_report_survives_a_restart(c: Context) -> None:
    if c.restart is None:
        raise Skipped("no way to restart the gateway in this set-up")
    c.peer.personality = replace(STRICT, reports_as_requests=True)
    bea, told = _bea(c), []
    held: list[tuple] = []
    c.peer.follow_up = lambda *what: held.append(what)
    try:
        for _, person in _partners(c):
            said = c.text("report later")
            told.append((person, person.send_message(c.BEA, said)))
            _sees(c, bea, "message", 60, text=said)
            _sees(c, person, "result", 60, code=200)
    finally:
        del c.peer.follow_up
    c.restart()
    for what in held:
        c.peer.follow_up(*what)
    for person, ref in told:
        _sees(c, person, "report", 120, ref=ref, code=200)


@row
def dials_message_waits_for_the_home_server(c: Context) -> None:
    bea, sent = _bea(c), []
    c.peer.vanish()
    try:
        for _, person in _partners(c):
            sent.append((person, said := c.text("while away"), person.send_message(c.BEA, said)))
            _sees(c, person, "result", 60, code=200)
    finally:
        c.peer.come_back()
    for person, said, ref in sent:
        _is_from(c, _sees(c, bea, "message", 120, text=said), person)
        _sees(c, person, "report", 60, ref=ref, code=200)


@row
def dials_stranger_is_refused(c: Context) -> None:
    token = primitives.send_secret_token(c.p, c.peer.domain, "a secret of nobody's", None)
    document = Document([Transaction("Request", "stranger-1", token)]).encode(c.p)
    for stranger in ("stranger.example", c.peer.domain):
        # Over TLS the certificate that is shown is the main one's, so that the connection itself comes up for a name in it only.
        answer = c.peer.raw(document, c.gateway_url, stranger)
        c.check(not 200 <= answer < 300, f"step 1 for {stranger} was answered {answer}")
    as_home = primitives.send_secret_token(c.p, c.partner.domain, "a secret of a partner's", None)
    for node in (c.partner, c.other_partner):
        c.check(not node.sessions(c.other_partner.domain), f"{node.domain} has a session with a partner")
    # A partner that asks for another partner is met by the gateway itself.
    document = Document([Transaction("Request", "partner-1", as_home)]).encode(c.p)
    mark = c.partner.record.mark()
    c.partner.raw(document, c.gateway_url, c.other_partner.domain)
    answers = c.partner.record.wait(step(2), c.seconds(10), mark)
    named = [wire.service_domain(attr(wire.decode(e["body"].encode()).transactions[0].primitive, "serviceID")) for e in answers]
    c.check(c.other_partner.domain not in named, f"a partner was met as {named}")
    c.partner.ladders.forget()


@scenario("dials")
def dials_server_checks_senders(c: Context) -> None:
    """The peer itself: it does answer 901, so that its silence in the other rows means something."""
    if c.other_partner is None:
        raise Skipped("no two partners beyond the gateway in this set-up")
    c.other_partner.reset(STRICT)
    bea, eve = _bea(c), LocalSubscriber(c.other_partner, EVE)
    said = c.text("opens the session")
    eve.send_message(c.BEA, said)
    _sees(c, bea, "message", text=said)
    session = c.peer.sessions(c.other_partner.domain)[-1]
    foreign = primitives.send_message(c.p, f"wv:{CAY}@{c.partner.domain}", [c.BEA], c.text("another's"), "m-foreign")
    asked = c.peer.home.answer(c.peer, session, Transaction("Request", "x", foreign))
    c.check([attr(reply, "code") or attr(reply.find("./*"), "code") for reply in asked.replies] == ["901"], "it takes any sender")
