//! Many nodes as one: who lives, and what one node asks of another.

mod membership;

pub use membership::{Entering, Entry, Standing, renewed};
