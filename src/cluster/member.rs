//! A node as the others know it: a row of the store, good as long as the lease of the node's name.

use serde::{Deserialize, Serialize};

use crate::{
    model::Timestamp,
    store::{HeldLease, Row, WorkerId},
};

/// A node as the others know it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Member {
    /// Its name.
    pub node: String,
    /// Its process: the name and something that no other process of the name has. Transaction IDs begin with it.
    pub incarnation: String,
    /// The `host:port` under which it is reached.
    pub address: String,
    /// When it started.
    pub since: Timestamp,
    /// The version of its program.
    pub version: String,
    /// It takes nothing new: it is about to stop.
    pub is_draining: bool,
}

impl Member {
    /// The name of the lease that says that it lives, and the key of its row.
    pub(super) fn key(node: &str) -> String {
        format!("{NODES}{node}")
    }

    /// As who it holds leases.
    #[must_use]
    pub fn worker(&self) -> WorkerId {
        WorkerId(self.incarnation.clone())
    }
}

/// Who lives: whose row is of the process that holds the lease of its name.
pub(super) fn living(rows: &[Row], leases: &[HeldLease]) -> Vec<Member> {
    let read = rows
        .iter()
        .filter_map(|row| serde_json::from_slice::<Member>(&row.value).ok());
    read.filter(|member| {
        let name = Member::key(&member.node);
        leases
            .iter()
            .any(|lease| lease.name == name && lease.holder == member.worker())
    })
    .collect()
}

/// The names of nodes whose leases these are.
pub(super) fn living_names(leases: &[HeldLease]) -> Vec<String> {
    let names = leases.iter().filter_map(|lease| lease.name.strip_prefix(NODES));
    names.map(str::to_owned).collect()
}

/// How the leases and rows of nodes begin.
pub(super) const NODES: &str = "node ";

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn row_counts_while_its_process_has_the_lease() {
        let rows = [row("n1", "n1-old"), row("n2", "n2-a"), row("n3", "n3-a")];
        let leases = [lease("n1", "n1-new"), lease("n2", "n2-a")];
        let living = living(&rows, &leases);
        let names: Vec<_> = living.iter().map(|member| member.incarnation.as_str()).collect();
        assert_eq!(names, ["n2-a"]);
    }

    /// A node's row.
    pub(in crate::cluster) fn row(node: &str, incarnation: &str) -> Row {
        let member = Member {
            node: node.to_owned(),
            incarnation: incarnation.to_owned(),
            address: "192.0.2.1:7000".to_owned(),
            since: Timestamp(0),
            version: "1".to_owned(),
            is_draining: false,
        };
        Row {
            key: Member::key(node),
            value: serde_json::to_vec(&member).unwrap().into(),
            version: 1,
            expires: None,
        }
    }

    fn lease(node: &str, holder: &str) -> HeldLease {
        HeldLease {
            name: Member::key(node),
            holder: WorkerId(holder.to_owned()),
            fence: 1,
            left: Duration::from_secs(1),
        }
    }
}
