//! Who the robots are: fixed numbers, what each does, and the numbers that are refused with a status.
//!
//! `zones/README.md` has the same as a table for people; a test holds the two together.

use std::time::Duration;

use crate::model::{Domain, LocalPart, WvAddress};

/// A robot subscriber.
#[derive(Clone, Copy, Debug)]
pub struct RobotAccount {
    /// The number, as `+447700900101`.
    pub number: &'static str,
    /// The user name: the part before `@`.
    pub user: &'static str,
    /// The name that others see.
    pub name: &'static str,
    /// Whose subscriber it is: `alpha` or `beta`.
    pub operator: &'static str,
    /// How it behaves.
    pub manner: Manner,
}

/// How a robot behaves. Whatever is not said here, it does as any subscriber: it is found, takes messages and reports them at
/// once, shows its presence to everybody, and leaves invitations unanswered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Manner {
    /// Nothing of its own.
    Plain,
    /// Sends each message back to who wrote it, and wants a report.
    Echoes,
    /// Never logs in: messages wait until their validity ends.
    Away,
    /// Blocks everybody.
    Blocks,
    /// Fetches messages, and so has them reported, [`LATE`] after they came.
    ReportsLate,
    /// Everything about it is answered [`SLOW`] late.
    AnswersLate,
    /// Shows nothing until it is asked: grants a watcher his wish [`CONSENT`] later, and takes the grant back after [`GRANT`].
    Consents,
    /// Has another status text and mood every [`MOOD`].
    ChangesMood,
    /// Is logged in on three devices, each of which answers each message.
    HasDevices,
    /// Accepts invitations.
    Accepts,
    /// Refuses invitations.
    Declines,
    /// Adds who adds it, and takes him off its list again after [`FRIENDSHIP`].
    AddsBack,
}

impl Manner {
    /// On how many devices it is logged in.
    pub(super) fn devices(self) -> usize {
        match self {
            Self::Away => 0,
            Self::HasDevices => 3,
            Self::Plain
            | Self::Echoes
            | Self::Blocks
            | Self::ReportsLate
            | Self::AnswersLate
            | Self::Consents
            | Self::ChangesMood
            | Self::Accepts
            | Self::Declines
            | Self::AddsBack => 1,
        }
    }

    /// Whether everybody sees its presence.
    pub(super) fn is_public(self) -> bool {
        !matches!(self, Self::Blocks | Self::Consents)
    }
}

/// All robots.
pub const ROBOTS: &[RobotAccount] = &[
    robot("+447700900101", "echo", "Echo", Manner::Echoes),
    robot("+447700900102", "away", "Away", Manner::Away),
    robot("+447700900103", "blocker", "Blocker", Manner::Blocks),
    robot("+447700900104", "late", "Late", Manner::ReportsLate),
    robot("+447700900105", "slow", "Slow", Manner::AnswersLate),
    robot("+447700900106", "shy", "Shy", Manner::Consents),
    robot("+447700900107", "moody", "Moody", Manner::ChangesMood),
    robot("+447700900108", "trio", "Trio", Manner::HasDevices),
    robot("+447700900109", "yes", "Yes", Manner::Accepts),
    robot("+447700900110", "no", "No", Manner::Declines),
    robot("+447700900111", "friendly", "Friendly", Manner::AddsBack),
    RobotAccount {
        operator: "beta",
        ..robot("+447700900180", "paula", "Paula", Manner::Plain)
    },
];

/// The robot that an address names, by number or by user name.
pub(super) fn robot_of(person: &WvAddress) -> Option<&'static RobotAccount> {
    ROBOTS.iter().find(|one| match person.local() {
        LocalPart::Msisdn(number) => one.number.trim_start_matches('+') == number.digits(),
        LocalPart::Name(name) => {
            let is_there = |domain: &Domain| domain.as_str() == format!("{}.example", one.operator);
            name.eq_ignore_ascii_case(one.user) && person.domain().is_some_and(is_there)
        }
        LocalPart::Service => false,
    })
}

/// The status with which everything for this person is refused: the last two digits of the number, behind 4 in +4477009000xx,
/// 5 in +4477009005xx and 9 in +4477009009xx, where the SSP reference has such a status.
pub(super) fn refusal_of(person: &WvAddress) -> Option<u16> {
    let digits = person.number()?.digits();
    let status: u16 = digits.strip_prefix("447700900")?.parse().ok()?;
    let status = if status < 100 { status + 400 } else { status };
    REFUSALS.contains(&status).then_some(status)
}

/// The statuses of the SSP reference (§13) that can be said of a person: those about contact lists, groups and sessions are left
/// out.
pub const REFUSALS: &[u16] = &[
    400, 401, 402, 403, 404, 405, 409, 410, 415, 420, 422, 423, 424, 425, 426, 427, 428, 429,
    450, // the request
    500, 501, 503, 504, 505, 506, 507, 516, 521, 522, 531, 532, 533, 534, 535, 536, 537, 538, 541, 542, 543,
    550, 551, 562, // the server and the person
    900, 901, 902, 903, // several errors, addresses, credit
];

/// When `ReportsLate` fetches a message.
pub const LATE: Duration = Duration::from_secs(5);
/// How long `AnswersLate` keeps an answer.
pub const SLOW: Duration = Duration::from_secs(2);
/// When `Consents` grants a new watcher what he wants to see.
pub const CONSENT: Duration = Duration::from_secs(3);
/// How long `Consents` lets him see it.
pub const GRANT: Duration = Duration::from_secs(10);
/// Between two states of `ChangesMood`.
pub const MOOD: Duration = Duration::from_secs(5);
/// How long `AddsBack` keeps a contact.
pub const FRIENDSHIP: Duration = Duration::from_secs(10);

const fn robot(number: &'static str, user: &'static str, name: &'static str, manner: Manner) -> RobotAccount {
    RobotAccount {
        number,
        user,
        name,
        operator: "alpha",
        manner,
    }
}
