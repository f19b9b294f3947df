//! Peers over all nodes: each node says how they stand there, and whoever is asked puts it together.
//!
//! Sessions and suspensions are of all nodes, what is under way and the pace are of each. A node that doesn't answer in time
//! is named, so that nobody takes what the others say for everything.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;

use super::{AdminParts, PeerState, SessionState, answer::json};
use crate::{
    cluster::{Cluster, Refused, Topic},
    model::{Domain, PeerName},
    relay::PaceState,
};

/// What the nodes say of their peers.
pub(super) struct Gathered {
    pub(super) peers: Vec<Value>,
    /// Nodes that gave no answer.
    pub(super) silent: Vec<SilentNode>,
}

/// A node that gave no answer: what is its own isn't shown.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct SilentNode {
    pub(super) node: String,
    pub(super) reason: String,
}

/// How the peers stand at one node.
type Of = (String, Vec<PeerState>);

/// Asks every node for its peers.
pub(super) async fn gather(parts: &AdminParts) -> Gathered {
    let own = (parts.node.clone(), parts.board.peers());
    let Some(cluster) = &parts.cluster else {
        return Gathered {
            peers: together(&[own]),
            silent: Vec::new(),
        };
    };
    let (mut nodes, mut silent) = (vec![own], Vec::new());
    for (node, answer) in ask_others(cluster, PEERS).await {
        let read = answer.and_then(|answer| {
            serde_json::from_slice(&answer).map_err(|error| format!("its answer can't be read: {error}"))
        });
        match read {
            Ok(peers) => nodes.push((node, peers)),
            Err(reason) => silent.push(SilentNode { node, reason }),
        }
    }
    Gathered {
        peers: together(&nodes),
        silent,
    }
}

/// Asks all other living nodes at once; the answer of each, or why there is none.
pub(super) async fn ask_others(
    cluster: &Cluster,
    topic: &'static str,
) -> Vec<(String, Result<Bytes, String>)> {
    let (members, me) = (cluster.members(), cluster.me());
    let others = members.iter().filter(|member| member.node != me.node);
    let asked = others.map(|member| async {
        let answer = timeout(PATIENCE, cluster.ask(&member.node, topic, Bytes::new())).await;
        let answer = match answer {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {PATIENCE:?}")),
        };
        (member.node.clone(), answer)
    });
    join_all(asked).await
}

/// The peers of all nodes, in the order of the first.
fn together(nodes: &[Of]) -> Vec<Value> {
    let mut order: Vec<PeerName> = Vec::new();
    let mut by_peer: BTreeMap<PeerName, Vec<(&str, &PeerState)>> = BTreeMap::new();
    for (node, peers) in nodes {
        for state in peers {
            let of_peer = by_peer.entry(state.peer.clone()).or_default();
            if of_peer.is_empty() {
                order.push(state.peer.clone());
            }
            of_peer.push((node, state));
        }
    }
    let found = order.iter().filter_map(|peer| by_peer.get(peer));
    found.filter_map(|of_peer| one(of_peer)).collect()
}

/// A peer as it stands over these nodes, and at each.
fn one(of_peer: &[(&str, &PeerState)]) -> Option<Value> {
    let (_, first) = of_peer.first()?;
    let all = PeerState {
        peer: first.peer.clone(),
        protocol: first.protocol.clone(),
        suspended: suspension(of_peer),
        sessions: sessions(of_peer),
        pace: pace(of_peer),
        set_aside: set_aside(of_peer),
    };
    let mut described = described(&all);
    let nodes = of_peer.iter().map(|(node, state)| {
        let mut at_node = self::described(state);
        if let Value::Object(map) = &mut at_node {
            map.remove("peer");
            map.remove("protocol");
            map.insert("node".into(), (*node).into());
        }
        at_node
    });
    let nodes: Vec<Value> = nodes.collect();
    if let Value::Object(map) = &mut described {
        map.insert("nodes".into(), nodes.into());
    }
    Some(described)
}

/// With the two facts that people look for first.
fn described(state: &PeerState) -> Value {
    let mut described = json(state);
    if let Value::Object(map) = &mut described {
        let is_up = state.suspended.is_none() && state.open_sessions() > 0;
        map.insert("up".into(), is_up.into());
        map.insert("open_sessions".into(), state.open_sessions().into());
    }
    described
}

/// A node that has not heard of a suspension goes on, and is named.
fn suspension(of_peer: &[(&str, &PeerState)]) -> Option<String> {
    let by = of_peer.iter().find_map(|(_, state)| state.suspended.clone())?;
    let deaf = of_peer.iter().filter(|(_, state)| state.suspended.is_none());
    let deaf: Vec<&str> = deaf.map(|(node, _)| *node).collect();
    Some(match deaf.as_slice() {
        [] => by,
        deaf => format!("{by} (not yet at {})", deaf.join(", ")),
    })
}

