//! The authoritative DNS server for the bundled zones, and the validator for zones that carry ENUM and SRV records.
//!
//! `text` reads a master file with its line numbers, `records` gives its fields a type, `data` answers a question
//! from one zone (RFC 1034 §4.3.2, wildcards by RFC 4592), `set` holds several zones and reads them again, `server` puts them on a socket, `check` finds the mistakes that ENUM operators make. Nothing here
//! knows the gateway: a home server's `view` is the same set with [`Substitution::Gateway`] on another address.
//!
//! Left out: DNSSEC signing, dynamic update, zone transfer (refused), `$INCLUDE` and `$GENERATE` (a zone is one file,
//! and what is checked is what stands in it).

pub mod check;
mod data;
mod names;
mod records;
mod reply;
mod server;
mod set;
mod substitution;
mod text;
mod view;

pub use data::{Answer, Zone};
pub use records::{Data, Entry};
pub use server::{Observer, SeenQuery, StartError, ZoneServer};
pub use set::{LoadError, LoadErrors, Reloaded, ZoneSet};
pub use substitution::Substitution;
pub use text::{Fault, FaultKind, Parsed, parse};
pub use view::{GatewayView, Partners};
