//! SSP primitives to the model and back.
//!
//! `read` takes what a peer asks, `write` says what we ask, `answer` is both ways of what comes back. Addresses get their
//! meaning here: a bare name belongs to the side that it stands for, a number to whoever serves it today.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a primitive is told apart from forty others; the exhaustive table is read_request"
)]

mod answer;
mod group;
mod presence;
mod read;
#[cfg(test)]
mod tests;
mod view;
mod write;

pub(super) use answer::{read_answer, write_answer, write_refusal};
pub(super) use read::{Incoming, read_request};
pub(super) use view::View;
pub(super) use write::write_request;
