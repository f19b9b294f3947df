"""Scenarios for the differences in syntax: SSP reference §14, items 1 to 8.

The peer writes as the observed one does; what the gateway has to do is to understand it all the same.
"""

from __future__ import annotations

from dataclasses import replace

from . import primitives, wire
from .context import PROMPT, Context
from .record import carries
from .rows_ladder import step
from .scenarios import scenario
from .subscriber import THINK
from .transport import Reply
from .wire import Document, Transaction
from .xmltree import E, child


def _send(c: Context, body: bytes, **more) -> int:
    return c.peer.raw(body, c.session().url, c.gateway_domain, **more)


@scenario()
def row_14_1_white_space_and_case(c: Context) -> None:
    c.peer.personality = replace(PROMPT, unescaped_text=False)
    said = c.text("odd case")
    session = c.session()
    message = c.message_to_ada(said, to=[c.ADA.upper().replace("WV:", "wv:")], sender=c.BEA.upper().replace("WV:", "wv:"))
    body = Document([Transaction("request", "0000000012-0", message)], session.own_id).encode(c.p).decode()
    for tag in ("SendMessageRequest", "MessageInfo", "Recipient", "Transaction", "ContentData"):
        body = body.replace(f"<{tag}", f"<{tag.upper()}").replace(f"</{tag}", f"</{tag.upper()}")
    c.check(_send(c, body.encode()) == 200, "refused")
    c.ada_sees("message", text=said)


@scenario()
def row_14_2_declaration_and_namespaces(c: Context) -> None:
    c.peer.personality = PROMPT
    c.watch_bea()
    for n, namespace in enumerate((None, "http://www.wireless-village.org/PA1.1", "http://www.openmobilealliance.org/DTD/WV-PA1.2",
                                   "http://www.openmobilealliance.org/DTD/IMPS-PA1.3")):
        c.peer.personality = replace(PROMPT, presence_namespace=namespace)
        c.publish_status(f"namespace {n}")
        c.ada_sees_status(f"namespace {n}")
    said = c.text("old namespace")
    body = Document([Transaction("Request", c.peer.new_tid(), c.message_to_ada(said))], c.session().own_id).encode(c.p)
    c.check(_send(c, body.replace(b"WV-SSP1.3", b"WV-SSP1.2")) == 200, "refused the namespace of version 1.2")
    c.ada_sees("message", text=said)


@scenario()
def row_14_3_protocol_version_spellings(c: Context) -> None:
    for misspelt in (True, False):
        c.peer.personality = replace(PROMPT, misspelt_version=misspelt)
        c.check(c.dial() is not None, f"no session with the {'wrong' if misspelt else 'right'} spelling")
    token = primitives.send_secret_token(c.p, c.peer.domain, "0123456789abcdef0123456789abcdef")
    del token.attrib["protocolVersion"]
    c.peer.intercept = lambda _inbound, document: Reply(200) if document.is_setup else None
    c.marks["peer"] = c.peer.record.mark()
    answer = c.peer.raw(Document([Transaction("Request", "no-version", token)]).encode(c.p), c.gateway_url, c.gateway_domain)
    c.check(answer == 200, f"step 1 without a version was answered {answer}")
    c.wait(step(2), what="step 2 after a step 1 without a version")


@scenario()
def row_14_4a_ill_formed_cancel_invite(c: Context) -> None:
    c.peer.personality = PROMPT
    note = f"Lunch? {THINK}"  # one that was answered can't be cancelled any more
    c.ask(primitives.invite(c.p, "inv-4a", c.BEA, c.ADA, note))
    c.ada_sees("invitation", note=note)
    answer = c.ask(primitives.cancel_invite(c.p, "inv-4a", c.BEA, c.ADA, "Another day"))
    sent = c.wait(carries("CancelInviteRequest", "out"))[-1]
    c.check("<Canceled/>" in sent["body"] and sent["answer"] == 200, f"the ill-formed document was answered {sent['answer']}")
    c.check(c.code(answer) == 200, f"answered {c.codes(answer)}")
    c.ada_sees("invite_cancelled")


