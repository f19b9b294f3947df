//! One NAPTR record at a time: flags, services, expression, result, and whether its owner is a number.
//!
//! The expression is tried with the number of the owner name. Below a wildcard, and at names that non-terminal
//! records lead to, a number is made up; there an expression that does not match is no mistake.

use super::index::{Index, Located, Owner, looks_like_digits};
use super::person::{Led, check_order};
use super::{Found, Mistake, backslash};
use crate::wire::naptr::regexp::{RegexpError, Substitution};
use crate::wire::naptr::services::{Services, ServicesError};
use crate::wire::naptr::uri::scheme_fits;
use crate::wire::naptr::{AbsoluteUri, Aus, Enumservice, Naptr};
use crate::zone::records::Data;

pub(super) fn check(located: Located<'_>, index: &Index<'_>, found: &mut Found) {
    let Data::Naptr(naptr) = &located.entry.data else {
        return;
    };
    let mut record = Record {
        located,
        index,
        found,
    };
    if naptr.flags.is_empty() {
        record.non_terminal(naptr);
        return;
    }
    let services = Services::parse(&naptr.services);
    if !naptr.flags.eq_ignore_ascii_case(b"u") {
        // Other applications (RFC 3263 and more) have flags of their own.
        if !matches!(services, Err(ServicesError::NotEnum(_))) {
            let flags = String::from_utf8_lossy(&naptr.flags);
            record.add(
                Mistake::UnknownFlag,
                format!("the flags {flags:?} are not of ENUM"),
            );
        }
        return;
    }
    record.owner();
    check_order(located, naptr, index, record.found);
    if !naptr.replacement.is_root() {
        let message = format!(
            "the record has a regexp and the replacement {}",
            naptr.replacement
        );
        record.add(Mistake::BothRegexpAndReplacement, message);
    }
    match services {
        Ok(services) => {
            if services.legacy {
                let written = String::from_utf8_lossy(&naptr.services);
                record.add(
                    Mistake::LegacyServices,
                    format!("{written:?} has the service first"),
                );
            }
            record.registered(&services.offered);
            record.expression(naptr, &services.offered);
        }
        Err(error) => {
            record.add(Mistake::Services, error.to_string());
            record.expression(naptr, &[]);
        }
    }
}

/// The record under examination.
struct Record<'a, 'f> {
    located: Located<'a>,
    index: &'f Index<'f>,
    found: &'f mut Found,
}

impl Record<'_, '_> {
    fn add(&mut self, mistake: Mistake, message: impl Into<String>) {
        self.found
            .add(self.located.file, self.located.entry.line, mistake, message);
    }

    fn non_terminal(&mut self, naptr: &Naptr) {
        if naptr.replacement.is_root() {
            self.add(
                Mistake::NoReplacement,
                "the record has no flag and no replacement",
            );
        } else if !naptr.regexp.is_empty() || !naptr.services.is_empty() {
            self.add(
                Mistake::IgnoredFields,
                "the record has no flag, so its regexp and services are ignored",
            );
        }
    }

    fn owner(&mut self) {
        let owner = &self.located.entry.owner;
        match Owner::of(owner) {
            Owner::Number(_) | Owner::Range(_) => {}
            Owner::Impossible(error) => {
                self.add(Mistake::OwnerNotDigits, format!("{owner} is no number: {error}"))
            }
            Owner::Other if self.index.is_referenced(owner) => {}
            Owner::Other => {
                let digits = owner.labels().iter().any(|label| looks_like_digits(label));
                let (mistake, what) = match digits {
                    true => (Mistake::OwnerNotDigits, "is not a number of one digit a label"),
                    false => (Mistake::Unreferenced, "is no number"),
                };
                self.add(mistake, format!("{owner} {what}"));
            }
        }
    }

    /// Whether anybody asks for the services, there where the record stands.
    fn registered(&mut self, offered: &[Enumservice]) {
        let owner = &self.located.entry.owner;
        for service in offered {
            if service.is_private() && owner.as_str().ends_with(PUBLIC_APEX) {
                self.add(
                    Mistake::PrivateService,
                    format!("{service} stands in public ENUM"),
                );
            } else if !service.is_private() && !service.is_experimental() && !is_registered(service) {
                self.add(
                    Mistake::UnknownService,
                    format!("{service} is no registered Enumservice"),
                );
            }
        }
    }

