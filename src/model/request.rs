//! What one side asks of another, in the words of the use cases.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    AttributeName, Content, GroupEvent, GroupRequest, InviteId, MessageId, Presence, Refusal, Service,
    Timestamp, WvAddress,
};

/// A request on its way through the gateway; nothing in it knows the protocol it came in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Find a person or group.
    Search(Search),
    /// End a search that is kept for more results.
    StopSearch {
        /// Who asked.
        by: WvAddress,
        /// The search as the serving side named it.
        cursor: SearchCursor,
    },
    /// Somebody was added to a contact list.
    ContactAdded(ContactAdded),
    /// Watch people's presence.
    Subscribe(Subscribe),
    /// Stop watching.
    Unsubscribe(Unsubscribe),
    /// Ask for presence once.
    GetPresence(GetPresence),
    /// Tell watchers.
    Notify(PresenceNotification),
    /// Deliver a message.
    Send(SendMessage),
    /// Tell the sender what became of a message.
    Report(DeliveryReport),
    /// Invite somebody.
    Invite(Invite),
    /// The invited person's answer.
    InviteAnswer(InviteAnswer),
    /// Withdraw an invitation.
    CancelInvite(CancelInvite),
    /// A group primitive, passed between IMPS operators.
    Group(GroupRequest),
    /// Something that happened in a group, for its members elsewhere.
    GroupEvent(GroupEvent),
}

impl Request {
    /// The service of the agreement that covers this request.
    #[must_use]
    pub fn service(&self) -> Service {
        match self {
            Self::Search(_) | Self::StopSearch { .. } => Service::Search,
            Self::ContactAdded(_) => Service::Notice,
            Self::Subscribe(_) | Self::Unsubscribe(_) | Self::GetPresence(_) | Self::Notify(_) => {
                Service::Presence
            }
            Self::Send(_) | Self::Report(_) => Service::Message,
            Self::Invite(_) | Self::InviteAnswer(_) | Self::CancelInvite(_) => Service::Invite,
            Self::Group(_) | Self::GroupEvent(_) => Service::Group,
        }
    }

