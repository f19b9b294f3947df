//! Documents made from a string of bytes, for the codec's properties.
//!
//! Each byte is a choice, and zeros follow the last, so a failing document shrinks with its bytes. What is made is in the
//! form that reading gives: text is trimmed and not empty, lists that must hold something do.

use std::time::Duration;

use super::entity::ClientId;
use super::invite::InviteSubject;
use super::presence::{
    Address, Availability, Capability, ClientInfo, ClientType, CommC, CommStatus, ContactPreference,
    GeoLocation, InfoLink, Mood, PresenceClient, PresenceContent, Qualified, StatusContent, VCard, Zone,
};
use super::*;

/// A source of choices: the bytes, then zeros.
pub(super) struct Dice<'b> {
    bytes: std::slice::Iter<'b, u8>,
}

/// What can be made from dice, in the canonical form that reading gives.
pub(super) trait Make: Sized {
    fn make(dice: &mut Dice<'_>) -> Self;

    /// Not empty, for places where empty is the same as none.
    fn make_present(dice: &mut Dice<'_>) -> Self {
        Self::make(dice)
    }
}

impl<'b> Dice<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes: bytes.iter() }
    }

    fn roll(&mut self) -> u8 {
        self.bytes.next().copied().unwrap_or(0)
    }

    pub(super) fn make<T: Make>(&mut self) -> T {
        T::make(self)
    }

    /// At least one, at most three.
    fn some<T: Make>(&mut self) -> Vec<T> {
        let count = 1 + self.roll() % 3;
        (0..count).map(|_| self.make()).collect()
    }
}

impl Make for bool {
    fn make(dice: &mut Dice<'_>) -> Self {
        dice.roll() & 1 == 1
    }
}

impl Make for u64 {
    fn make(dice: &mut Dice<'_>) -> Self {
        Self::from_be_bytes([0; 8].map(|_: u8| dice.roll()))
    }
}

impl Make for u32 {
    fn make(dice: &mut Dice<'_>) -> Self {
        Self::from_be_bytes([0; 4].map(|_: u8| dice.roll()))
    }
}

impl Make for Duration {
    fn make(dice: &mut Dice<'_>) -> Self {
        Self::from_secs(u64::from(dice.make::<u32>()))
    }
}

impl Make for DateTime {
    fn make(dice: &mut Dice<'_>) -> Self {
        Self::from_unix_seconds(i64::from(dice.make::<u32>()) - 1_000_000_000)
    }
}

impl Make for StatusCode {
    fn make(dice: &mut Dice<'_>) -> Self {
        Self(u16::from(dice.roll()) * 4)
    }
}

impl Make for String {
    fn make(dice: &mut Dice<'_>) -> Self {
        const CHARS: [&str; 16] = [
            "a",
            "B",
            "7",
            "+",
            ":",
            "@",
            "<",
            "&",
            "\"",
            "'",
            "\r\n",
            "\t ",
            "]]>",
            "\u{e9}",
            "\u{1F600}",
            "&amp;",
        ];
        let length = dice.roll() % 8;
        let inner: Self = (0..length)
            .map(|_| CHARS[usize::from(dice.roll() % 16)])
            .collect();
        format!("x{inner}y")
    }
}

impl<T: Make> Make for Option<T> {
    fn make(dice: &mut Dice<'_>) -> Self {
        dice.make::<bool>().then(|| dice.make())
    }
}

impl<T: Make> Make for Vec<T> {
    fn make(dice: &mut Dice<'_>) -> Self {
        if dice.make() { dice.some() } else { Self::new() }
    }

    fn make_present(dice: &mut Dice<'_>) -> Self {
        dice.some()
    }
}

impl Make for TransactionId {
    fn make(dice: &mut Dice<'_>) -> Self {
        Self::new(dice.make::<String>())
    }
}

impl Make for SessionId {
    fn make(dice: &mut Dice<'_>) -> Self {
        Self::new(dice.make::<String>())
    }
}

impl Make for Mode {
    fn make(dice: &mut Dice<'_>) -> Self {
        if dice.make() {
            Self::Response
        } else {
            Self::Request
        }
    }
}

impl Make for Secret {
    fn make(dice: &mut Dice<'_>) -> Self {
        let length = dice.roll() % 40 + 1;
        if dice.make() {
            Self::new(dice.make::<String>())
        } else {
            Self::new((0..length).map(|_| dice.roll()).collect::<Vec<_>>())
        }
    }
}

