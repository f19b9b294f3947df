//! Search across operators. The shapes are ours: no deployed exchange of them is known.
//!
//! Scalars are written as attributes and read as attributes or child elements; the client protocol's `SearchPairList` is
//! read as well. Source: `ssp-extensions.md`.

use super::entity::{MetaInfo, User, group_id, write_group_id};
use super::flaw::Flaw;
use super::status::Status;
use super::xml::{Element, Wire, Writer, words};

words! {
    /// What a search looks at (IMPS vocabulary).
    pub enum SearchElement {
        /// A telephone number.
        UserMobileNumber = "USER_MOBILE_NUMBER",
        /// An address.
        UserId = "USER_ID",
        /// An alias.
        UserAlias = "USER_ALIAS",
        /// An e-mail address.
        UserEmailAddress = "USER_EMAIL_ADDRESS",
        /// A given name.
        UserFirstName = "USER_FIRST_NAME",
        /// A family name.
        UserLastName = "USER_LAST_NAME",
        /// Whether the person is online.
        UserOnlineStatus = "USER_ONLINE_STATUS",
        /// A group's address.
        GroupId = "GROUP_ID",
        /// A group's name.
        GroupName = "GROUP_NAME",
        /// A group's topic.
        GroupTopic = "GROUP_TOPIC",
        /// Groups that a user has joined.
        GroupUserIdJoined = "GROUP_USER_ID_JOINED",
        /// Groups that a user owns.
        GroupUserIdOwner = "GROUP_USER_ID_OWNER",
    }
}

/// Look for people or groups, or go on with an earlier search.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SearchRequest {
    /// How many results at most in one answer; absent means `SearchRequest::DEFAULT_LIMIT`.
    pub search_limit: Option<u32>,
    /// The earlier search to go on with.
    pub search_id: Option<String>,
    /// Where to go on, counted from 1.
    pub search_index: Option<u32>,
    /// On whose behalf.
    pub meta: Option<MetaInfo>,
    /// What must all match; empty only when going on with an earlier search.
    pub pairs: Vec<SearchPair>,
}

/// One condition of a search. Element `SearchPair`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SearchPair {
    /// What to look at.
    pub element: SearchElement,
    /// What to look for.
    pub string: String,
}

/// What was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SearchResponse {
    /// The search, to go on with it.
    pub search_id: Option<String>,
    /// How many were found in total.
    pub search_findings: Option<u32>,
    /// Whether this is the last part.
    pub completion: Option<bool>,
    /// Where to go on.
    pub search_index: Option<u32>,
    /// Read as 200 when absent.
    pub status: Status,
    /// People found.
    pub users: Vec<User>,
    /// Addresses of groups found.
    pub group_ids: Vec<String>,
}

/// Forget an earlier search.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StopSearchRequest {
    /// The search.
    pub search_id: String,
    /// On whose behalf.
    pub meta: Option<MetaInfo>,
}

impl SearchRequest {
    /// How many results are wanted when the request doesn't say.
    pub const DEFAULT_LIMIT: u32 = 10;
}

impl Wire for SearchRequest {
    const NAME: &'static str = "SearchRequest";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        let search_id = element.scalar("searchID").map(str::to_owned);
        let direct = element.children().filter_map(SearchPair::read);
        let listed = element
            .children_named("SearchPairList")
            .flat_map(|list| list.children_named("SearchPair"))
            .filter_map(SearchPair::read);
        let pairs: Vec<_> = direct.chain(listed).collect();
        if pairs.is_empty() && search_id.is_none() {
            return Err(Flaw::MissingElement {
                element: Self::NAME,
                child: "SearchPair",
            });
        }
        Ok(Self {
            search_limit: element.number("searchLimit"),
            search_id,
            search_index: element.number("searchIndex"),
            meta: element.read_child()?,
            pairs,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.some_number("searchLimit", self.search_limit.map(u64::from));
        writer.some_attribute("searchID", self.search_id.as_deref());
        writer.some_number("searchIndex", self.search_index.map(u64::from));
        writer.some_wire(self.meta.as_ref());
        for pair in &self.pairs {
            writer.element("SearchPair", |writer| {
                writer.attribute("searchElement", pair.element.as_word());
                writer.text(&pair.string);
            });
        }
    }
}

impl SearchPair {
    fn read(element: Element<'_, '_>) -> Option<Self> {
        if !element.is("SearchPair") && !element.is("SearchPairList") {
            return None;
        }
        let string = element.scalar("searchString").unwrap_or_else(|| element.text());
        Some(Self {
            element: SearchElement::from_word(element.scalar("searchElement")?),
            string: string.to_owned(),
        })
    }
}

impl Wire for SearchResponse {
    const NAME: &'static str = "SearchResponse";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        let results = || element.children_named("SearchResult");
        let user_lists = results().flat_map(|result| result.children_named("UserList"));
        let group_lists = results().flat_map(|result| result.children_named("GroupList"));
        Ok(Self {
            search_id: element.scalar("searchID").map(str::to_owned),
            search_findings: element.number("searchFindings"),
            completion: element.yes_or_no("completion"),
            search_index: element.number("searchIndex"),
            status: Status::read_or_success(element),
            users: user_lists.flat_map(|list| list.read_children::<User>()).collect(),
            group_ids: group_lists
                .flat_map(|list| list.children_named("GroupID"))
                .filter_map(group_id)
                .map(str::to_owned)
                .collect(),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.some_attribute("searchID", self.search_id.as_deref());
        writer.some_number("searchFindings", self.search_findings.map(u64::from));
        if let Some(completion) = self.completion {
            writer.yes_or_no("completion", completion);
        }
        writer.some_number("searchIndex", self.search_index.map(u64::from));
        writer.wire(&self.status);
        if self.users.is_empty() && self.group_ids.is_empty() {
            return;
        }
        writer.element("SearchResult", |writer| {
            if !self.users.is_empty() {
                writer.element("UserList", |writer| writer.wires(&self.users));
            }
            if !self.group_ids.is_empty() {
                writer.element("GroupList", |writer| {
                    self.group_ids.iter().for_each(|id| write_group_id(writer, id))
                });
            }
        });
    }
}

impl Wire for StopSearchRequest {
    const NAME: &'static str = "StopSearchRequest";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        let search_id = element.scalar("searchID").map(str::to_owned);
        Ok(Self {
            search_id: search_id.ok_or(Flaw::MissingAttribute {
                element: Self::NAME,
                attribute: "searchID",
            })?,
            meta: element.read_child()?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.attribute("searchID", &self.search_id);
        writer.some_wire(self.meta.as_ref());
    }
}
