//! The fields of a record, typed: what stands after the type in a line of a zone file.
//!
//! NAPTR keeps its octets as `wire::naptr` reads them and goes out as raw RDATA, so that a zone can serve the records
//! that break other people's decoders. Types that a federation zone seldom has are read by hickory.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use hickory_proto::rr::{self, RData, RecordType, rdata};

use super::names::to_hickory;
use super::text::FaultKind;
use crate::wire::naptr::{Name, Naptr};

/// One record and where it stands.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its first line in the file, counted from 1.
    pub line: usize,
    /// The absolute name that has the record; `*` as its first label makes it a wildcard (RFC 4592).
    pub owner: Name,
    /// Seconds.
    pub ttl: u32,
    /// The typed fields.
    pub data: Data,
    /// The fields as they are written, quotes and backslashes included.
    pub fields: Vec<String>,
}

/// The record types that answers and checks look into; everything else passes through.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Start of authority: the zone's origin and the time that negative answers live.
    Soa {
        /// Zone's primary server.
        primary: Name,
        /// The mailbox of the person responsible, with its `@` as a dot.
        mailbox: Name,
        /// Serial, refresh, retry and expire, in seconds but for the first.
        times: [u32; 4],
        /// The time in seconds that an absence may be cached (RFC 2308 §4).
        minimum: u32,
    },
    /// A name server of the zone, or of a part that is delegated.
    Ns(Name),
    /// Another name for the owner.
    Cname(Name),
    /// An address.
    A(Ipv4Addr),
    /// An address.
    Aaaa(Ipv6Addr),
    /// A server of a service (RFC 2782).
    Srv {
        /// Lower ones are tried first.
        priority: u16,
        /// The share among equal priorities.
        weight: u16,
        /// Where it listens.
        port: u16,
        /// The root says that the service is not there.
        target: Name,
    },
    /// A rule of ENUM (RFC 3403).
    Naptr(Naptr),
    /// Anything else.
    Other(RData),
}

impl Data {
    /// The record type.
    pub fn record_type(&self) -> RecordType {
        match self {
            Self::Soa { .. } => RecordType::SOA,
            Self::Ns(_) => RecordType::NS,
            Self::Cname(_) => RecordType::CNAME,
            Self::A(_) => RecordType::A,
            Self::Aaaa(_) => RecordType::AAAA,
            Self::Srv { .. } => RecordType::SRV,
            Self::Naptr(_) => RecordType::NAPTR,
            Self::Other(rdata) => rdata.record_type(),
        }
    }

    /// What goes on the wire; nothing for a name that hickory refuses.
    pub(super) fn rdata(&self) -> Option<RData> {
        Some(match self {
            Self::Soa {
                primary,
                mailbox,
                times: [serial, refresh, retry, expire],
                minimum,
            } => {
                let times = [refresh, retry, expire].map(|time| i32::try_from(*time).unwrap_or(i32::MAX));
                let [refresh, retry, expire] = times;
                RData::SOA(rdata::SOA::new(
                    to_hickory(primary)?,
                    to_hickory(mailbox)?,
                    *serial,
                    refresh,
                    retry,
                    expire,
                    *minimum,
                ))
            }
            Self::Ns(target) => RData::NS(rdata::NS(to_hickory(target)?)),
            Self::Cname(target) => RData::CNAME(rdata::CNAME(to_hickory(target)?)),
            Self::A(address) => RData::A((*address).into()),
            Self::Aaaa(address) => RData::AAAA((*address).into()),
            Self::Srv {
                priority,
                weight,
                port,
                target,
            } => RData::SRV(rdata::SRV::new(*priority, *weight, *port, to_hickory(target)?)),
            // hickory's own NAPTR refuses flags outside letters and digits, which a test zone must be able to send.
            Self::Naptr(naptr) => RData::Unknown {
                code: RecordType::NAPTR,
                rdata: rdata::NULL::with(naptr.encode()),
            },
            Self::Other(rdata) => rdata.clone(),
        })
    }

    /// The name that a resolver asks for next, whose addresses may ride along in the additional section.
    pub(super) fn addressed(&self) -> Option<&Name> {
        match self {
            Self::Ns(target) | Self::Srv { target, .. } => Some(target).filter(|target| !target.is_root()),
            Self::Soa { .. }
            | Self::Cname(_)
            | Self::A(_)
            | Self::Aaaa(_)
            | Self::Naptr(_)
            | Self::Other(_) => None,
        }
    }
}

