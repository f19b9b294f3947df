//! Codecs and transaction machines without I/O: bytes into values, values into bytes, events into events.

pub mod naptr;
pub mod ssp;
