//! Bad input: what strangers, broken peers, lying name servers and careless operators send, and what must hold.
//!
//! Every test runs a real gateway on loopback sockets against a scripted peer (`peer.rs`) and ends with the claim that nothing
//! panicked (`stage.rs`). A refusal is checked twice: in the protocol's terms and in the log. Bounds are set small, so that no
//! test waits long.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]
#![expect(
    clippy::indexing_slicing,
    reason = "a scripted peer that reads past its end has failed, as it should"
)]

mod documents;
mod http;
mod names;
mod peer;
mod peers;
mod requests;
mod sessions;
mod stage;
