"""Builders for the primitives (SSP reference §12 and the extensions).

Each takes the personality first, because the observed peer writes several of them wrongly (§14). Addresses are full
texts such as `wv:+447700900456@bravo.example`.
"""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ET

from . import wire, xmltree
from .personality import Personality
from .xmltree import E

GROUP_PRIMITIVES = (
    "JoinGroupRequest", "LeaveGroupRequest", "SubscribeGroupChangeRequest", "UnsubscribeGroupChangeRequest",
    "GetGroupSubStatusRequest", "GetGroupMemberRequest", "GetJoinedUsersRequest", "AddGroupMemberRequest",
    "RemoveGroupMemberRequest", "MemberAccessRequest", "GetGroupPropsRequest", "SetGroupPropsRequest", "RejectListRequest",
    "DeleteGroupRequest",
)


def meta_info(user: str | None, domain: str | None = None, friendly_name: str | None = None, via: tuple[str, ...] = ()) -> ET.Element:
    """§7; without a user it is server originated and `domain` names the server."""
    domain = domain or wire.Address.parse(user).domain
    person = E("User", {"userID": user, "friendlyName": friendly_name}) if user else None
    return E("MetaInfo", {"clientOriginated": "Yes" if user else "No"},
             E("Requestor", {"serviceID": wire.service_id(domain)}, person), *(E("Via", {"domain": d}) for d in via))


def status(p: Personality, code: int, description: str | None = None, details: list[tuple[int, str, str]] = ()) -> ET.Element:
    """§8; `details` are (code, description, address). The observed peer leaves the address to the description."""
    results = [E("DetailedResult", {"code": c}, E("StatusDescription", text=t),
                 None if p.odd_names else E("UserID", {"userID": a})) for c, t, a in details]
    said = E("StatusDescription", text=description) if description is not None else None
    return E("Status", {"code": code}, said, *results)


def send_secret_token(p: Personality, domain: str, secret: str, encoding: str | None = None) -> ET.Element:
    """§4.2; with an encoding the secret goes out as base64."""
    version = "procotolVersion" if p.misspelt_version else "protocolVersion"
    said = base64.b64encode(secret.encode()).decode() if encoding else secret
    return E("SendSecretToken", {"serviceID": wire.service_id(domain), "protocol": "WV-SSP", version: "1.3"},
             E("SecretToken", {"encoding": encoding}, text=said))


def login_request(p: Personality, domain: str, secret: bytes, ttl: int = 86400) -> ET.Element:
    """§4.2: proves that `secret` came through."""
    return E("LoginRequest", {"serviceID": wire.service_id(domain), "timeToLive": ttl},
             E("PasswordDigest", {"encoding": "base64" if p.lower_base64 else "BASE64"}, text=wire.digest(secret)))


def login_response(p: Personality, session_id: str | None, code: int = 200, ttl: int = 86400) -> ET.Element:
    """§4.2."""
    return E("LoginResponse", {"sessionID": session_id, "timeToLive": ttl}, status(p, code))


def redirect(p: Personality, urls: list[str]) -> ET.Element:
    """Extension: a LoginResponse that names other URLs of the same domain."""
    answer = login_response(p, None, 302)
    answer.append(E("RedirectList", None, *(E("Redirect", {"url": url}) for url in urls)))
    return answer


def content_data(p: Personality, text: str, content_type: str = "text/plain", tag: str = "ContentData") -> ET.Element:
    """§9.2, always base64; the observed peer's ends with CR LF."""
    coded = base64.b64encode(text.encode("utf-8")).decode("ascii")
    return E(tag, {"contentType": content_type, "encoding": "base64" if p.lower_base64 else "BASE64"},
             text=coded + ("\r\n" if p.framed_text else ""))


def message_info(p: Personality, message_id: str | None, sender: str, recipients: list[str], size: int | None = None,
                 bare: bool = False) -> ET.Element:
    """§9.1; with `bare`, recipients lose their `wv:` where the observed peer loses it (§14.7)."""
    return E("MessageInfo", {"messageID": message_id, "contentType": "text/plain", "contentSize": size, "validity": 86400 if size is not None else None},
             *(E("Recipient", None, _party(_bare(p, r) if bare else r)) for r in recipients),
             E("Sender", None, _party(sender)),
             E("DateTime", {"format": "iso8601"}, text=wire.stamp(wrong_month=p.wrong_month)))


