//! Makes `config/impsgw.toml`, the documented example: each key with the doc comment of its field and its default.
//!
//! A key that the example sets stands as it is; all others are there as `#key = value`, so that removing the `#` is all
//! that it takes. The doc comments are read from the sources, so this exists in tests only. `UPDATE_GOLDEN=1 cargo test
//! --lib config::example` writes the file anew.

use std::fmt::Write;

use toml::{Table, Value};

use super::ranges::RANGES;
use super::{AdminConfig, Config, GatewayConfig, LogConfig, PostgresSection, StoreSection};
use crate::{
    agreement::AgreementConfig,
    cluster::ClusterConfig,
    gateways::{
        home::{HomeConfig, HomeDomainConfig, HomeLimits},
        ssp::SspConfig,
    },
    relay::RelayConfig,
    routing::{ApexConfig, CacheConfig, LadderConfig, RoutingConfig, SetAsideConfig, ViewConfig},
    telemetry::TrailConfig,
};

/// A section: its header, whether the example has it, where its fields are documented, and their defaults.
struct Section {
    header: &'static str,
    is_set: bool,
    source: &'static str,
    name: &'static str,
    defaults: Table,
}

fn example() -> String {
    let mut text = HEAD.to_owned();
    for section in sections() {
        let mark = if section.is_set { "" } else { "#" };
        let documentation = doc_of(section.source, section.name);
        let _ = write!(text, "\n{}{mark}{}\n", commented(&documentation), section.header);
        let path = section.header.trim_matches(['[', ']']);
        for (key, documentation) in fields(section.source, section.name) {
            let full = format!("{path}.{key}");
            let set = SET
                .iter()
                .find(|(name, _)| *name == full)
                .map(|(_, value)| (*value).to_owned());
            let default = section.defaults.get(&key);
            let is_table = default.is_some_and(Value::is_table) || OWN_SECTION.contains(&full.as_str());
            if is_table {
                continue;
            }
            text.push_str(&commented(&documentation));
            if let Some(range) = RANGES.iter().find(|range| range.key == full) {
                let _ = writeln!(text, "# From {}.", range.words());
            }
            let sample = SAMPLES.iter().find(|(name, _)| *name == full);
            match (set, sample, default) {
                (Some(value), _, _) => {
                    let _ = writeln!(text, "{mark}{key} = {value}");
                }
                (None, Some((_, value)), _) => {
                    let _ = writeln!(text, "#{key} = {value}");
                }
                (None, None, Some(value)) => {
                    let _ = writeln!(text, "#{key} = {value}");
                }
                (None, None, None) => panic!("{full} has neither a default nor a sample; add one to SAMPLES"),
            }
        }
    }
    text
}

fn sections() -> Vec<Section> {
    let section = |header, is_set, source, name, defaults| Section {
        header,
        is_set,
        source,
        name,
        defaults,
    };
    let view: ViewConfig = toml::from_str("name = \"private\"\nresolvers = [\"127.0.0.1:5300\"]").unwrap();
    let apex: ApexConfig = toml::from_str("apex = \"e164enum.net\"\nview = \"private\"").unwrap();
    let domain: HomeDomainConfig = toml::from_str("name = \"alpha.example\"").unwrap();
    let agreement: AgreementConfig = toml::from_str("peer = \"beta\"\ndomains = [\"beta.example\"]").unwrap();
    let agreement = table(&agreement);
    let part = |key: &str| agreement[key].as_table().unwrap().clone();
    vec![
        section(
            "[gateway]",
            true,
            GATEWAY,
            "GatewayConfig",
            table(&GatewayConfig::default()),
        ),
        section(
            "[gateway.log]",
            true,
            GATEWAY,
            "LogConfig",
            table(&LogConfig::default()),
        ),
        section(
            "[gateway.trails]",
            true,
            TRAILS,
            "TrailConfig",
            table(&TrailConfig::default()),
        ),
        section("[ssp]", true, SSP, "SspConfig", table(&SspConfig::default())),
        section(
            "[[ssp.identities]]",
            false,
            CERTIFICATES,
            "IdentityFiles",
            Table::new(),
        ),
        section(
            "[relay]",
            true,
            RELAY,
            "RelayConfig",
            table(&RelayConfig::default()),
        ),
        section(
            "[routing]",
            true,
            ROUTING,
            "RoutingConfig",
            table(&RoutingConfig::default()),
        ),
        section("[[routing.views]]", true, ROUTING, "ViewConfig", table(&view)),
        section("[[routing.apexes]]", true, ROUTING, "ApexConfig", table(&apex)),
        section(
            "[routing.ladder]",
            true,
            ROUTING,
            "LadderConfig",
            table(&LadderConfig::default()),
        ),
        section(
            "[[routing.default_gateway]]",
            false,
            ROUTING,
            "GatewayConfig",
            Table::new(),
        ),
        section(
            "[[routing.home_ranges]]",
            false,
            ROUTING,
            "RangeConfig",
            Table::new(),
        ),
        section(
            "[routing.cache]",
            true,
            ROUTING,
            "CacheConfig",
            table(&CacheConfig::default()),
        ),
        section(
            "[routing.set_aside]",
            true,
            ROUTING,
            "SetAsideConfig",
            table(&SetAsideConfig::default()),
        ),
        section(
            "[store]",
            true,
            STORE,
            "StoreSection",
            table(&StoreSection::default()),
        ),
        section(
            "[store.postgres]",
            true,
            STORE,
            "PostgresSection",
            table(&PostgresSection::default()),
        ),
        section("[home]", true, HOME, "HomeConfig", table(&HomeConfig::default())),
        section("[[home.domain]]", true, HOME, "HomeDomainConfig", table(&domain)),
        section(
            "[home.limits]",
            true,
            HOME,
            "HomeLimits",
            table(&HomeLimits::default()),
        ),
        section("[home.templates.en]", false, HOME, "Templates", Table::new()),
        section("[[home.account]]", false, HOME, "AccountConfig", Table::new()),
        section(
            "[cluster]",
            false,
            CLUSTER,
            "ClusterConfig",
            table(&ClusterConfig::default()),
        ),
        section(
            "[admin]",
            true,
            GATEWAY,
            "AdminConfig",
            table(&AdminConfig::default()),
        ),
        section(
            "[[agreement]]",
            true,
            AGREEMENT,
            "AgreementConfig",
            agreement.clone(),
        ),
        section(
            "[agreement.services]",
            true,
            AGREEMENT,
            "Services",
            part("services"),
        ),
        section("[agreement.limits]", true, AGREEMENT, "Limits", part("limits")),
        section(
            "[agreement.delivery]",
            true,
            AGREEMENT,
            "DeliveryPolicy",
            part("delivery"),
        ),
        section(
            "[agreement.disclose]",
            true,
            AGREEMENT,
            "Disclosure",
            part("disclose"),
        ),
        section(
            "[agreement.speaks_for]",
            true,
            AGREEMENT,
            "SpeaksFor",
            part("speaks_for"),
        ),
        section("[agreement.tls]", true, AGREEMENT, "PeerTls", part("tls")),
    ]
}

