//! Route look-ups.
fn main() {}
