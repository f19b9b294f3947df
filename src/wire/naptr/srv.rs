//! SRV records and the order in which their servers are tried (RFC 2782, "Usage rules").
//!
//! Every server stays in the list: a failed one never makes the domain unreachable. The draw is passed in, so that
//! a plan can keep the records and draw anew for each attempt, and a test can draw what it likes.

use std::collections::HashSet;

use thiserror::Error;

use super::name::Name;
use super::octets::{Reader, WireError};

/// One SRV record.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Srv {
    /// Lowest first; a higher value is tried only when every lower one failed.
    pub priority: u16,
    /// The share among records of the same priority.
    pub weight: u16,
    /// The TCP or UDP port.
    pub port: u16,
    /// The host; the root says that the service is decidedly not there.
    pub target: Name,
}

/// Servers in the order of trying.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Arranged<T> {
    /// Every usable record once.
    pub servers: Vec<T>,
    /// What the owner of the records should repair.
    pub warnings: Vec<SrvWarning>,
}

/// The domain says by a sole `.` that it does not offer the service: no fallback to its address (RFC 2782).
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the domain declares that it does not offer this service")]
pub struct ServiceAbsent;

/// A mistake in an SRV RRset that does not stop its use.
#[derive(Clone, Debug, Eq, Error, Hash, PartialEq)]
pub enum SrvWarning {
    /// A `.` beside real targets; it is dropped.
    #[error("the target . stands beside real targets and is dropped")]
    RootBesideTargets,
    /// The same host and port again; the entry that is tried first stays.
    #[error("{target} port {port} is listed more than once")]
    Duplicate {
        /// The host.
        target: Name,
        /// The port.
        port: u16,
    },
}

impl Srv {
    /// The RDATA, without its length; the target is not compressed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16);
        for field in [self.priority, self.weight, self.port] {
            out.extend_from_slice(&field.to_be_bytes());
        }
        self.target.encode(&mut out);
        out
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let srv = Self {
            priority: reader.u16("PRIORITY")?,
            weight: reader.u16("WEIGHT")?,
            port: reader.u16("PORT")?,
            target: reader.name()?,
        };
        reader.finish()?;
        Ok(srv)
    }
}