@scenario()
def row_14_4b_unescaped_notes(c: Context) -> None:
    c.peer.personality = PROMPT
    for n, note in enumerate(("fish & chips", "1 < 2", "a <b> & c")):
        answer = c.ask(primitives.invite(c.p, f"inv-4b-{n}", c.BEA, c.ADA, note))
        c.check(c.code(answer) == 200, f"note {note!r}: answered {c.codes(answer)}")
        c.ada_sees("invitation", note=note)
    c.healthy()


@scenario()
def row_14_5_odd_names(c: Context) -> None:
    c.peer.personality = PROMPT
    said = c.text("odd names")
    message = c.message_to_ada(said)
    info = child(message, "MessageInfo")
    info.set("validlity", info.attrib.pop("validity"))
    info.set("ContentName", "note.txt")
    c.check(c.code(c.ask(message)) == 200, "a message with the odd attribute names was refused")
    c.ada_sees("message", text=said)
    odd = E("GetJoinedUsersResponse", None, primitives.status(c.p, 200), E("JoinedUser", None, E("UserMapList", None, E(
        "UserMapping", None, E("Mapping", None, E("SName", text="Robin"), E("UserID", {"userid": c.ADA}))))))
    status = E("Status", {"code": "201"}, E("DetailedResult", {"code": "810"}, E("ScreenName", {"groupID": f"wv:/g@{c.peer.domain}"}, text="Robin")))
    c.check(c.peer.send(c.session(), [Transaction("Response", "0000000077-0", odd), Transaction("Response", "0000000078-0", status)]) == 200,
            "answers with odd names to nothing that was asked were refused")
    c.healthy()


@scenario()
def row_14_6_empty_message_id(c: Context) -> None:
    c.peer.personality = PROMPT
    c.session()
    ref = c.ada.send_message(f"wv:+447700900999@{c.peer.domain}", c.text("nobody there"))
    sent = c.wait(carries("SendMessageResponse", "out"), 30, what="refusal")[-1]
    c.check(sent["answer"] == 200 and 'messageID=""' in sent["body"], f"the refusal with an empty id was answered {sent['answer']}")
    told = lambda e: e["kind"] in ("result", "report") and e["ref"] == ref  # noqa: E731
    c.ada.expect("result", c.seconds(10), c.marks["ada"], ref=ref)
    event = next((e for e in c.ada.events(c.marks["ada"]) if told(e)), None)
    c.check(event is not None and event["code"] != 200, f"the sender was told {event and event['code']}, wanted a failure")
    described = E("Status", {"code": "500"}, E("StatusDescription"))
    c.check(c.peer.send(c.session(), [Transaction("Response", "0000000079-0", described)]) == 200, "an empty description was refused")


@scenario()
def row_14_7_scheme_missing(c: Context) -> None:
    c.peer.personality = PROMPT
    c.watch_bea()
    c.publish_status("no scheme")
    c.ada_sees_status("no scheme")
    c.check('User userID="+' in c.seen(carries("PresenceNotification", "out"))[-1]["body"], "the peer wrote the scheme")
    ref = c.ada.send_message(c.BEA, c.text("report please"))
    c.ada_sees("report", 30, ref=ref, code=200)


@scenario()
def row_14_8_wrong_month(c: Context) -> None:
    c.peer.personality = PROMPT
    for date in (wire.stamp(wrong_month=True), "1970-01-01T00:00:00Z", "2099-01-01T00:00:00Z"):
        said = c.text("dated")
        message = c.message_to_ada(said)
        child(message, "MessageInfo", "DateTime").text = date
        c.check(c.code(c.ask(message)) == 200, f"a message dated {date} was refused")
        c.ada_sees("message", text=said)
    ref = c.ada.send_message(c.BEA, c.text("dated report"))
    c.ada_sees("report", 30, ref=ref, code=200)
