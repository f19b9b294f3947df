"""Scenarios for the role `sandbox`: a partner tests his server against a sandbox, by the tables of `zones/README.md`.

Each scenario takes one column, or one table, and plays every row of it. What a cell says is what must happen; a word that is not
known here fails the scenario, so that the tables and the walk stay together.
"""

from __future__ import annotations

import pathlib
import re
import secrets
import threading
import time
import xml.etree.ElementTree as ET
from dataclasses import replace

from . import primitives, wire
from .context import Context
from .node import Exchange
from .personality import STRICT
from .record import carries
from .scenarios import SANDBOX_ROLE, scenario
from .subscriber import LocalSubscriber
from .wire import Transaction
from .xmltree import attr, child, children, name

PAGE = pathlib.Path(__file__).resolve().parents[3] / "zones/README.md"
ECHO, BEA, ADA = "+447700900101", "+447700900456", "+447700900123"
MAY_PASS = (500, 503, 504, 507, 521, 522, 535)  # a notice that is answered so is kept and tried again
A_MINUTE = 60  # answers of one robot to one person


def table(heading: str) -> list[dict[str, str]]:
    """The rows below a heading, by the names of the columns."""
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in section.splitlines() if line.startswith("|")]
    return [dict(zip(lines[0], cells, strict=True)) for cells in lines[2:]]


def _robots(c: Context) -> list[dict[str, str]]:
    rows = table("Robots")
    c.check(len(rows) >= 14, f"{len(rows)} robots in the table")
    return rows


def _status(cell: str) -> int | None:
    return int(cell[:3]) if cell[:3].isdigit() else None


def _after(cell: str, word: str = "after") -> float:
    found = re.search(rf"{word} (\d+) s", cell)
    return float(found[1]) if found else 0.0


def _me(c: Context) -> LocalSubscriber:
    return LocalSubscriber(c.peer, c.bea_number)


def _at_alpha(number: str) -> str:
    return f"wv:{number}@alpha.example"


def _timed(c: Context, exchange: Exchange) -> tuple[Transaction, float]:
    """The first answer, and how long it took."""
    answer = c.answers(exchange, 1, 30)[0]
    return answer, time.monotonic() - exchange.started


def _expect(c: Context, row: dict[str, str], column: str, primitive: ET.Element) -> Transaction:
    """The answer has the status of the cell, and does not come before its time."""
    answer, took = _timed(c, c.put(primitive))
    wanted = _status(row[column])
    codes = c.codes(answer)
    c.check(wanted in codes and (wanted == 200 or 200 not in codes), f"{column} of {row['number']} was answered {answer.name} {codes}, wanted {wanted}")
    c.check(took >= _after(row[column]), f"{column} of {row['number']} was answered after {took:.1f} s")
    return answer


def _sees(c: Context, kind: str, timeout: float, where=lambda _: True, since: int = 0, **facts) -> dict:
    event = _me(c).expect(kind, c.seconds(timeout), since, where, **facts)
    c.check(event is not None, f"never saw {kind} {facts}")
    return event


def _message(c: Context, number: str, text: str, message_id: str, report: bool = False, validity: int | None = None) -> ET.Element:
    message = primitives.send_message(c.p, c.BEA, [_at_alpha(number)], text, message_id, report)
    if validity is not None:
        child(message, "MessageInfo").set("validity", str(validity))
    return message


@scenario(SANDBOX_ROLE)
def sandbox_is_found_by_dns(c: Context) -> None:
    for domain, port in (("alpha.example", 17101), ("beta.example", 17201), ("charlie.example", c.peer.listener.port)):
        found = c.peer.dns.servers(domain)
        c.check([at for _, at in found] == [port], f"{domain} is at {found}")
        c.check(c.peer.dns.address(found[0][0]), f"{found[0][0]} has no address")
    c.check(c.dial() is not None, "no session with alpha.example")


