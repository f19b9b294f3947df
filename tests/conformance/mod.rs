//! What the specifications say, one module for each, data in `tests/vectors/`.

#[cfg(test)]
mod enum_hosts;
#[cfg(test)]
mod enum_live;
#[cfg(test)]
mod enum_routing;
#[cfg(test)]
mod enum_vectors;
#[cfg(test)]
mod enum_zone;
#[cfg(test)]
mod ssp;
