"""The people and groups a node serves, and how it answers requests about them (SSP reference §11 and §12).

A handler gets an `Asked` and answers through it: `reply` for the Response-mode answer, `before` and `later` for what goes
out around it. Everything a person would see on the phone is an event in `User.events`.
"""

from __future__ import annotations

import secrets
import threading
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from typing import Callable

from . import groups, primitives, wire
from .wire import Address, Transaction
from .xmltree import E, attr, child, children, name, named, scalar, text


@dataclass
class User:
    """One hosted person."""

    local: str
    friendly_name: str
    presence: dict[str, str] = field(default_factory=lambda: {"OnlineStatus": "T", "UserAvailability": "AVAILABLE"})
    watchers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    open_to_all: bool = True       # else a subscription succeeds and shows nothing (§10.3)
    accepts: bool | None = True    # invitations: yes, no, or never answered
    blocked: set[str] = field(default_factory=set)
    in_groups: set[str] = field(default_factory=set)  # foreign groups that he has joined
    events: list[dict] = field(default_factory=list)


@dataclass
class Asked:
    """A Request-mode transaction being answered."""

    home: "Home"
    node: object
    session: object
    tid: str
    element: ET.Element
    replies: list[ET.Element] = field(default_factory=list)
    first: list[Callable[[], None]] = field(default_factory=list)
    then: list[Callable[[], None]] = field(default_factory=list)

    @property
    def p(self):
        return self.node.personality

    @property
    def requester(self) -> Address | None:
        value = attr(child(self.element, "MetaInfo", "Requestor", "User"), "userID")
        return Address.parse(value).within(self.node.origin(self.session)) if value else None

    def reply(self, element: ET.Element) -> None:
        self.replies.append(element)

    def status(self, code: int, description: str | None = None, details: list = ()) -> None:
        self.reply(primitives.status(self.p, code, description, details))

    def taken(self) -> None:
        """Answer to what needs none (§11): Status 200 from a strict server, nothing from the observed one."""
        if self.p.answers_notifications:
            self.status(200)


class Home:
    """A domain with its users and groups."""

    def __init__(self, domain: str, users: dict[str, str]) -> None:
        self.domain = domain
        self.users = {local: User(local, friendly) for local, friendly in users.items()}
        self.groups: dict[str, groups.Group] = {}
        self.outcomes: dict[tuple, list] = {}
        self.changed = threading.Condition()

    def address(self, local: str) -> str:
        return f"wv:{local}@{self.domain}"

    def user(self, value: str | Address | None) -> User | None:
        """A hosted user by address; bare addresses are ours."""
        address = value if isinstance(value, Address) else Address.parse(value)
        return self.users.get(address.local) if address.domain in ("", self.domain) else None

    def tell(self, user: User | None, kind: str, /, **facts) -> None:
        """Adds an event for a person."""
        if user is not None:
            with self.changed:
                user.events.append({"kind": kind, **facts})
                self.changed.notify_all()

    def answer(self, node, session, transaction: Transaction) -> Asked:
        """Runs the handler of a Request-mode transaction; 405 for a primitive we do not know."""
        asked = Asked(self, node, session, transaction.tid, transaction.primitive)
        tag = transaction.name.lower()
        handler = HANDLERS.get(tag) or groups.HANDLERS.get(tag)
        if handler is None or (tag in EXTENSIONS and not node.personality.knows_extensions):
            asked.status(405)
        elif any((attr(v, "domain") or "").lower() == self.domain for v in children(child(transaction.primitive, "MetaInfo"), "Via")):
            asked.status(516, "loop")
        elif foreign := _foreign_sender(asked):
            asked.status(901, f"domain of {foreign} is not the session's")
        else:
            handler(asked)
        return asked

    def response(self, session, transaction: Transaction, owner: str | None, request: ET.Element | None) -> None:
        """Takes a Response-mode transaction for the person who asked."""
        element, user = transaction.primitive, self.user(owner) if owner else None
        code = int(attr(child(element, "Status"), "code") or attr(element, "code") or 0)
        if named(element, "DeliveryStatusReport"):
            self.report(element, session)
        elif named(element, "InviteResponse"):
            self.invite_answer(element, session)
        elif named(element, "SendMessageResponse"):
            said = attr(element, "messageID") or attr(child(request, "MessageInfo"), "messageID")  # §14.6: empty when refused
            self.tell(user, "result", code=code, message_id=said)
        elif named(element, "GetPresenceResponse"):
            for wrapper in children(element, "PresenceValue"):
                self.tell(user, "presence", user=attr(wrapper, "userID"), values=primitives.read_presence(wrapper))
        elif named(element, "SearchResponse"):
            found = children(child(element, "SearchResult", "UserList"), "User")
            self.tell(user, "search", code=code, users=[attr(u, "userID") for u in found], search_id=scalar(element, "searchID"))
        else:
            asked = name(request) if request is not None else None
            self.tell(user, "status", code=code, primitive=name(element), request=asked)

    def report(self, element: ET.Element, session) -> None:
        """A delivery report, in either mode, by its messageID."""
        info = child(element, "MessageInfo")
        code = int(attr(child(element, "DeliveryResult", "Status"), "code") or 404)
        sender = attr(child(info, "Sender", "User"), "userID")
        for recipient in children(info, "Recipient"):
            self.tell(self.user(attr(child(recipient, "User"), "userID")), "report", message_id=attr(info, "messageID"),
                      code=code, sender=str(Address.parse(sender).within(session.peer_domain)))

    def invite_answer(self, element: ET.Element, session) -> None:
        """An invitation answer, in either mode; the user of the peer's domain is the one who answers (§12.5)."""
        parties = [Address.parse(attr(child(element, tag, "User"), "userID")) for tag in ("Inviting", "Responding")]
        ours = next((a for a in parties if a.domain == self.domain), parties[0])
        theirs = next((a for a in parties if a is not ours), parties[1])
        self.tell(self.user(ours), "invite_answer", invite_id=attr(element, "inviteID"), sender=str(theirs),
                  accepted=(attr(element, "acceptance") or "").lower() == "yes", note=text(child(element, "ResponseNote")))

    def publish(self, node, user: User, values: dict[str, str]) -> None:
        """A presence change: tells every watcher (§12.9)."""
        user.presence.update(values)
        for watcher in list(user.watchers):
            _notify(node, self, user, watcher)