def send_message(p: Personality, sender: str, recipients: list[str], text: str, message_id: str | None, report: bool = False,
                 requestor: str | None = None) -> ET.Element:
    """§12.1."""
    return E("SendMessageRequest", {"deliveryReport": "Yes" if report else "No"}, meta_info(requestor or sender),
             message_info(p, message_id, sender, recipients, len(text.encode())), content_data(p, text))


def group_message(p: Personality, domain: str, group: str, screen_name: str, to: str, text: str, message_id: str) -> ET.Element:
    """§9.1: from a participant of a group of ours to a foreign one."""
    info = message_info(p, message_id, group, [to], len(text.encode()))
    sender = xmltree.child(info, "Sender")
    sender[:] = [E("GroupID", {"groupID": group})]
    info.insert(list(info).index(sender) + 1, E("SenderDisplay", None, E("ScreenName", {"groupID": group}, text=screen_name)))
    return E("SendMessageRequest", {"deliveryReport": "No"}, meta_info(None, domain), info, content_data(p, text))


def to_group(p: Personality, sender: str, group: str, text: str, message_id: str, screen_name: str | None = None) -> ET.Element:
    """A member's message to the group, or to one participant of it."""
    message = send_message(p, sender, [sender], text, message_id)
    party = E("ScreenName", {"groupID": group}, text=screen_name) if screen_name else E("GroupID", {"groupID": group})
    xmltree.child(message, "MessageInfo", "Recipient")[:] = [party]
    return message


def send_message_response(p: Personality, message_id: str | None, outcome: ET.Element) -> ET.Element:
    """§12.2."""
    return E("SendMessageResponse", {"messageID": message_id or ""}, outcome)


def delivery_report(p: Personality, message_id: str, reporter: str, original_sender: str, code: int = 200,
                    description: str | None = None) -> ET.Element:
    """§12.3: `reporter` was the recipient."""
    return E("DeliveryStatusReport", None, meta_info(reporter),
             E("DeliveryResult", None, status(p, code, description)),
             E("DeliveryTime", text=wire.stamp(wrong_month=p.wrong_month)),
             message_info(p, message_id, reporter, [original_sender], bare=True))


def invite(p: Personality, invite_id: str, inviting: str, invited: str, note: str | None = None, kind: str = "IM",
           group: str | None = None, validity: int = 600) -> ET.Element:
    """§12.4."""
    return E("InviteRequest", {"inviteID": invite_id, "inviteType": kind, "validity": validity}, meta_info(inviting),
             E("Inviting", None, _party(inviting)), E("Invited", None, _party(invited)),
             E("GroupID", {"groupID": group}) if group else None, E("InviteNote", text=note) if note else None)


def invite_response(p: Personality, invite_id: str, inviter: str, responder: str, accepted: bool, note: str | None = None) -> ET.Element:
    """§12.5; with the two roles exchanged when that is the habit."""
    inviting, responding = (responder, inviter) if p.roles_exchanged else (inviter, responder)
    return E("InviteResponse", {"inviteID": invite_id, "acceptance": "Yes" if accepted else "No"},
             status(p, 200 if accepted else 404), E("Inviting", None, _party(inviting)),
             E("Responding", None, _party(responding)), E("ResponseNote", text=note) if note else None)


def cancel_invite(p: Personality, invite_id: str, canceling: str, canceled: str, note: str | None = None) -> ET.Element:
    """§12.6; ill-formed when the personality breaks `Canceled` (the serialiser does it)."""
    return E("CancelInviteRequest", {"inviteID": invite_id}, meta_info(canceling), E("Canceling", None, _party(canceling)),
             E("Canceled", None, _party(canceled)), E("CancelNote", text=note) if note else None)


def subscribe(p: Personality, watcher: str, watched: list[str], attributes: tuple[str, ...] = ()) -> ET.Element:
    """§12.7."""
    return E("SubscribeRequest", None, meta_info(watcher), *(E("UserID", {"userID": w}) for w in watched), _wanted(p, attributes))


