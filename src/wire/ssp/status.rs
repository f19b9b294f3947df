//! The general answer, and the part of other answers that says how it went.
//!
//! Source: SSP reference §8.

use std::time::Duration;

use super::code::StatusCode;
use super::entity::{ScreenName, group_id, user_ids, write_group_id, write_user_ids};
use super::flaw::Flaw;
use super::xml::{Element, Wire, Writer};

/// How a request went. Element `Status`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Status {
    /// The overall result; absent on the wire is read as 404.
    pub code: StatusCode,
    /// Text for people.
    pub description: Option<String>,
    /// Results of single items, for 201 and 900.
    pub details: Vec<DetailedResult>,
    /// When asking again makes sense; whole seconds.
    pub try_again_after: Option<Duration>,
}

/// The result of some of the items of a request. Element `DetailedResult`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DetailedResult {
    /// The result of the items listed.
    pub code: StatusCode,
    /// Text for people; some peers name the failing address only here.
    pub description: Option<String>,
    /// Addresses of users.
    pub user_ids: Vec<String>,
    /// Addresses of groups.
    pub group_ids: Vec<String>,
    /// Participants of groups.
    pub screen_names: Vec<ScreenName>,
    /// Domains.
    pub domains: Vec<String>,
}

impl Status {
    /// A result without text or details.
    pub const fn new(code: StatusCode) -> Self {
        Self {
            code,
            description: None,
            details: Vec::new(),
            try_again_after: None,
        }
    }

    /// The same result with a text for people.
    #[must_use]
    pub fn described(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// The same result with one more detail.
    #[must_use]
    pub fn detailed(mut self, detail: DetailedResult) -> Self {
        self.details.push(detail);
        self
    }

    /// The `Status` of an answer, for answers that some peers send without one when all went well.
    pub(super) fn read_or_success(parent: Element<'_, '_>) -> Self {
        Self::read_in(parent).unwrap_or_else(|| Self::new(StatusCode::SUCCESS))
    }

    pub(super) fn read_in(parent: Element<'_, '_>) -> Option<Self> {
        parent.child(Self::NAME).map(Self::read_leniently)
    }

    pub(super) fn read_required(parent: Element<'_, '_>, element: &'static str) -> Result<Self, Flaw> {
        Self::read_in(parent).ok_or(Flaw::MissingElement {
            element,
            child: Self::NAME,
        })
    }

    fn read_leniently(element: Element<'_, '_>) -> Self {
        Self {
            code: code(element).unwrap_or(StatusCode::NOT_FOUND),
            description: element
                .child("StatusDescription")
                .and_then(|text| text.some_text()),
            details: element
                .children_named(DetailedResult::NAME)
                .filter_map(|e| DetailedResult::read(e).ok())
                .collect(),
            try_again_after: element.seconds("TryAgainTimeout"),
        }
    }
}

impl DetailedResult {
    /// A result for the user at this address.
    pub fn for_user(code: StatusCode, user_id: impl Into<String>) -> Self {
        Self {
            user_ids: vec![user_id.into()],
            ..Self::new(code)
        }
    }

    /// A result without any item yet.
    pub const fn new(code: StatusCode) -> Self {
        Self {
            code,
            description: None,
            user_ids: Vec::new(),
            group_ids: Vec::new(),
            screen_names: Vec::new(),
            domains: Vec::new(),
        }
    }
}

impl From<StatusCode> for Status {
    fn from(code: StatusCode) -> Self {
        Self::new(code)
    }
}

impl Wire for Status {
    const NAME: &'static str = "Status";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self::read_leniently(element))
    }

    fn write(&self, writer: &mut Writer) {
        writer.number("code", u64::from(self.code.0));
        writer.some_text_element("StatusDescription", self.description.as_deref());
        for detail in &self.details {
            writer.wire(detail);
        }
        if let Some(after) = self.try_again_after {
            writer.element("TryAgainTimeout", |writer| writer.number_text(after.as_secs()));
        }
    }
}

impl Wire for DetailedResult {
    const NAME: &'static str = "DetailedResult";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        let code = code(element).ok_or(Flaw::MissingAttribute {
            element: Self::NAME,
            attribute: "code",
        })?;
        Ok(Self {
            code,
            description: element
                .child("StatusDescription")
                .and_then(|text| text.some_text()),
            user_ids: user_ids(element, "UserID"),
            group_ids: element
                .children_named("GroupID")
                .filter_map(group_id)
                .map(str::to_owned)
                .collect(),
            screen_names: element
                .children()
                .filter(|child| child.is(ScreenName::NAME) || child.is(ODD_SCREEN_NAME))
                .filter_map(|child| ScreenName::read(child).ok())
                .collect(),
            domains: element.texts_of("Domain"),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.number("code", u64::from(self.code.0));
        writer.some_text_element("StatusDescription", self.description.as_deref());
        write_user_ids(writer, "UserID", &self.user_ids);
        for group_id in &self.group_ids {
            write_group_id(writer, group_id);
        }
        let screen_name_element = if writer.emits_odd_names() {
            ODD_SCREEN_NAME
        } else {
            ScreenName::NAME
        };
        for screen_name in &self.screen_names {
            writer.element(screen_name_element, |writer| screen_name.write(writer));
        }
        writer.text_elements("Domain", &self.domains);
    }
}

fn code(element: Element<'_, '_>) -> Option<StatusCode> {
    element.scalar("code")?.parse().ok().map(StatusCode)
}

/// The deployed peer reads this name and writes the other (SSP reference §8).
const ODD_SCREEN_NAME: &str = "ScreenNames";
