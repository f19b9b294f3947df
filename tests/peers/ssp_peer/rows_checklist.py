"""Scenarios for the checklist (SSP reference §16), the primitive index (§11) and the extensions."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from dataclasses import replace

from . import primitives, wire
from .context import Context
from .ladder import Faults
from .personality import STRICT
from .record import carries
from .rows_ladder import step
from .scenarios import scenario
from .transport import CLOSE, Inbound, Listener, Reply
from .wire import Document, Transaction
from .xmltree import E, attr, child, children, text

MALFORMED = {
    "not XML": b"this is not XML",
    "nothing": b"",
    "unclosed": b"<WV-SSP-Message><Session sessionID='1@x'>",
    "other root": b"<Other><Session sessionID='1@x'><Transaction/></Session></Other>",
    "no child": b"<WV-SSP-Message/>",
    "no grandchild": b"<WV-SSP-Message><Session sessionID='1@x'/></WV-SSP-Message>",
    "other child": b"<WV-SSP-Message><Other><Transaction/></Other></WV-SSP-Message>",
}


def _post(c: Context, body: bytes, **more) -> int:
    return c.peer.raw(body, c.session().url, c.gateway_domain, **more)


def _document(c: Context, *primitives_in: object, tid: str | None = None) -> bytes:
    session = c.session()
    return Document([Transaction("Request", tid or c.peer.new_tid(), p) for p in primitives_in], session.own_id).encode(c.p)


@scenario()
def check_16_1_generous_reading(c: Context) -> None:
    said = c.text("generous")
    body = _document(c, c.message_to_ada(said)).decode()
    body = body.replace("<MessageInfo ", "<Novelty a='b'><c/></Novelty><MessageInfo strange='yes' ", 1)
    body = body.replace("transactionID=", "TransactionID=").replace("deliveryReport=", "DeliveryReport=")
    body = body.replace("<WV-SSP-Message ", "<wv-ssp-message ").replace("</WV-SSP-Message>", "</wv-ssp-message>")
    c.check(_post(c, body.encode()) == 200, "refused a document with unknown parts")
    c.ada_sees("message", text=said)
    said = c.text("media type")
    c.check(_post(c, _document(c, c.message_to_ada(said)), content_type="Application/VND.wv.ssp+XML; charset=utf-8") == 200,
            "refused the media type in other case with a parameter")
    c.ada_sees("message", text=said)


@scenario()
def check_16_1_malformed(c: Context) -> None:
    for what, body in MALFORMED.items():
        answer = _post(c, body)
        c.check(answer == 400, f"{what}: answered {answer}, wanted 400")
    c.healthy()


@scenario()
def check_16_1_doctype_refused(c: Context) -> None:
    said = c.text("entity")
    body = _document(c, c.message_to_ada(said)).decode()
    start = body.index("<WV-SSP-Message")
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(8))
    answer = _post(c, (body[:start] + f"<!DOCTYPE WV-SSP-Message [{laughs}]>" + body[start:]).encode())
    c.check(answer == 400, f"a document type declaration was answered {answer}")
    c.check(not c.ada.expect("message", 1.0, c.marks["ada"], text=said), "a document with a DTD was acted on")
    c.healthy()


@scenario()
def check_16_1_bounded(c: Context) -> None:
    deep = b"<WV-SSP-Message><Session sessionID='1@x'>" + b"<a>" * 20000 + b"</a>" * 20000 + b"</Session></WV-SSP-Message>"
    large = _document(c, c.message_to_ada("x" * (8 << 20)))
    for what, body in (("20000 levels", deep), ("8 MiB", large)):
        started = time.monotonic()
        answer = _post(c, body)
        c.check(not 200 <= answer < 300, f"{what}: taken with {answer}")
        c.check(time.monotonic() - started < 10, f"{what}: took {time.monotonic() - started:.0f} s")
    c.healthy()


@scenario()
def check_16_2_acknowledges_at_once(c: Context) -> None:
    c.session()
    let_go = threading.Event()

    def hold_answers(_inbound, document: Document):
        if any(t.name == "SendMessageResponse" for t in document.transactions):
            let_go.wait(5)
        return None

    c.peer.intercept = hold_answers
    exchanges = [c.put(c.message_to_ada(c.text(f"quick {n}"))) for n in range(3)]
    try:
        found = c.wait(lambda e: carries("SendMessageRequest", "out")(e) and e["answer"], 4, 3, "acknowledged messages")
        slow = max(e["answered_at"] - e["at"] for e in found)
        c.check(slow < 2, f"an acknowledgement took {slow:.1f} s")
    finally:
        let_go.set()
    for exchange in exchanges:
        c.check(c.code(c.answers(exchange, 1)[0]) == 200, "not answered afterwards")


@scenario()
def check_16_3_session_ids(c: Context) -> None:
    c.check(c.dial() is not None, "no session")
    login = c.wait(carries("LoginResponse"), what="login response")[-1]["transactions"][0]
    opaque, _, domain = login["sessionID"].partition("@")
    c.check(opaque and domain == c.session_domain, f"session id {login['sessionID']} is not <opaque>@{c.session_domain}")
    announced = {s.peer_id for s in c.peer.sessions(c.session_domain)}
    c.healthy()
    used = {e["session"] for e in c.seen(lambda e: e["dir"] == "in" and e["session"] is not None)}
    c.check(used <= announced, f"the gateway wrote session ids {used - announced} that it never announced")


@scenario()
def check_16_3_unknown_session(c: Context) -> None:
    session, said = c.session(), c.text("stranger")
    for wrong in ("999999@" + c.peer.domain, session.peer_id, ""):
        document = Document([Transaction("Request", c.peer.new_tid(), c.message_to_ada(said))], wrong)
        answer = c.peer.post(session.url, document, {}, c.gateway_domain)
        c.check(answer in (403, 404, 400, CLOSE), f"session id {wrong!r} was answered {answer}")
        c.check(answer != CLOSE, f"session id {wrong!r}: connection closed without an answer (§1.2 [R]: 403 or 404)")
    c.check(not c.ada.expect("message", 1.0, c.marks["ada"], text=said), "a message under an unknown session was delivered")
    c.healthy()


@scenario("partner", "home", "strict")
def check_16_4_ladder(c: Context) -> None:
    c.check(c.dial() is not None, "no session")
    tid = c.seen(step(1, "out"))[0]["transactions"][0]["tid"]
    for number, fixed in ((2, None), (4, tid), (6, tid)):
        seen = c.wait(step(number), what=f"step {number}")[0]["transactions"][0]
        c.check(fixed is None or seen["tid"] == fixed, f"step {number} has transaction id {seen['tid']}, wanted {fixed}")
        if number < 6:
            c.check(seen["serviceID"] == f"wv:@{c.session_domain}", f"step {number} has serviceID {seen['serviceID']}")
    c.healthy()


@scenario()
def check_16_4_simultaneous_opening(c: Context) -> None:
    before = tuple(c.peer.sessions(c.session_domain))
    c.make_gateway_dial()
    ours = c.dial()
    c.check(ours is not None, "our ladder failed beside the gateway's")
    c.bea_gets(c.marks["text"], 60)
    sessions = [s for s in c.peer.sessions(c.session_domain) if s not in before]
    for session in sessions:
        said = c.text("either session")
        document = Document([Transaction("Request", c.peer.new_tid(), c.message_to_ada(said))], session.own_id)
        c.check(c.peer.post(session.url, document, {}, c.session_domain) == 200, f"session opened by {session.opened_by} is not valid")
        c.ada_sees("message", text=said)


@scenario()
def check_16_5_encoding_in_any_case(c: Context) -> None:
    for lower in (False, True):
        c.peer.personality = replace(STRICT, lower_base64=lower)
        c.check(c.dial() is not None, f"no session with encoding in {'lower' if lower else 'upper'} case")
    c.peer.ladders.faults = Faults(secret_encoding="BASE64")
    c.check(c.dial() is not None, "no session with a base64 secret")


@scenario()
def check_16_6_content_in_base64(c: Context) -> None:
    c.session()
    said = c.text("ünïcödé ✓ <&>")
    c.ada.send_message(c.BEA, said)
    c.bea_gets(said, 30)
    entry = c.wait(carries("SendMessageRequest"), what="message")[0]
    content = child(wire.decode(entry["body"].encode()).transactions[0].primitive, "ContentData")
    c.check((attr(content, "encoding") or "").lower() == "base64", "the content is not in base64")


@scenario()
def check_16_7_foreign_sender_domain(c: Context) -> None:
    said = c.text("foreign")
    c.expect_code(c.message_to_ada(said, sender="wv:mallory@charlie.example"), 901)
    c.expect_code(primitives.subscribe(c.p, "wv:mallory@charlie.example", [c.ADA]), 901)
    c.check(not c.ada.expect("message", 1.0, c.marks["ada"], text=said), "delivered all the same")


@scenario("partner")
def check_16_7_recipient_not_ours(c: Context) -> None:
    c.expect_code(c.message_to_ada(c.text("relay"), to=["wv:+447700900789@charlie.example"]), 516)


@scenario("home")
def check_16_7_third_domain_from_home(c: Context) -> None:
    to = c.third_user or "wv:nobody@nowhere.invalid"
    answer = c.ask(c.message_to_ada(c.text("onward"), to=[to]), timeout=30)
    c.check((c.code(answer) == 200) == bool(c.third_user), f"a user of a third domain: answered {c.codes(answer)}")


@scenario()
def check_16_7_unknown_user(c: Context) -> None:
    nobody = f"wv:+447700900999@{c.gateway_domain}"
    c.expect_code(c.message_to_ada(c.text("nobody"), to=[nobody]), 531)
    c.expect_code(primitives.subscribe(c.p, c.BEA, [nobody]), 531)
    c.expect_code(primitives.invite(c.p, "inv-nobody", c.BEA, nobody), 531)


@scenario()
def check_16_7_some_recipients_unknown(c: Context) -> None:
    said = c.text("some")
    answer = c.ask(c.message_to_ada(said, to=[c.ADA, f"wv:+447700900999@{c.gateway_domain}"]))
    c.check(c.codes(answer) == [201, 531], f"answered {c.codes(answer)}, wanted 201 with 531")
    c.ada_sees("message", text=said)
    c.check(c.ada_count("message", text=said) == 1, "delivered more than once")


@scenario()
def check_16_7_unknown_primitive(c: Context) -> None:
    c.session()
    first, last = c.text("before"), c.text("after")
    tids = [c.peer.new_tid() for _ in range(3)]
    odd = E("WhatIsThisRequest", None, primitives.meta_info(c.BEA))
    batch = [Transaction("Request", t, p) for t, p in zip(tids, (c.message_to_ada(first), odd, c.message_to_ada(last)))]
    c.check(c.peer.send(c.session(), batch) == 200, "the document was not taken")
    c.ada_sees("message", text=first)
    c.ada_sees("message", text=last)
    c.wait(lambda e: any(t["tid"] == tids[2] and t["mode"] == "Response" for t in e["transactions"]), what="answer to the last")
    answers = {}
    for entry in c.seen(lambda e: e["dir"] == "in" and e["session"] is not None):
        answers.update({t.tid: c.code(t) for t in wire.decode(entry["body"].encode()).transactions if not t.is_request})
    c.check([answers.get(t) for t in tids] == [200, 405, 200], f"answered {[answers.get(t) for t in tids]}, wanted 200 405 200")


@scenario()
def check_16_9_retries_until_taken(c: Context) -> None:
    c.session()
    refusals = [Reply(CLOSE), Reply(503), Reply(500)]

    def refuse(_inbound, document: Document):
        return refusals.pop() if refusals and any(t.name == "SendMessageRequest" for t in document.transactions) else None

    c.peer.intercept = refuse
    said = c.text("again")
    c.ada.send_message(c.BEA, said)
    c.bea_gets(said, 180)
    ids = set()
    for entry in c.seen(carries("SendMessageRequest")):
        for transaction in wire.decode(entry["body"].encode()).transactions:
            info = child(transaction.primitive, "MessageInfo")
            if info is not None:
                ids.add(attr(info, "messageID"))
    c.check(len(ids) == 1, f"the attempts carry {len(ids)} message ids")


@scenario()
def check_16_9_no_retry_after_an_error(c: Context) -> None:
    c.session()
    c.bea.blocked.add(str(wire.Address.parse(c.ADA)))
    c.ada.send_message(c.BEA, c.text("unwanted"))
    c.wait(carries("SendMessageResponse", "out"), 30, what="refusal")
    again = c.peer.record.wait(carries("SendMessageRequest"), 12 * c.scale, c.marks["peer"], 2)
    c.check(len(again) == 1, "a message that was answered with an error was sent again")


@scenario()
def check_16_10_old_sessions_stay_valid(c: Context) -> None:
    older = c.session()
    c.check(c.dial() is not None, "no second session")
    said = c.text("older session")
    document = Document([Transaction("Request", c.peer.new_tid(), c.message_to_ada(said))], older.own_id)
    c.check(c.peer.post(older.url, document, {}, c.gateway_domain) == 200, "the older session is not valid any more")
    c.ada_sees("message", text=said)


@scenario()
def index_11_presence_and_invitations(c: Context) -> None:
    c.expect_code(primitives.subscribe(c.p, c.BEA, [c.ADA], ("OnlineStatus", "StatusText")), 200)
    c.wait(carries("PresenceNotification"), 20, what="presence notification")
    c.ada.publish({"StatusText": "On the 08:15"})
    c.peer.home.changed.acquire()
    try:
        arrived = c.peer.home.changed.wait_for(lambda: any(e["kind"] == "presence" and e["values"].get("StatusText") == "On the 08:15"
                                                           for e in c.bea.events), c.seconds(20))
    finally:
        c.peer.home.changed.release()
    c.check(arrived, "the change of presence did not arrive")
    c.expect_code(primitives.unsubscribe(c.p, c.BEA, [c.ADA]), 200)


@scenario()
def index_11_group_primitives_are_answered(c: Context) -> None:
    # The embedded home domain has no such group, and says so of each primitive.
    group = f"wv:{c.ada_number}/nothing@{c.gateway_domain}"
    for tag in primitives.GROUP_PRIMITIVES:
        inner = [E("UserID", {"userID": c.BEN})] if tag in ("AddGroupMemberRequest", "RemoveGroupMemberRequest") else []
        answer = c.ask(primitives.group_request(tag, c.BEA, group, None, *inner))
        c.check(c.code(answer) == 800, f"{tag} about a group that is not there: {c.codes(answer)}")


@scenario()
def index_11_group_of_the_gateway(c: Context) -> None:
    topic = c.text("walk")
    group = c.ada.open_group(topic, c.BEA)
    invited = c.wait(carries("InviteRequest", inviteType="GR"), 20, what="invitation to the group")
    c.check(bool(invited), "nobody was invited")
    answer = c.ask(primitives.group_request("JoinGroupRequest", c.BEN, group))
    c.check(c.code(answer) == 810, f"somebody who was not invited was answered {c.codes(answer)}")
    name = E("ScreenName", {"groupID": group}, text="Bea & Söhne")
    answer = c.ask(primitives.group_request("JoinGroupRequest", c.BEA, group, {"joinedListRequest": "Yes", "subscribeNotif": "Yes"}, name))
    c.check(answer.name == "JoinGroupResponse" and c.code(answer) == 200, f"joining was answered {answer.name} {c.codes(answer)}")
    for tag, answered in (("GetGroupSubStatusRequest", "GetGroupSubStatusResponse"), ("GetJoinedUsersRequest", "GetJoinedUsersResponse"),
                          ("GetGroupPropsRequest", "GetGroupPropsResponse")):
        answer = c.ask(primitives.group_request(tag, c.BEA, group))
        c.check(answer.name == answered and c.code(answer) == 200, f"{tag} was answered {answer.name} {c.codes(answer)}")
    answer = c.ask(primitives.group_request("DeleteGroupRequest", c.BEA, group))
    c.check(c.code(answer) == 816, f"an ordinary member's deletion was answered {c.codes(answer)}")
    said = c.text("to the group")
    answer = c.ask(primitives.to_group(c.p, c.BEA, group, said, "g-" + said[-8:]))
    c.check(c.code(answer) == 200, f"a message to the group was answered {c.codes(answer)}")
    c.ada_sees("message", text=said)
    back = c.text("from the group")
    c.ada.send_message(group, back)
    c.wait(carries("SendMessageRequest"), 20, what="message of the group")
    with c.peer.home.changed:
        arrived = c.peer.home.changed.wait_for(lambda: [e for e in c.bea.events if e["kind"] == "message" and e["text"] == back], c.seconds(20))
    c.check(bool(arrived) and arrived[0].get("screen_name") == "Ada", f"the group's message came as {arrived}")
    answer = c.ask(primitives.to_group(c.p, c.BEN, group, c.text("let me in"), "g-stranger"))
    c.check(808 in c.codes(answer), f"a stranger's message to the group was answered {c.codes(answer)}")
    c.ada.end_group(group)
    c.wait(carries("LeaveGroupIndication", groupID=group), 20, what="end of the group")
    answer = c.ask(primitives.group_request("LeaveGroupRequest", c.BEA, group))
    c.check(800 in c.codes(answer), f"leaving a group that has ended was answered {c.codes(answer)}")


@scenario("strict")
def strict_documents_carry_many(c: Context) -> None:
    c.session()
    said, crowd = c.text("batch"), [u for u in c.peer.home.users.values() if u.local not in (c.bea_number, c.ben_number)]
    c.check(len(crowd) >= 32, f"only {len(crowd)} people to write to; a conversation has one document at a time")
    asked, full = threading.Semaphore(0), threading.Event()

    def send(user) -> None:
        asked.release()
        c.ada.send_message(c.peer.home.address(user.local), f"{said} {user.local}")

    def hold(_inbound: Inbound, document: Document) -> None:
        if not document.is_setup:
            full.wait(c.seconds(10))

    c.peer.intercept = hold
    try:
        with concurrent.futures.ThreadPoolExecutor(len(crowd)) as pool:
            sent = [pool.submit(send, user) for user in crowd]
            for _ in crowd:
                asked.acquire()
            held = c.peer.record.wait(carries("SendMessageRequest"), c.seconds(10), c.marks["peer"], 4)
            threading.Event().wait(0.5)  # nothing tells that the gateway has read the rest
            full.set()
            for one in sent:
                one.result()
    finally:
        full.set()
        c.peer.intercept = None
    c.check(len(held) == 4, f"{len(held)} documents were under way at once, wanted 4")
    for user in crowd:
        texts = [e["text"] for e in user.events if e["kind"] == "message"]
        c.check(texts == [f"{said} {user.local}"], f"{user.local} has the messages {texts}")
    documents = c.wait(carries("SendMessageRequest"))
    sizes = [len(e["transactions"]) for e in documents]
    c.check(sum(sizes) == len(crowd), f"{sum(sizes)} transactions for {len(crowd)} messages")
    c.check(1 < max(sizes) <= 32, f"the documents carried {sizes} transactions")
    c.check(c.ada_count("result", code=200) == len(crowd), "not every message was answered as taken")


def _found(answer: Transaction) -> list[str]:
    return [str(wire.Address.parse(attr(u, "userID")).local) for u in children(child(answer.primitive, "SearchResult", "UserList"), "User")]


@scenario()
def ext_search_exact(c: Context) -> None:
    answer = c.ask(primitives.search(c.p, c.BEA, "USER_MOBILE_NUMBER", c.ada_number), timeout=20)
    c.check(answer.name == "SearchResponse" and _found(answer) == [c.ada_number], f"answered {answer.name} {c.codes(answer)} {_found(answer)}")
    listed = E("SearchRequest", {"searchLimit": 5}, primitives.meta_info(c.BEA), E("SearchPairList", None, E(
        "SearchPair", None, E("SearchElement", text="USER_MOBILE_NUMBER"), E("SearchString", text=c.ada_number))))
    answer = c.ask(listed, timeout=20)
    c.check(_found(answer) == [c.ada_number], f"client-protocol style: answered {answer.name} {c.codes(answer)}")


@scenario()
def ext_search_wildcard(c: Context) -> None:
    for value in ("+4477009001*", "+44770090012?", "900123", "*"):
        c.expect_code(primitives.search(c.p, c.BEA, "USER_MOBILE_NUMBER", value), 402)


@scenario()
def ext_search_unknown_number(c: Context) -> None:
    answer = c.ask(primitives.search(c.p, c.BEA, "USER_MOBILE_NUMBER", "+447700900999"), timeout=20)
    c.check(not _found(answer), f"found {_found(answer)}")
    c.check(c.code(answer) in (200, 404, 531), f"answered {answer.name} {c.codes(answer)}")


@scenario()
def ext_stop_search(c: Context) -> None:
    c.check(c.code(c.ask(primitives.stop_search("s-1", c.BEA))) in (200, 424), "StopSearchRequest is not answered 200 or 424")


@scenario()
def ext_search_by_gateway(c: Context) -> None:
    c.session()
    code, users = c.ada.search(c.bea_number)
    locals_found = [wire.Address.parse(u).local for u in users]
    c.check(code == 200 and c.bea_number in locals_found, f"code {code}, found {users}")
    c.wait(carries("SearchRequest"), 5, what="search at the peer")


@scenario()
def ext_contact_added_by_peer(c: Context) -> None:
    c.expect_code(primitives.contact_added(c.BEA, [c.ADA], "Bea"), 200)
    c.ada_sees("contact_added", sender=c.BEA)


@scenario()
def ext_contact_added_by_gateway(c: Context) -> None:
    c.session()
    c.ada.add_contact(c.BEA)
    notice = c.wait(carries("NotificationRequest", notificationType="ATCL"), 30, what="ATCL notice")[0]
    primitive = wire.decode(notice["body"].encode()).transactions[0].primitive
    c.check(wire.Address.parse(attr(child(primitive, "UserID"), "userID")).local == c.bea_number, "the notice does not name Bea")


@scenario()
def ext_keep_alive(c: Context) -> None:
    answer = c.ask(primitives.keep_alive(600))
    c.check(answer.name == "KeepAliveResponse" and c.code(answer) == 200, f"answered {answer.name} {c.codes(answer)}")
    ttl = int(attr(answer.primitive, "timeToLive") or text(child(answer.primitive, "TimeToLive")) or 0)
    c.check(0 < ttl <= 600, f"time to live {ttl}")


@scenario()
def ext_logout(c: Context) -> None:
    session = c.dial()
    c.check(session is not None, "no session")
    tid = c.peer.new_tid()
    c.peer.send(session, [Transaction("Request", tid, primitives.logout())])
    c.wait(lambda e: any(t["tid"] == tid and t["mode"] == "Response" for t in e["transactions"]), what="answer to the logout")
    answer = c.peer.send(session, [Transaction("Request", c.peer.new_tid(), c.message_to_ada("too late"))])
    c.check(not 200 <= answer < 300, f"a session that was logged out is answered {answer}")
    c.peer.drop_session(session)
    c.check(c.dial() is not None, "no new session after a logout")


def _elsewhere(c: Context, answer) -> Listener:
    """Another server of the peer's, on a port that discovery does not name."""
    return Listener(0, answer, c.peer.tls, lambda _: None)


