//! The embedded home domain: subscribers of an operator that has no IMPS server of its own.

/// Stand-in.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HomeConfig {}
