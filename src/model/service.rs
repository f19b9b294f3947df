//! What an interconnection agreement lets through, and which way.

/// A service of the interconnection, as agreements, metrics and CDRs name it.
///
/// Source: OMA IM Requirements, interconnection agreements (features limited by the agreement).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// Finding a person by number or ID.
    Search,
    /// Presence subscriptions, fetches and notifications.
    Presence,
    /// Messages and their delivery reports.
    Message,
    /// Invitations, their answers and cancellations.
    Invite,
    /// "Added to contact list" notices.
    Notice,
    /// Group primitives, passed between IMPS operators only.
    Group,
}

impl Service {
    /// Every service, in the order in which they are listed to people.
    pub const ALL: [Self; 6] = [
        Self::Search,
        Self::Presence,
        Self::Message,
        Self::Invite,
        Self::Notice,
        Self::Group,
    ];

    /// The name in agreements, metrics and output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Presence => "presence",
            Self::Message => "message",
            Self::Invite => "invite",
            Self::Notice => "notice",
            Self::Group => "group",
        }
    }
}

/// Which way a request crosses the interconnect, seen from this gateway.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the peer to us.
    In,
    /// From us to the peer.
    Out,
}

/// A protocol that a person can be reached by, in the order of the ladder (ENUM and SRV routing §14).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// The embedded home domain: no protocol at all.
    Home,
    /// IMPS server-to-server.
    Ssp,
    /// SIMPLE.
    Sip,
    /// XMPP server-to-server.
    Xmpp,
}

impl Protocol {
    /// The name in agreements, metrics and output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Ssp => "ssp",
            Self::Sip => "sip",
            Self::Xmpp => "xmpp",
        }
    }
}