/// Gives fields their type; `absolute` completes relative names. Where hickory reads the fields, names must be absolute
/// and `\DDD` must not occur.
///
/// # Errors
/// [`FaultKind::UnknownType`] and [`FaultKind::Data`].
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the record types are open-ended, and hickory reads those that are not named here"
)]
pub(super) fn typed(
    rtype: &str,
    fields: &[String],
    absolute: impl Fn(&str) -> Result<Name, FaultKind>,
) -> Result<Data, FaultKind> {
    let known = RecordType::from_str(rtype).map_err(|_| FaultKind::UnknownType(rtype.to_owned()))?;
    let bad = |reason: String| FaultKind::Data {
        rtype: rtype.to_owned(),
        reason,
        fields: fields.to_vec(),
    };
    let fields_are = |count: usize| match fields.len() == count {
        true => Ok(()),
        false => Err(bad(format!(
            "{count} fields are needed, there are {}",
            fields.len()
        ))),
    };
    let text = |at: usize| fields.get(at).map(String::as_str).unwrap_or_default();
    let number = |at: usize| {
        text(at)
            .parse::<u16>()
            .map_err(|_| bad(format!("{:?} is not a number up to 65535", text(at))))
    };
    let name = |at: usize| absolute(text(at));
    match known {
        RecordType::SOA => {
            fields_are(7)?;
            let time = |at: usize| {
                super::text::seconds(text(at)).ok_or_else(|| bad(format!("{:?} is not a time", text(at))))
            };
            Ok(Data::Soa {
                primary: name(0)?,
                mailbox: name(1)?,
                times: [time(2)?, time(3)?, time(4)?, time(5)?],
                minimum: time(6)?,
            })
        }
        RecordType::NS => fields_are(1).and_then(|()| name(0)).map(Data::Ns),
        RecordType::CNAME => fields_are(1).and_then(|()| name(0)).map(Data::Cname),
        RecordType::A => {
            fields_are(1)?;
            let address = text(0)
                .parse()
                .map_err(|_| bad(format!("{:?} is not an IPv4 address", text(0))))?;
            Ok(Data::A(address))
        }
        RecordType::AAAA => {
            fields_are(1)?;
            let address = text(0)
                .parse()
                .map_err(|_| bad(format!("{:?} is not an IPv6 address", text(0))))?;
            Ok(Data::Aaaa(address))
        }
        RecordType::SRV => {
            fields_are(4)?;
            Ok(Data::Srv {
                priority: number(0)?,
                weight: number(1)?,
                port: number(2)?,
                target: name(3)?,
            })
        }
        RecordType::NAPTR => {
            fields_are(6)?;
            // The parser completes nothing, so the replacement goes in absolute.
            let rules = fields.get(..5).unwrap_or_default().join(" ");
            let naptr = format!("{rules} {}", name(5)?).parse::<Naptr>();
            naptr.map(Data::Naptr).map_err(|fault| bad(fault.to_string()))
        }
        RecordType::TXT => {
            let texts: Option<Vec<Vec<u8>>> = fields.iter().map(|field| unquoted(field)).collect();
            let texts = texts.filter(|texts| !texts.is_empty() && texts.iter().all(|text| text.len() <= 255));
            let texts = texts
                .ok_or_else(|| bad("texts of up to 255 octets with whole escapes are needed".to_owned()))?;
            let parts = texts.iter().map(Vec::as_slice).collect();
            Ok(Data::Other(RData::TXT(rdata::TXT::from_bytes(parts))))
        }
        RecordType::MX => {
            fields_are(2)?;
            let exchange = to_hickory(&name(1)?).ok_or_else(|| bad("the name is too long".to_owned()))?;
            Ok(Data::Other(RData::MX(rdata::MX::new(number(0)?, exchange))))
        }
        RecordType::PTR => {
            fields_are(1)?;
            let target: rr::Name =
                to_hickory(&name(0)?).ok_or_else(|| bad("the name is too long".to_owned()))?;
            Ok(Data::Other(RData::PTR(rdata::PTR(target))))
        }
        _ => RData::try_from_str(known, &fields.join(" "))
            .map(Data::Other)
            .map_err(|fault| bad(fault.to_string())),
    }
}

/// The octets of a text as it is written: quotes and backslashes undone (RFC 1035 §5.1).
fn unquoted(field: &str) -> Option<Vec<u8>> {
    let inside = field
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(field);
    let mut octets = inside.bytes();
    let mut out = Vec::new();
    while let Some(octet) = octets.next() {
        let first = match octet {
            b'\\' => octets.next()?,
            b'"' => return None,
            plain => {
                out.push(plain);
                continue;
            }
        };
        if !first.is_ascii_digit() {
            out.push(first);
            continue;
        }
        let digits = [first, octets.next()?, octets.next()?];
        out.push(std::str::from_utf8(&digits).ok()?.parse().ok()?);
    }
    Some(out)
}
