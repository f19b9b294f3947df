//! What the specifications say, one module for each, data in `tests/vectors/`.

mod enum_routing;
mod enum_vectors;
mod enum_zone;
mod ssp;
