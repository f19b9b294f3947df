//! From the body of an HTTP request to a document, and back.
//!
//! Reading fails as a whole only when the envelope can't be made out; that is answered with HTTP 400. Everything below the
//! envelope is judged transaction by transaction. Source: SSP reference §1.2, §3.

use thiserror::Error;

use super::document::{Document, Mode, Primitive, SessionId, Transaction, TransactionId};
use super::flaw::Flaw;
use super::profile::Profile;
use super::setup::{SetupPrimitive, SetupTransaction};
use super::xml::{Element, Limits, Repairs, Tree, Writer, XmlError, repaired};

/// The media type of a document; received types are compared without case and as a prefix (SSP reference §1).
pub const MEDIA_TYPE: &str = "application/vnd.wv.ssp+xml";
/// The namespace that is written; none is checked.
pub const NAMESPACE: &str = "http://www.openmobilealliance.org/DTD/WV-SSP1.3";

/// A document that was read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Decoded {
    /// What it says.
    pub document: Document,
    /// What had to be repaired first; log it when anything.
    pub repairs: Repairs,
    /// How many transactions without an ID were passed over; nobody could match an answer to them.
    pub skipped: usize,
}

/// Why a body is not a document. The peer must act; answered with HTTP 400.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// Not well-formed, or beyond a limit.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// The root is something else.
    #[error("the root is {name}, not WV-SSP-Message")]
    NotSsp {
        /// Its name.
        name: String,
    },
    /// The first child is neither `SetupTransaction` nor `Session`, or has nothing in it.
    #[error("the message holds neither a setup transaction nor a session with transactions")]
    Empty,
    /// The session or setup transaction has no ID.
    #[error("the {element} has no ID")]
    NoId {
        /// Which of the two.
        element: &'static str,
    },
}

/// Reads a body. Of the profile only `repairs_documents` matters, and only for a body that is not well-formed.
///
/// # Errors
/// `DecodeError` when the envelope can't be made out.
pub fn decode(body: &[u8], limits: &Limits, profile: &Profile) -> Result<Decoded, DecodeError> {
    let error = match Tree::parse(body, limits) {
        Ok(tree) => return read(&tree, Repairs::default()),
        Err(error) => error,
    };
    if !profile.repairs_documents || !error.is_ill_formed() {
        return Err(error.into());
    }
    let text = std::str::from_utf8(body).map_err(|_| XmlError::NotUtf8)?;
    let Some((text, repairs)) = repaired(text) else {
        return Err(error.into());
    };
    read(&Tree::parse(text.as_bytes(), limits)?, repairs)
}

/// Writes a body. Of the profile only `emits_odd_names` matters.
pub fn encode(document: &Document, profile: &Profile) -> Vec<u8> {
    let mut writer = Writer::new(expected_size(document), profile.emits_odd_names);
    writer.element("WV-SSP-Message", |writer| {
        writer.attribute("xmlns", NAMESPACE);
        match document {
            Document::Setup(setup) => write_setup(writer, setup),
            Document::Session {
                session_id,
                transactions,
            } => writer.element("Session", |writer| {
                writer.attribute("sessionID", session_id.as_str());
                transactions
                    .iter()
                    .for_each(|transaction| write_transaction(writer, transaction));
            }),
        }
    });
    writer.into_bytes()
}

fn read(tree: &Tree<'_>, repairs: Repairs) -> Result<Decoded, DecodeError> {
    let root = tree.root().ok_or(DecodeError::Empty)?;
    if !root.is("WV-SSP-Message") {
        return Err(DecodeError::NotSsp {
            name: root.name().to_owned(),
        });
    }
    let first = root.children().next().ok_or(DecodeError::Empty)?;
    if first.is("SetupTransaction") {
        return Ok(Decoded {
            document: Document::Setup(read_setup(first)?),
            repairs,
            skipped: 0,
        });
    }
    if !first.is("Session") || first.children().next().is_none() {
        return Err(DecodeError::Empty);
    }
    let session_id = first
        .scalar("sessionID")
        .ok_or(DecodeError::NoId { element: "session" })?;
    let elements = first.children_named("Transaction");
    let transactions: Vec<_> = elements.filter_map(read_transaction).collect();
    let skipped = first.children_named("Transaction").count() - transactions.len();
    let document = Document::Session {
        session_id: SessionId::new(session_id),
        transactions,
    };
    Ok(Decoded {
        document,
        repairs,
        skipped,
    })
}

fn read_setup(element: Element<'_, '_>) -> Result<SetupTransaction, DecodeError> {
    let id = element.attribute("transactionID").filter(|id| !id.is_empty());
    let id = id.ok_or(DecodeError::NoId {
        element: "setup transaction",
    })?;
    let primitive = element.children().next().ok_or(DecodeError::Empty)?;
    Ok(SetupTransaction {
        mode: Mode::from_wire(element.attribute("mode")),
        id: TransactionId::new(id),
        primitive: SetupPrimitive::read(primitive),
    })
}

fn read_transaction(element: Element<'_, '_>) -> Option<Transaction> {
    let id = element.attribute("transactionID").filter(|id| !id.is_empty())?;
    let primitive = element.children().next().map(Primitive::read);
    Some(Transaction {
        mode: Mode::from_wire(element.attribute("mode")),
        id: TransactionId::new(id),
        primitive: primitive.unwrap_or_else(|| Primitive::Malformed {
            name: String::new(),
            reason: Flaw::NoPrimitive,
        }),
    })
}

fn write_setup(writer: &mut Writer, setup: &SetupTransaction) {
    writer.element("SetupTransaction", |writer| {
        writer.attribute("mode", setup.mode.as_wire());
        writer.attribute("transactionID", setup.id.as_str());
        setup.primitive.write(writer);
    });
}

fn write_transaction(writer: &mut Writer, transaction: &Transaction) {
    writer.element("Transaction", |writer| {
        writer.attribute("mode", transaction.mode.as_wire());
        writer.attribute("transactionID", transaction.id.as_str());
        transaction.primitive.write(writer);
    });
}

/// A guess that spares the buffer its growing: content in base64, and what usually stands around it.
fn expected_size(document: &Document) -> usize {
    let Document::Session { transactions, .. } = document else {
        return 1024;
    };
    let content = |transaction: &Transaction| {
        let Primitive::SendMessageRequest(request) = &transaction.primitive else {
            return 0;
        };
        request
            .content
            .as_ref()
            .map_or(0, |content| content.bytes.len() / 3 * 4 + 4)
    };
    256 + transactions
        .iter()
        .map(|transaction| 1024 + content(transaction))
        .sum::<usize>()
}