    /// A short name for trails, metrics and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Search(_) => "search",
            Self::StopSearch { .. } => "stop-search",
            Self::ContactAdded(_) => "contact-added",
            Self::Subscribe(_) => "subscribe",
            Self::Unsubscribe(_) => "unsubscribe",
            Self::GetPresence(_) => "get-presence",
            Self::Notify(_) => "notify",
            Self::Send(_) => "send-message",
            Self::Report(_) => "delivery-report",
            Self::Invite(_) => "invite",
            Self::InviteAnswer(_) => "invite-answer",
            Self::CancelInvite(_) => "cancel-invite",
            Self::Group(_) => "group",
            Self::GroupEvent(_) => "group-event",
        }
    }

    /// On whose behalf the request is made; a notification speaks for the people whose presence it carries.
    #[must_use]
    pub fn sender(&self) -> Option<&WvAddress> {
        match self {
            Self::Search(search) => Some(&search.by),
            Self::StopSearch { by, .. } => Some(by),
            Self::ContactAdded(notice) => Some(&notice.by),
            Self::Subscribe(subscribe) => Some(&subscribe.watcher),
            Self::Unsubscribe(unsubscribe) => Some(&unsubscribe.watcher),
            Self::GetPresence(get) => Some(&get.watcher),
            Self::Notify(notify) => notify.values.first().map(|(presentity, _)| presentity),
            Self::Send(message) => Some(&message.sender),
            Self::Report(report) => Some(&report.recipient),
            Self::Invite(invite) => Some(&invite.inviting),
            Self::InviteAnswer(answer) => Some(&answer.responding),
            Self::CancelInvite(cancel) => Some(&cancel.canceling),
            Self::Group(group) => Some(&group.by),
            Self::GroupEvent(event) => Some(&event.group),
        }
    }

    /// Everybody the request is for.
    #[must_use]
    pub fn recipients(&self) -> Vec<&WvAddress> {
        match self {
            Self::Search(_) | Self::StopSearch { .. } => Vec::new(),
            Self::ContactAdded(notice) => notice.added.iter().collect(),
            Self::Subscribe(subscribe) => subscribe.presentities.iter().collect(),
            Self::Unsubscribe(unsubscribe) => unsubscribe.presentities.iter().collect(),
            Self::GetPresence(get) => get.presentities.iter().collect(),
            Self::Notify(notify) => notify.watchers.iter().collect(),
            Self::Send(message) => message.recipients.iter().collect(),
            Self::Report(report) => vec![&report.sender],
            Self::Invite(invite) => vec![&invite.invited],
            Self::InviteAnswer(answer) => vec![&answer.inviting],
            Self::CancelInvite(cancel) => vec![&cancel.canceled],
            Self::Group(group) => vec![&group.group],
            Self::GroupEvent(event) => event.to.iter().collect(),
        }
    }

    /// As [`Request::recipients`], to name them otherwise.
    pub fn recipients_mut(&mut self) -> Vec<&mut WvAddress> {
        match self {
            Self::Search(_) | Self::StopSearch { .. } => Vec::new(),
            Self::ContactAdded(notice) => notice.added.iter_mut().collect(),
            Self::Subscribe(subscribe) => subscribe.presentities.iter_mut().collect(),
            Self::Unsubscribe(unsubscribe) => unsubscribe.presentities.iter_mut().collect(),
            Self::GetPresence(get) => get.presentities.iter_mut().collect(),
            Self::Notify(notify) => notify.watchers.iter_mut().collect(),
            Self::Send(message) => message.recipients.iter_mut().collect(),
            Self::Report(report) => vec![&mut report.sender],
            Self::Invite(invite) => vec![&mut invite.invited],
            Self::InviteAnswer(answer) => vec![&mut answer.inviting],
            Self::CancelInvite(cancel) => vec![&mut cancel.canceled],
            Self::Group(group) => vec![&mut group.group],
            Self::GroupEvent(event) => event.to.iter_mut().collect(),
        }
    }

    /// The person who asks, to name him otherwise; `None` for what answers another request or what a server sends by itself,
    /// because that speaks for those who were asked for.
    pub fn asker_mut(&mut self) -> Option<&mut WvAddress> {
        match self {
            Self::Search(search) => Some(&mut search.by),
            Self::StopSearch { by, .. } => Some(by),
            Self::ContactAdded(notice) => Some(&mut notice.by),
            Self::Subscribe(subscribe) => Some(&mut subscribe.watcher),
            Self::Unsubscribe(unsubscribe) => Some(&mut unsubscribe.watcher),
            Self::GetPresence(get) => Some(&mut get.watcher),
            Self::Send(message) => Some(&mut message.sender),
            Self::Invite(invite) => Some(&mut invite.inviting),
            Self::CancelInvite(cancel) => Some(&mut cancel.canceling),
            Self::Group(group) => Some(&mut group.by),
            Self::Notify(_) | Self::Report(_) | Self::InviteAnswer(_) | Self::GroupEvent(_) => None,
        }
    }

    /// Whom it concerns, for its trail: the first 16 it is for, or the one whose number or user ID a search names.
    #[must_use]
    pub fn concerns(&self) -> Vec<WvAddress> {
        if let Self::Search(search) = self {
            let persons = search.pairs.iter().filter_map(SearchPair::person);
            return persons.take(1).collect();
        }
        self.recipients().into_iter().take(16).cloned().collect()
    }
}

/// A search (use case 5.20; SSP extensions, `SearchRequest`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// Who searches.
    pub by: WvAddress,
    /// What to match; all must hold.
    pub pairs: Vec<SearchPair>,
    /// At most this many results in one answer; 1 or more.
    pub limit: u16,
    /// Goes on with an earlier search.
    pub resume: Option<SearchCursor>,
}

/// One thing to match.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SearchPair {
    /// What is compared.
    pub element: SearchElement,
    /// With what.
    pub text: String,
}

impl SearchPair {
    /// The person that this names, when it is a whole number or a user ID.
    fn person(&self) -> Option<WvAddress> {
        let text = self.text.trim();
        if self.element == SearchElement::UserMobileNumber {
            let number = text.strip_prefix("tel:").unwrap_or(text);
            let number = number.replace([' ', '-', '.', '(', ')'], "");
            return number.parse().ok().map(WvAddress::msisdn);
        }
        text.parse()
            .ok()
            .filter(|_| self.element == SearchElement::UserId)
    }
}

/// What a search compares (IMPS vocabulary, SSP extensions).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are the standard's own")]
pub enum SearchElement {
    UserMobileNumber,
    UserId,
    UserAlias,
    UserEmailAddress,
    UserFirstName,
    UserLastName,
    UserOnlineStatus,
    GroupId,
    GroupName,
    GroupTopic,
    GroupUserIdJoined,
    GroupUserIdOwner,
}

/// Where to go on with a search.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SearchCursor {
    /// The search as the serving side named it.
    pub id: String,
    /// The first result wanted, counted from 1.
    pub index: u32,
}

/// "Added to contact list" (use case 5.20 step 13; SSP extensions, `NotificationRequest` of type `ATCL`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContactAdded {
    /// Who added.
    pub by: WvAddress,
    /// The adder's display name, when it may be disclosed.
    pub friendly_name: Option<String>,
    /// Who was added.
    pub added: Vec<WvAddress>,
    /// What the receiving server may show, with its language tag.
    pub text: Option<(String, Option<String>)>,
}