@scenario(SANDBOX_ROLE)
def sandbox_searches(c: Context) -> None:
    for row in _robots(c):
        answer, took = _timed(c, c.put(primitives.search(c.p, c.BEA, "USER_MOBILE_NUMBER", row["number"])))
        users = children(child(answer.primitive, "SearchResult", "UserList"), "User")
        names = [attr(user, "friendlyName") for user in users]
        cell = row["search"].split(" after ")[0]
        c.check(cell in ("found", "nobody") or cell.isdigit(), f"the table says {row['search']!r}")
        wanted = (_status(cell) or 200, [row["name"]] if cell == "found" else [])
        c.check((c.code(answer), names) == wanted, f"the search for {row['number']} was answered {answer.name} {c.codes(answer)} {names}, wanted {wanted}")
        c.check(took >= _after(row["search"]), f"the search for {row['number']} was answered after {took:.1f} s")


@scenario(SANDBOX_ROLE)
def sandbox_messages(c: Context) -> None:
    for row in _robots(c):
        _expect(c, row, "message", _message(c, row["number"], c.text("hello"), secrets.token_hex(6)))


@scenario(SANDBOX_ROLE)
def sandbox_reports(c: Context) -> None:
    began, sent = time.monotonic(), {}
    for row in _robots(c):
        message_id = secrets.token_hex(6)
        _expect(c, row, "message", _message(c, row["number"], c.text("report"), message_id, True, 2 if "expires" in row["report"] else None))
        sent[row["number"]] = (message_id, time.monotonic())
    for row in _robots(c):
        message_id, at = sent[row["number"]]
        if row["report"] == "none":
            continue
        report = _sees(c, "report", 30, message_id=message_id)
        c.check(report["code"] == _status(row["report"]), f"the report of {row['number']} says {report['code']}")
        entries = c.wait(lambda e, m=message_id: carries("DeliveryStatusReport")(e) and m in e["body"], 5, what="report")
        waited = entries[0]["at"] - (time.time() - (time.monotonic() - at))
        c.check(waited >= _after(row["report"]) - 0.5, f"the report of {row['number']} came after {waited:.1f} s")
    refused = [sent[row["number"]][0] for row in _robots(c) if row["report"] == "none"]
    told = [e for e in _me(c).events() if e["kind"] == "report" and e["message_id"] in refused]
    c.check(not told, f"reports of messages that were refused: {told}")
    c.check(time.monotonic() - began < 60, "the reports took a minute")


@scenario(SANDBOX_ROLE)
def sandbox_answers_of_robots(c: Context) -> None:
    for row in _robots(c):
        said = c.text(f"answer me, {row['name']} ☕")
        wanted = {"echoed": [said], "answered by 3 devices": [f"device {n}: {said}" for n in (1, 2, 3)]}
        what = row["message"].partition(", ")[2]
        c.check(not what or what in wanted, f"the table says {row['message']!r}")
        _expect(c, row, "message", _message(c, row["number"], said, secrets.token_hex(6)))
        for text in wanted.get(what, []):
            _sees(c, "message", 10, text=text, sender=_at_alpha(row["number"]))
    texts = [e["text"] for e in _me(c).events() if e["kind"] == "message"]
    c.check(len(texts) == 4, f"robots that were written to once each sent {texts}")


