"""Scenarios for the role `home`: the peer is a home server, and the world beyond the gateway is a partner and another home server.

The partner finds the gateway under the home server's domain, as DNS has it; the home servers know nobody but the gateway.
"""

from __future__ import annotations

from dataclasses import replace

from . import groups, primitives, wire
from .context import Context, Skipped
from .node import Node
from .personality import STRICT
from .record import carries
from .scenarios import scenario
from .subscriber import LocalSubscriber
from .xmltree import E, child, children, text

CAY, DEE = "+447700900789", "+447700900654"
CHARLIE = "charlie.example"


def _beyond(c: Context) -> tuple[Node, LocalSubscriber, LocalSubscriber]:
    """The partner's server and person, and the home server's."""
    if c.partner is None:
        raise Skipped("no partner beyond the gateway in this set-up")
    c.partner.settle(c.seconds(20))
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
    c.second_home.settle(c.seconds(20))
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


@scenario("home")
def home_partner_speaks_only_for_itself(c: Context) -> None:
    partner, cay, _ = _beyond(c)
    for claimed in (c.ADA, f"wv:{DEE}@delta.example", f"wv:{c.ben_number}@{c.peer.domain}"):
        message = primitives.send_message(cay.node.personality, claimed, [c.BEA], c.text("in another's name"), c.marks["text"][-8:])
        answers = partner.request(c.peer.domain, message, CAY).wait(c.seconds(30))
        c.check(answers and c.codes(answers[0])[-1] == 901, f"a message from {claimed} was answered {answers and c.codes(answers[0])}")
    c.check(not any(e["kind"] == "message" for e in c.bea.events), "delivered all the same")


@scenario("home")
def home_nobody_is_found_by_part_of_a_number(c: Context) -> None:
    _beyond(c)
    c.expect_code(primitives.search(c.p, c.BEA, "USER_MOBILE_NUMBER", "+4477009007*"), 402)
    c.expect_code(c.message_to_ada(c.text("to many"), to=["wv:+4477009007*@charlie.example"]), 402)


@scenario("home")
def home_message_waits_for_a_home_server_that_is_away(c: Context) -> None:
    _, cay, bea = _beyond(c)
    said = c.text("while away")
    c.peer.vanish()
    try:
        ref = cay.send_message(c.BEA, said)
        _sees(c, cay, "result", 60, code=200)
    finally:
        c.peer.come_back()
    _sees(c, bea, "message", 120, text=said)
    _sees(c, cay, "report", 60, ref=ref, code=200)


@scenario("home")
def home_message_and_report_survive_a_restart(c: Context) -> None:
    if c.restart is None:
        raise Skipped("no way to restart the gateway in this set-up")
    _, cay, bea = _beyond(c)
    said = c.text("inward")
    c.peer.vanish()
    try:
        ref = cay.send_message(c.BEA, said)
        _sees(c, cay, "result", 60, code=200)
        c.restart()
    finally:
        c.peer.come_back()
    _sees(c, bea, "message", 120, text=said)
    _sees(c, cay, "report", 60, ref=ref, code=200)
    times = sum(1 for e in bea.events() if e["kind"] == "message" and e["text"] == said)
    c.check(times == 1, f"the message came {times} times")


@scenario("home")
def home_report_survives_a_restart(c: Context) -> None:
    if c.restart is None:
        raise Skipped("no way to restart the gateway in this set-up")
    partner, cay, bea = _beyond(c)
    c.peer.personality = replace(STRICT, reports_as_requests=True)
    held: list[tuple] = []
    c.peer.follow_up = lambda *what: held.append(what)
    try:
        said = c.text("report later")
        ref = cay.send_message(c.BEA, said)
        _sees(c, bea, "message", 60, text=said)
        _sees(c, cay, "result", 60, code=200)
    finally:
        del c.peer.follow_up
    partner.vanish()
    try:
        c.check(len(held) == 1, f"{len(held)} reports to tell")
        c.peer.follow_up(*held[0])
        tid = c.wait(carries("DeliveryStatusReport", "out", "Request"), what="report told")[0]["transactions"][0]["tid"]
        c.wait(carries("Status", "in", "Response", tid=tid, code="200"), 60, what="answer to the report")
        c.restart()
    finally:
        partner.come_back()
    _sees(c, cay, "report", 120, ref=ref, code=200)


@scenario("home")
def home_everybody_at_once(c: Context) -> None:
    _, cay, bea = _beyond(c)
    c.second_home.settle(c.seconds(20))
    c.second_home.reset(c.p)
    dee = LocalSubscriber(c.second_home, DEE)
    said = c.text("at once")
    pairs = [(one, other) for one in (bea, cay, dee) for other in (bea, cay, dee) if one is not other]
    for n in range(8):
        for one, other in pairs:
            one.send_message(other.address, f"{said} {one.local} {n}")
    for one, other in pairs:
        for n in range(8):
            _sees(c, other, "message", 60, text=f"{said} {one.local} {n}")
    for person in (bea, cay, dee):
        texts = [e["text"] for e in person.events() if e["kind"] == "message" and e["text"].startswith(said)]
        c.check(len(texts) == len(set(texts)) == 16, f"{person.local} has {len(texts)} messages, {len(set(texts))} different ones")