def _foreign_sender(asked: Asked) -> Address | None:
    """The first sender-like address of another domain (§16.7); the observed peer looks at MetaInfo only."""
    if asked.session.peer_domain == asked.node.gateway:
        return None  # it speaks for everybody beyond the own domain
    claimed = [asked.requester]
    if not asked.p.checks_requestor_only:
        paths = (("MessageInfo", "Sender", "User"), ("Inviting", "User"), ("Canceling", "User"), ("Responding", "User"))
        if named(asked.element, "InviteResponse"):
            paths = ()
        for path in paths:
            value = attr(child(asked.element, *path), "userID")
            claimed.append(Address.parse(value).within(asked.node.origin(asked.session)) if value else None)
    return next((a for a in claimed if a and a.domain != asked.session.peer_domain.lower()), None)


def _message(asked: Asked) -> None:
    home, element, info = asked.home, asked.element, child(asked.element, "MessageInfo")
    sender = attr(child(info, "Sender", "User"), "userID") or attr(child(info, "Sender", "GroupID"), "groupID")
    if info is None or sender is None:
        return asked.status(400)
    message_id = attr(info, "messageID") or secrets.token_hex(8)
    wants_report = (attr(element, "deliveryReport") or "").lower() == "yes"
    results = []
    for recipient in children(info, "Recipient"):
        group = next((found for tag in ("GroupID", "ScreenName") if (found := child(recipient, tag)) is not None), None)
        if group is not None:
            said, screen = wire.content_of(child(element, "ContentData")), text(group) if named(group, "ScreenName") else None
            group_id = attr(group, "groupID")
            results.append((groups.message(asked, group_id, screen, said, message_id), group_id))
            continue
        value = attr(child(recipient, "User"), "userID") or ""
        address = Address.parse(value).within(home.domain)
        key = (asked.session.peer_domain, message_id, str(address))
        recorded = home.outcomes.get(key) if asked.p.deduplicates else None
        code = recorded if recorded is not None else _deliver(asked, address, sender, message_id, wants_report)
        home.outcomes[key] = code
        results.append((code, value))
    failures = [(c, f"invalid userid: {v}", v) for c, v in results if c != 200]
    if not failures:
        overall = primitives.status(asked.p, 200)
    else:
        overall = primitives.status(asked.p, 900 if len(failures) == len(results) else 201, None, failures)
    nothing = failures and len(failures) == len(results)
    asked.reply(primitives.send_message_response(asked.p, None if nothing else message_id, overall))