impl Make for PasswordDigest {
    fn make(dice: &mut Dice<'_>) -> Self {
        dice.make::<Secret>().digest()
    }
}

impl Make for ContentData {
    fn make(dice: &mut Dice<'_>) -> Self {
        let length = dice.roll();
        Self {
            content_type: dice.make(),
            bytes: (0..length).map(|_| dice.roll()).collect(),
        }
    }
}

impl Make for Entity {
    fn make(dice: &mut Dice<'_>) -> Self {
        match dice.roll() % 3 {
            0 => Self::User(dice.make()),
            1 => Self::GroupId(dice.make()),
            _ => Self::ScreenName(dice.make()),
        }
    }
}

impl Make for PresenceContent {
    fn make(dice: &mut Dice<'_>) -> Self {
        if dice.make() {
            Self::Direct(dice.make())
        } else {
            Self::Referred(dice.make())
        }
    }
}

impl Make for VCard {
    fn make(dice: &mut Dice<'_>) -> Self {
        Self(dice.make())
    }
}

impl Make for Zone {
    fn make(dice: &mut Dice<'_>) -> Self {
        Self(dice.make())
    }
}

impl Make for LogoutRequest {
    fn make(_: &mut Dice<'_>) -> Self {
        Self
    }
}

impl<T: Make> Make for Qualified<T> {
    fn make(dice: &mut Dice<'_>) -> Self {
        let value = dice.make::<bool>().then(|| T::make_present(dice));
        Self {
            qualifier: dice.make(),
            value,
            client: dice.make(),
        }
    }
}

impl<T: Make> Make for Box<T> {
    fn make(dice: &mut Dice<'_>) -> Self {
        Self::new(dice.make())
    }
}

/// Structs, field by field; a field given as `= expression` needs more than its type says.
macro_rules! make {
    ($($name:ident { $($field:ident $(= $with:ident)?),* $(,)? })*) => {
        $(impl Make for $name {
            fn make(dice: &mut Dice<'_>) -> Self {
                Self { $($field: make!(@field dice $($with)?)),* }
            }
        })*
    };
    (@field $dice:ident) => { $dice.make() };
    (@field $dice:ident some) => { $dice.some() };
    (@field $dice:ident present) => { Some($dice.make()) };
}

/// Enums of words: a listed one or another.
macro_rules! make_words {
    ($($name:ident),*) => {
        $(impl Make for $name {
            fn make(dice: &mut Dice<'_>) -> Self {
                let choice = usize::from(dice.roll()) % (Self::WORDS.len() + 1);
                Self::from_word(Self::WORDS.get(choice).unwrap_or(&"X-odd_1"))
            }
        })*
    };
}