def _group(c: Context) -> tuple[str, LocalSubscriber, LocalSubscriber, LocalSubscriber]:
    """A group at the partner's server with Cay in it; and three people: Cay, Bea and Ben."""
    partner, cay, bea = _beyond(c)
    group_id = f"wv:{CAY}/walkers@{partner.domain}"
    group = groups.Group(group_id, {cay.address: "Admins"}, {cay.address: "Cay"}, {cay.address})
    partner.home.groups[str(wire.Address.parse(group_id))] = group
    return group_id, cay, bea, LocalSubscriber(c.peer, c.ben_number)


def _joins(c: Context, person: LocalSubscriber, group_id: str, screen_name: str) -> list[str]:
    """Joins through the gateway; who is there."""
    name = E("ScreenName", {"groupID": group_id}, text=screen_name)
    wanted = {"joinedListRequest": "Yes", "subscribeNotif": "Yes"}
    answer = c.answers(c.peer.request(CHARLIE, primitives.group_request("JoinGroupRequest", person.address, group_id, wanted, name), person.local), 1, 20)[0]
    c.check(answer.name == "JoinGroupResponse" and c.code(answer) == 200, f"joining was answered {answer.name} {c.codes(answer)}")
    c.check(child(answer.primitive, "WelcomeNote") is not None, "the welcome note was lost")
    person.user.in_groups.add(str(wire.Address.parse(group_id)))
    return [text(n) for n in children(child(answer.primitive, "JoinedList"), "Name")]


def _asks(c: Context, person: LocalSubscriber, primitive) -> wire.Transaction:
    return c.answers(c.peer.request(CHARLIE, primitive, person.local), 1, 20)[0]


@scenario("home")
def home_group_of_a_partner(c: Context) -> None:
    group_id, cay, bea, ben = _group(c)
    c.check(_joins(c, bea, group_id, "Robin & Söhne") == ["Cay", "Robin & Söhne"], "the list of those who are there was lost")
    _joins(c, ben, group_id, "Jess")
    _sees(c, bea, "group_change", joined=["Jess"])
    for tag, answered in (("GetGroupSubStatusRequest", "GetGroupSubStatusResponse"), ("GetGroupMemberRequest", "GetGroupMemberResponse"),
                          ("GetJoinedUsersRequest", "GetJoinedUsersResponse"), ("GetGroupPropsRequest", "GetGroupPropsResponse")):
        answer = _asks(c, bea, primitives.group_request(tag, bea.address, group_id))
        c.check(answer.name == answered and c.code(answer) == 200, f"{tag} was answered {answer.name} {c.codes(answer)}")
    said = c.text("to all of you")
    answer = _asks(c, bea, primitives.to_group(c.p, bea.address, group_id, said, "g-" + said[-8:]))
    c.check(c.code(answer) == 200, f"a message to the group was answered {c.codes(answer)}")
    for person in (cay, ben):
        _sees(c, person, "message", text=said, screen_name="Robin & Söhne")
    answer = _asks(c, ben, primitives.group_request("LeaveGroupRequest", ben.address, group_id))
    c.check(answer.name == "LeaveGroupIndication" and c.code(answer) == 200, f"leaving was answered {answer.name} {c.codes(answer)}")
    _sees(c, bea, "group_change", left=["Jess"])
    answer = _asks(c, ben, primitives.to_group(c.p, ben.address, group_id, c.text("still here"), "g-left"))
    c.check(808 in c.codes(answer), f"a message of somebody who left was answered {c.codes(answer)}")


@scenario("home")
def home_private_message_stays_private(c: Context) -> None:
    group_id, cay, bea, ben = _group(c)
    _joins(c, bea, group_id, "Robin")
    _joins(c, ben, group_id, "Jess")
    said = c.text("for Cay alone")
    answer = _asks(c, bea, primitives.to_group(c.p, bea.address, group_id, said, "p-" + said[-8:], "Cay"))
    c.check(c.code(answer) == 200, f"a private message was answered {c.codes(answer)}")
    _sees(c, cay, "message", text=said, screen_name="Robin")
    back = c.text("for Jess alone")
    answer = _asks(c, bea, primitives.to_group(c.p, bea.address, group_id, back, "p-" + back[-8:], "Jess"))
    c.check(c.code(answer) == 200, f"a private message was answered {c.codes(answer)}")
    _sees(c, ben, "message", text=back, screen_name="Robin")
    answer = _asks(c, bea, primitives.to_group(c.p, bea.address, group_id, c.text("for nobody"), "p-none", "Nobody"))
    c.check(410 in c.codes(answer), f"a private message to nobody was answered {c.codes(answer)}")
    for person, other in ((ben, said), (cay, back)):
        c.check(not any(e["kind"] == "message" and e["text"] == other for e in person.events()), f"{person.local} read a private message for another")


@scenario("home")
def home_member_put_out_by_a_partner(c: Context) -> None:
    group_id, cay, bea, _ = _group(c)
    _joins(c, bea, group_id, "Robin")
    group = c.partner.home.groups[str(wire.Address.parse(group_id))]
    who = next(a for a in group.joined if wire.Address.parse(a).local == c.bea_number)
    del group.joined[who]
    groups.put_out(c.partner, group, who)
    _sees(c, bea, "group_left", group=group_id, code=809)