@scenario(SANDBOX_ROLE)
def sandbox_presence(c: Context) -> None:
    watched, events = [], _me(c)
    try:
        for row in _robots(c):
            since = time.monotonic()
            answer, _ = _timed(c, c.put(primitives.subscribe(c.p, c.BEA, [_at_alpha(row["number"])])))
            wanted = _status(row["presence"])
            c.check((wanted or 200) in c.codes(answer), f"a subscription to {row['number']} was answered {c.codes(answer)}")
            if wanted is None:
                watched.append((row, since))
        for row, since in watched:
            mark = 0
            for state in row["presence"].split(", "):
                word = state.split(" ")[0]
                shown = {"online": "T", "offline": "F", "nothing": None}
                c.check(word in shown or word == "another", f"the table says {state!r}")
                of_him = [wire.Address.parse(f"wv:{row['number']}").local]
                holds = (lambda e: "change" in e["values"].get("StatusText", "")) if word == "another" else (lambda e, w=word: e["values"].get("OnlineStatus") == shown[w])
                event = events.expect("presence", c.seconds(25), mark, lambda e: wire.Address.parse(e["user"]).local in of_him and holds(e))
                c.check(event is not None, f"{row['number']} never showed {state!r}")
                mark = next(n for n, e in enumerate(events.events()) if e == event) + 1
                took = time.monotonic() - since
                c.check(took + 1 >= _after(state), f"{row['number']} showed {state!r} after {took:.1f} s")
                since = time.monotonic()
        _sees(c, "presence", 12, lambda e: "change" in e["values"].get("StatusText", ""), since=len(events.events()))
    finally:
        c.peer.request("alpha.example", primitives.unsubscribe(c.p, c.BEA, [_at_alpha(row["number"]) for row, _ in watched]), c.bea_number).wait(20)


@scenario(SANDBOX_ROLE)
def sandbox_invitations(c: Context) -> None:
    sent = {}
    for row in _robots(c):
        invite_id = secrets.token_hex(6)
        _expect(c, row, "invitation", primitives.invite(c.p, invite_id, c.BEA, _at_alpha(row["number"]), "Lunch?"))
        sent[row["number"]] = (invite_id, row["invitation"].partition(", ")[2])
    known = {"accepted": True, "refused": False, "no answer": None, "": None}
    for number, (invite_id, what) in sent.items():
        c.check(what in known, f"the table says {what!r}")
        if known[what] is not None:
            event = _sees(c, "invite_answer", 10, invite_id=invite_id)
            c.check(event["accepted"] is known[what], f"{number} answered {event}")
    silent = {invite_id for invite_id, what in sent.values() if known[what] is None}
    answered = [e for e in _me(c).events() if e["kind"] == "invite_answer" and e["invite_id"] in silent]
    c.check(not answered, f"answered: {answered}")
    for number, (invite_id, what) in sent.items():
        if what == "no answer":
            c.expect_code(primitives.cancel_invite(c.p, invite_id, c.BEA, _at_alpha(number), "Another time"), 200)


@scenario(SANDBOX_ROLE)
def sandbox_being_added(c: Context) -> None:
    for row in _robots(c):
        _expect(c, row, "added", primitives.contact_added(c.BEA, [_at_alpha(row["number"])], "Cay"))
    friends = [row for row in _robots(c) if "adds back" in row["added"]]
    c.check(len(friends) == 1, f"{len(friends)} add back")
    for row in friends:
        _sees(c, "contact_added", 10, sender=_at_alpha(row["number"]))
        began = c.wait(carries("SubscribeRequest"), 10, what="subscription of who added back")[0]["at"]
        ended = c.wait(carries("UnsubscribeRequest"), 25, what="end of the subscription")[0]["at"]
        c.check(ended - began >= _after(row["added"], "for") - 1, f"it was over after {ended - began:.1f} s")
    c.check(sum(1 for e in _me(c).events() if e["kind"] == "contact_added") == 1, "somebody else added back")


@scenario(SANDBOX_ROLE)
def sandbox_refused_numbers(c: Context) -> None:
    rows = table("Numbers that are refused")
    c.check(len(rows) > 40, f"{len(rows)} rows")
    for row in sorted(rows, key=lambda row: row["status"] == "405"):
        to, said = _at_alpha(row["number"]), c.text("no")
        for asked in (
            primitives.search(c.p, c.BEA, "USER_MOBILE_NUMBER", row["number"]),
            _message(c, row["number"], said, secrets.token_hex(6)),
            primitives.subscribe(c.p, c.BEA, [to]),
            primitives.get_presence(c.p, c.BEA, [to]),
            primitives.invite(c.p, secrets.token_hex(6), c.BEA, to, "Lunch?"),
            primitives.contact_added(c.BEA, [to], "Cay"),
        ):
            answer, _ = _timed(c, c.put(asked))
            is_kept = name(asked) == "NotificationRequest" and int(row["status"]) in MAY_PASS
            c.check((200 if is_kept else int(row["status"])) in c.codes(answer), f"{name(asked)} for {row['number']} was answered {answer.name} {c.codes(answer)}")
    c.expect_code(_message(c, "+447700900099", c.text("nobody"), secrets.token_hex(6)), 531)


