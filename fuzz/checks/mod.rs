//! What each parser promises for every input, one function a fuzz target.
//!
//! A function returns or panics. The fuzz targets call them with new inputs, `tests/corpus.rs` with the committed ones,
//! so a crash that was found stays a test without the fuzzing engine.

mod dns;
mod files;
mod ladder;
mod maps;
mod ssp;
mod words;

pub(crate) use dns::{dns_response, ere, naptr, number, regexp, services, uri};
pub(crate) use files::{certificate, command_line, config, summary, zone};
pub(crate) use ladder::ladder;
pub(crate) use maps::{maps, server_url};
pub(crate) use ssp::ssp;
pub(crate) use words::{domain, media_type, words, wv_address};