/// Each pair of domains once: open where any node has it open, and all that is under way.
fn sessions(of_peer: &[(&str, &PeerState)]) -> Vec<SessionState> {
    let mut pairs: BTreeMap<(&Domain, &Domain), SessionState> = BTreeMap::new();
    for session in of_peer.iter().flat_map(|(_, state)| &state.sessions) {
        pairs
            .entry((&session.own, &session.theirs))
            .and_modify(|known| add(known, session))
            .or_insert_with(|| session.clone());
    }
    pairs.into_values().collect()
}

fn add(known: &mut SessionState, other: &SessionState) {
    known.under_way += other.under_way;
    if rank(&other.state) < rank(&known.state) {
        known.state.clone_from(&other.state);
        known.since = other.since;
    } else if rank(&other.state) == rank(&known.state) {
        known.since = known.since.into_iter().chain(other.since).min();
    }
}

/// The best comes first.
fn rank(state: &str) -> u8 {
    match state {
        "open" => 0,
        "opening" => 1,
        "closed" => 3,
        _ => 2,
    }
}

fn pace(of_peer: &[(&str, &PeerState)]) -> Option<PaceState> {
    let paces = of_peer.iter().filter_map(|(_, state)| state.pace.clone());
    paces.reduce(|one, other| PaceState {
        in_flight: one.in_flight.saturating_add(other.in_flight),
        most_in_flight: one.most_in_flight.saturating_add(other.most_in_flight),
        per_second: one.per_second.saturating_add(other.per_second),
        is_cut: one.is_cut || other.is_cut,
        failed: one.failed + other.failed,
        last_failure: one
            .last_failure
            .into_iter()
            .chain(other.last_failure)
            .max_by_key(|failure| failure.at),
    })
}

/// Each node sets servers aside by itself.
fn set_aside(of_peer: &[(&str, &PeerState)]) -> Vec<String> {
    let is_one = of_peer.len() == 1;
    let said = of_peer.iter().flat_map(|(node, state)| {
        let say = move |server: &String| match is_one {
            true => server.clone(),
            false => format!("{server} (at {node})"),
        };
        state.set_aside.iter().map(say)
    });
    said.collect()
}

/// Says how the peers stand at this node; keeps nothing of it alive.
pub type PeersHere = Arc<dyn Fn() -> Vec<PeerState> + Send + Sync>;

/// Says to another node how the peers stand here.
pub(super) struct OwnPeers(pub(super) PeersHere);

#[async_trait::async_trait]
impl Topic for OwnPeers {
    async fn answer(&self, _: &str, _: Bytes) -> Result<Bytes, Refused> {
        let answer = serde_json::to_vec(&(self.0)());
        answer
            .map(Bytes::from)
            .map_err(|error| Refused::Not(error.to_string()))
    }
}

/// How the peers stand.
pub(super) const PEERS: &str = "admin/peers";
/// A person waits, so a node that takes longer is named instead.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{model::Timestamp, relay::PeerFailure};

    #[test]
    fn peer_is_the_sum_of_what_each_node_says() {
        let mut at_n2 = state("closed", 3, None);
        at_n2.set_aside = vec!["192.0.2.1:443".into()];
        let nodes = [
            ("n1".to_owned(), vec![state("open", 2, None)]),
            ("n2".to_owned(), vec![at_n2]),
        ];
        let peers = together(&nodes);
        let [peer] = peers.as_slice() else {
            panic!("{peers:?}")
        };
        assert_eq!((&peer["up"], &peer["open_sessions"]), (&json!(true), &json!(1)));
        assert_eq!(peer["sessions"][0]["under_way"], 5);
        assert_eq!(peer["pace"]["most_in_flight"], 20);
        assert_eq!(peer["pace"]["last_failure"]["at"], 3);
        assert_eq!(peer["set_aside"], json!(["192.0.2.1:443 (at n2)"]));
        assert_eq!(peer["nodes"][1]["node"], "n2");
        assert_eq!(peer["nodes"][1]["up"], false);
        assert_eq!(peer["nodes"][1]["sessions"][0]["under_way"], 3);
    }

    #[test]
    fn node_that_has_not_heard_of_a_suspension_is_named() {
        let nodes = [
            ("n1".to_owned(), vec![state("open", 0, Some("Ada"))]),
            ("n2".to_owned(), vec![state("open", 0, None)]),
        ];
        let peers = together(&nodes);
        assert_eq!(peers[0]["suspended"], "Ada (not yet at n2)");
        assert_eq!(peers[0]["up"], false);
    }

    fn state(session: &str, under_way: u64, suspended: Option<&str>) -> PeerState {
        PeerState {
            peer: "beta".parse().unwrap(),
            protocol: "ssp".into(),
            suspended: suspended.map(str::to_owned),
            sessions: vec![SessionState {
                own: "alpha.example".parse().unwrap(),
                theirs: "beta.example".parse().unwrap(),
                state: session.into(),
                since: Some(Timestamp(1)),
                under_way,
            }],
            pace: Some(PaceState {
                in_flight: 1,
                most_in_flight: 10,
                per_second: 100,
                is_cut: false,
                failed: 1,
                last_failure: Some(PeerFailure {
                    at: Timestamp(under_way),
                    reason: "slow".into(),
                }),
            }),
            set_aside: Vec::new(),
        }
    }
}
