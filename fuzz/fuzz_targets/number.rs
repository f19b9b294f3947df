//! Feeds the claims of `checks::number`.
#![no_main]

#[path = "../checks/mod.rs"]
#[expect(unused_imports, reason = "each target takes one of the checks")]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::number(input));
