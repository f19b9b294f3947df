//! SSP peers over HTTP: sessions, transactions, the mapping to the model.
//!
//! In: `server.rs` (sockets) → `listen.rs` (documents) → `map/` → the relay. Out: `gateway.rs` (the relay's egress) → `map/` →
//! `link.rs` (what waits) → `servers.rs` (which server) → `client.rs` (connections). `tls.rs` and `certificates.rs` are under
//! both. `handshake.rs` drives the ladders of `wire::ssp`, `redirect.rs` follows the peer to another server, `session.rs` keeps
//! what they come to, `life.rs` refreshes and ends it.

pub mod certificates;
pub mod client;
mod config;
mod departure;
mod expiry;
mod facts;
mod gateway;
mod handshake;
mod life;
mod link;
mod listen;
pub mod map;
mod nodes;
mod random;
mod redirect;
pub mod server;
mod servers;
mod session;
pub(super) mod status;
pub mod tls;
mod transactions;
mod turns;

pub use config::SspConfig;
pub use expiry::watch_expiries;
pub use facts::CertificateFacts;
pub use gateway::{LinkView, SspGateway, SspParts};
pub use listen::Door;
pub use servers::{Server, Servers};
pub use session::Session;

#[cfg(test)]
mod tests;
