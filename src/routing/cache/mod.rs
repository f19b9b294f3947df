//! What routing remembers: facts as DNS gave them, and routes as they were decided from facts.
//!
//! `facts` holds answers, `routes` holds plans and the numbers that lead to them, `listing` shows both to NOC staff.
//! Both compare their own times of death with the caller's clock.

mod digits;
mod facts;
mod listing;
mod routes;

pub(super) use digits::Digits;
pub(super) use facts::{Facts, Terms};
pub(super) use routes::{
    DomainDecision, DomainKey, Extra, HEAP, NumberEntry, NumberKey, Routes, Slot, Target, last_part,
};

pub use listing::{CacheEntry, CacheFilter, EntryKind, EntryState};
pub(super) use listing::{list, plan_line};