/// A presence subscription; without end until it is unsubscribed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subscribe {
    /// Who wants to watch.
    pub watcher: WvAddress,
    /// Whom.
    pub presentities: Vec<WvAddress>,
    /// Which attributes; empty means all.
    pub attributes: Vec<AttributeName>,
}

/// The end of a subscription, by the watcher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unsubscribe {
    /// Who watched.
    pub watcher: WvAddress,
    /// Whom.
    pub presentities: Vec<WvAddress>,
}

/// A single look at presence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GetPresence {
    /// Who asks.
    pub watcher: WvAddress,
    /// About whom.
    pub presentities: Vec<WvAddress>,
    /// Which attributes; empty means all.
    pub attributes: Vec<AttributeName>,
}

/// Presence for watchers; an empty presence means "nothing known" (pending authorisation), not offline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PresenceNotification {
    /// Who is told.
    pub watchers: Vec<WvAddress>,
    /// Of whom, what.
    pub values: Vec<(WvAddress, Presence)>,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SendMessage {
    /// From whom.
    pub sender: WvAddress,
    /// To whom.
    pub recipients: Vec<WvAddress>,
    /// The sending side's own identity of the message; absent when it gave none.
    pub id: Option<MessageId>,
    /// Whether the sender wants to know what became of it.
    pub report_wanted: bool,
    /// How long it may wait; `None` takes the default of 24 h (SSP reference §9.1).
    pub validity: Option<Duration>,
    /// When it was sent, as far as known.
    pub sent_at: Option<Timestamp>,
    /// What it says.
    pub content: Content,
    /// The conversation it belongs to, where a protocol has one.
    pub conversation: Option<String>,
}

/// What became of a message for one recipient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeliveryReport {
    /// The message, by the identity that its sender gave it.
    pub message: MessageId,
    /// Who sent the message, and is told now.
    pub sender: WvAddress,
    /// Who was to receive it, and speaks now.
    pub recipient: WvAddress,
    /// What became of it.
    pub disposition: Disposition,
    /// When.
    pub at: Option<Timestamp>,
    /// What the message lost on its way through other protocols.
    pub losses: Vec<Loss>,
}

/// What became of a message (RFC 8098 §3.2.6 names the word).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Disposition {
    /// It reached the person's device or inbox.
    Delivered,
    /// It will not; why.
    Failed(Refusal),
}

/// What a map between protocols could not carry, in a sentence for people.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Loss(pub String);

/// An invitation (SSP reference §12.4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invite {
    /// The inviting side's identity of the invitation.
    pub id: InviteId,
    /// To what.
    pub kind: InviteType,
    /// How long it stands; `None` takes 24 h.
    pub validity: Option<Duration>,
    /// Who invites.
    pub inviting: WvAddress,
    /// Who is invited.
    pub invited: WvAddress,
    /// The group, for invitations to one.
    pub group: Option<WvAddress>,
    /// The application, for invitations to one.
    pub application: Option<String>,
    /// The attributes, for invitations to share presence.
    pub attributes: Vec<AttributeName>,
    /// The content, for invitations to shared content.
    pub content_urls: Vec<String>,
    /// A note to the invited person.
    pub note: Option<String>,
    /// The inviter's screen name in the group.
    pub screen_name: Option<String>,
}

/// To what somebody is invited (SSP reference §12.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum InviteType {
    /// `IM`: a conversation.
    Chat,
    /// `GR`: join a group.
    Group,
    /// `GM`: group membership.
    GroupMembership,
    /// `PR`: share presence.
    Presence,
    /// `AP`: an application.
    Application,
    /// `SC`: shared content.
    SharedContent,
    /// `EC`: extended conversation.
    ExtendedConversation,
    /// `EG`: extend a group.
    ExtendGroup,
}

/// The answer of the invited person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InviteAnswer {
    /// Which invitation.
    pub id: InviteId,
    /// Whether it is accepted.
    pub accepted: bool,
    /// Who invited, and is told now.
    pub inviting: WvAddress,
    /// Who answers.
    pub responding: WvAddress,
    /// A note.
    pub note: Option<String>,
    /// The screen name wanted in the group.
    pub screen_name: Option<String>,
}

/// An invitation withdrawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CancelInvite {
    /// Which invitation.
    pub id: InviteId,
    /// Who withdraws it.
    pub canceling: WvAddress,
    /// Who was invited.
    pub canceled: WvAddress,
    /// The group, where the invitation was to one.
    pub group: Option<WvAddress>,
    /// A note.
    pub note: Option<String>,
    /// The screen name in the group.
    pub screen_name: Option<String>,
}
