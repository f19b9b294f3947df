//! Whole DNS messages: a query to send, and a response read record by record.
//!
//! The reader exists because one NAPTR record with a strange flag must not make the answer unreadable: a record whose
//! RDATA is broken becomes [`Data::Malformed`] and its neighbours stay. Every record type that routing needs is read
//! here, so there is one path for all of them. What is not read: signatures, and messages of several questions.

use super::name::Name;
use super::octets::{Reader, WireError};
use super::rdata::Naptr;
use super::srv::Srv;

/// A response to one question.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Response {
    /// The identifier of the query it answers.
    pub id: u16,
    /// The response code with the eight bits that EDNS adds (RFC 6891 §6.1.3).
    pub rcode: Rcode,
    /// TC: ask again over TCP.
    pub truncated: bool,
    /// AA: the server is authoritative.
    pub authoritative: bool,
    /// AD: the resolver says that it validated the data; means something from a trusted resolver only.
    pub authenticated: bool,
    /// The question; some servers leave it out of a FORMERR.
    pub question: Option<Question>,
    /// The answer section.
    pub answers: Vec<Record>,
    /// The authority section, where the SOA of a negative answer stands.
    pub authority: Vec<Record>,
    /// The additional section without the OPT record.
    pub additional: Vec<Record>,
    /// Whether the server understood EDNS, seen by its OPT record.
    pub edns: bool,
}

/// What was asked.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Question {
    /// The name.
    pub name: Name,
    /// The record type.
    pub qtype: RecordType,
}

/// One record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// Whose record it is.
    pub owner: Name,
    /// The record type.
    pub rtype: RecordType,
    /// Seconds, as they stood: with the top bit set it is a large positive number (RFC 8767 §4), for the cache to
    /// cap.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

/// RDATA that was understood, kept, or found broken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Data {
    /// An IPv4 address.
    A([u8; 4]),
    /// An IPv6 address.
    Aaaa([u8; 16]),
    /// The name stands for another one.
    Cname(Name),
    /// The start of a zone; in the authority section, how long a negative answer holds.
    Soa(Soa),
    /// A NAPTR record.
    Naptr(Naptr),
    /// An SRV record.
    Srv(Srv),
    /// A type that routing does not use, as it stood.
    Other(Vec<u8>),
    /// A type that routing uses, but its RDATA cannot be read.
    Malformed(WireError),
}

/// What routing needs of an SOA record.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Soa {
    /// The name server the zone names as its origin.
    pub primary: Name,
    /// The version of the zone.
    pub serial: u32,
    /// MINIMUM, seconds: the TTL of negative answers (RFC 2308 §4).
    pub minimum: u32,
}

/// A record type by its number (IANA DNS parameters).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct RecordType(pub u16);

/// A response code.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Rcode(pub u16);

/// What an answer section holds for one name and type, aliases followed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Found<'a> {
    /// The name that the aliases lead to; the asked name itself without any.
    pub name: Name,
    /// The aliases that were followed, first to last.
    pub aliases: Vec<Name>,
    /// The records of the type at `name`, malformed ones too, in response order.
    pub records: Vec<&'a Record>,
    /// The shortest TTL of aliases and records, in seconds; `None` when there were neither.
    pub ttl: Option<u32>,
}

/// An alias chain that goes in a circle or over more than 8 steps.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the aliases from {0} go in a circle or on for too long")]
pub struct AliasLoop(pub Name);

impl RecordType {
    /// An IPv4 address.
    pub const A: Self = Self(1);
    /// A name server.
    pub const NS: Self = Self(2);
    /// An alias.
    pub const CNAME: Self = Self(5);
    /// The start of a zone.
    pub const SOA: Self = Self(6);
    /// An IPv6 address.
    pub const AAAA: Self = Self(28);
    /// A server for a service.
    pub const SRV: Self = Self(33);
    /// A rewriting rule.
    pub const NAPTR: Self = Self(35);
    /// What EDNS adds to a message.
    pub const OPT: Self = Self(41);
}

impl Rcode {
    /// The answer is complete; it may still hold no record (NODATA).
    pub const NO_ERROR: Self = Self(0);
    /// The server could not read the query.
    pub const FORM_ERR: Self = Self(1);
    /// The server failed: nothing is known.
    pub const SERV_FAIL: Self = Self(2);
    /// The name does not exist: a normal answer.
    pub const NX_DOMAIN: Self = Self(3);
    /// The server does not do this kind of query.
    pub const NOT_IMP: Self = Self(4);
    /// The server does not answer us.
    pub const REFUSED: Self = Self(5);
}

