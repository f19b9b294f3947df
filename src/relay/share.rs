//! The part of a peer's limits that one node has: what is agreed is the peer's, however many nodes there are.
//!
//! The nodes have a place each in one order, so that each knows its part without asking, and all parts together are the whole.

/// The part of every limit that this node has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Share {
    /// As one of so many nodes that take traffic; the first places have what doesn't divide.
    Part {
        /// Its place among them, from 0.
        place: u32,
        /// How many they are; at least 1.
        of: u32,
    },
    /// It takes nothing new, and needs what is under way alone.
    Least,
}

impl Share {
    /// What this node has of a limit; at least 1, so that nobody stands still where there are more nodes than the limit.
    #[must_use]
    pub fn part(self, limit: u32) -> u32 {
        match self {
            Self::Part { place, of } => {
                let of = of.max(1);
                let rest = u32::from(place < limit % of);
                (limit / of + rest).max(1)
            }
            Self::Least => 1,
        }
    }
}

impl Default for Share {
    /// A node that is alone has everything.
    fn default() -> Self {
        Self::Part { place: 0, of: 1 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// All parts are the whole, and differ by one at most; where there are more nodes than the limit, each has one.
        #[test]
        fn parts_are_the_whole(limit in 1_u32..5000, of in 1_u32..40) {
            let parts: Vec<u32> = (0..of).map(|place| Share::Part { place, of }.part(limit)).collect();
            let sum: u32 = parts.iter().sum();
            prop_assert_eq!(sum, limit.max(of));
            let (least, most) = (parts.iter().min(), parts.iter().max());
            prop_assert!(least >= Some(&1));
            prop_assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1));
        }
    }

    #[test]
    fn node_alone_has_everything() {
        assert_eq!(Share::default().part(500), 500);
        assert_eq!(Share::Least.part(500), 1);
    }
}
