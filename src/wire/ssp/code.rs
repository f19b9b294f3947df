//! The result codes of SSP.
//!
//! A code is a number on the wire and stays one here, because peers use codes that no list holds; unknown codes are judged
//! by their class, the first digit. Source: SSP reference §13.

use std::fmt;

/// A three-digit result code; any number a peer sends is kept.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct StatusCode(pub u16);

/// What the first digit of a code says.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum CodeClass {
    /// 1xx: on its way, the result will follow.
    Informational,
    /// 2xx: done, wholly or partly.
    Success,
    /// 3xx: ask elsewhere; only `StatusCode::REDIRECT`, which is ours.
    Redirection,
    /// 4xx: the request is at fault.
    Client,
    /// 5xx: the server or a recipient is at fault.
    Server,
    /// 6xx: the session is at fault.
    Session,
    /// 7xx: presence or contact lists.
    PresenceAndList,
    /// 8xx: groups.
    Group,
    /// 9xx, and everything that has no class of its own.
    General,
}

impl StatusCode {
    /// The class by the first digit.
    pub const fn class(self) -> CodeClass {
        match self.0 / 100 {
            1 => CodeClass::Informational,
            2 => CodeClass::Success,
            3 => CodeClass::Redirection,
            4 => CodeClass::Client,
            5 => CodeClass::Server,
            6 => CodeClass::Session,
            7 => CodeClass::PresenceAndList,
            8 => CodeClass::Group,
            _ => CodeClass::General,
        }
    }

    /// Whether the code is 2xx; SSP reference §4.2 takes any of them as success.
    pub const fn is_success(self) -> bool {
        self.0 / 100 == 2
    }

    /// Whether the code is 1xx: neither success nor failure yet.
    pub const fn is_informational(self) -> bool {
        self.0 / 100 == 1
    }

    /// Whether the code is final and not a success.
    pub const fn is_failure(self) -> bool {
        !self.is_success() && !self.is_informational()
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.0)
    }
}

macro_rules! codes {
    ($($name:ident = $number:literal, $meaning:literal;)*) => {
        impl StatusCode {
            $(#[doc = concat!($number, ": ", $meaning, ".")] pub const $name: Self = Self($number);)*

            /// The meaning of the code in our words; `None` for a code that SSP reference §13 does not list.
            pub const fn meaning(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($meaning),)*
                    _ => None,
                }
            }
        }

        /// Every listed code, in order.
        #[cfg(test)]
        const ALL: &[StatusCode] = &[$(StatusCode::$name),*];
    };
}