@scenario(SANDBOX_ROLE)
def sandbox_several_at_once(c: Context) -> None:
    said = c.text("all of you")
    message = primitives.send_message(c.p, c.BEA, [_at_alpha(n) for n in (ECHO, "+447700900103", "+447700900507", "+447700900170")], said, secrets.token_hex(6))
    answer, _ = _timed(c, c.put(message))
    c.check(c.code(answer) == 201 and sorted(c.codes(answer)[1:]) == [507, 531, 532], f"answered {c.codes(answer)}")
    _sees(c, "message", 10, text=said)


@scenario(SANDBOX_ROLE)
def sandbox_numbers_that_go_wrong(c: Context) -> None:
    rows = table("Numbers that go wrong on purpose")
    c.check(len(rows) > 25, f"{len(rows)} rows")
    for row in rows:
        message = primitives.send_message(c.p, c.BEA, [f"wv:{row['number']}"], c.text("wrong"), secrets.token_hex(6))
        answer, _ = _timed(c, c.put(message))
        wanted = 516 if row["result"] == "none" else 531
        c.check(wanted in c.codes(answer), f"a message for {row['number']} was answered {c.codes(answer)}, wanted {wanted}")


@scenario(SANDBOX_ROLE)
def sandbox_ported_number_at_beta(c: Context) -> None:
    rows = [row for row in _robots(c) if row["leads to"] == "beta.example"]
    c.check(len(rows) == 2, f"{len(rows)} rows")
    for row in rows:
        message_id = secrets.token_hex(6)
        message = primitives.send_message(c.p, c.BEA, [f"wv:{row['number']}@beta.example"], c.text("at Beta"), message_id, True)
        exchange = c.peer.request("beta.example", message, c.bea_number)
        codes = c.codes(c.answers(exchange, 1, 30)[0])
        c.check(_status(row["message"]) in codes, f"beta.example answered {codes} for {row['number']}")
        if row["report"] != "none":
            _sees(c, "report", 20, message_id=message_id, code=_status(row["report"]))


@scenario(SANDBOX_ROLE)
def sandbox_dials_the_partner(c: Context) -> None:
    c.session()
    message_id = secrets.token_hex(6)
    late = next(row for row in _robots(c) if _after(row["report"]))
    c.expect_code(_message(c, late["number"], c.text("late"), message_id, True), 200)
    c.peer.dials = False
    c.lose_sessions()
    c.marks["peer"] = c.peer.record.mark()
    _sees(c, "report", 60, message_id=message_id, code=200)
    first = c.wait(carries("SendSecretToken", "in", "Request"), what="handshake of the sandbox")[0]
    c.check("alpha.example" in first["client_names"], f"the sandbox showed a certificate for {first['client_names']}")