def _url(c: Context, listener: Listener) -> str:
    return f"{'https' if c.peer.tls else 'http'}://127.0.0.1:{listener.port}/"


@scenario()
def ext_redirect(c: Context) -> None:
    came = threading.Event()

    def at_the_other(inbound: Inbound) -> Reply:
        c.peer.ladders.faults.redirect = []
        came.set()
        return c.peer.receive(inbound)

    other = _elsewhere(c, at_the_other)
    try:
        # Nobody listens at the first, and the second must not be followed because it is nobody's URL.
        c.peer.ladders.faults.redirect = ["ftp://127.0.0.1/", _url(c, other)]
        c.make_gateway_dial()
        c.check(came.wait(c.seconds(60)), "the gateway did not follow the redirect")
        c.bea_gets(c.marks["text"], 60)
    finally:
        other.close()
        c.lose_sessions()
    said = c.text("by the first server again")
    c.check(c.dial() is not None, "no session after the other server went away")
    c.ada.send_message(c.BEA, said)
    c.bea_gets(said, 60)


@scenario()
def ext_redirect_in_a_circle(c: Context) -> None:
    c.peer.personality = replace(STRICT, step2_delay=0.0)
    c.peer.ladders.faults.redirect = [c.peer.url]
    c.make_gateway_dial()
    c.wait(step(6, "out"), 40, what="redirect sent")
    # A ladder takes some milliseconds, the pause after a failed one a second.
    c.never(lambda e: carries("SendSecretToken", "in", "Request")(e) and len(c.step1s()) > 6, 2, "a handshake for every turn of the circle")
    c.peer.ladders.faults.redirect = []
    c.bea_gets(c.marks["text"], 60)


@scenario()
def ext_via_loop(c: Context) -> None:
    message = c.message_to_ada(c.text("loop"))
    child(message, "MetaInfo").append(E("Via", {"domain": c.gateway_domain}))
    c.expect_code(message, 516)


@scenario()
def ext_bare_msisdn(c: Context) -> None:
    said = c.text("bare")
    bare = primitives.send_message(c.p, f"wv:{c.bea_number}", [f"wv:{c.ada_number}"], said, "bare-" + said[-8:], requestor=f"wv:{c.bea_number}")
    child(bare, "MetaInfo", "Requestor").set("serviceID", wire.service_id(c.peer.domain))
    c.expect_code(bare, 200)
    c.ada_sees("message", text=said)
