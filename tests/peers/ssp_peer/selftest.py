"""The peer tested against itself, before there is a gateway.

Vectors of the reference; two nodes in every pairing of personalities over plain HTTP and mutual TLS; the whole scenario list
against a strict node in the gateway's place; and mutants of that node, each of which has to fail its scenario, so that a
scenario that cannot fail is found out.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from . import primitives, scenarios, transport, wire, xmltree
from .context import PROMPT, Context
from .control import Control
from .groups import Group
from .node import Node
from .personality import OBSERVED, STRICT, Personality
from .subscriber import LocalSubscriber
from .xmltree import E

ADA, AL, BEA, BEN = "+447700900123", "+447700900124", "+447700900456", "+447700900457"
SCALE = 0.15
GATEWAY = replace(STRICT, https_first=True, retry_after=1.5)

# A careless gateway and the scenario that has to catch it.
MUTANTS: tuple[tuple[dict, str], ...] = (
    ({"deduplicates": False}, "row_14_22_repeated_message_delivered_once"),
    ({"checks_requestor_only": True}, "row_14_21_sender_of_third_domain"),
    ({"step2_repeats": ()}, "row_4_6_step2_repeated_with_same_secret"),
    ({"step2_delay": 0.0}, "row_4_6_step2_too_early"),
    ({"presence_without_status": True}, "row_14_13_gateway_sends_status"),
    ({"knows_extensions": False}, "ext_keep_alive"),
    ({"closes_silently": True}, "check_16_3_unknown_session"),
    ({"reports_as_requests": True}, "row_14_12_gateway_reports_in_response_mode"),
    ({"reads_only_responses": True}, "row_14_12_report_in_request_mode"),
    ({"explicit_failure": False}, "row_14_11_gateway_does_not_leave_us_half_open"),
    ({"https_first": False}, "row_14_19_gateway_tries_https_first"),
)


class Tally:
    """Counts and says the checks."""

    def __init__(self) -> None:
        self.passed = self.failed = 0
        self._lock = threading.Lock()

    def check(self, holds: object, what: str, detail: str = "") -> None:
        with self._lock:
            self.passed, self.failed = self.passed + bool(holds), self.failed + (not holds)
            if not holds:
                print(f"FAIL {what}: {detail}", flush=True)


def run(with_scenarios: bool = True) -> int:
    """The whole self-test; the exit code."""
    tally, started = Tally(), time.monotonic()
    _vectors(tally)
    for problem in scenarios.self_check():
        tally.check(False, "table", problem)
    with tempfile.TemporaryDirectory() as folder:
        certificates = transport.certificates(folder, {d: [d] for d in ("alpha.example", "bravo.example")})
        if certificates is None:
            print("SKIPPED mutual TLS: there is no openssl program", flush=True)
        jobs = [lambda a=a, b=b, t=t: _pair(tally, a, b, t) for t in ([None, certificates] if certificates else [None])
                for a, b in ((STRICT, STRICT), (STRICT, PROMPT), (PROMPT, STRICT))]
        jobs.append(lambda: _control(tally))
        if with_scenarios:
            jobs += _scenario_jobs(tally, certificates)
            jobs += [lambda m=m: _mutant(tally, *m) for m in MUTANTS]
        with ThreadPoolExecutor(8) as pool:
            for done in [pool.submit(job) for job in jobs]:
                try:
                    done.result()
                except Exception as error:
                    tally.check(False, "self-test", f"{type(error).__name__}: {error}")
    print(f"{tally.passed} passed, {tally.failed} failed ({time.monotonic() - started:.0f} s)", flush=True)
    return 1 if tally.failed else 0


def _vectors(tally: Tally) -> None:
    tally.check(wire.digest(b"c0ffee5a11e7") == "3ivnx0T7pqj18dgTre3RRw==", "digest of Sb (§4.8)")
    tally.check(wire.digest(b"3f9c1a77d0e84b52") == "OyBFbxuLTGygUtWq4jLcZQ==", "digest of Sa (§4.8)")
    same = wire.Address.parse("+447700900123@Alpha.Example") == wire.Address.parse("wv:+447700900123@alpha.example")
    tally.check(same, "addresses with and without wv: (§6.1)")
    tally.check(wire.Address.parse("wv:ann/walkers@b.example").resource == "walkers", "group address (§6.1)")
    plain = xmltree.parse(b'<ContentData encoding="base64">\nU2VlIHlv\r\ndSBhdCA2IQ==\r\n</ContentData>')
    tally.check(wire.content_of(plain) == "See you at 6!", "framed base64 (§9.2)")
    tally.check(wire.stamp(0) == "1970-01-01T00:00:00Z" and wire.stamp(0, True)[5:7] != "01", "dates (§9.3)")
    for p in (STRICT, OBSERVED):
        cancel = primitives.cancel_invite(p, "i-1", "wv:a@b.example", "wv:c@d.example", "a < b & c")
        encoded = wire.Document([wire.Transaction("Request", "1-0", cancel)], "1@b.example").encode(p)
        again = wire.decode(encoded).transactions[0].primitive
        tally.check(xmltree.text(xmltree.child(again, "CancelNote")) == "a < b & c", f"CancelInvite of {p.name} read back")
        try:
            wire.decode(encoded, repair=False)
            tally.check(p is STRICT, "ill-formed CancelInvite", "parsed without a repair")
        except xmltree.Malformed:
            tally.check(p is OBSERVED, "strict CancelInvite", "did not parse")
    for bad in (b"", b"<a", b"<WV-SSP-Message/>", b"<!DOCTYPE a><WV-SSP-Message><Session><b/></Session></WV-SSP-Message>"):
        try:
            wire.decode(bad)
            tally.check(False, "malformed", repr(bad))
        except xmltree.Malformed:
            tally.check(True, "malformed")


def _nodes(a: Personality, b: Personality, tls: dict | None, scale: float = 0.2) -> tuple[Node, Node]:
    alpha = Node("alpha.example", {ADA: "Ada", AL: "Al"}, {}, a, tls=tls and tls["alpha.example"], scale=scale)
    bravo = Node("bravo.example", {BEA: "Bea", BEN: "Ben"}, {}, b, tls=tls and tls["bravo.example"], scale=scale)
    alpha.peers["bravo.example"], bravo.peers["alpha.example"] = bravo.url, alpha.url
    return alpha, bravo


def _pair(tally: Tally, a: Personality, b: Personality, tls: dict | None) -> None:
    alpha, bravo = _nodes(a, b, tls)
    label = f"{a.name} to {b.name} over {'mutual TLS' if tls else 'HTTP'}"
    try:
        for here, there, who, whom in ((alpha, bravo, ADA, BEA), (bravo, alpha, BEA, ADA)):
            tally.check(here.ladders.dial(there.domain, 15), f"{label}: ladder from {here.domain}")
            _talk(tally, label, here, there, who, whom)
        if tls:
            names = {n for e in bravo.record.since(0, lambda e: e["dir"] == "in") for n in e["client_names"]}
            tally.check(names == {"alpha.example"}, f"{label}: client certificate", str(names))
        for node in (alpha, bravo):
            broken = node.record.since(0, lambda e: e.get("what") == "failed")
            tally.check(not broken, f"{label}: {node.domain} failed", str(broken[:1]))
            bad = node.record.since(0, lambda e: e["dir"] == "in" and e["answer"] == 400)
            tally.check(not bad, f"{label}: {node.domain} answered 400", str(bad[:1]))
    finally:
        alpha.close()
        bravo.close()


def _talk(tally: Tally, label: str, here: Node, there: Node, who: str, whom: str) -> None:
    p, me, other, person = here.personality, here.home.address(who), there.home.address(whom), LocalSubscriber(here, who)
    said = f"{label} & <{who}>"
    ref = person.send_message(other, said)
    tally.check(person.expect("report", 5, ref=ref, code=200), f"{label}: message and report")
    tally.check(any(e.get("text") == said for e in there.home.users[whom].events), f"{label}: message delivered")
    person.subscribe(other)
    tally.check(person.expect("presence", 5, user=other), f"{label}: presence notification")
    there.home.publish(there, there.home.users[whom], {"StatusText": "x"})
    tally.check(person.expect("presence", 5, values={"OnlineStatus": "T", "UserAvailability": "AVAILABLE", "StatusText": "x"}), f"{label}: change")
    person.ask_presence(other)
    invited = person.invite(other, "fish & <chips>")
    tally.check(person.expect("invite_answer", 5, ref=invited, accepted=True), f"{label}: invitation answered")
    person.cancel_invite(invited, other, "a < b")
    tally.check(LocalSubscriber(there, whom).expect("invite_cancelled", 5, note="a < b"), f"{label}: invitation cancelled")
    group = f"wv:{whom}/walkers@{there.domain}"
    there.home.groups[group] = Group(group, {other: "Admins"}, {other: "Jess"})
    joined = E("ScreenName", {"groupID": group}, text="Robin")
    wanted = {"JoinGroupRequest": "JoinGroupResponse", "LeaveGroupRequest": "LeaveGroupIndication", "GetGroupSubStatusRequest": "GetGroupSubStatusResponse",
              "GetGroupMemberRequest": "GetGroupMemberResponse", "GetJoinedUsersRequest": "GetJoinedUsersResponse",
              "GetGroupPropsRequest": "GetGroupPropsResponse", "RejectListRequest": "RejectListResponse"}
    for tag in primitives.GROUP_PRIMITIVES:
        inner = (joined,) if tag == "JoinGroupRequest" else ()
        answers = here.request(there.domain, primitives.group_request(tag, me, group, None, *inner), who).wait(5)
        got = answers[0].name if answers else None
        tally.check(got == wanted.get(tag, "Status"), f"{label}: {tag}", str(got))
    answers = here.request(there.domain, primitives.search(p, me, "USER_MOBILE_NUMBER", whom), who).wait(5)
    expected = "SearchResponse" if there.personality.knows_extensions else "Status"
    tally.check(answers and answers[0].name == expected, f"{label}: search", str(answers))


def _control(tally: Tally) -> None:
    alpha, bravo = _nodes(STRICT, STRICT, None)
    control = Control(bravo, 0)

    def call(path: str, body: dict | None = None) -> dict:
        data = json.dumps(body).encode() if body is not None else None
        with urllib.request.urlopen(f"http://127.0.0.1:{control.port}{path}", data, timeout=20) as response:
            return json.loads(response.read())

    try:
        tally.check(call("/dial", {})["peer_domain"] == "alpha.example", "control: dial")
        message = primitives.send_message(STRICT, bravo.home.address(BEA), [alpha.home.address(ADA)], "by control", "c-1")
        answer = call("/send", {"primitive": xmltree.fragment(message, STRICT), "timeout": 5})
        tally.check("SendMessageResponse" in "".join(answer["answers"]), "control: send", str(answer))
        found = call("/expect", {"match": {"dir": "in", "primitive": "SendMessageResponse", "messageID": "c-1"}, "timeout": 5})
        tally.check(len(found["entries"]) == 1, "control: expect")
        tally.check(call("/send", {"document": "<nonsense"})["http"] == 400, "control: raw document")
        tally.check(call("/personality", {"name": "observed", "switches": {"framed_text": False}})["misspelt_version"], "control: personality")
        tally.check(len(call("/log")["entries"]) > 6 and len(call("/state")["sessions"]) == 1, "control: log and state")
    finally:
        control.close()
        alpha.close()
        bravo.close()


def _scenario_jobs(tally: Tally, certificates: dict | None) -> list:
    """The scenario list in slices, each with its own pair of nodes; the longest ones first."""
    jobs = []
    for role in scenarios.ROLES:
        every = [s.name for s in scenarios.chosen(role)]
        jobs += [lambda r=role, names=every[n::6]: _slice(tally, r, names, None) for n in range(6)]
    if certificates:
        some = ["row_4_6_ack_before_step2", "check_16_4_ladder", "row_14_19_gateway_tries_https_first", "row_14_12_report_in_request_mode"]
        jobs.append(lambda: _slice(tally, "partner", some, certificates))
    return jobs


def _slice(tally: Tally, role: str, names: list[str], tls: dict | None, gateway: Personality = GATEWAY, expect_failure: bool = False,
           scale: float = SCALE) -> None:
    alpha, bravo = _nodes(replace(gateway, https_first=gateway.https_first and not tls), STRICT, tls, scale)
    said: list[str] = []
    context = Context(bravo, LocalSubscriber(alpha, ADA), alpha.url, "alpha.example", role, scale=scale)
    try:
        passed, failed = scenarios.play(context, [scenarios.REGISTRY[n] for n in names], said.append)
    finally:
        alpha.close()
        bravo.close()
    if expect_failure:
        tally.check(failed == 1, f"mutant {gateway.name}", f"{names[0]} did not notice it")
        return
    for line in said:
        if line.startswith("SKIPPED"):
            print(line, flush=True)
    for _ in range(passed):
        tally.check(True, "scenario")
    for line in said:
        if line.startswith("FAIL"):
            tally.check(False, "scenario", line[5:])


def _mutant(tally: Tally, switches: dict, name: str) -> None:
    _slice(tally, "partner", [name], None, replace(GATEWAY, name=str(switches), **switches), expect_failure=True, scale=0.6)