impl Response {
    /// Reads a message.
    ///
    /// # Errors
    /// [`WireError`] when the frame itself cannot be followed: header, owner names, lengths. RDATA that is broken
    /// inside its length is no error but [`Data::Malformed`]. With TC set, what was cut off is no error either.
    pub fn parse(octets: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::message(octets);
        let id = reader.u16("the header")?;
        let bits = reader.u16("the header")?;
        let questions = reader.u16("the header")?;
        let mut counts = [0usize; 3];
        for count in &mut counts {
            *count = reader.u16("the header")?.into();
        }
        if bits & 0x8000 == 0 {
            return Err(WireError::NotAResponse);
        }
        let truncated = bits & 0x0200 != 0;
        let total = counts.iter().sum::<usize>();
        if total > MAX_RECORDS {
            return Err(WireError::TooManyRecords(total));
        }
        let question = match questions {
            0 => None,
            1 => Some(Question::read(&mut reader)?),
            more => return Err(WireError::Questions(more)),
        };
        let mut sections = [Vec::new(), Vec::new(), Vec::new()];
        'sections: for (section, count) in sections.iter_mut().zip(counts) {
            for _ in 0..count {
                match RawRecord::read(&mut reader) {
                    Ok(record) => section.push(record),
                    Err(_) if truncated => break 'sections,
                    Err(error) => return Err(error),
                }
            }
        }
        let [answers, authority, additional] = sections;
        let opt = additional.iter().find(|raw| raw.record.rtype == RecordType::OPT);
        let extended = opt.map_or(0, |raw| u16::try_from(raw.record.ttl >> 24).unwrap_or(0));
        Ok(Self {
            id,
            rcode: Rcode(extended << 4 | bits & 0x000f),
            truncated,
            authoritative: bits & 0x0400 != 0,
            authenticated: bits & 0x0020 != 0,
            question,
            edns: opt.is_some(),
            answers: plain_records(answers),
            authority: plain_records(authority),
            additional: plain_records(additional),
        })
    }

    /// Whether this answers the query with that identifier, name and type; anything else was not sent to us.
    pub fn answers(&self, id: u16, name: &Name, qtype: RecordType) -> bool {
        self.id == id
            && match &self.question {
                Some(question) => question.name == *name && question.qtype == qtype,
                // Without a question there is nothing to believe but that the query was not understood.
                None => matches!(self.rcode, Rcode::FORM_ERR | Rcode::NOT_IMP),
            }
    }

    /// The records of a type at a name in the answer section, through aliases. An alias that leads out of the
    /// section gives no records and that last name, which the caller may ask.
    ///
    /// # Errors
    /// [`AliasLoop`] for a circle, or a chain of more than 8.
    pub fn find(&self, name: &Name, rtype: RecordType) -> Result<Found<'_>, AliasLoop> {
        let mut found = Found {
            name: name.clone(),
            aliases: Vec::new(),
            records: Vec::new(),
            ttl: None,
        };
        loop {
            let here = self.answers.iter().filter(|record| record.owner == found.name);
            found.records = here.clone().filter(|record| record.rtype == rtype).collect();
            if !found.records.is_empty() {
                break;
            }
            let mut aliases = here.filter_map(|record| match &record.data {
                Data::Cname(target) => Some((record.ttl, target)),
                Data::A(_) | Data::Aaaa(_) | Data::Soa(_) | Data::Naptr(_) => None,
                Data::Srv(_) | Data::Other(_) | Data::Malformed(_) => None,
            });
            let Some((ttl, target)) = aliases.next() else {
                break;
            };
            found.ttl = Some(found.ttl.map_or(ttl, |least| least.min(ttl)));
            found
                .aliases
                .push(std::mem::replace(&mut found.name, target.clone()));
            if found.aliases.contains(target) || found.aliases.len() > MAX_ALIASES {
                return Err(AliasLoop(name.clone()));
            }
        }
        let shortest = found
            .records
            .iter()
            .map(|record| record.ttl)
            .chain(found.ttl)
            .min();
        found.ttl = shortest;
        Ok(found)
    }

    /// How long a negative answer holds, in seconds: the smaller of the SOA's MINIMUM and its TTL (RFC 2308 §5).
    /// `None` without an SOA: such an answer is not kept.
    pub fn negative_ttl(&self) -> Option<u32> {
        self.authority.iter().find_map(|record| match &record.data {
            Data::Soa(soa) => Some(record.ttl.min(soa.minimum)),
            Data::A(_) | Data::Aaaa(_) | Data::Cname(_) | Data::Naptr(_) => None,
            Data::Srv(_) | Data::Other(_) | Data::Malformed(_) => None,
        })
    }
}

