//! SSP peers over HTTP: sessions, transactions, the mapping to the model.
//!
//! In: `server.rs` (sockets) → `listen.rs` (documents) → `map/` → the relay. Out: `gateway.rs` (the relay's egress) → `map/` →
//! `link.rs` (what waits) → `servers.rs` (which server) → `client.rs` (connections). `handshake.rs` drives the ladders of
//! `wire::ssp`, `session.rs` keeps what they come to.

mod certificate;
mod client;
mod config;
mod gateway;
mod handshake;
mod link;
mod listen;
mod map;
mod random;
mod server;
mod servers;
mod session;
mod status;
mod tls;

pub use certificate::CertificateFacts;
pub use config::SspConfig;
pub use gateway::{LinkView, SspGateway, SspParts};
pub use server::{Arrival, Listener, ListenerBounds, Reply};
pub use servers::Servers;
pub use session::Session;
pub use tls::{CurrentTls, TlsFault, TlsIdentity, TlsMaterial};
