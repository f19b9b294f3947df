//! Reading typed values out of a tree, generously.
//!
//! Element names match in any case, attribute names exactly and then in any case, text is trimmed, and a scalar that is
//! not there as an attribute is looked for as a child element. Source: SSP reference §16 item 1, `ssp-extensions.md`.

use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::chars::trim;
use super::tree::{Attribute, Node, Tree};
use super::write::Writer;
use crate::wire::ssp::flaw::Flaw;

/// What stands on the wire as one element.
pub(in crate::wire::ssp) trait Wire: Sized {
    /// The element's name.
    const NAME: &'static str;

    /// Reads the element, whose name has been looked at already.
    fn read(element: Element<'_, '_>) -> Result<Self, Flaw>;

    /// Writes attributes and content; the tags are the caller's.
    fn write(&self, writer: &mut Writer);
}

/// One element of a tree.
#[derive(Clone, Copy)]
pub(in crate::wire::ssp) struct Element<'t, 'a> {
    pub(super) tree: &'t Tree<'a>,
    pub(super) node: &'t Node<'a>,
}

impl<'t, 'a> Element<'t, 'a> {
    /// The name without its prefix, as written.
    pub(in crate::wire::ssp) const fn name(self) -> &'a str {
        self.node.name
    }

    /// Whether this is the name, in any case.
    pub(in crate::wire::ssp) const fn is(self, name: &str) -> bool {
        self.node.name.eq_ignore_ascii_case(name)
    }

    /// The element's own text, trimmed.
    pub(in crate::wire::ssp) fn text(self) -> &'t str {
        trim(&self.node.text)
    }

    /// The children in order.
    pub(in crate::wire::ssp) fn children(self) -> impl Iterator<Item = Self> {
        let first = self.node.first_child.and_then(|index| self.tree.element(index));
        std::iter::successors(first, |child| {
            child
                .node
                .next_sibling
                .and_then(|index| child.tree.element(index))
        })
    }

    /// The children of that name.
    pub(in crate::wire::ssp) fn children_named(self, name: &str) -> impl Iterator<Item = Self> {
        self.children().filter(move |child| child.is(name))
    }

    /// The first child of that name.
    pub(in crate::wire::ssp) fn child(self, name: &str) -> Option<Self> {
        self.children().find(|child| child.is(name))
    }

    /// The value of the attribute, trimmed: of exactly this name, or else in any case.
    pub(in crate::wire::ssp) fn attribute(self, name: &str) -> Option<&'t str> {
        let attributes = self.attributes();
        let exactly = attributes.iter().find(|attribute| attribute.name == name);
        let found = exactly.or_else(|| {
            attributes
                .iter()
                .find(|attribute| attribute.name.eq_ignore_ascii_case(name))
        });
        found.map(|attribute| trim(&attribute.value))
    }

    /// A scalar that is not empty: the attribute, or the text of the child of that name.
    pub(in crate::wire::ssp) fn scalar(self, name: &str) -> Option<&'t str> {
        let attribute = self.attribute(name).filter(|value| !value.is_empty());
        attribute.or_else(|| self.child(name).map(Self::text).filter(|text| !text.is_empty()))
    }

    /// The scalar as owned text.
    pub(in crate::wire::ssp) fn some_attribute(self, name: &str) -> Option<String> {
        self.scalar(name).map(str::to_owned)
    }

    /// The scalar, which must be there.
    pub(in crate::wire::ssp) fn required_attribute(
        self,
        element: &'static str,
        attribute: &'static str,
    ) -> Result<String, Flaw> {
        self.some_attribute(attribute)
            .ok_or(Flaw::MissingAttribute { element, attribute })
    }

    /// The address of the group that the request is about.
    pub(in crate::wire::ssp) fn required_group_id(self, element: &'static str) -> Result<String, Flaw> {
        let child = || self.child("GroupID").and_then(|child| child.attribute("groupID"));
        let group_id = self.scalar("groupID").or_else(child);
        group_id.map(str::to_owned).ok_or(Flaw::MissingAttribute {
            element,
            attribute: "groupID",
        })
    }

    /// The scalar as a yes or no, in any of the spellings met; `None` for anything else.
    pub(in crate::wire::ssp) fn yes_or_no(self, name: &str) -> Option<bool> {
        self.scalar(name).and_then(truth)
    }

    /// The scalar as a number; `None` when it is none.
    pub(in crate::wire::ssp) fn number<T: FromStr>(self, name: &str) -> Option<T> {
        self.scalar(name)?.parse().ok()
    }

    /// The scalar as whole seconds, at most 136 years, so that a sum with a clock can't overflow.
    pub(in crate::wire::ssp) fn seconds(self, name: &str) -> Option<Duration> {
        self.number::<u64>(name)
            .or_else(|| self.text_seconds(name))
            .map(clamped_seconds)
    }

    /// The text, unless it is empty.
    pub(in crate::wire::ssp) fn some_text(self) -> Option<String> {
        Some(self.text())
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    }

    /// The text of the first child of that name, unless it is empty.
    pub(in crate::wire::ssp) fn text_of(self, child: &str) -> Option<String> {
        self.child(child).and_then(Self::some_text)
    }

    /// The texts of all children of that name, without the empty ones.
    pub(in crate::wire::ssp) fn texts_of(self, child: &str) -> Vec<String> {
        self.children_named(child).filter_map(Self::some_text).collect()
    }

    /// The text as base64, white space in it ignored.
    pub(in crate::wire::ssp) fn base64(self, element: &'static str) -> Result<Vec<u8>, Flaw> {
        let text = self.text();
        let decoded = if text.bytes().any(|byte| byte.is_ascii_whitespace()) {
            let dense: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
            LENIENT_BASE64.decode(dense)
        } else {
            LENIENT_BASE64.decode(text)
        };
        decoded.map_err(|_| Flaw::BadValue {
            element,
            reason: "the text is not base64",
        })
    }

    /// The first child of the type's name.
    pub(in crate::wire::ssp) fn read_child<T: Wire>(self) -> Result<Option<T>, Flaw> {
        self.child(T::NAME).map(T::read).transpose()
    }

    /// All children of the type's name that can be read.
    pub(in crate::wire::ssp) fn read_children<T: Wire>(self) -> Vec<T> {
        self.children_named(T::NAME)
            .filter_map(|child| T::read(child).ok())
            .collect()
    }

    fn attributes(self) -> &'t [Attribute<'a>] {
        self.tree
            .attributes
            .get(self.node.attributes.clone())
            .unwrap_or_default()
    }

    /// Some peers write seconds with a unit or a fraction; the leading digits are the seconds.
    fn text_seconds(self, name: &str) -> Option<u64> {
        let text = self.scalar(name)?;
        let digits = text.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    }
}

/// Reads `Yes`, `T`, `True` and `1`, and their opposites, in any case.
pub(in crate::wire::ssp) fn truth(text: &str) -> Option<bool> {
    let is_any = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_any(&["yes", "t", "true", "1"]) {
        return Some(true);
    }
    is_any(&["no", "f", "false", "0"]).then_some(false)
}

fn clamped_seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds.min(u64::from(u32::MAX)))
}

/// Standard alphabet; padding and spare bits as they come.
const LENIENT_BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
