//! What a changed configuration changes that only a start takes up.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use super::Config;

impl Config {
    /// The settings in which `changed` differs from this one, the configuration of the start, and which a reload does not
    /// exchange, as `relay.cut_through`.
    #[must_use]
    pub fn differences_at_start(&self, changed: &Self) -> Vec<String> {
        let mut found = BTreeSet::new();
        let mut compare =
            |section: &str, before: Value, after: Value| compare(section, &before, &after, &mut found);
        compare("gateway", json(&self.gateway), json(&changed.gateway));
        compare("ssp", json(&self.ssp), json(&changed.ssp));
        compare("relay", json(&self.relay), json(&changed.relay));
        compare("store", json(&self.store), json(&changed.store));
        compare("home", json(&self.home), json(&changed.home));
        compare("cluster", json(&self.cluster), json(&changed.cluster));
        compare("admin", json(&self.admin), json(&changed.admin));
        found.retain(|key| !EXCHANGED.contains(&key.as_str()));
        // A listener that was started without TLS has none to exchange.
        let has_tls = |config: &Self| {
            config
                .home
                .as_ref()
                .is_some_and(|home| home.tls_files().is_some())
        };
        if has_tls(self) != has_tls(changed) {
            found.insert("home.certificate".to_owned());
        }
        found.into_iter().collect()
    }
}

fn json(section: &impl Serialize) -> Value {
    serde_json::to_value(section).unwrap_or_default()
}

fn compare(name: &str, before: &Value, after: &Value, found: &mut BTreeSet<String>) {
    if let (Value::Object(before), Value::Object(after)) = (before, after) {
        for key in before.keys().chain(after.keys()) {
            let of = |side: &serde_json::Map<String, Value>| side.get(key).cloned().unwrap_or_default();
            compare(&format!("{name}.{key}"), &of(before), &of(after), found);
        }
    } else if before != after {
        found.insert(name.to_owned());
    }
}

/// What a reload exchanges.
const EXCHANGED: &[&str] = &[
    "gateway.agreement_dir",
    "ssp.certificate",
    "ssp.key",
    "ssp.identities",
    "ssp.authorities",
    "ssp.revocations",
    "home.certificate",
    "home.key",
    "cluster.ca",
    "cluster.certificate",
    "cluster.key",
];