def unsubscribe(p: Personality, watcher: str, watched: list[str]) -> ET.Element:
    """§12.8."""
    return E("UnsubscribeRequest", None, meta_info(watcher), *(E("UserID", {"userID": w}) for w in watched))


def get_presence(p: Personality, watcher: str, watched: list[str], attributes: tuple[str, ...] = ()) -> ET.Element:
    """§12.10."""
    return E("GetPresenceRequest", None, meta_info(watcher), *(E("VerUserID", {"userID": w}) for w in watched), _wanted(p, attributes))


def presence_value(p: Personality, watched: str, values: dict[str, str] | None) -> ET.Element:
    """§10.1: the wrapper with the values of one user; None gives one without content."""
    if values is None:
        return E("PresenceValue", {"userID": watched})
    items = [E(k, None, E("Qualifier", text="T"), E("PresenceValue", text=v)) for k, v in values.items()]
    return E("PresenceValue", {"userID": watched}, E("PresenceSubList", {"xmlns": p.presence_namespace}, *items))


def presence_notification(p: Personality, watchers: list[str], values: dict[str, dict[str, str] | None]) -> ET.Element:
    """§12.9; server originated, without MetaInfo as the observed peer sends it."""
    return E("PresenceNotification", None, *(E("User", {"userID": _bare(p, w)}) for w in watchers),
             *(presence_value(p, user, v) for user, v in values.items()))


def read_presence(wrapper: ET.Element) -> dict[str, str]:
    """The valid values in a PresenceValue wrapper."""
    found = {}
    for item in xmltree.child(wrapper, "PresenceSubList") or ():
        value = xmltree.child(item, "PresenceValue")
        if value is not None and xmltree.text(xmltree.child(item, "Qualifier")).upper() == "T":
            found[xmltree.name(item)] = xmltree.text(value)
    return found


def group_request(tag: str, user: str, group: str, attributes: dict | None = None, *inner: ET.Element) -> ET.Element:
    """§12.11 to §12.18: any group request."""
    return E(tag, {"groupID": group, **(attributes or {})}, meta_info(user), *inner)


def search(p: Personality, user: str, element: str, value: str, limit: int = 10, meta: ET.Element | None = None) -> ET.Element:
    """Extension."""
    return E("SearchRequest", {"searchLimit": limit}, meta if meta is not None else meta_info(user), E("SearchPair", {"searchElement": element}, text=value))


def search_on(search_id: str, index: int, user: str) -> ET.Element:
    """Extension: goes on with an earlier search."""
    return E("SearchRequest", {"searchID": search_id, "searchIndex": index}, meta_info(user))


def search_response(p: Personality, search_id: str, users: list[tuple[str, str | None]]) -> ET.Element:
    """Extension."""
    people = [E("User", {"userID": u, "friendlyName": n}) for u, n in users]
    return E("SearchResponse", {"searchID": search_id, "searchFindings": len(users), "completion": "Yes", "searchIndex": 1},
             status(p, 200), E("SearchResult", None, E("UserList", None, *people)))


def stop_search(search_id: str, user: str) -> ET.Element:
    """Extension."""
    return E("StopSearchRequest", {"searchID": search_id}, meta_info(user))


def contact_added(user: str, added: list[str], friendly_name: str | None = None, text: str | None = None) -> ET.Element:
    """Extension: the ATCL notice."""
    return E("NotificationRequest", {"notificationType": "ATCL"}, meta_info(user, friendly_name=friendly_name),
             *(E("UserID", {"userID": a}) for a in added), E("Text", text=text) if text else None)


def keep_alive(ttl: int) -> ET.Element:
    """Extension."""
    return E("KeepAliveRequest", {"timeToLive": ttl})


def logout() -> ET.Element:
    """Extension."""
    return E("LogoutRequest")


def _party(address: str) -> ET.Element:
    if "/" in address.partition("@")[0]:
        return E("GroupID", {"groupID": address})
    return E("User", {"userID": address})


def _wanted(p: Personality, attributes: tuple[str, ...]) -> ET.Element | None:
    if not attributes:
        return None
    return E("AttributeList", None, E("PresenceSubList", {"xmlns": p.presence_namespace}, *(E(a) for a in attributes)))


def _bare(p: Personality, address: str) -> str:
    return address[3:] if p.bare_scheme and address.startswith("wv:") else address
