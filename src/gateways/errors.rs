//! Makes `docs/reference/errors.md`: one row a refusal, one column a protocol, from the `status.rs` of each gateway.
//!
//! What a refusal means is its doc comment. `UPDATE_GOLDEN=1 cargo test --lib gateways::errors` writes the page anew.

use std::{collections::BTreeSet, fmt::Write, time::Duration};

use super::{home::status::told, ssp::status::code_of};
use crate::model::{Domain, GroupRefusal, Refusal, Service, WvAddress};

#[test]
fn errors_page_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/errors.md");
    let wanted = page();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/reference/errors.md is old; UPDATE_GOLDEN=1 cargo test --lib gateways::errors"
    );
}

#[test]
fn every_refusal_has_a_row() {
    let rows: BTreeSet<String> = samples().iter().map(name).collect();
    let all: BTreeSet<String> = meanings().into_iter().map(|(name, _)| name).collect();
    assert_eq!(rows, all);
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    let samples = samples();
    for (name_of_row, meaning) in meanings() {
        for refusal in samples.iter().filter(|one| name(one) == name_of_row) {
            page.push_str(&row(refusal, &meaning));
        }
    }
    page
}

/// The row of one refusal; a group's has its reason in its meaning.
fn row(refusal: &Refusal, meaning: &str) -> String {
    let told = told(refusal);
    let is_theirs = matches!(refusal, Refusal::Remote { .. });
    let code = |status: u16| {
        if is_theirs {
            "the other side's".to_owned()
        } else {
            status.to_string()
        }
    };
    let again = match (is_theirs, refusal.is_temporary()) {
        (true, _) => "by its code",
        (false, true) => "yes",
        (false, false) => "no",
    };
    let meaning = if let Refusal::InGroup { why, .. } = refusal {
        format!("{meaning}: {why}")
    } else {
        meaning.to_owned()
    };
    format!(
        "| `{}` | {meaning} | {again} | {} | {} | {} |\n",
        told.code,
        if is_theirs { code(0) } else { ssp_codes(refusal) },
        told.http,
        code(told.status),
    )
}

/// The code of a refusal, and of the services that have another.
fn ssp_codes(refusal: &Refusal) -> String {
    let usual = code_of(refusal, Service::Message).0;
    let mut text = usual.to_string();
    for service in [Service::Search, Service::Presence, Service::Group] {
        let code = code_of(refusal, service).0;
        if code != usual {
            let _ = write!(text, "; {} {code}", service.name());
        }
    }
    text
}

/// The variants of `Refusal` in the order of the source, each with its doc comment.
fn meanings() -> Vec<(String, String)> {
    let source = include_str!("../model/outcome.rs");
    let (_, rest) = source.split_once("pub enum Refusal {").unwrap();
    let (body, _) = rest.split_once("\n}").unwrap();
    let (mut found, mut doc) = (Vec::new(), Vec::new());
    for line in body.lines() {
        if let Some(text) = line.strip_prefix("    /// ") {
            doc.push(text.trim().trim_end_matches('.'));
        } else if line.starts_with("    ") && line[4..].starts_with(|c: char| c.is_ascii_uppercase()) {
            let name = line.trim().trim_end_matches([' ', '{', ',']);
            found.push((name.to_owned(), doc.join(" ")));
            doc.clear();
        }
    }
    found
}

/// The name of a variant.
fn name(refusal: &Refusal) -> String {
    let text = format!("{refusal:?}");
    let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
    text[..end].to_owned()
}

/// One of each kind.
fn samples() -> Vec<Refusal> {
    let domain: Domain = "beta.example".parse().unwrap();
    let recipient: WvAddress = "wv:bea@beta.example".parse().unwrap();
    let text = String::new;
    let group: WvAddress = "wv:bea/walkers@beta.example".parse().unwrap();
    let in_group = |why| Refusal::InGroup {
        group: group.clone(),
        why,
    };
    let others = vec![
        Refusal::NoAgreement {
            domain: domain.clone(),
        },
        Refusal::NotAgreed {
            peer: "beta".parse().unwrap(),
            service: Service::Message,
            clause: text(),
        },
        Refusal::RateExceeded {
            clause: text(),
            retry_after: Duration::ZERO,
        },
        Refusal::TooLarge { size: 2, limit: 1 },
        Refusal::MediaType { media_type: text() },
        Refusal::ForeignSender {
            sender: recipient.clone(),
            domain: domain.clone(),
        },
        Refusal::NoTransit {
            recipient: recipient.clone(),
        },
        Refusal::Loop,
        Refusal::UnknownUser {
            recipient: recipient.clone(),
        },
        Refusal::NoRoute {
            recipient: recipient.clone(),
            reason: text(),
        },
        Refusal::RouteFailed {
            recipient: recipient.clone(),
            reason: text(),
        },
        Refusal::Wildcard,
        Refusal::NotSearched { what: text() },
        Refusal::InvalidAddress {
            address: text(),
            reason: text(),
        },
        Refusal::BadRequest { reason: text() },
        Refusal::Unsupported { what: text() },
        Refusal::Blocked {
            recipient: recipient.clone(),
        },
        Refusal::NotAuthorised { recipient },
        Refusal::QueueFull { queue: text() },
        Refusal::Expired,
        Refusal::Discarded { reason: text() },
        Refusal::Unreachable {
            domain: domain.clone(),
            reason: text(),
        },
        Refusal::HeldBack {
            domain: domain.clone(),
            reason: text(),
        },
        Refusal::Dropped {
            domain: domain.clone(),
            reason: text(),
        },
        Refusal::EndsConnections {
            domain: domain.clone(),
        },
        Refusal::TimedOut {
            domain: domain.clone(),
        },
        Refusal::NotFound { what: text() },
        Refusal::Remote {
            domain,
            status: 500,
            text: text(),
        },
        Refusal::StoreUnavailable { reason: text() },
        Refusal::Internal { reason: text() },
    ];
    let in_groups = GroupRefusal::ALL.map(in_group);
    others.into_iter().chain(in_groups).collect()
}

const HEAD: &str = "\
# Errors

Generated from `Refusal` in `src/model/outcome.rs` and the `status.rs` of each gateway. *SSP* is the status code that a peer
gets, *HTTP* and *IMPS* are what a subscriber of the embedded home domain gets, with the word of the first column as
`error.code`. What is worth trying again is kept in the store when it is a message, a notice or a report.

| error | what it means | again | SSP | HTTP | IMPS |
| --- | --- | --- | --- | --- | --- |
";
