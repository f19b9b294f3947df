//! The strict XML layer under SSP.
//!
//! `quick-xml` finds the tags; everything that makes a document well-formed and harmless is checked here: one root, no DTD,
//! no entity but the five, no character that XML forbids, no duplicate attribute, no undeclared prefix, and bounds on size,
//! depth, elements, attributes and text. What passes is a small tree that borrows from the input, read without regard to
//! namespaces and, for elements, to case. Every document accepted here is accepted by other strict readers too.

mod chars;
mod element;
mod namespaces;
mod repair;
mod tree;
mod words;
mod write;

use thiserror::Error;

pub use repair::Repairs;
pub use tree::Tree;

pub(super) use element::{Element, Wire, truth};
pub(super) use repair::repaired;
pub(super) use words::words;
pub(super) use write::Writer;

/// How much a document may ask of us.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Octets of the whole document.
    pub document: usize,
    /// Elements inside one another, the root counted.
    pub depth: usize,
    /// Elements in the document.
    pub elements: usize,
    /// Attributes of one element.
    pub attributes: usize,
    /// Octets of one attribute value, or of one element's text, after references are resolved.
    pub text: usize,
}

impl Default for Limits {
    /// 1 MiB, 32 deep, 20,000 elements, 32 attributes, text as long as the document.
    fn default() -> Self {
        Self {
            document: 1 << 20,
            depth: 32,
            elements: 20_000,
            attributes: 32,
            text: 1 << 20,
        }
    }
}

/// Why a document is refused before anything in it is looked at. The peer must act.
#[derive(Debug, Error)]
pub enum XmlError {
    /// Larger than `Limits::document`.
    #[error("the document has {octets} octets, more than the limit of {limit}")]
    TooLarge {
        /// Its size.
        octets: usize,
        /// The limit.
        limit: usize,
    },
    /// Another of the limits.
    #[error("at octet {at}: more than {limit} {what}")]
    TooMuch {
        /// Where.
        at: usize,
        /// What is bounded.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Not UTF-8, or declared as something else.
    #[error("the document is not UTF-8")]
    NotUtf8,
    /// A document type declaration, which is never read.
    #[error("at octet {at}: a document type declaration is not allowed")]
    Dtd {
        /// Where.
        at: usize,
    },
    /// Against a rule of XML 1.0 or of its namespaces.
    #[error("at octet {at}: {what}")]
    IllFormed {
        /// Where.
        at: usize,
        /// The rule.
        what: &'static str,
    },
    /// Against the rules for tags.
    #[error("at octet {at}: the document is not well-formed")]
    Syntax {
        /// Where.
        at: usize,
        /// What the tag reader says.
        #[source]
        source: quick_xml::Error,
    },
}

impl XmlError {
    /// Whether a repair can make sense: the document breaks a rule, rather than a bound.
    pub const fn is_ill_formed(&self) -> bool {
        matches!(self, Self::IllFormed { .. } | Self::Syntax { .. })
    }
}