/// Enums whose variants hold one value each, with as many rolls as there are variants.
macro_rules! make_choice {
    ($name:ident: $($variant:ident),*) => {
        impl Make for $name {
            fn make(dice: &mut Dice<'_>) -> Self {
                let makers: &[fn(&mut Dice<'_>) -> Self] = &[$(|dice| Self::$variant(dice.make())),*];
                makers[usize::from(dice.roll()) % makers.len()](dice)
            }
        }
    };
}

make_words!(InviteType, SearchElement, NotificationType, PresenceAttributeName);
make_words!(Availability, Mood, ClientType, Capability, CommStatus);

make! {
    User { user_id, friendly_name, client }
    ClientId { url, name, application_id }
    ScreenName { group_id, name }
    MetaInfo { client_originated, service_id, user, via }
    Status { code, description, details, try_again_after }
    DetailedResult { code, description, user_ids, group_ids, screen_names, domains }
    MessageInfo {
        message_id, uri, content_type, content_name, content_size, validity, recipients = some, sender, date
    }
    SendMessageRequest { delivery_report, meta, info, content }
    SendMessageResponse { message_id, status }
    DeliveryStatusReport { meta, result, delivery_time, info }
    InviteSubject { group_id, application_id, attributes, content_urls }
    InviteRequest { invite_id, invite_type, validity, meta, inviting, invited, subject, note, screen_name }
    InviteResponse { invite_id, acceptance, meta, status, inviting, responding, note, screen_name }
    CancelInviteRequest { invite_id, meta, canceling, canceled, subject, note, screen_name }
    SubscribeRequest { meta, user_ids = some, attributes }
    UnsubscribeRequest { meta, user_ids = some }
    PresenceNotification { meta, users = some, values }
    GetPresenceRequest { meta, user_ids = some, attributes }
    GetPresenceResponse { status, values }
    PresenceValue { user_id, attributes }
    PresenceClient { url, msisdn }
    ClientInfo {
        content_limit, client_type, manufacturer, producer, model = present, version, language, im_priority, application_id
    }
    GeoLocation { longitude = present, latitude, altitude, accuracy }
    Address { country, city = present, street, crossing1, crossing2, building, named_area }
    CommC { capability, status, contact, note }
    ContactPreference { capability, address, status, name, priority }
    StatusContent { content, content_type }
    InfoLink { link, text, content_type }
    JoinGroupRequest { group_id, joined_list_request, subscribe_notifications, meta, screen_name, own_properties }
    JoinGroupResponse { status, joined, welcome_note }
    LeaveGroupRequest { group_id, meta }
    LeaveGroupIndication { group_id, status, reason }
    GroupChangeNotice {
        group_id, meta, users = some, joined, left, joined_blocked, left_blocked, group_properties, own_properties
    }
    UserList { users, screen_names }
    SubscribeGroupChangeRequest { group_id, meta }
    UnsubscribeGroupChangeRequest { group_id, meta }
    GetGroupSubStatusRequest { group_id, meta }
    GetGroupSubStatusResponse { group_id, subscribed, status }
    GetGroupMemberRequest { group_id, meta }
    GetGroupMemberResponse { status, members }
    Members { admins, moderators, ordinary_users }
    GetJoinedUsersRequest { group_id, meta }
    GetJoinedUsersResponse { status, admins, users, blocked }
    Mapping { screen_name, user_id }
    AddGroupMemberRequest { group_id, meta, user_ids = some }
    RemoveGroupMemberRequest { group_id, meta, user_ids = some }
    MemberAccessRequest { group_id, meta, members }
    GetGroupPropsRequest { group_id, meta }
    GetGroupPropsResponse { status, group_properties, own_properties }
    GroupProperties { properties, welcome_note }
    Property { name, value }
    SetGroupPropsRequest { group_id, meta, group_properties, own_properties }
    RejectListRequest { group_id, meta, add, remove }
    RejectListResponse { status, rejected }
    DeleteGroupRequest { group_id, meta }
    SearchRequest { search_limit, search_id, search_index, meta, pairs = some }
    SearchPair { element, string }
    SearchResponse { search_id, search_findings, completion, search_index, status, users, group_ids }
    StopSearchRequest { search_id, meta }
    NotificationRequest { notification_type, meta, user_ids = some, text }
    NotificationText { text, language }
    KeepAliveRequest { time_to_live }
    KeepAliveResponse { time_to_live, status }
    SendSecretToken { service_id, protocol_version, secret }
    LoginRequest { service_id, time_to_live, digest }
    LoginResponse { session_id, time_to_live, status, redirects }
    SetupTransaction { mode, id, primitive }
    Transaction { mode, id, primitive }
}

make_choice!(SetupPrimitive: SendSecretToken, LoginRequest, LoginResponse);
make_choice!(PresenceAttribute: OnlineStatus, Registration, ClientInfo, TimeZone, GeoLocation, Address, FreeTextLocation, Plmn,
    CommCap, UserAvailability, PreferredContacts, PreferredLanguage, StatusText, StatusMood, Alias, StatusContent, ContactInfo,
    InfoLink);
make_choice!(Primitive: Status, SendMessageRequest, SendMessageResponse, DeliveryStatusReport, InviteRequest, InviteResponse,
    CancelInviteRequest, SubscribeRequest, UnsubscribeRequest, PresenceNotification, GetPresenceRequest, GetPresenceResponse,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupIndication, GroupChangeNotice,
    SubscribeGroupChangeRequest, UnsubscribeGroupChangeRequest, GetGroupSubStatusRequest, GetGroupSubStatusResponse,
    GetGroupMemberRequest, GetGroupMemberResponse, GetJoinedUsersRequest, GetJoinedUsersResponse, AddGroupMemberRequest,
    RemoveGroupMemberRequest, MemberAccessRequest, GetGroupPropsRequest, GetGroupPropsResponse, SetGroupPropsRequest,
    RejectListRequest, RejectListResponse, DeleteGroupRequest, SearchRequest, SearchResponse, StopSearchRequest,
    NotificationRequest, KeepAliveRequest, KeepAliveResponse, LogoutRequest);

impl Make for Document {
    fn make(dice: &mut Dice<'_>) -> Self {
        if dice.roll() % 8 == 7 {
            return Self::Setup(dice.make());
        }
        Self::Session {
            session_id: dice.make(),
            transactions: dice.some(),
        }
    }
}
