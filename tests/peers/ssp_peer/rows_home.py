"""Scenarios for the role `home`: the peer is a home server, and the world beyond the gateway is a partner and another home server.

The partner finds the gateway under the home server's domain, as DNS has it; the home servers know nobody but the gateway.
"""

from __future__ import annotations

from . import primitives, wire
from .context import Context, Skipped
from .node import Node
from .scenarios import scenario
from .subscriber import LocalSubscriber

CAY, DEE = "+447700900789", "+447700900654"


def _beyond(c: Context) -> tuple[Node, LocalSubscriber, LocalSubscriber]:
    """The partner's server and person, and the home server's."""
    if c.partner is None:
        raise Skipped("no partner beyond the gateway in this set-up")
    c.partner.reset(c.p)
    c.session()
    return c.partner, LocalSubscriber(c.partner, CAY), LocalSubscriber(c.peer, c.bea_number)


def _sees(c: Context, person: LocalSubscriber, kind: str, timeout: float = 20, where=lambda _: True, **facts) -> dict:
    event = person.expect(kind, c.seconds(timeout), 0, where, **facts)
    c.check(event is not None, f"{person.local} never saw {kind} {facts}")
    return event


@scenario("home")
def home_message_to_a_partner(c: Context) -> None:
    partner, cay, bea = _beyond(c)
    said = c.text("to the world")
    ref = bea.send_message(partner.home.address(CAY), said)
    event = _sees(c, cay, "message", text=said)
    c.check(wire.Address.parse(event["sender"]).local == c.bea_number, f"the sender is {event['sender']}")
    _sees(c, bea, "report", ref=ref, code=200)


@scenario("home")
def home_message_from_a_partner(c: Context) -> None:
    _, cay, bea = _beyond(c)
    said = c.text("from the world")
    ref = cay.send_message(c.BEA, said)
    event = _sees(c, bea, "message", text=said)
    c.check(wire.Address.parse(event["sender"]).local == CAY, f"the sender is {event['sender']}")
    _sees(c, cay, "report", ref=ref, code=200)
    # Nobody of that number is at the home server, and the gateway must not say otherwise.
    nobody = partner_code(c, cay, f"wv:+447700900459@{c.peer.domain}")
    c.check(nobody == 531, f"a message to nobody was answered {nobody}")


def partner_code(c: Context, cay: LocalSubscriber, to: str) -> int:
    """The code that the partner gets for a message."""
    message = primitives.send_message(cay.node.personality, cay.address, [to], c.text("anybody"), c.marks["text"][-8:])
    answers = cay.node.request(c.peer.domain, message, CAY).wait(c.seconds(20))
    c.check(answers, "the partner's message was not answered")
    codes = c.codes(answers[0])
    return codes[-1]


@scenario("home")
def home_presence_of_a_partner(c: Context) -> None:
    partner, cay, bea = _beyond(c)
    bea.subscribe(partner.home.address(CAY))
    _sees(c, bea, "presence", where=lambda e: "OnlineStatus" in e["values"])
    cay.publish({"StatusText": "On the 08:15"})
    _sees(c, bea, "presence", where=lambda e: e["values"].get("StatusText") == "On the 08:15")


@scenario("home")
def home_presence_for_a_partner(c: Context) -> None:
    _, cay, bea = _beyond(c)
    cay.subscribe(c.BEA)
    _sees(c, cay, "presence", where=lambda e: "OnlineStatus" in e["values"])
    bea.publish({"StatusText": "In the 08:20"})
    _sees(c, cay, "presence", where=lambda e: e["values"].get("StatusText") == "In the 08:20")
    cay.ask_presence(c.BEA)


@scenario("home")
def home_invitation_to_a_partner(c: Context) -> None:
    partner, cay, bea = _beyond(c)
    ref = bea.invite(partner.home.address(CAY), "Lunch?")
    _sees(c, cay, "invitation", note="Lunch?")
    _sees(c, bea, "invite_answer", ref=ref, accepted=True)


@scenario("home")
def home_search_at_a_partner(c: Context) -> None:
    _, _, bea = _beyond(c)
    code, users = bea.search(CAY)
    c.check(code == 200 and [wire.Address.parse(u).local for u in users] == [CAY], f"code {code}, found {users}")


@scenario("home")
def home_message_to_another_home_server(c: Context) -> None:
    _, _, bea = _beyond(c)
    c.second_home.reset(c.p)
    dee = LocalSubscriber(c.second_home, DEE)
    said, back = c.text("next door"), c.text("and back")
    bea.send_message(dee.address, said)
    _sees(c, dee, "message", text=said)
    dee.send_message(c.BEA, back)
    _sees(c, bea, "message", text=back)


@scenario("home")
def home_sender_of_another_home_server(c: Context) -> None:
    _beyond(c)
    c.expect_code(c.message_to_ada(c.text("in her name"), sender=f"wv:{DEE}@delta.example"), 901)
