//! A whole federation on one machine: certificates, DNS, four operators over mutual TLS, one of them in transit, and the use cases played out.
//!
//! `federation.rs` brings it up, `play.rs` plays the use cases through the subscribers' API as handsets would, `handset.rs` is
//! such a handset, `groups.rs` and `moving.rs` are longer scenes, `pages/` shows handsets to people, `certs.rs` makes the certificates. Everything is on loopback, in a folder of its own.

pub mod certs;
mod federation;
mod groups;
mod handset;
mod moving;
mod pages;
mod play;

pub use federation::{Federation, LabError, Operator};
pub use handset::{Handset, HandsetError};
pub use pages::{Pages, Person};
pub use play::{Played, play};
