//! What the servers of the ENUM and SRV vectors hold, and the DNS messages in which they say it.
//!
//! Messages are made here octet by octet, so that the reader under test has no part in writing its own input.

use impsgw::wire::naptr::{Name, Naptr, RecordType, Srv};
use serde::Deserialize;

/// The answer of servers that hold `sets`: the entry, or an alias at the name, else NODATA, else a wildcard above it, else
/// NXDOMAIN.
pub(crate) fn answer(sets: &[RrsetText], id: u16, name: &Name, rtype: RecordType) -> Vec<u8> {
    let entry = sets
        .iter()
        .find(|set| set.name.0 == *name && set.rtype() == rtype);
    let alias = sets
        .iter()
        .find(|set| set.name.0 == *name && set.rtype == TypeText::Cname);
    match entry.or(alias) {
        Some(set) => set.message(id, rtype),
        None if sets.iter().any(|set| set.name.0 == *name) => header(id, name, rtype, 0, 0, 0),
        None => match sets.iter().find(|set| set.covers(name) && set.rtype() == rtype) {
            Some(wildcard) => RrsetText {
                name: NameText(name.clone()),
                ..wildcard.clone()
            }
            .message(id, rtype),
            None => header(id, name, rtype, 3, 0, 0),
        },
    }
}

/// One NAPTR record in wire form, with the defaults that the files state.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NaptrText {
    order: u16,
    preference: u16,
    flags: String,
    flags_hex: Option<String>,
    services: String,
    regexp: String,
    regexp_hex: Option<String>,
    replacement: NameText,
    zone_text: Option<String>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SrvText {
    priority: u16,
    weight: u16,
    port: u16,
    target: NameText,
}

/// What a server holds for a name and type.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RrsetText {
    pub(crate) name: NameText,
    #[serde(rename = "type")]
    rtype: TypeText,
    #[serde(default)]
    rcode: RcodeText,
    #[serde(default = "five_minutes")]
    ttl: u32,
    #[serde(default)]
    naptr: Vec<NaptrText>,
    #[serde(default)]
    srv: Vec<SrvText>,
    #[serde(default)]
    a: Vec<std::net::Ipv4Addr>,
    cname: Option<NameText>,
    soa: Option<SoaText>,
    pub(crate) behaviour: Option<RrsetBehaviour>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RrsetBehaviour {
    /// Over UDP only the header with TC, over TCP the whole.
    TruncateUdp,
}

