//! The ENUM and SRV vectors as data: the files of `tests/vectors/enum/` in types.
//!
//! A file has a comment on top that says what its keys mean. Keys that nobody knows are errors. `expect` is read by
//! whoever runs the case, because each subject expects other things.

use std::path::Path;

use impsgw::wire::naptr::{Name, Policy, RecordType};
use serde::Deserialize;

use super::enum_zone::{NameText, NaptrText, RrsetText, SrvText, answer};

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

    /// The answer to a question by the rule of the files.
    pub(crate) fn message(&self, id: u16, name: &Name, rtype: RecordType) -> Vec<u8> {
        answer(&self.dns, id, name, rtype)
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