def _deliver(asked: Asked, address: Address, sender: str, message_id: str, wants_report: bool) -> int:
    home, element = asked.home, asked.element
    if address.domain != home.domain:
        return 516
    user = home.user(address)
    if user is None:
        return 531
    origin = Address.parse(sender).within(asked.node.origin(asked.session))
    if str(origin) in user.blocked:
        return 532
    info = child(element, "MessageInfo")
    places = (("SenderDisplay", "ScreenName"), ("Sender", "SenderDisplay", "ScreenName"))
    shown = next((found for place in places if (found := child(info, *place)) is not None), None)
    home.tell(user, "message", sender=str(origin), message_id=message_id, text=wire.content_of(child(element, "ContentData")),
              screen_name=text(shown) if shown is not None else None)
    if wants_report:
        report = primitives.delivery_report(asked.p, message_id, home.address(user.local), str(origin), 200, "Fetched")
        asked.then.append(lambda: asked.node.follow_up(asked.session, asked.tid, report))
    return 200


def _report(asked: Asked) -> None:
    if not asked.p.reads_only_responses:
        asked.home.report(asked.element, asked.session)
    asked.taken()


def _invite(asked: Asked) -> None:
    home, element = asked.home, asked.element
    invited = Address.parse(attr(child(element, "Invited", "User"), "userID")).within(home.domain)
    inviter = Address.parse(attr(child(element, "Inviting", "User"), "userID")).within(asked.node.origin(asked.session))
    kind, invite_id = attr(element, "inviteType"), attr(element, "inviteID") or ""
    if kind in ("GR", "GM") and child(element, "GroupID") is None:
        return asked.status(429)
    if kind == "AP" and child(element, "ApplicationID") is None:
        return asked.status(450)
    if invited.domain != home.domain:
        return asked.status(516)
    user = home.user(invited)
    if user is None:
        return asked.status(531)
    home.tell(user, "invitation", invite_id=invite_id, sender=str(inviter), type=kind, note=text(child(element, "InviteNote")))
    asked.status(200)
    if user.accepts is not None:
        answer = primitives.invite_response(asked.p, invite_id, str(inviter), home.address(user.local), user.accepts, "At noon")
        asked.then.append(lambda: asked.node.follow_up(asked.session, asked.tid, answer))


def _invite_response(asked: Asked) -> None:
    if not asked.p.reads_only_responses:
        asked.home.invite_answer(asked.element, asked.session)
    asked.taken()


def _cancel(asked: Asked) -> None:
    user = asked.home.user(attr(child(asked.element, "Canceled", "User"), "userID"))
    if user is None:
        return asked.status(531)
    asked.home.tell(user, "invite_cancelled", invite_id=attr(asked.element, "inviteID"), note=text(child(asked.element, "CancelNote")))
    asked.status(200)


def _subscribe(asked: Asked) -> None:
    if asked.requester is None:
        return asked.status(427)
    wanted = tuple(name(a) for a in child(asked.element, "AttributeList", "PresenceSubList") or ())
    unknown = []
    for item in children(asked.element, "UserID"):
        value = attr(item, "userID") or ""
        user = asked.home.user(value)
        if user is None:
            ours = Address.parse(value).within(asked.home.domain).domain == asked.home.domain
            unknown.append((531 if ours else 516, f"invalid userid: {value}", value))
            continue
        watcher = str(asked.requester)
        user.watchers[watcher] = wanted
        when = asked.first if asked.p.notifies_before_status else asked.then
        if asked.p.notifies_empty_first:
            when.append(lambda w=watcher: asked.node.submit_soon(asked.session, primitives.presence_notification(asked.p, [w], {})))
        when.append(lambda u=user, w=watcher: _notify(asked.node, asked.home, u, w))
    asked.status(201 if unknown else 200, None, unknown)


