//! The sandbox, as a partner meets it: a gateway of another house plays every row of `zones/README.md` against it.
//!
//! The partner here is a gateway of ours, so that its subscribers can be asked; `tests/peers/` has one that shares no code.

mod discovery;
mod partner;
mod robots;
mod strangers;
mod table;
