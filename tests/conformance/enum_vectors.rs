//! The ENUM and SRV vectors as data: the files of `tests/vectors/enum/` in types, and DNS messages made of them.
//!
//! A file has a comment on top that says what its keys mean. Keys that nobody knows are errors. `expect` is read by
//! whoever runs the case, because each subject expects other things.

use std::path::Path;

use impsgw::wire::naptr::{Name, Naptr, Policy, RecordType, Srv};
use serde::Deserialize;

/// One file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    case: Vec<Case>,
}

/// One vector.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) clause: String,
    pub(crate) level: Level,
    pub(crate) number: Option<NumberText>,
    #[serde(default = "im_and_pres")]
    pub(crate) wanted: Vec<String>,
    #[serde(default)]
    pub(crate) policy: PolicyText,
    /// The NAPTR set at the number's own name.
    #[serde(default)]
    pub(crate) records: Vec<NaptrText>,
    /// An SRV set.
    #[serde(default)]
    pub(crate) srv: Vec<SrvText>,
    /// What the servers hold.
    #[serde(default)]
    pub(crate) dns: Vec<RrsetText>,
    #[serde(default = "public_apex")]
    pub(crate) apexes: Vec<ApexText>,
    pub(crate) request: Option<RequestText>,
    #[serde(default)]
    pub(crate) hosts: Vec<HostText>,
    #[serde(default)]
    pub(crate) config: ConfigText,
    pub(crate) expect: toml::Table,
    #[serde(default)]
    also: Vec<Variant>,
}

/// Who can run a case.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Records in, decision out.
    Pure,
    /// Needs servers.
    Live,
}

/// A number and how it is to be read.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NumberText {
    pub(crate) text: String,
    pub(crate) apex: Option<String>,
    pub(crate) position: Option<usize>,
    pub(crate) country_code: Option<String>,
    pub(crate) trunk_prefix: Option<String>,
    pub(crate) international_prefixes: Option<Vec<String>>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PolicyText {
    private_services: bool,
    experimental_services: bool,
    pres_foreign_schemes: bool,
}

/// An apex in the order of asking.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApexText {
    pub(crate) name: NameText,
    #[serde(default)]
    pub(crate) private: bool,
    #[serde(default)]
    pub(crate) failure_falls_through: bool,
}

/// What is to be routed.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestText {
    pub(crate) to: String,
}

/// What a connection to a server meets.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostText {
    pub(crate) name: NameText,
    pub(crate) address: String,
    pub(crate) port: u16,
    pub(crate) behaviour: HostBehaviour,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HostBehaviour {
    Accept,
    Refuse,
    WrongIdentity,
}

/// The gateway's own settings.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ConfigText {
    pub(crate) own_domains: Vec<String>,
    pub(crate) own_hosts: Vec<String>,
    pub(crate) own_addresses: Vec<String>,
    pub(crate) sip_fallback: bool,
    pub(crate) xmpp_fallback: bool,
}

/// Other values for the same case.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Variant {
    number: Option<NumberText>,
    policy: Option<PolicyText>,
    dns: Option<Vec<RrsetText>>,
    config: Option<ConfigText>,
    expect: toml::Table,
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

/// Every case of every file.
pub(crate) fn all() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/enum");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let read = |file: &std::path::PathBuf| {
        let text = std::fs::read_to_string(file).unwrap();
        let vectors: Vectors =
            toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        vectors.case
    };
    files.iter().flat_map(read).collect()
}

/// The pure cases whose ID begins with `section`, each variant on its own.
pub(crate) fn pure(section: &str) -> Vec<Case> {
    let of_section = |case: &Case| case.level == Level::Pure && case.id.starts_with(section);
    let cases: Vec<Case> = all()
        .into_iter()
        .filter(of_section)
        .flat_map(|case| case.variants())
        .collect();
    assert!(!cases.is_empty(), "there are no vectors {section}*");
    cases
}

impl Case {
    /// The case itself, then itself with the other values of `also`.
    pub(crate) fn variants(mut self) -> Vec<Self> {
        let also = std::mem::take(&mut self.also);
        let base = self.clone();
        let with = |variant: Variant| Self {
            number: variant.number.or_else(|| base.number.clone()),
            policy: variant.policy.unwrap_or(base.policy),
            dns: variant.dns.unwrap_or_else(|| base.dns.clone()),
            config: variant.config.unwrap_or_else(|| base.config.clone()),
            expect: variant.expect,
            ..base.clone()
        };
        std::iter::once(self).chain(also.into_iter().map(with)).collect()
    }

    /// What is expected, in the form of the one who runs the case.
    pub(crate) fn expect<T: serde::de::DeserializeOwned>(&self) -> T {
        self.expect
            .clone()
            .try_into()
            .unwrap_or_else(|error| panic!("{}: {error}", self.id))
    }

    /// The answer to a question by the rule of the files: the entry, else NODATA, else NXDOMAIN.
    pub(crate) fn message(&self, id: u16, name: &Name, rtype: RecordType) -> Vec<u8> {
        let entry = self
            .dns
            .iter()
            .find(|set| set.name.0 == *name && set.rtype() == rtype);
        let alias = self
            .dns
            .iter()
            .find(|set| set.name.0 == *name && set.rtype == TypeText::Cname);
        match entry.or(alias) {
            Some(set) => set.message(id, rtype),
            None if self.dns.iter().any(|set| set.name.0 == *name) => header(id, name, rtype, 0, 0, 0),
            None => header(id, name, rtype, 3, 0, 0),
        }
    }
}

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

impl From<PolicyText> for Policy {
    fn from(text: PolicyText) -> Self {
        let PolicyText {
            private_services,
            experimental_services,
            pres_foreign_schemes,
        } = text;
        Self {
            private_services,
            experimental_services,
            pres_foreign_schemes,
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

fn im_and_pres() -> Vec<String> {
    vec!["im".into(), "pres".into()]
}

fn public_apex() -> Vec<ApexText> {
    let name = NameText("e164.arpa".parse().unwrap());
    vec![ApexText {
        name,
        private: false,
        failure_falls_through: false,
    }]
}

fn five_minutes() -> u32 {
    300
}