fn table(config: &impl serde::Serialize) -> Table {
    Table::try_from(config).unwrap()
}

/// The doc comment of a struct, from the line before its attributes.
fn doc_of(source: &str, name: &str) -> Vec<String> {
    let start = source.find(&format!("pub struct {name} {{")).unwrap();
    let mut lines: Vec<String> = Vec::new();
    for line in source[..start].lines().rev() {
        match line.strip_prefix("///") {
            Some(text) => lines.push(text.trim().to_owned()),
            None if line.starts_with("#[") => {}
            None => break,
        }
    }
    lines.reverse();
    lines
}

/// The keys of a struct with their doc comments, in the order of the source.
fn fields(source: &str, name: &str) -> Vec<(String, Vec<String>)> {
    let start = source.find(&format!("pub struct {name} {{")).unwrap();
    let body = &source[start..];
    let body = &body[..body.find("\n}").unwrap()];
    let (mut found, mut lines, mut renamed) = (Vec::new(), Vec::new(), None);
    for line in body.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            lines.push(text.trim().to_owned());
        } else if line.starts_with("#[") {
            let name = line
                .split_once("rename = \"")
                .and_then(|(_, rest)| rest.split_once('"'));
            renamed = name.map(|(name, _)| name.to_owned()).or(renamed);
        } else if let Some((key, _)) = line.strip_prefix("pub ").and_then(|rest| rest.split_once(": ")) {
            found.push((
                renamed.take().unwrap_or_else(|| key.to_owned()),
                std::mem::take(&mut lines),
            ));
        }
    }
    assert!(!found.is_empty(), "{name} has no fields");
    found
}

fn commented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("# {line}\n")).collect()
}

const HEAD: &str = "\
# The configuration of impsgw: every section and key, what it means, and its default.
#
# This file is generated from the sources; `#key = value` shows what holds without the key. As it stands it is one
# gateway without TLS on loopback, with subscribers of its own and one agreement; alpha.toml and beta.toml are two
# with TLS that peer. `impsgw check` reports every mistake at once. Paths count from the folder that the gateway is
# started in, but agreement_dir, which counts from this file.
# Durations are \"500ms\", \"30s\", \"5m\", \"24h\", \"7d\"; sizes \"512\", \"64 KiB\", \"1 MiB\", \"2 GiB\".
";

/// What the example sets.
const SET: &[(&str, &str)] = &[
    ("gateway.domains", "[\"alpha.example\"]"),
    ("ssp.listen_plain", "\"127.0.0.1:7070\""),
    ("routing.views.name", "\"private\""),
    ("routing.views.resolvers", "[\"127.0.0.1:5300\"]"),
    ("routing.apexes.apex", "\"e164enum.net\""),
    ("routing.apexes.view", "\"private\""),
    ("routing.apexes.trust", "\"private\""),
    ("routing.default_gateway.peer", "\"beta\""),
    ("routing.home_ranges.prefix", "\"+4477009\""),
    ("routing.home_ranges.domain", "\"alpha.example\""),
    ("home.listen", "\"127.0.0.1:7090\""),
    ("home.domain.name", "\"alpha.example\""),
    ("admin.listen", "\"127.0.0.1:7080\""),
    ("admin.health", "\"127.0.0.1:7081\""),
    ("agreement.peer", "\"beta\""),
    ("agreement.domains", "[\"beta.example\"]"),
    ("agreement.allowed_networks", "[\"127.0.0.0/8\"]"),
    (
        "agreement.services.in",
        "[\"search\", \"presence\", \"message\", \"invite\", \"notice\"]",
    ),
    (
        "agreement.services.out",
        "[\"search\", \"presence\", \"message\", \"invite\", \"notice\"]",
    ),
    ("agreement.tls.required", "false"),
];

