//! The protocols between nodes, walked through every interleaving of two nodes, one peer and one crash.
//!
//! The models only move what the code decides: the rule of leases and fences, the rule of lanes, who may be a node, and the
//! ladders of the handshake are the gateway's own. What must hold is written down in docs/decisions/0006-many-nodes.md. Each
//! model is walked once more with one rule broken, so that a walk which finds nothing means something.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

mod ladders;
mod lanes;
mod members;

use std::{collections::HashMap, hash::Hash};

use stateright::{Checker as _, HasDiscoveries, Model, Path};

/// Walks every state; how many there were.
fn walk<M>(model: M) -> usize
where
    M: Model + Send + Sync + 'static,
    M::State: std::fmt::Debug + Hash + Send + Sync + PartialEq + Clone + 'static,
    M::Action: std::fmt::Debug + Clone + PartialEq,
{
    let checked = model.checker().threads(2).spawn_bfs().join();
    checked.assert_properties();
    checked.unique_state_count()
}

/// Walks a model with something broken in it, until a promise is found broken; which.
fn first_broken<M>(model: M) -> HashMap<&'static str, Path<M::State, M::Action>>
where
    M: Model + Send + Sync + 'static,
    M::State: std::fmt::Debug + Hash + Send + Sync + PartialEq + Clone + 'static,
    M::Action: std::fmt::Debug + Clone + PartialEq,
{
    let checker = model
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AnyFailures);
    checker.spawn_bfs().join().discoveries()
}
