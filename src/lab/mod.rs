//! A whole federation on one machine: certificates, DNS, four operators over mutual TLS, one of them in transit, and the use cases played out.
//!
//! `federation.rs` brings it up, `place.rs` is its DNS, `play.rs` plays the use cases through the subscribers' API as handsets
//! would, `handset.rs` is such a handset, `groups.rs`, `moving.rs` and `privacy.rs` are longer scenes, `pages/` shows handsets to people, `certs.rs`
//! makes the certificates. Everything is on loopback, in a folder of its own.
//!
//! For a partner who tests his own server (`guest.rs`) the same federation is a sandbox, with `robots/` to talk to.

pub mod certs;
mod federation;
mod groups;
mod guest;
mod handset;
mod moving;
mod pages;
mod place;
mod play;
mod privacy;
pub mod robots;

pub use federation::{Federation, LabError, Operator};
pub use guest::{Found, Guest, PARTNER, YOURS};
pub use handset::{Handset, HandsetError};
pub use pages::{Pages, Person};
pub use play::{Played, play};
