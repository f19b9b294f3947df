//! The mistakes that ENUM operators make, found before a partner finds them.
