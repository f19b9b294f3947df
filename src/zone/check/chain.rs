//! Non-terminal NAPTR records: whether each of them ends at a record that gives a URI.

use super::index::{Index, Located};
use super::{Found, Mistake};
use crate::wire::naptr::{Evaluation, Name};
use crate::zone::records::Data;

/// Where a chain of non-terminals ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// At a terminal record, or in a zone that is not among the files.
    Good,
    Nothing,
    Loop,
    TooDeep,
}

pub(super) fn check(index: &Index<'_>, found: &mut Found) {
    for located in index.entries() {
        // A doubled origin is told as such.
        let Some(target) = leads_to(located).filter(|target| !index.has_origin_twice(target)) else {
            continue;
        };
        let mut path = vec![&located.entry.owner];
        let (mistake, message) = match follow(target, &mut path, index) {
            End::Good => continue,
            End::Nothing => (
                Mistake::NoTerminal,
                format!("nothing that gives a URI is reached through {target}"),
            ),
            End::Loop => (
                Mistake::Loop,
                format!("the way through {target} goes in a circle"),
            ),
            End::TooDeep => (
                Mistake::TooDeep,
                format!("the way through {target} has too many steps"),
            ),
        };
        found.add(located.file, located.entry.line, mistake, message);
    }
}

/// Goes all ways from a name; the best end counts. The path never grows past the limit, so this ends.
fn follow<'a>(name: &'a Name, path: &mut Vec<&'a Name>, index: &Index<'a>) -> End {
    if path.contains(&name) {
        return End::Loop;
    }
    if path.len() > Evaluation::MAX_DEPTH {
        return End::TooDeep;
    }
    if !index.covers(name) {
        return End::Good;
    }
    let records = index.at(name);
    if records
        .iter()
        .any(|record| matches!(&record.entry.data, Data::Cname(_)) || is_terminal(*record))
    {
        return End::Good;
    }
    path.push(name);
    let mut end = End::Nothing;
    for next in records.iter().filter_map(|record| leads_to(*record)) {
        match follow(next, path, index) {
            End::Good => {
                path.pop();
                return End::Good;
            }
            worse @ (End::Nothing | End::Loop | End::TooDeep) => {
                end = if end == End::Nothing { worse } else { end };
            }
        }
    }
    path.pop();
    end
}

fn leads_to(located: Located<'_>) -> Option<&Name> {
    let Data::Naptr(naptr) = &located.entry.data else {
        return None;
    };
    Some(&naptr.replacement).filter(|replacement| naptr.flags.is_empty() && !replacement.is_root())
}

fn is_terminal(located: Located<'_>) -> bool {
    matches!(&located.entry.data, Data::Naptr(naptr) if naptr.flags.eq_ignore_ascii_case(b"u"))
}
