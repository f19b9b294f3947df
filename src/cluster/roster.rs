//! The nodes as people see them in a list: who is there or was, how long the others take it for living, and what it alone holds.

use std::time::Duration;

use super::Member;
use crate::store::{HeldLease, Row};

/// A node in a list for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seat {
    /// Who it is.
    pub member: Member,
    /// How long the others take it for living unless it says so again; `None` when it is dead: it went without a word.
    pub left: Option<Duration>,
    /// The leases that it holds besides that of its name: what one node at a time does.
    pub holds: Vec<String>,
}

/// Everybody who has a row, by name, with what these leases say.
pub(super) fn seats(rows: &[Row], leases: &[HeldLease]) -> Vec<Seat> {
    let members = rows
        .iter()
        .filter_map(|row| serde_json::from_slice::<Member>(&row.value).ok());
    let seat = |member: Member| {
        let name = Member::key(&member.node);
        let (own, others): (Vec<_>, Vec<_>) = leases
            .iter()
            .filter(|lease| lease.holder == member.worker())
            .partition(|lease| lease.name == name);
        Seat {
            left: own.first().map(|lease| lease.left),
            holds: others.into_iter().map(|lease| lease.name.clone()).collect(),
            member,
        }
    };
    members.map(seat).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cluster::member::tests::row, store::WorkerId};

    #[test]
    fn seat_tells_the_living_from_the_dead_and_names_what_is_held() {
        let rows = [row("n1", "n1-a"), row("n2", "n2-a"), row("n3", "n3-old")];
        let leases = [
            lease("node n1", "n1-a"),
            lease("sweeps", "n1-a"),
            lease("node n3", "n3-new"),
        ];
        let seats = seats(&rows, &leases);
        let said: Vec<_> = seats
            .iter()
            .map(|seat| {
                (
                    seat.member.node.as_str(),
                    seat.left.is_some(),
                    seat.holds.join(","),
                )
            })
            .collect();
        let none = String::new;
        assert_eq!(
            said,
            [
                ("n1", true, "sweeps".to_owned()),
                ("n2", false, none()),
                ("n3", false, none())
            ]
        );
    }

    fn lease(name: &str, holder: &str) -> HeldLease {
        HeldLease {
            name: name.to_owned(),
            holder: WorkerId(holder.to_owned()),
            fence: 1,
            left: Duration::from_secs(1),
        }
    }
}
