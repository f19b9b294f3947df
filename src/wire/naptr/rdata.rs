//! The NAPTR record and its RDATA (RFC 3403 §4.1).
//!
//! FLAGS, SERVICES and REGEXP stay octets: a record with an octet that ENUM does not allow must be readable, so that
//! it can be passed over with a reason while its neighbours are used (RFC 6116 §3.4.2, §5.2).

use super::name::Name;
use super::octets::{Reader, WireError};

/// One NAPTR record as it stood on the wire; what its fields mean is judged by `select`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Naptr {
    /// The major sort key, lowest first; compared only inside one RRset (RFC 6116 §5.2).
    pub order: u16,
    /// The minor sort key among records of the same ORDER, lowest first.
    pub preference: u16,
    /// Empty marks a non-terminal; ENUM defines only `u`, in either case (RFC 6116 §3.4.2).
    pub flags: Vec<u8>,
    /// The services field, such as `E2U+im`.
    pub services: Vec<u8>,
    /// The substitution expression, one backslash where a zone file has two (RFC 6116 §4).
    pub regexp: Vec<u8>,
    /// The next name of a non-terminal; the root means that there is none.
    pub replacement: Name,
}

impl Naptr {
    /// Reads RDATA that was cut out of its message, so REPLACEMENT may not be compressed.
    ///
    /// # Errors
    /// [`WireError`] when the octets end early, go on after REPLACEMENT, or REPLACEMENT is not a name.
    pub fn decode(rdata: &[u8]) -> Result<Self, WireError> {
        Self::read(&mut Reader::rdata(rdata))
    }

    /// The RDATA, without its length. A field over 255 octets cannot exist on the wire and is cut there.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.services.len() + self.regexp.len());
        out.extend_from_slice(&self.order.to_be_bytes());
        out.extend_from_slice(&self.preference.to_be_bytes());
        for text in [&self.flags, &self.services, &self.regexp] {
            let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
            out.push(length);
            out.extend(text.iter().take(usize::from(length)));
        }
        self.replacement.encode(&mut out);
        out
    }

    /// Reads RDATA in place; `reader` ends where RDLENGTH ends. A compressed REPLACEMENT is read as well, although
    /// RFC 3403 §4.1 forbids it to senders.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let naptr = Self {
            order: reader.u16("ORDER")?,
            preference: reader.u16("PREFERENCE")?,
            flags: reader.character_string("FLAGS")?.to_vec(),
            services: reader.character_string("SERVICES")?.to_vec(),
            regexp: reader.character_string("REGEXP")?.to_vec(),
            replacement: reader.name()?,
        };
        reader.finish()?;
        Ok(naptr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> Naptr {
        Naptr {
            order: 100,
            preference: 10,
            flags: b"u".to_vec(),
            services: b"E2U+im".to_vec(),
            regexp: b"!^.*$!im:alice@op.example!".to_vec(),
            replacement: Name::root(),
        }
    }

    #[test]
    fn rdata_round_trip() {
        assert_eq!(Naptr::decode(&alice().encode()), Ok(alice()));
    }

    #[test]
    fn a_flag_octet_outside_the_alphabet_is_readable() {
        let odd = Naptr {
            flags: vec![b'-', 0xff],
            ..alice()
        };
        assert_eq!(Naptr::decode(&odd.encode()), Ok(odd));
    }

    #[test]
    fn broken_rdata_is_named() {
        let whole = alice().encode();
        for end in 0..whole.len() {
            assert!(
                matches!(Naptr::decode(whole.get(..end).unwrap()), Err(WireError::Short(_))),
                "{end}"
            );
        }
        let mut long = whole.clone();
        long.push(0);
        assert_eq!(Naptr::decode(&long), Err(WireError::Trailing(1)));
        let mut pointing = whole;
        pointing.pop();
        pointing.extend_from_slice(&[0xc0, 0x00]);
        assert_eq!(Naptr::decode(&pointing), Err(WireError::Pointer));
    }
}
