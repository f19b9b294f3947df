//! What operators do with a running gateway: stop it and start it again, change its configuration.
//!
//! Stops are played with a gateway in the test's own process and scripted peers, reloads with the program itself and its
//! signals.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod reload;
mod stop;