#[derive(Clone, Copy, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "UPPERCASE")]
enum TypeText {
    A,
    Cname,
    Srv,
    Naptr,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum RcodeText {
    #[default]
    NoError,
    Servfail,
    NxDomain,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct SoaText {
    ttl: u32,
    minimum: u32,
}

/// A name in a file; a name that is none is an error of the file.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct NameText(pub(crate) Name);

impl RrsetText {
    /// A NAPTR set.
    pub(crate) fn naptrs(name: &Name, naptr: Vec<NaptrText>) -> Self {
        Self {
            name: NameText(name.clone()),
            rtype: TypeText::Naptr,
            rcode: RcodeText::NoError,
            ttl: five_minutes(),
            naptr,
            srv: Vec::new(),
            a: Vec::new(),
            cname: None,
            soa: None,
            behaviour: None,
        }
    }

    pub(crate) fn rtype(&self) -> RecordType {
        match self.rtype {
            TypeText::A => RecordType::A,
            TypeText::Cname => RecordType::CNAME,
            TypeText::Srv => RecordType::SRV,
            TypeText::Naptr => RecordType::NAPTR,
        }
    }

    /// Whether it is a wildcard above this name.
    fn covers(&self, name: &Name) -> bool {
        let above = self.name.0.as_str().strip_prefix('*');
        above.is_some_and(|above| name.as_str().ends_with(above))
    }

    /// The RDATA of every record, in order.
    pub(crate) fn rdata(&self) -> Vec<Vec<u8>> {
        let naptr = self.naptr.iter().map(|record| record.naptr().encode());
        let srv = self.srv.iter().map(|record| record.srv().encode());
        let a = self.a.iter().map(|address| address.octets().to_vec());
        let cname = self.cname.iter().map(|name| encoded(&name.0));
        naptr.chain(srv).chain(a).chain(cname).collect()
    }

    /// A whole response to a question for `asked` at this name.
    fn message(&self, id: u16, asked: RecordType) -> Vec<u8> {
        let records = self.rdata();
        let rcode = match self.rcode {
            RcodeText::NoError => 0,
            RcodeText::Servfail => 2,
            RcodeText::NxDomain => 3,
        };
        let count = u16::try_from(records.len()).unwrap();
        let mut out = header(
            id,
            &self.name.0,
            asked,
            rcode,
            count,
            u16::from(self.soa.is_some()),
        );
        for rdata in records {
            push_record(&mut out, &self.name.0, self.rtype(), self.ttl, &rdata);
        }
        if let Some(soa) = self.soa {
            let mut rdata = [
                encoded(&"ns.example".parse().unwrap()),
                encoded(&"hostmaster.example".parse().unwrap()),
            ]
            .concat();
            for number in [1, 3600, 600, 86400, soa.minimum] {
                rdata.extend_from_slice(&number.to_be_bytes());
            }
            push_record(
                &mut out,
                &"example".parse().unwrap(),
                RecordType::SOA,
                soa.ttl,
                &rdata,
            );
        }
        out
    }
}

impl NaptrText {
    pub(crate) fn naptr(&self) -> Naptr {
        if let Some(text) = &self.zone_text {
            return text.parse().unwrap();
        }
        let octets = |hex: &Option<String>, text: &str| match hex {
            Some(hex) => unhex(hex),
            None => text.as_bytes().to_vec(),
        };
        Naptr {
            order: self.order,
            preference: self.preference,
            flags: octets(&self.flags_hex, &self.flags),
            services: self.services.as_bytes().to_vec(),
            regexp: octets(&self.regexp_hex, &self.regexp),
            replacement: self.replacement.0.clone(),
        }
    }
}

impl Default for NaptrText {
    fn default() -> Self {
        Self {
            order: 100,
            preference: 10,
            flags: "u".into(),
            flags_hex: None,
            services: "E2U+im".into(),
            regexp: String::new(),
            regexp_hex: None,
            replacement: NameText(Name::root()),
            zone_text: None,
        }
    }
}

impl SrvText {
    pub(crate) fn srv(&self) -> Srv {
        let Self {
            priority,
            weight,
            port,
            target,
        } = self.clone();
        Srv {
            priority,
            weight,
            port,
            target: target.0,
        }
    }
}

impl TryFrom<String> for NameText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
            .map(Self)
            .map_err(|error| format!("{text:?}: {error}"))
    }
}

fn header(id: u16, name: &Name, qtype: RecordType, rcode: u16, answers: u16, authority: u16) -> Vec<u8> {
    let mut out = Vec::new();
    for field in [id, 0x8180 | rcode, 1, answers, authority, 0] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    name.encode(&mut out);
    out.extend_from_slice(&qtype.0.to_be_bytes());
    out.extend_from_slice(&1u16.to_be_bytes());
    out
}

fn push_record(out: &mut Vec<u8>, owner: &Name, rtype: RecordType, ttl: u32, rdata: &[u8]) {
    owner.encode(out);
    out.extend_from_slice(&rtype.0.to_be_bytes());
    out.extend_from_slice(&1u16.to_be_bytes());
    out.extend_from_slice(&ttl.to_be_bytes());
    out.extend_from_slice(&u16::try_from(rdata.len()).unwrap().to_be_bytes());
    out.extend_from_slice(rdata);
}

fn encoded(name: &Name) -> Vec<u8> {
    let mut out = Vec::new();
    name.encode(&mut out);
    out
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn five_minutes() -> u32 {
    300
}