def _notify(node, home: Home, user: User, watcher: str) -> None:
    wanted = user.watchers.get(watcher, ())
    shown = {k: v for k, v in user.presence.items() if not wanted or k in wanted} if user.open_to_all else None
    notification = primitives.presence_notification(node.personality, [watcher], {home.address(user.local): shown})
    node.submit_to(Address.parse(watcher).domain, notification, key=f"presence {user.local} {watcher}")


def _unsubscribe(asked: Asked) -> None:
    for item in children(asked.element, "UserID"):
        user = asked.home.user(attr(item, "userID"))
        if user and not asked.p.notifies_after_unsubscribe:
            user.watchers.pop(str(asked.requester), None)
    asked.status(200)


def _notification(asked: Asked) -> None:
    for watcher in children(asked.element, "User"):
        user = asked.home.user(attr(watcher, "userID"))
        for wrapper in children(asked.element, "PresenceValue"):
            watched = Address.parse(attr(wrapper, "userID")).within(asked.node.origin(asked.session))
            asked.home.tell(user, "presence", user=str(watched), values=primitives.read_presence(wrapper))
    asked.taken()


def _get_presence(asked: Asked) -> None:
    wanted = tuple(name(a) for a in child(asked.element, "AttributeList", "PresenceSubList") or ())
    values = []
    for item in children(asked.element, "VerUserID"):
        user = asked.home.user(attr(item, "userID"))
        if user is None:
            return asked.status(531)
        shown = {k: v for k, v in user.presence.items() if not wanted or k in wanted} if user.open_to_all else None
        values.append(primitives.presence_value(asked.p, asked.home.address(user.local), shown))
    outcome = None if asked.p.presence_without_status else primitives.status(asked.p, 200)
    asked.reply(E("GetPresenceResponse", None, outcome, *values))


def _search(asked: Asked) -> None:
    home, hits = asked.home, []
    pairs = [(scalar(q, "searchElement"), text(child(q, "SearchString")) or text(q))
             for q in children(asked.element, "SearchPair") + children(child(asked.element, "SearchPairList"), "SearchPair")]
    if not pairs:
        return asked.status(424 if scalar(asked.element, "searchID") else 402)
    for element, value in pairs:
        if element == "USER_MOBILE_NUMBER":
            if not value.startswith("+") or not value[1:].isdigit() or not 8 <= len(value[1:]) <= 15:
                return asked.status(402)
            user = home.users.get(value)
        elif element == "USER_ID":
            user = home.user(value)
        else:
            return asked.status(402)
        if user:
            hits.append((home.address(user.local), user.friendly_name))
    asked.reply(primitives.search_response(asked.p, secrets.token_hex(4), hits))


def _contact_added(asked: Asked) -> None:
    unknown = []
    for item in children(asked.element, "UserID"):
        user = asked.home.user(attr(item, "userID"))
        if user is None:
            unknown.append((531, "unknown user", attr(item, "userID") or ""))
        asked.home.tell(user, "contact_added", sender=str(asked.requester), text=text(child(asked.element, "Text")))
    asked.status(201 if unknown else 200, None, unknown)


def _keep_alive(asked: Asked) -> None:
    offered = int(scalar(asked.element, "timeToLive") or 86400)
    asked.reply(E("KeepAliveResponse", {"timeToLive": min(offered, 86400)}, primitives.status(asked.p, 200)))


def _logout(asked: Asked) -> None:
    asked.node.drop_session(asked.session)
    asked.status(200)


HANDLERS: dict[str, Callable[[Asked], None]] = {
    "sendmessagerequest": _message,
    "deliverystatusreport": _report,
    "inviterequest": _invite,
    "inviteresponse": _invite_response,
    "cancelinviterequest": _cancel,
    "subscriberequest": _subscribe,
    "unsubscriberequest": _unsubscribe,
    "presencenotification": _notification,
    "getpresencerequest": _get_presence,
    "searchrequest": _search,
    "stopsearchrequest": lambda asked: asked.status(200),
    "notificationrequest": _contact_added,
    "keepaliverequest": _keep_alive,
    "logoutrequest": _logout,
}

EXTENSIONS = {"searchrequest", "stopsearchrequest", "notificationrequest", "keepaliverequest", "logoutrequest"}