impl Found<'_> {
    /// The NAPTR records for an [`Evaluation`](super::select::Evaluation), broken ones in their places.
    pub fn naptrs(&self) -> Vec<Result<Naptr, WireError>> {
        let naptr = |record: &&Record| match &record.data {
            Data::Naptr(naptr) => Some(Ok(naptr.clone())),
            Data::Malformed(error) => Some(Err(*error)),
            Data::A(_) | Data::Aaaa(_) | Data::Cname(_) | Data::Soa(_) | Data::Srv(_) | Data::Other(_) => {
                None
            }
        };
        self.records.iter().filter_map(naptr).collect()
    }

    /// The SRV records; broken ones are left out.
    pub fn srvs(&self) -> Vec<Srv> {
        let srv = |record: &&Record| match &record.data {
            Data::Srv(srv) => Some(srv.clone()),
            Data::A(_) | Data::Aaaa(_) | Data::Cname(_) | Data::Soa(_) => None,
            Data::Naptr(_) | Data::Other(_) | Data::Malformed(_) => None,
        };
        self.records.iter().filter_map(srv).collect()
    }
}

/// A query for one name and type, class IN, recursion desired. `edns` is the UDP payload size to offer, usually 1232;
/// `None` leaves the OPT record out, for servers that answer FORMERR to it (RFC 6891 §7).
pub fn encode_query(id: u16, name: &Name, qtype: RecordType, edns: Option<u16>) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    // RD, and AD to be told whether the resolver validated (RFC 6840 §5.7).
    for field in [id, 0x0120, 1, 0, 0, u16::from(edns.is_some())] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    name.encode(&mut out);
    out.extend_from_slice(&qtype.0.to_be_bytes());
    out.extend_from_slice(&CLASS_IN.to_be_bytes());
    if let Some(size) = edns {
        out.push(0);
        out.extend_from_slice(&RecordType::OPT.0.to_be_bytes());
        out.extend_from_slice(&size.to_be_bytes());
        out.extend_from_slice(&[0; 6]);
    }
    out
}

impl Question {
    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let question = Self {
            name: reader.name()?,
            qtype: RecordType(reader.u16("the question")?),
        };
        reader.u16("the question")?;
        Ok(question)
    }
}

struct RawRecord {
    class: u16,
    record: Record,
}

impl RawRecord {
    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let owner = reader.name()?;
        let rtype = RecordType(reader.u16("a record")?);
        let class = reader.u16("a record")?;
        let ttl = reader.u32("a record")?;
        let length = reader.u16("a record")?;
        let mut rdata = reader.section(length.into())?;
        let data = Data::read(rtype, &mut rdata).unwrap_or_else(Data::Malformed);
        Ok(Self {
            class,
            record: Record {
                owner,
                rtype,
                ttl,
                data,
            },
        })
    }

    /// Of class IN; the class of OPT is a payload size, which could be 1 too.
    fn is_plain(&self) -> bool {
        self.class == CLASS_IN && self.record.rtype != RecordType::OPT
    }
}

impl Data {
    fn read(rtype: RecordType, rdata: &mut Reader<'_>) -> Result<Self, WireError> {
        let data = match rtype {
            RecordType::A => Self::A(rdata.array("an address")?),
            RecordType::AAAA => Self::Aaaa(rdata.array("an address")?),
            RecordType::CNAME => Self::Cname(rdata.name()?),
            RecordType::SOA => Self::Soa(Soa::read(rdata)?),
            RecordType::NAPTR => Self::Naptr(Naptr::read(rdata)?),
            RecordType::SRV => Self::Srv(Srv::read(rdata)?),
            _ => Self::Other(rdata.take(rdata.remaining(), "RDATA")?.to_vec()),
        };
        rdata.finish()?;
        Ok(data)
    }
}

impl Soa {
    fn read(rdata: &mut Reader<'_>) -> Result<Self, WireError> {
        let primary = rdata.name()?;
        rdata.name()?;
        let serial = rdata.u32("SOA")?;
        rdata.take(12, "SOA")?;
        Ok(Self {
            primary,
            serial,
            minimum: rdata.u32("SOA")?,
        })
    }
}

fn plain_records(section: Vec<RawRecord>) -> Vec<Record> {
    section
        .into_iter()
        .filter(RawRecord::is_plain)
        .map(|raw| raw.record)
        .collect()
}

const CLASS_IN: u16 = 1;
const MAX_ALIASES: usize = 8;
/// More than any answer that routing asks for; a message of 64 KiB could hold five times as many.
const MAX_RECORDS: usize = 1024;

#[cfg(test)]
mod tests;
