//! What operators write and keep: zones, configuration, certificates, trails, commands.

use clap::Parser as _;
use impsgw::agreement::Agreements;
use impsgw::cli::Cli;
use impsgw::config::Config;
use impsgw::gateways::ssp::CertificateFacts;
use impsgw::model::Timestamp;
use impsgw::telemetry::TrailSummary;
use impsgw::zone::ZoneSet;
use impsgw::zone::check::{Source, check};

/// Any text gives findings, each on a line that the file has; what the check finds no error in is served.
pub(crate) fn zone(input: &[u8]) {
    let text = String::from_utf8_lossy(input).into_owned();
    let lines = text.split('\n').count();
    for origin in [None, "7.7.4.4.e164.example".parse().ok()] {
        let source = Source {
            file: "fuzz.zone".to_owned(),
            origin: origin.clone(),
            text: text.clone(),
        };
        let report = check(&[source]);
        for finding in &report.findings {
            assert!(
                (1..=lines).contains(&finding.line),
                "{finding:?} in {lines} lines"
            );
        }
        if let Some(origin) = origin {
            let served = ZoneSet::parse(&text, &origin);
            assert!(served.is_ok() || report.is_bad(), "{served:?} {report}");
        }
    }
}

/// A file is taken whole, or refused with mistakes on lines that it has.
pub(crate) fn config(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    match Config::parse(text, "fuzz.toml") {
        Ok(config) => {
            let agreements = Agreements::new(config.agreements.clone());
            assert_eq!(agreements.all().len(), config.agreements.len());
            for agreement in &config.agreements {
                assert!(agreements.for_peer(&agreement.peer).is_some());
                for domain in &agreement.domains {
                    let found = agreements.for_domain(domain).map(|found| found.peer());
                    assert_eq!(found, Some(&agreement.peer), "{domain}");
                }
            }
        }
        Err(mistakes) => {
            let lines = text.split('\n').count();
            assert!(!mistakes.0.is_empty());
            for mistake in &mistakes.0 {
                assert!(mistake.line <= lines && !mistake.text.is_empty(), "{mistake:?}");
                assert!(mistakes.to_string().contains(&mistake.text), "{mistake:?}");
            }
        }
    }
}

/// What was read of a certificate can be shown, and its end is a day.
pub(crate) fn certificate(input: &[u8]) {
    let Some(facts) = CertificateFacts::of(&input.into()) else {
        return;
    };
    assert!(!facts.names_line().is_empty() && facts.sha256.len() == 64);
    for name in &facts.dns_names {
        assert!(facts.names(name), "{name}");
    }
    for now in [
        Timestamp(0),
        facts.not_before,
        facts.not_after,
        Timestamp(u64::MAX),
    ] {
        assert_eq!(facts.days_left(now) >= 0, now < facts.not_after, "{now:?}");
    }
}

/// A line of the book is read as it was written, or is damaged.
pub(crate) fn summary(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for line in text.lines() {
        if let Some(summary) = TrailSummary::parse(line) {
            assert_eq!(TrailSummary::parse(&summary.line()), Some(summary), "{line}");
        }
    }
}

/// Words, one a line, are a command, or refused with a text and the exit code of a usage error.
pub(crate) fn command_line(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let words = std::iter::once("impsgw").chain(text.lines());
    if let Err(error) = Cli::try_parse_from(words) {
        assert!(matches!(error.exit_code(), 0 | 2) && !error.to_string().is_empty());
    }
}
