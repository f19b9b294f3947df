//! Whether SRV and NS records lead to hosts that can be reached: a name of its own, with an address, on a port.

use super::index::{Index, Located};
use super::{Found, Mistake};
use crate::wire::naptr::Name;
use crate::zone::records::Data;

pub(super) fn check(located: Located<'_>, index: &Index<'_>, found: &mut Found) {
    let (file, line) = (located.file, located.entry.line);
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
        Data::Soa { .. } | Data::Cname(_) | Data::A(_) | Data::Aaaa(_) | Data::Naptr(_) | Data::Other(_) => {}
    }
}

/// A host of another zone cannot be judged here.
fn host(located: Located<'_>, target: &Name, addressless: Mistake, index: &Index<'_>, found: &mut Found) {
    let (file, line) = (located.file, located.entry.line);
    let records = index.at(target);
    let has = |wanted: fn(&Data) -> bool| records.iter().any(|record| wanted(&record.entry.data));
    if has(|data| matches!(data, Data::Cname(_))) {
        found.add(file, line, Mistake::TargetAlias, format!("{target} is an alias"));
    } else if index.covers(target) && !has(|data| matches!(data, Data::A(_) | Data::Aaaa(_))) {
        found.add(
            file,
            line,
            addressless,
            format!("{target} has no address in these files"),
        );
    }
}
