"""Scenarios for what has to outlive the gateway's process (SSP reference §16, item 10): it is killed, not stopped.

Sessions, undelivered messages, outstanding reports in both directions and presence subscriptions come back with it.
"""

from __future__ import annotations

import threading

from . import primitives
from .context import Context, Skipped
from .record import carries
from .rows_ladder import step
from .scenarios import scenario
from .transport import Reply
from .wire import Document, Transaction


def _restart(c: Context) -> None:
    if c.restart is None:
        raise Skipped("no way to restart the gateway in this set-up")
    c.restart()


@scenario()
def check_16_10_restart(c: Context) -> None:
    session = c.session()
    _restart(c)
    said = c.text("after the restart")
    document = Document([Transaction("Request", c.peer.new_tid(), c.message_to_ada(said))], session.own_id)
    c.check(c.peer.post(session.url, document, {}, c.gateway_domain) == 200, "the session did not survive a restart")
    c.ada_sees("message", 30, text=said)


@scenario()
def check_16_10_restart_resumes_the_session(c: Context) -> None:
    c.healthy()
    _restart(c)
    c.marks["peer"] = c.peer.record.mark()
    said = c.text("in the old session")
    c.ada.send_message(c.BEA, said)
    c.bea_gets(said, 60)
    c.check(not c.seen(step(1)), "the gateway opened a new session")


@scenario()
def check_16_10_restart_keeps_an_undelivered_message(c: Context) -> None:
    c.session()
    refuse = lambda _, document: Reply(503) if any(t.name == "SendMessageRequest" for t in document.transactions) else None  # noqa: E731
    c.peer.intercept = refuse
    said = c.text("undelivered")
    ref = c.ada.send_message(c.BEA, said)
    c.ada_sees("result", 60, ref=ref, code=200)
    _restart(c)
    c.peer.intercept = None
    c.bea_gets(said, 120)
    c.ada_sees("report", 60, ref=ref, code=200)
    c.healthy()
    c.bea_gets(said, 1)


@scenario()
def check_16_10_restart_keeps_an_outstanding_report(c: Context) -> None:
    c.session()
    held: list[tuple] = []
    told = threading.Event()

    def hold(*what) -> None:  # what the peer would tell later
        held.append(what)
        told.set()

    c.peer.follow_up = hold
    try:
        ref = c.ada.send_message(c.BEA, c.text("report later"))
        c.bea_gets(c.marks["text"], 60)
        c.ada_sees("result", 60, ref=ref, code=200)
        told.wait(c.seconds(30))  # the answer reaches the subscriber before the peer goes on
    finally:
        del c.peer.follow_up
    _restart(c)
    c.check(len(held) == 1, f"{len(held)} reports to tell")
    c.peer.follow_up(*held[0])
    c.ada_sees("report", 60, ref=ref, code=200)


@scenario()
def check_16_10_restart_keeps_a_report_we_wait_for(c: Context) -> None:
    # Al is not there: the report is due when he has fetched the message, which is after the restart.
    message = c.message_to_ada(c.text("while you were out"), to=[c.AL], report=True)
    c.check(c.code(c.ask(message, timeout=30)) == 200, "a message for somebody who is away was refused")
    _restart(c)
    c.check(not c.seen(carries("DeliveryStatusReport")), "a report before the message was fetched")
    c.al()
    c.wait(carries("DeliveryStatusReport"), 60, what="report")


@scenario()
def check_16_10_restart_keeps_subscriptions(c: Context) -> None:
    c.watch_bea()
    c.expect_code(primitives.subscribe(c.p, c.BEA, [c.ADA], ("OnlineStatus", "StatusText")), 200)
    c.wait(carries("PresenceNotification"), 30, what="presence notification")
    _restart(c)
    c.publish_status("still watched")
    c.ada_sees_status("still watched", 60)
    c.ada.publish({"StatusText": "and watching"})
    c.wait(lambda e: carries("PresenceNotification")(e) and "and watching" in e["body"] and e["answer"] == 200, 60, what="Ada's new status")
