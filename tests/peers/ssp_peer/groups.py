"""Groups that a node hosts, and the answers to the group primitives (SSP reference §12.11 to §12.18).

Enough of a group server to be talked to: membership, who is joined, privileges, properties, a reject list, and change
notices to foreign participants.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass, field

from . import primitives
from .wire import Address
from .xmltree import E, attr, child, children, text

PRIVILEGES = ("Admins", "Moderators", "OrdinaryUsers")


@dataclass
class Group:
    """One group; people are full address texts."""

    group_id: str
    members: dict[str, str] = field(default_factory=dict)      # address -> one of PRIVILEGES
    joined: dict[str, str] = field(default_factory=dict)       # address -> screen name
    subscribed: set[str] = field(default_factory=set)
    rejected: set[str] = field(default_factory=set)
    properties: dict[str, str] = field(default_factory=lambda: {"Name": "Walkers", "Type": "Public"})
    welcome: str = "Welcome"


def _group(asked) -> tuple[Group | None, str]:
    group = asked.home.groups.get(str(Address.parse(attr(asked.element, "groupID"))))
    if group is None:
        asked.status(800)
    return group, str(asked.requester)


def _user_ids(element: ET.Element | None) -> list[str]:
    return [str(Address.parse(attr(u, "userID"))) for u in children(element, "UserID")]


def _join(asked) -> None:
    group, who = _group(asked)
    if group is None:
        return
    screen = text(child(asked.element, "ScreenName")) or who
    if who in group.rejected:
        return asked.status(809)
    if who in group.joined:
        return asked.status(807)
    if screen in group.joined.values():
        return asked.status(811)
    group.joined[who] = screen
    group.members.setdefault(who, "OrdinaryUsers")
    if (attr(asked.element, "subscribeNotif") or "").lower() == "yes":
        group.subscribed.add(who)
    listed = None
    if (attr(asked.element, "joinedListRequest") or "").lower() == "yes":
        listed = E("JoinedList", None, *(E("Name", text=n) for n in group.joined.values()))
    asked.reply(E("JoinGroupResponse", None, primitives.status(asked.p, 200), listed,
                  E("WelcomeNote", None, primitives.content_data(asked.p, group.welcome))))
    asked.then.append(lambda: change_notice(asked.node, group, joined=[screen], but=who))


def _leave(asked) -> None:
    group, who = _group(asked)
    if group is None:
        return
    screen = group.joined.pop(who, None)
    group.subscribed.discard(who)
    code = 200 if screen else 808
    asked.reply(E("LeaveGroupIndication", {"groupID": group.group_id}, primitives.status(asked.p, code), E("ReasonText")))
    if screen:
        asked.then.append(lambda: change_notice(asked.node, group, left=[screen]))


def _indication(asked) -> None:
    """Names nobody: every person of ours who is known to be in the group is told (§12.12)."""
    group = attr(asked.element, "groupID")
    code = int(attr(child(asked.element, "Status"), "code") or 404)
    for user in asked.home.users.values():
        if str(Address.parse(group)) in user.in_groups:
            asked.home.tell(user, "group_left", group=group, code=code)
    asked.taken()


def _notice(asked) -> None:
    for item in children(asked.element, "User"):
        names = [[text(n) for n in children(child(asked.element, tag), "Name")] for tag in ("Joined", "Left")]
        asked.home.tell(asked.home.user(attr(item, "userID")), "group_change", group=attr(asked.element, "groupID"),
                        joined=names[0], left=names[1])
    asked.taken()


def _subscribe(asked) -> None:
    group, who = _group(asked)
    if group is not None:
        group.subscribed.add(who)
        asked.status(200)


def _unsubscribe(asked) -> None:
    group, who = _group(asked)
    if group is not None:
        group.subscribed.discard(who)
        asked.status(200)


def _sub_status(asked) -> None:
    group, who = _group(asked)
    if group is not None:
        subscribed = "Yes" if who in group.subscribed else "No"
        asked.reply(E("GetGroupSubStatusResponse", {"groupID": group.group_id, "subscribed": subscribed}, primitives.status(asked.p, 200)))


def _members(asked) -> None:
    group, _ = _group(asked)
    if group is not None:
        lists = [E(p, None, *(E("UserID", {"userID": m}) for m, held in group.members.items() if held == p)) for p in PRIVILEGES]
        asked.reply(E("GetGroupMemberResponse", None, primitives.status(asked.p, 200), *(e for e in lists if len(e))))


def _joined_users(asked) -> None:
    group, _ = _group(asked)
    if group is None:
        return
    key = "userid" if asked.p.odd_names else "userID"
    mappings = [E("Mapping", None, E("SName", text=n), E("UserID", {key: a})) for a, n in group.joined.items()]
    wrapper = "JoinedUser" if asked.p.odd_names else "JoinedUsers"
    asked.reply(E("GetJoinedUsersResponse", None, primitives.status(asked.p, 200),
                  E(wrapper, None, E("UserMapList", None, E("UserMapping", None, *mappings)))))


def _add(asked) -> None:
    group, _ = _group(asked)
    if group is not None:
        for user in _user_ids(asked.element):
            group.members.setdefault(user, "OrdinaryUsers")
        asked.status(200)


def _remove(asked) -> None:
    group, _ = _group(asked)
    if group is not None:
        for user in _user_ids(asked.element):
            group.members.pop(user, None)
            if group.joined.pop(user, None):
                asked.then.append(lambda u=user: put_out(asked.node, group, u))
        asked.status(200)


def _access(asked) -> None:
    group, _ = _group(asked)
    if group is not None:
        for privilege in PRIVILEGES:
            for user in _user_ids(child(asked.element, privilege)):
                group.members[user] = privilege
        asked.status(200)


def _properties(asked) -> None:
    group, who = _group(asked)
    if group is not None:
        own = {"ScreenName": group.joined.get(who, ""), "PrivilegeLevel": "User"}
        asked.reply(E("GetGroupPropsResponse", None, primitives.status(asked.p, 200),
                      E("GroupProperties", None, *_written(group.properties)), E("OwnProperties", None, *_written(own))))


def _written(properties: dict[str, str]) -> list[ET.Element]:
    return [E("Property", None, E("Name", text=k), E("Value", text=v)) for k, v in properties.items()]


def _set_properties(asked) -> None:
    group, _ = _group(asked)
    if group is not None:
        for item in children(child(asked.element, "GroupProperties"), "Property"):
            group.properties[text(child(item, "Name"))] = text(child(item, "Value"))
        asked.status(200)


def _reject_list(asked) -> None:
    group, _ = _group(asked)
    if group is not None:
        group.rejected.update(_user_ids(child(asked.element, "AddUsers")))
        group.rejected.difference_update(_user_ids(child(asked.element, "RemoveUsers")))
        asked.reply(E("RejectListResponse", None, primitives.status(asked.p, 200),
                      E("RejectList", None, *(E("UserID", {"userID": u}) for u in sorted(group.rejected)))))


def _delete(asked) -> None:
    group, who = _group(asked)
    if group is None:
        return
    if group.members.get(who) != "Admins":
        return asked.status(816)
    asked.home.groups.pop(str(Address.parse(group.group_id)), None)
    asked.status(200)


def change_notice(node, group: Group, joined: list[str] = (), left: list[str] = (), but: str | None = None) -> None:
    """Tells every foreign subscriber of a group who came and went (§12.13)."""
    for who in sorted(group.subscribed - {but}):
        notice = E("GroupChangeNotice", {"groupID": group.group_id}, E("User", {"userID": who}),
                   E("Joined", None, *(E("Name", text=n) for n in joined)) if joined else None,
                   E("Left", None, *(E("Name", text=n) for n in left)) if left else None)
        node.submit_to(Address.parse(who).domain, notice)


def put_out(node, group: Group, who: str) -> None:
    """Tells the server of a foreign member that he is in the group no more (§12.12)."""
    indication = E("LeaveGroupIndication", {"groupID": group.group_id}, primitives.status(node.personality, 809), E("ReasonText", text="put out"))
    node.submit_to(Address.parse(who).domain, indication)


def message(asked, group_id: str, screen_name: str | None, said: str, message_id: str) -> int:
    """A message to everybody who is joined, or to the one participant of that name (§6.2); the code for the recipient."""
    group, who = asked.home.groups.get(str(Address.parse(group_id))), str(asked.requester)
    if group is None:
        return 800
    if who not in group.joined:
        return 808
    to = [a for a, name in group.joined.items() if (name == screen_name if screen_name else a != who)]
    if screen_name and not to:
        return 410
    for number, address in enumerate(to):
        if user := asked.home.user(address):
            asked.home.tell(user, "message", sender=group.group_id, screen_name=group.joined[who], text=said, message_id=message_id)
            continue
        copy = primitives.group_message(asked.p, asked.home.domain, group.group_id, group.joined[who], address, said, f"{message_id}-{number}")
        asked.then.append(lambda a=address, m=copy: asked.node.submit_to(Address.parse(a).domain, m))
    return 200


HANDLERS = {
    "joingrouprequest": _join,
    "leavegrouprequest": _leave,
    "leavegroupindication": _indication,
    "groupchangenotice": _notice,
    "subscribegroupchangerequest": _subscribe,
    "unsubscribegroupchangerequest": _unsubscribe,
    "getgroupsubstatusrequest": _sub_status,
    "getgroupmemberrequest": _members,
    "getjoinedusersrequest": _joined_users,
    "addgroupmemberrequest": _add,
    "removegroupmemberrequest": _remove,
    "memberaccessrequest": _access,
    "getgrouppropsrequest": _properties,
    "setgrouppropsrequest": _set_properties,
    "rejectlistrequest": _reject_list,
    "deletegrouprequest": _delete,
}
