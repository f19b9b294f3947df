//! Stand-in.

/// Stand-in.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoutingConfig {}
