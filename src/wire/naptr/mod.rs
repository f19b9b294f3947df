//! NAPTR records (RFC 3403) as ENUM uses them (RFC 6116), and the SRV records that follow.
//!
//! From a telephone number to an ordered list of URIs, and from SRV records to an order of servers, without a
//! network: records in, decision out, a reason for every record that was not used. `number` makes the name to ask,
//! `message` reads what came back, `select` walks the records, `srv` arranges servers. Caching, retries and the choice
//! of an apex are the caller's.

pub mod discard;
pub mod ere;
pub mod message;
pub mod name;
pub mod number;
mod octets;
pub mod portability;
pub mod presentation;
#[cfg(test)]
mod properties;
pub mod rdata;
pub mod regexp;
pub mod select;
pub mod selected;
pub mod services;
pub mod srv;
pub mod uri;

pub use discard::{Discard, Warning};
pub use message::{Data, Rcode, Record, RecordType, Response, encode_query};
pub use name::Name;
pub use number::{Aus, NationalRules, Number, NumberError};
pub use octets::WireError;
pub use portability::{RouteOn, TelParams};
pub use rdata::Naptr;
pub use select::{Answer, Evaluation, Policy, Step};
pub use selected::{Candidate, Selected, Verdict};
pub use services::{Enumservice, Wanted};
pub use srv::{Srv, arrange, draw_order};
pub use uri::{AbsoluteUri, Mailbox, Target};
