//! Conformance to the protocols' references, laid out as they are; data in `tests/vectors/`.

// Under `cfg(test)`, so that clippy takes helpers for what they are.
#[cfg(test)]
mod ssp;
