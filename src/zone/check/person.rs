//! What a number's URI comes to: one person, named so that the other side knows him, at a domain that has a server.
//!
//! A record may be right in every field and still lead everybody of a range to one person, or lead to a domain that
//! says nothing of how its server is found.

use super::index::{Index, Located, Owner};
use super::{Found, Mistake};
use crate::wire::naptr::regexp::Substitution;
use crate::wire::naptr::services::Services;
use crate::wire::naptr::{Aus, Enumservice, Name, Naptr, Target};
use crate::zone::records::Data;

/// A terminal record that was found right so far, the number it was tried with, and where it leads.
pub(super) struct Led<'a> {
    pub(super) located: Located<'a>,
    pub(super) owner: &'a Owner,
    pub(super) substitution: &'a Substitution,
    pub(super) aus: &'a Aus,
}

impl Led<'_> {
    pub(super) fn check(&self, service: &Enumservice, target: &Target, index: &Index<'_>, found: &mut Found) {
        let Target::Mailbox(mailbox) = target else {
            return;
        };
        let text = format!("{service}:{}@{}", mailbox.local, mailbox.domain.without_dot());
        let mut add = |mistake, message| {
            found.add(self.located.file, self.located.entry.line, mistake, message);
        };
        if self.is_one_for_all() {
            let message = format!("every number of the range becomes {text}");
            add(Mistake::WildcardOneUser, message);
        }
        if self.aus.as_str().strip_prefix('+') == Some(mailbox.local.as_str()) {
            add(
                Mistake::NumberWithoutPlus,
                format!("the number comes out as {text}"),
            );
        }
        if index.covers(&mailbox.domain) && !has_server(&mailbox.domain, index) {
            let message = format!("{} has no SRV record of SSP, SIP or XMPP", mailbox.domain);
            add(Mistake::DomainWithoutServer, message);
        }
    }

    /// Two numbers of a wildcard that give the same URI.
    fn is_one_for_all(&self) -> bool {
        let Owner::Range(digits) = self.owner else {
            return false;
        };
        let other = Aus::new(&format!("{digits:1<12}")).ok();
        let expanded = |aus: &Aus| self.substitution.apply(aus).ok().map(|expanded| expanded.octets);
        let first = expanded(self.aus);
        other
            .filter(|other| other != self.aus)
            .is_some_and(|other| first.is_some() && expanded(&other) == first)
    }
}

/// Other records of the name that clients can't put in an order: same ORDER, PREFERENCE and service, another URI.
pub(super) fn check_order(located: Located<'_>, naptr: &Naptr, index: &Index<'_>, found: &mut Found) {
    let offered = |naptr: &Naptr| {
        Services::parse(&naptr.services)
            .map(|read| read.offered)
            .unwrap_or_default()
    };
    let own = offered(naptr);
    for other in index.exactly(&located.entry.owner) {
        let Data::Naptr(rival) = &other.entry.data else {
            continue;
        };
        let is_equal = (rival.order, rival.preference) == (naptr.order, naptr.preference);
        // Told of the later one only.
        if (other.file, other.entry.line) >= (located.file, located.entry.line)
            || !is_equal
            || rival.regexp == naptr.regexp
        {
            continue;
        }
        if let Some(service) = offered(rival).iter().find(|service| own.contains(service)) {
            let message = format!(
                "order {} preference {} for {service} as in line {}, with another URI",
                naptr.order, naptr.preference, other.entry.line
            );
            found.add(
                located.file,
                located.entry.line,
                Mistake::EqualPreference,
                message,
            );
        }
    }
}

fn has_server(domain: &Name, index: &Index<'_>) -> bool {
    SERVICES.iter().any(|service| {
        let owner = format!("{service}.{domain}").parse::<Name>();
        owner.is_ok_and(|owner| {
            let is_srv = |data: &Data| matches!(data, Data::Srv { .. } | Data::Cname(_));
            !index.covers(&owner) || index.at(&owner).iter().any(|record| is_srv(&record.entry.data))
        })
    })
}

/// What may be asked for at a domain that im: or pres: URIs name (RFC 3861, RFC 3263, RFC 6120).
const SERVICES: &[&str] = &[
    "_imps-server._tcp",
    "_im._sip",
    "_pres._sip",
    "_im._xmpp",
    "_pres._xmpp",
    "_sips._tcp",
    "_sip._tcp",
    "_sip._udp",
    "_xmpps-server._tcp",
    "_xmpp-server._tcp",
];