impl AsRef<Self> for Srv {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// Puts an RRset, or several merged ones, into the order of trying. `draw(n)` returns a number from 0 to `n`, both
/// included, each equally likely. A record may carry more than the SRV, such as which label it was found under.
///
/// The set is shuffled before the zero weights go first, so equal records share fairly although the draw of
/// RFC 2782 includes both ends.
///
/// # Errors
/// [`ServiceAbsent`] when every record there is has the target `.`; an empty slice gives no servers and no error.
pub fn arrange<T: AsRef<Srv> + Clone>(
    records: &[T],
    draw: &mut impl FnMut(u32) -> u32,
) -> Result<Arranged<T>, ServiceAbsent> {
    let mut usable: Vec<T> = records
        .iter()
        .filter(|record| !record.as_ref().target.is_root())
        .cloned()
        .collect();
    let mut warnings = Vec::new();
    if usable.len() < records.len() {
        if usable.is_empty() {
            return Err(ServiceAbsent);
        }
        warnings.push(SrvWarning::RootBesideTargets);
    }
    usable.sort_by_key(|record| record.as_ref().priority);
    drop_duplicates(&mut usable, &mut warnings);
    let servers = draw_order(usable, draw);
    Ok(Arranged { servers, warnings })
}

/// Puts records into the order of trying as [`arrange`] does, every one of them: for sets in which the same host and
/// port is another server, because it is spoken to in another way.
pub fn draw_order<T: AsRef<Srv> + Clone>(mut records: Vec<T>, draw: &mut impl FnMut(u32) -> u32) -> Vec<T> {
    records.sort_by_key(|record| record.as_ref().priority);
    records
        .chunk_by(same_priority)
        .flat_map(|group| weighted(group.to_vec(), draw))
        .collect()
}

fn same_priority<T: AsRef<Srv>>(one: &T, other: &T) -> bool {
    one.as_ref().priority == other.as_ref().priority
}

fn drop_duplicates<T: AsRef<Srv>>(records: &mut Vec<T>, warnings: &mut Vec<SrvWarning>) {
    let mut seen = HashSet::new();
    records.retain(|record| {
        let Srv { port, target, .. } = record.as_ref();
        let new = seen.insert((target.clone(), *port));
        if !new {
            warnings.push(SrvWarning::Duplicate {
                target: target.clone(),
                port: *port,
            });
        }
        new
    });
}

fn weighted<T: AsRef<Srv>>(mut group: Vec<T>, draw: &mut impl FnMut(u32) -> u32) -> Vec<T> {
    shuffle(&mut group, draw);
    group.sort_by_key(|record| record.as_ref().weight != 0);
    let mut ordered = Vec::with_capacity(group.len());
    while !group.is_empty() {
        // 65535 records of weight 65535 still fit into u32, and a DNS message holds far fewer.
        let sum = group.iter().fold(0u32, |sum, record| {
            sum.saturating_add(record.as_ref().weight.into())
        });
        let drawn = draw(sum).min(sum);
        let mut running = 0u32;
        let chosen = group.iter().position(|record| {
            running = running.saturating_add(record.as_ref().weight.into());
            running >= drawn
        });
        ordered.push(group.remove(chosen.unwrap_or(0)));
    }
    ordered
}

/// Fisher and Yates; a draw outside its bound is cut to it.
fn shuffle<T>(group: &mut [T], draw: &mut impl FnMut(u32) -> u32) {
    for last in (1..group.len()).rev() {
        let bound = u32::try_from(last).unwrap_or(u32::MAX);
        let other = usize::try_from(draw(bound)).unwrap_or(0).min(last);
        group.swap(last, other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn srv(priority: u16, weight: u16, target: &str) -> Srv {
        Srv {
            priority,
            weight,
            port: 8443,
            target: target.parse().unwrap(),
        }
    }

    fn targets(records: &[Srv], draw: &mut impl FnMut(u32) -> u32) -> Vec<String> {
        let arranged = arrange(records, draw).unwrap();
        arranged
            .servers
            .iter()
            .map(|srv| srv.target.without_dot().to_owned())
            .collect()
    }

    #[test]
    fn draws_are_inclusive_and_bounded_by_the_sum() {
        let records = [srv(1, 10, "a"), srv(1, 0, "b"), srv(1, 30, "c")];
        let mut bounds = Vec::new();
        let mut highest = |bound: u32| {
            bounds.push(bound);
            bound
        };
        // The highest draw swaps nothing while shuffling and takes the last record each time.
        assert_eq!(targets(&records, &mut highest), ["c", "a", "b"]);
        assert_eq!(bounds, [2, 1, 40, 10, 0]);
    }

    #[test]
    fn a_zero_weight_is_first_only_on_a_draw_of_zero() {
        let records = [srv(1, 10, "a"), srv(1, 0, "b")];
        assert_eq!(targets(&records, &mut |_| 0), ["b", "a"]);
        assert_eq!(targets(&records, &mut |_| 1), ["a", "b"]);
    }

    #[test]
    fn a_draw_out_of_bounds_loses_nothing() {
        let records = [srv(1, 65535, "a"), srv(1, 65535, "b"), srv(2, 0, "c")];
        let mut all = targets(&records, &mut |_| u32::MAX);
        assert_eq!(all.pop().as_deref(), Some("c"));
        all.sort();
        assert_eq!(all, ["a", "b"]);
    }

    #[test]
    fn duplicates_keep_the_entry_that_is_tried_first() {
        let records = [srv(20, 0, "a"), srv(10, 7, "A"), srv(10, 1, "b")];
        let arranged = arrange(&records, &mut |_| 0).unwrap();
        let kept: Vec<_> = arranged
            .servers
            .iter()
            .filter(|srv| srv.target.without_dot() == "a")
            .collect();
        assert_eq!(kept, [&srv(10, 7, "a")]);
        assert_eq!(
            arranged.warnings,
            [SrvWarning::Duplicate {
                target: "a".parse().unwrap(),
                port: 8443
            }]
        );
    }

    #[test]
    fn no_records_are_no_declaration() {
        assert_eq!(
            arrange::<Srv>(&[], &mut |_| 0),
            Ok(Arranged {
                servers: vec![],
                warnings: vec![]
            })
        );
        assert_eq!(arrange(&[srv(0, 0, ".")], &mut |_| 0), Err(ServiceAbsent));
    }
}