    fn expression(&mut self, naptr: &Naptr, offered: &[Enumservice]) {
        let raw = self
            .located
            .entry
            .fields
            .get(4)
            .and_then(|raw| backslash::in_raw(raw));
        let written = String::from_utf8_lossy(&naptr.regexp);
        if let Some(mistake) = raw {
            self.add(mistake, format!("the expression comes out as {written}"));
        }
        // What follows from a backslash that went wrong is not a second mistake.
        if raw == Some(Mistake::SingleBackslash) {
            return;
        }
        if backslash::doubled_twice(&naptr.regexp) {
            let message = format!("the expression comes out as {written}");
            return self.add(Mistake::DoubleEscaped, message);
        }
        match Substitution::parse(&naptr.regexp) {
            Ok(substitution) => self.result(&substitution, offered),
            Err(error) => self.add(Mistake::Regexp, error.to_string()),
        }
    }

    fn result(&mut self, substitution: &Substitution, offered: &[Enumservice]) {
        if substitution.ignores_case() {
            self.add(Mistake::IgnoreCase, "the regexp field has the flag i");
        }
        let owner = Owner::of(&self.located.entry.owner);
        let (aus, own) = match &owner {
            Owner::Number(aus) => (Some(aus.clone()), true),
            Owner::Range(digits) => (Aus::new(&format!("{digits:0<12}")).ok(), false),
            Owner::Impossible(_) | Owner::Other => (Aus::new(SAMPLE).ok(), false),
        };
        let Some(aus) = aus else {
            return;
        };
        let expanded = match substitution.apply(&aus) {
            Ok(expanded) => expanded,
            Err(RegexpError::NoMatch) if !own => return,
            Err(RegexpError::NoMatch) => {
                return self.add(
                    Mistake::NoMatch,
                    format!("the expression does not match {}", aus.as_str()),
                );
            }
            Err(error) => return self.add(Mistake::Regexp, error.to_string()),
        };
        if !expanded.spans_all {
            self.add(
                Mistake::PartialMatch,
                "the expression matches only a part of the number",
            );
        }
        match AbsoluteUri::parse(&expanded.octets) {
            Ok(uri) => {
                let led = Led {
                    located: self.located,
                    owner: &owner,
                    substitution,
                    aus: &aus,
                };
                self.uri(&uri, offered, &led);
            }
            Err(error) => self.add(Mistake::NotAUri, error.to_string()),
        }
    }

    fn uri(&mut self, uri: &AbsoluteUri, offered: &[Enumservice], led: &Led<'_>) {
        let (fitting, others): (Vec<_>, Vec<_>) = offered
            .iter()
            .partition(|service| scheme_fits(service, uri.scheme()));
        for service in &fitting {
            match uri.target(service) {
                Ok(target) => led.check(service, &target, self.index, self.found),
                Err(error) => self.add(Mistake::NotAUri, format!("{}: {error}", uri.as_str())),
            }
        }
        let mistake = if fitting.is_empty() {
            Mistake::SchemeMismatch
        } else {
            Mistake::CompoundScheme
        };
        for service in others {
            self.add(
                mistake,
                format!("a {}: URI is not for the service {service}", uri.scheme()),
            );
        }
    }
}

/// Registered with IANA, or an expired draft that is in use.
fn is_registered(service: &Enumservice) -> bool {
    REGISTERED.contains(&service.kind())
}

/// The types of the registry of Enumservices (RFC 6117, RFC 6118), then those of drafts.
const REGISTERED: &[&str] = &[
    "acct",
    "email",
    "ems",
    "fax",
    "ft",
    "h323",
    "iax",
    "ical-access",
    "ical-sched",
    "ifax",
    "im",
    "mms",
    "pres",
    "pstn",
    "sip",
    "sms",
    "unifmsg",
    "vcard",
    "videomsg",
    "voice",
    "voicemsg",
    "vpim",
    "web",
    "xmpp",
    "cnam",
    "pstndata",
    "unused",
    "void",
];

/// User ENUM; whoever runs a private network has an apex of his own.
const PUBLIC_APEX: &str = ".e164.arpa.";

/// Stands in for a number where the owner name has none; from the range for drama in the United Kingdom.
const SAMPLE: &str = "447700900123";
