//! Conformance to the protocols' references, laid out as they are; data in `tests/vectors/`.

mod ssp;