codes! {
    CONTINUE = 100, "continue";
    QUEUED = 101, "queued, forwarded to another domain";
    STARTED = 102, "started";
    SUCCESS = 200, "success";
    PARTIAL_SUCCESS = 201, "partial success, see details";
    ACCEPTED = 202, "accepted, not finished";
    REDIRECT = 302, "redirected, ours";
    BAD_REQUEST = 400, "bad request";
    UNAUTHORIZED = 401, "unauthorised";
    BAD_PARAMETER = 402, "bad parameter";
    FORBIDDEN = 403, "forbidden";
    NOT_FOUND = 404, "not found";
    SERVICE_NOT_SUPPORTED = 405, "service not supported";
    INVALID_PASSWORD = 409, "invalid password";
    UNABLE_TO_DELIVER = 410, "unable to deliver";
    UNSUPPORTED_MEDIA_TYPE = 415, "unsupported media type";
    INVALID_TRANSACTION_ID = 420, "invalid transaction ID";
    USER_AND_CLIENT_ID_MISMATCH = 422, "user ID and client ID do not match";
    INVALID_INVITATION_ID = 423, "invalid invitation ID";
    INVALID_SEARCH_ID = 424, "invalid search ID";
    INVALID_SEARCH_INDEX = 425, "invalid search index";
    INVALID_MESSAGE_ID = 426, "invalid message ID";
    INVALID_USER_ID = 427, "invalid user ID";
    CLIENT_ID_MISMATCH = 428, "client ID mismatch";
    INVALID_GROUP_ID = 429, "invalid or missing group ID";
    INVALID_APPLICATION_ID = 450, "missing or wrong application ID";
    INTERNAL_ERROR = 500, "internal error";
    NOT_IMPLEMENTED = 501, "not implemented";
    SERVICE_UNAVAILABLE = 503, "service unavailable";
    TIMEOUT = 504, "timeout";
    VERSION_NOT_SUPPORTED = 505, "version not supported";
    SERVICE_NOT_AGREED = 506, "service not agreed";
    MESSAGE_QUEUE_FULL = 507, "message queue full";
    DOMAIN_NOT_SUPPORTED = 516, "domain not supported";
    UNANSWERED_PRESENCE_REQUEST = 521, "unanswered presence request";
    UNANSWERED_GROUP_REQUEST = 522, "unanswered group request";
    UNKNOWN_USER = 531, "unknown user";
    RECIPIENT_BLOCKED_SENDER = 532, "recipient blocked the sender";
    RECIPIENT_NOT_LOGGED_IN = 533, "recipient not logged in";
    RECIPIENT_NOT_AUTHORIZED = 534, "recipient not authorised";
    SEARCH_TIMED_OUT = 535, "search timed out";
    TOO_MANY_HITS = 536, "too many hits";
    SEARCH_TOO_BROAD = 537, "search too broad";
    MESSAGE_REJECTED = 538, "message rejected";
    MESSAGE_FORWARDED = 541, "message forwarded";
    MESSAGE_EXPIRED = 542, "message expired";
    NO_COMMON_DIGEST_SCHEME = 543, "no common digest scheme";
    UNKNOWN_PRESENCE_VALUE = 550, "unknown presence value";
    UNKNOWN_PRESENCE_ATTRIBUTE = 551, "unknown presence attribute";
    SEARCH_REFUSED = 562, "seen in search handling, meaning not sure";
    SESSION_EXPIRED = 600, "session expired";
    FORCED_LOGOUT = 601, "forced logout";
    INVALID_SESSION = 604, "invalid session, not logged in";
    NEW_VALUE_NOT_ACCEPTED = 605, "new value not accepted";
    CONTACT_LIST_DOES_NOT_EXIST = 700, "contact list does not exist";
    CONTACT_LIST_EXISTS = 701, "contact list exists";
    BAD_PRESENCE_ATTRIBUTE = 750, "bad presence attribute";
    BAD_PRESENCE_VALUE = 751, "bad presence value";
    BAD_CONTACT_LIST = 752, "bad contact list ID or property";
    TOO_MANY_CONTACT_LISTS = 753, "too many contact lists";
    TOO_MANY_CONTACTS = 754, "too many contacts";
    TOO_MANY_ATTRIBUTE_LISTS = 755, "too many attribute lists";
    AUTOMATIC_SUBSCRIPTION_NOT_SUPPORTED = 760, "automatic subscription not supported";
    GROUP_DOES_NOT_EXIST = 800, "group does not exist";
    GROUP_EXISTS = 801, "group exists";
    GROUP_IS_OPEN = 802, "group is open";
    GROUP_IS_CLOSED = 803, "group is closed";
    GROUP_IS_PUBLIC = 804, "group is public";
    GROUP_IS_PRIVATE = 805, "group is private";
    BAD_GROUP_PROPERTY = 806, "bad group ID or property";
    ALREADY_JOINED = 807, "already joined";
    NOT_JOINED = 808, "not joined";
    REJECTED_FROM_GROUP = 809, "rejected";
    NOT_A_GROUP_MEMBER = 810, "not a member, screen name mismatch";
    SCREEN_NAME_IN_USE = 811, "screen name in use";
    GROUP_PRIVATE_MESSAGES_OFF = 812, "private messages off in the group";
    USER_PRIVATE_MESSAGES_OFF = 813, "private messages off for the user";
    TOO_MANY_GROUPS_OF_USER = 814, "too many groups of the user";
    TOO_MANY_GROUPS = 815, "too many groups on the server";
    NOT_ENOUGH_GROUP_PRIVILEGES = 816, "not enough group privileges";
    GROUP_FULL = 817, "group full";
    HISTORY_NOT_SUPPORTED = 821, "history not supported";
    SEARCHABLE_GROUP_NEEDS_NAME = 822, "searchable group needs a name or topic";
    SEVERAL_ERRORS = 900, "several errors, nothing done, see details";
    ADDRESS_ERROR = 901, "general address error, the sender's domain is not the session's";
    NO_CREDIT = 902, "no credit";
    HIGHER_SERVICE_CLASS_NEEDED = 903, "higher class of service needed";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_codes_are_ordered_and_have_a_meaning() {
        assert!(ALL.is_sorted());
        assert!(ALL.iter().all(
            |code| code.meaning().is_some() && code.class() != CodeClass::Redirection
                || *code == StatusCode::REDIRECT
        ));
    }

    #[test]
    fn unknown_code_is_judged_by_its_class() {
        let code = StatusCode(299);
        assert!(code.is_success() && !code.is_failure());
        assert_eq!(code.meaning(), None);
        assert!(StatusCode(777).is_failure());
        assert!(!StatusCode::QUEUED.is_failure());
        assert_eq!(StatusCode(65_535).class(), CodeClass::General);
    }
}
