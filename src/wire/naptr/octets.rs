//! A cursor over received octets: every read is checked, nothing panics, names cannot loop.
//!
//! Shared by the RDATA codec and by the reader of whole DNS messages. Compression pointers (RFC 1035 §4.1.4)
//! are followed only backwards, each to a place before the last, and at most 64 of them in one name.

use thiserror::Error;

use super::name::Name;

/// What is wrong with octets that should be a DNS message or RDATA.
#[derive(Clone, Copy, Debug, Eq, Error, Hash, PartialEq)]
pub enum WireError {
    /// The octets end inside a field.
    #[error("the octets end inside {0}")]
    Short(&'static str),
    /// A label has one of the reserved types 01 or 10 (RFC 1035 §4.1.4, RFC 6891 §5).
    #[error("a name has a label of a reserved type")]
    LabelType,
    /// A compression pointer does not point to an earlier place, stands where none is allowed, or is one too many.
    #[error("a name has a compression pointer that does not lead backwards to a label")]
    Pointer,
    /// A name is longer than 255 octets (RFC 1035 §2.3.4).
    #[error("a name is longer than 255 octets")]
    NameTooLong,
    /// RDATA goes on after its last field.
    #[error("{0} octets follow the last field of the record")]
    Trailing(usize),
    /// The header counts more records than a message of this length can hold, or than this reader accepts.
    #[error("the header announces {0} records, too many for this message")]
    TooManyRecords(usize),
    /// QR is 0: the message is a query.
    #[error("the message is a query, not a response")]
    NotAResponse,
    /// A response to a single question carries several or repeats a different one.
    #[error("the message has {0} questions instead of one")]
    Questions(u16),
}

/// A position in octets, and whether compression pointers may be followed.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
    compression: bool,
}

impl<'a> Reader<'a> {
    /// Reads a whole message; names may be compressed.
    pub(super) fn message(octets: &'a [u8]) -> Self {
        Self {
            octets,
            at: 0,
            compression: true,
        }
    }

    /// Reads one record's RDATA on its own; names may not be compressed.
    pub(super) fn rdata(octets: &'a [u8]) -> Self {
        Self {
            octets,
            at: 0,
            compression: false,
        }
    }

    /// A reader of the next `length` octets, which can still follow pointers into the message before them.
    pub(super) fn section(&mut self, length: usize) -> Result<Self, WireError> {
        let end = self.at.checked_add(length).ok_or(WireError::Short("RDATA"))?;
        let octets = self.octets.get(..end).ok_or(WireError::Short("RDATA"))?;
        let section = Self {
            octets,
            at: self.at,
            compression: self.compression,
        };
        self.at = end;
        Ok(section)
    }

    pub(super) fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], WireError> {
        let end = self.at.checked_add(length).ok_or(WireError::Short(what))?;
        let taken = self.octets.get(self.at..end).ok_or(WireError::Short(what))?;
        self.at = end;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], WireError> {
        self.take(N, what)?
            .first_chunk::<N>()
            .copied()
            .ok_or(WireError::Short(what))
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, WireError> {
        self.array::<1>(what).map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16, WireError> {
        self.array::<2>(what).map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, WireError> {
        self.array::<4>(what).map(u32::from_be_bytes)
    }

    /// A character-string: one length octet and up to 255 octets (RFC 1035 §3.3).
    pub(super) fn character_string(&mut self, what: &'static str) -> Result<&'a [u8], WireError> {
        let length = self.u8(what)?;
        self.take(usize::from(length), what)
    }

    pub(super) fn name(&mut self) -> Result<Name, WireError> {
        let mut labels: Vec<&'a [u8]> = Vec::new();
        let mut length = 1;
        let mut cursor = self.clone();
        let mut lowest = cursor.at;
        let mut resume = None;
        let mut pointers = 0;
        loop {
            let octet = cursor.u8("a name")?;
            match octet >> 6 {
                0 if octet == 0 => break,
                0 => {
                    let label = cursor.take(usize::from(octet), "a name")?;
                    length += label.len() + 1;
                    if length > Name::MAX_OCTETS {
                        return Err(WireError::NameTooLong);
                    }
                    labels.push(label);
                }
                3 => {
                    let target = usize::from(octet & 0x3f) << 8 | usize::from(cursor.u8("a name")?);
                    pointers += 1;
                    if !self.compression || target >= lowest || pointers > MAX_POINTERS {
                        return Err(WireError::Pointer);
                    }
                    resume.get_or_insert(cursor.at);
                    lowest = target;
                    cursor.at = target;
                }
                1 | 2 => return Err(WireError::LabelType),
                4.. => return Err(WireError::LabelType),
            }
        }
        self.at = resume.unwrap_or(cursor.at);
        Ok(Name::from_labels(labels))
    }

    /// How many octets are left.
    pub(super) fn remaining(&self) -> usize {
        self.octets.len().saturating_sub(self.at)
    }

    /// Refuses octets after the last field.
    pub(super) fn finish(&self) -> Result<(), WireError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(WireError::Trailing(left)),
        }
    }
}

/// More than any sender makes; a chain of bare pointers would otherwise cost a pass over the message for each name.
const MAX_POINTERS: usize = 64;