@scenario(SANDBOX_ROLE)
def sandbox_odd_messages(c: Context) -> None:
    for kind, text in (("image/png", c.text("no picture")), ("text/html", c.text("<b>&amp;") + "</b>"), ("text/plain", c.text("long") + "é" * 30000)):
        message = _message(c, ECHO, text, secrets.token_hex(6))
        for part in ("MessageInfo", "ContentData"):
            child(message, part).set("contentType", kind)
        c.expect_code(message, 200)
        _sees(c, "message", 10, text=text)
        c.wait(lambda e, k=kind: carries("SendMessageRequest")(e) and f'contentType="{k}"' in e["body"], 5, what=f"echo of {kind}")
    # Whatever else comes, the robots live on.
    for text in ("", "\x01\x00\x1b[31m", "\u202e\ufeff", "x" * 70000):
        c.ask(_message(c, ECHO, text, secrets.token_hex(6)))
    for sender in ("wv:a/b@charlie.example", "wv:%2F..%2F?#@charlie.example", f"wv:{'n' * 200}@charlie.example", "wv:@charlie.example", "wv:/group@charlie.example"):
        for number in (ECHO, "+447700900106", "+447700900109", "+447700900111"):
            for asked in (primitives.send_message(c.p, sender, [_at_alpha(number)], c.text("who"), secrets.token_hex(6)),
                          primitives.subscribe(c.p, sender, [_at_alpha(number)]), primitives.contact_added(sender, [_at_alpha(number)], "<Odd>\u202e"),
                          primitives.invite(c.p, secrets.token_hex(6), sender, _at_alpha(number), "who?")):
                c.ask(asked)
    for number, what in ((ECHO, "message"), ("+447700900111", "contact_added")):
        said = c.text("and still there")
        c.expect_code(_message(c, number, said, secrets.token_hex(6)) if what == "message" else primitives.contact_added(c.BEA, [_at_alpha(number)], "Cay"), 200)
        _sees(c, what, 20, sender=_at_alpha(number), **({"text": said} if what == "message" else {}))


@scenario(SANDBOX_ROLE)
def sandbox_two_echoes_come_to_rest(c: Context) -> None:
    """Cay answers everything at once, as a robot of the partner's would."""
    home, text = c.peer.home, c.text("ping")
    came, count = threading.Semaphore(0), 1
    answered = home.answer

    def answer(node, session, transaction):
        asked = answered(node, session, transaction)
        if transaction.name == "SendMessageRequest":
            came.release()
            back = _message(c, ECHO, text, secrets.token_hex(6))
            asked.then.append(lambda: node.request("alpha.example", back, c.bea_number))
        return asked

    home.answer = answer
    try:
        c.expect_code(_message(c, ECHO, text, secrets.token_hex(6)), 200)
        while count < 3 * A_MINUTE and came.acquire(timeout=4):
            count += 1
    finally:
        home.answer = answered
    c.check(1 < count <= A_MINUTE + 1, f"{count} messages went to and fro")


@scenario(SANDBOX_ROLE)
def sandbox_strangers(c: Context) -> None:
    # In the partner's session, under another's name.
    for sender, code in (("wv:mallory@mallory.example", 901), (f"wv:{ADA}", 901), (f"wv:{ADA}@alpha.example", 901)):
        said = c.text("under another name")
        c.expect_code(primitives.send_message(c.p, sender, [_at_alpha(ECHO)], said, secrets.token_hex(6), requestor=c.BEA), code)
        c.expect_code(primitives.invite(c.p, secrets.token_hex(6), sender, _at_alpha("+447700900109"), "who?"), code)
    # A number that is nobody's whom the sandbox knows as the partner's: taken, and not answered.
    said = c.text("a number of Beta's")
    answer, _ = _timed(c, c.put(primitives.send_message(c.p, f"wv:{BEA}", [_at_alpha(ECHO)], said, secrets.token_hex(6), requestor=c.BEA)))
    c.never(lambda e: carries("SendMessageRequest")(e) and "<Recipient" in e["body"] and BEA in e["body"], 3, f"an answer to {BEA} (asked: {c.codes(answer)})")
    # A house without an agreement, with a certificate of the partner's authority.
    mallory = c.other_partner
    mallory.reset(replace(STRICT, handshake_deadline=5.0, validity=5.0))
    c.check(mallory.ladders.dial("alpha.example", c.seconds(8)) is None, "a stranger has a session")
    first = mallory.record.since(0, carries("SendSecretToken", "out", "Request"))
    c.check(first and all(entry["answer"] != 200 for entry in first), f"a stranger's handshake was answered {[e['answer'] for e in first]}")
    c.check(not mallory.record.since(0, lambda e: e["dir"] == "in"), "the sandbox called a stranger")
    said = c.text("and we are served")
    c.expect_code(_message(c, ECHO, said, secrets.token_hex(6)), 200)
    _sees(c, "message", 10, text=said)
