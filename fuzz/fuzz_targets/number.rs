//! Feeds the claims of `checks::number`.
#![no_main]

#[path = "../checks.rs"]
#[expect(dead_code, reason = "each target takes one of the checks")]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::number(input));
