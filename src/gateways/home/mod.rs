//! The embedded home domain: subscribers of an operator that has no IMPS server of its own.
