//! Why a well-formed document, or one transaction of it, can't be taken.
//!
//! A flaw belongs to one primitive and is answered in its transaction; the other transactions of the document go on.

use thiserror::Error;

/// What is wrong with a primitive. The peer must act.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Flaw {
    /// A transaction without any element in it.
    #[error("the transaction holds no primitive")]
    NoPrimitive,
    /// A required attribute is absent.
    #[error("{element} has no {attribute}")]
    MissingAttribute {
        /// The element that should carry it.
        element: &'static str,
        /// The attribute's right name.
        attribute: &'static str,
    },
    /// A required child element is absent.
    #[error("{element} holds no {child}")]
    MissingElement {
        /// The element that should hold it.
        element: &'static str,
        /// The child's name, or the names of which one is needed.
        child: &'static str,
    },
    /// A value that can't be read and has no safe default.
    #[error("{element} has an unreadable value: {reason}")]
    BadValue {
        /// The element that holds the value.
        element: &'static str,
        /// What was expected.
        reason: &'static str,
    },
}