/// What stands for keys that have no default.
const SAMPLES: &[(&str, &str)] = &[
    ("gateway.agreement_dir", "\"agreements\""),
    ("ssp.listen", "\"0.0.0.0:7443\""),
    ("ssp.certificate", "\"certs/alpha.pem\""),
    ("ssp.key", "\"certs/alpha.key\""),
    ("ssp.identities.certificate", "\"certs/beta.example.pem\""),
    ("ssp.identities.key", "\"certs/beta.example.key.pem\""),
    ("ssp.authorities", "\"certs/authorities.pem\""),
    ("ssp.revocations", "\"certs/revocations.pem\""),
    (
        "routing.routing_numbers",
        "[{ prefix = \"+447700\", domain = \"beta.example\" }]",
    ),
    ("routing.apexes.on_failure", "\"stop\""),
    ("routing.apexes.infrastructure_position", "2"),
    ("routing.apexes.timeout", "\"1s\""),
    ("routing.ladder.ssp_port", "7070"),
    (
        "store.postgres.url",
        "\"postgresql://impsgw@db1:5432,db2:5432/impsgw?sslmode=require\"",
    ),
    (
        "store.postgres.password_file",
        "\"/etc/impsgw/postgres.password\"",
    ),
    ("store.postgres.ca", "\"certs/database.pem\""),
    ("cluster.listen", "\"192.0.2.1:7900\""),
    ("cluster.advertise", "\"n1.alpha.example:7900\""),
    ("cluster.ca", "\"certs/nodes/ca.pem\""),
    ("cluster.certificate", "\"certs/nodes/n1.pem\""),
    ("cluster.key", "\"certs/nodes/n1.key.pem\""),
    ("home.certificate", "\"certs/subscribers.pem\""),
    ("home.key", "\"certs/subscribers.key\""),
    ("home.account.number", "\"+447700900123\""),
    ("home.account.user", "\"ada\""),
    ("home.account.domain", "\"alpha.example\""),
    ("home.account.friendly_name", "\"Ada\""),
    ("home.account.password", "\"change me\""),
    ("home.account.language", "\"en\""),
    (
        "home.templates.en.contact_added",
        "\"{name} ({address}) has added you to a contact list\"",
    ),
    ("routing.default_gateway.service", "\"mms\""),
    ("routing.default_gateway.prefix", "\"+44\""),
    ("routing.default_gateway.domain", "\"gamma.example\""),
];

/// Lists of tables that have a section of their own.
const OWN_SECTION: &[&str] = &[
    "ssp.identities",
    "routing.views",
    "routing.apexes",
    "routing.default_gateway",
    "routing.home_ranges",
    "home.domain",
    "home.account",
    "home.templates",
];

const GATEWAY: &str = include_str!("gateway.rs");
const STORE: &str = include_str!("store.rs");
const TRAILS: &str = include_str!("../telemetry/trails.rs");
const SSP: &str = include_str!("../gateways/ssp/config.rs");
const CERTIFICATES: &str = include_str!("../gateways/ssp/certificates.rs");
const CLUSTER: &str = include_str!("../cluster/config.rs");
const HOME: &str = include_str!("../gateways/home/config.rs");
const RELAY: &str = include_str!("../relay/config.rs");
const ROUTING: &str = include_str!("../routing/config.rs");
const AGREEMENT: &str = include_str!("../agreement/config.rs");

#[test]
fn example_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/impsgw.toml");
    let wanted = example();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/config")).unwrap();
        std::fs::write(path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == wanted,
        "config/impsgw.toml is old; UPDATE_GOLDEN=1 cargo test --lib config::example"
    );
}

#[test]
fn example_has_no_mistakes() {
    let config = Config::parse(&example(), "impsgw.toml").unwrap();
    assert_eq!(config.agreements.len(), 1);
    assert_eq!(config.routing.apexes.len(), 1);
}

#[test]
fn every_key_that_the_example_shows_can_be_set() {
    let is_key = |rest: &str| rest.starts_with('[') || rest.starts_with(|c: char| c.is_ascii_lowercase());
    let uncommented: Vec<String> = example()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if is_key(rest) => rest.to_owned(),
            Some(_) | None => line.to_owned(),
        })
        .collect();
    let mistakes = match Config::parse(&uncommented.join("\n"), "impsgw.toml") {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.0,
    };
    let odd: Vec<_> = mistakes
        .iter()
        .filter(|mistake| !mistake.text.contains("no such file"))
        .collect();
    assert!(odd.is_empty(), "{odd:#?}");
}
