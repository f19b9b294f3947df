//! Whether SRV and NS records lead to hosts that can be reached: a name of its own, with an address, on a port.

use std::net::Ipv4Addr;

use super::index::{Index, Located};
use super::{Found, Mistake};
use crate::wire::naptr::Name;
use crate::zone::names::is_within;
use crate::zone::records::Data;

pub(super) fn check(located: Located<'_>, index: &Index<'_>, found: &mut Found) {
    let (file, line) = (located.file, located.entry.line);
    if matches!(located.entry.data, Data::Srv { .. }) && !is_asked_for(&located.entry.owner) {
        let message = format!("nobody asks for {}", located.entry.owner);
        found.add(file, line, Mistake::SrvOwner, message);
    }
    match &located.entry.data {
        Data::Srv { target, .. } if target.is_root() => {
            let set = index.exactly(&located.entry.owner);
            let servers = set
                .iter()
                .filter(|other| matches!(other.entry.data, Data::Srv { .. }));
            if servers.count() > 1 {
                found.add(
                    file,
                    line,
                    Mistake::SrvRootMixed,
                    "the target `.` stands beside other servers",
                );
            }
        }
        Data::Srv { target, port, .. } => {
            if *port == 0 {
                found.add(file, line, Mistake::SrvPortZero, format!("{target} has port 0"));
            }
            host(located, target, Mistake::TargetWithoutAddress, index, found);
        }
        Data::Ns(target) => host(located, target, Mistake::NsWithoutAddress, index, found),
        Data::Cname(_) if !ends(located, index) => {
            let message = format!("the way from {} ends nowhere", located.entry.owner);
            found.add(file, line, Mistake::AliasWithoutEnd, message);
        }
        Data::Soa { .. } | Data::Cname(_) | Data::A(_) | Data::Aaaa(_) | Data::Naptr(_) | Data::Other(_) => {}
    }
}

/// A host of another zone cannot be judged here, but for a name server below the cut that it serves (RFC 1034 §4.2.1).
fn host(located: Located<'_>, target: &Name, addressless: Mistake, index: &Index<'_>, found: &mut Found) {
    let (file, line) = (located.file, located.entry.line);
    let records = index.at(target);
    let has = |wanted: fn(&Data) -> bool| records.iter().any(|record| wanted(&record.entry.data));
    let is_glue = addressless == Mistake::NsWithoutAddress && is_within(target, &located.entry.owner);
    if target.without_dot().parse::<Ipv4Addr>().is_ok() {
        let message = format!("{} is an address and no name", target.without_dot());
        found.add(file, line, Mistake::TargetIsAddress, message);
    } else if has(|data| matches!(data, Data::Cname(_))) {
        found.add(file, line, Mistake::TargetAlias, format!("{target} is an alias"));
    } else if (is_glue || index.covers(target))
        && !index.has_origin_twice(target)
        && !has(|data| matches!(data, Data::A(_) | Data::Aaaa(_)))
    {
        found.add(
            file,
            line,
            addressless,
            format!("{target} has no address in these files"),
        );
    }
}

/// Whether an alias leads to a name with records, or out of the files.
fn ends(alias: Located<'_>, index: &Index<'_>) -> bool {
    let mut seen = vec![&alias.entry.owner];
    let mut at = alias;
    loop {
        let Data::Cname(target) = &at.entry.data else {
            return true;
        };
        if seen.contains(&target) {
            return false;
        }
        // A doubled origin is told as such.
        if !index.covers(target) || index.has_origin_twice(target) {
            return true;
        }
        let Some(next) = index.at(target).first() else {
            return false;
        };
        seen.push(target);
        at = *next;
    }
}

/// `_service._protocol`; SSP runs over TCP only.
fn is_asked_for(owner: &Name) -> bool {
    let labels = owner.labels();
    let mut labels = labels
        .iter()
        .map(|label| label.to_ascii_lowercase())
        .skip_while(|label| label == b"*");
    let (service, protocol) = (
        labels.next().unwrap_or_default(),
        labels.next().unwrap_or_default(),
    );
    let is_ssp = service == b"_imps-server";
    service.starts_with(b"_") && protocol.starts_with(b"_") && (!is_ssp || protocol == b"_tcp")
}
