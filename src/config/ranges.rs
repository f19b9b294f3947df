//! The range of every number, duration and size that an operator sets.
//!
//! One table, so that no setting is without: a test holds it to the settings there are, the documented example shows each
//! range beside its key, and a mistake says what may stand there instead. `[routing]` has ranges of its own.

use std::ops::RangeInclusive;

use serde::Serialize;
use serde_json::Value;

use crate::model::{ByteSize, duration};

/// What may stand for a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    /// As `ssp.max_connections`; that of an agreement begins with `agreement`.
    pub(super) key: &'static str,
    kind: Kind,
    low: &'static str,
    high: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Count,
    Time,
    Size,
}

/// What is out of range in a section, as key and complaint; `section` is its name, `shown` what stands before a key in the
/// complaint.
pub(super) fn out_of_range(section: &str, shown: &str, config: &impl Serialize) -> Vec<(String, String)> {
    let config = serde_json::to_value(config).unwrap_or_default();
    let mut found = Vec::new();
    for range in RANGES {
        let Some(path) = range
            .key
            .strip_prefix(section)
            .and_then(|rest| rest.strip_prefix('.'))
        else {
            continue;
        };
        let value = path.split('.').try_fold(&config, |value, key| value.get(key));
        if let Some(value) = value.filter(|value| !range.holds(value)) {
            let text = format!("{shown}{path} = {value} is out of range: write {}", range.words());
            found.push((range.key.to_owned(), text));
        }
    }
    found
}

impl Range {
    /// As a person writes it.
    pub(super) fn words(&self) -> String {
        format!("{} to {}", self.low, self.high)
    }

    fn holds(&self, value: &Value) -> bool {
        match self.kind {
            Kind::Count => self.has(value.as_u64(), |text| text.parse().ok()),
            Kind::Time => self.has(value.as_str().and_then(duration::parse), |text| {
                duration::parse(text)
            }),
            Kind::Size => self.has(value.as_str().and_then(size), size),
        }
    }

    /// A bound that can't be read lets nothing through, which the test of the defaults would show.
    fn has<T: PartialOrd>(&self, value: Option<T>, read: impl Fn(&str) -> Option<T>) -> bool {
        let (Some(value), Some(low), Some(high)) = (value, read(self.low), read(self.high)) else {
            return false;
        };
        RangeInclusive::new(low, high).contains(&value)
    }
}

fn size(text: &str) -> Option<ByteSize> {
    text.parse().ok()
}

const fn range(key: &'static str, kind: Kind, low: &'static str, high: &'static str) -> Range {
    Range { key, kind, low, high }
}

/// The upper ends keep what a setting can take up within what a machine has; the lower ones keep it from doing nothing.
pub(super) const RANGES: &[Range] = &[
    range("gateway.stop_grace", Kind::Time, "0s", "5m"),
    range("gateway.trails.max_size", Kind::Size, "8 MiB", "4096 GiB"),
    range("gateway.trails.keep", Kind::Time, "1m", "400d"),
    range("gateway.trails.keep_summaries", Kind::Time, "1d", "400d"),
    range("gateway.trails.sample", Kind::Count, "0", "1000000000"),
    range("ssp.time_to_live", Kind::Time, "60s", "30d"),
    range("ssp.handshake_deadline", Kind::Time, "1s", "5m"),
    range("ssp.exchange_timeout", Kind::Time, "1s", "5m"),
    range("ssp.connect_timeout", Kind::Time, "100ms", "1m"),
    range("ssp.max_document", Kind::Size, "4 KiB", "64 MiB"),
    range("ssp.transactions_per_document", Kind::Count, "1", "1000"),
    range("ssp.document_size", Kind::Size, "1 KiB", "64 MiB"),
    range("ssp.connections_per_server", Kind::Count, "1", "1000"),
    range("ssp.max_connections", Kind::Count, "1", "1000000"),
    range("ssp.max_connections_per_address", Kind::Count, "1", "1000000"),
    range("ssp.open_requests_per_peer", Kind::Count, "1", "1000000"),
    range("ssp.max_waiting", Kind::Count, "1", "10000000"),
    range("ssp.max_waiting_size", Kind::Size, "64 KiB", "64 GiB"),
    range("ssp.max_reading", Kind::Size, "64 KiB", "64 GiB"),
    range("relay.cut_through", Kind::Time, "1s", "30s"),
    range("relay.query_timeout", Kind::Time, "1s", "5m"),
    range("relay.default_validity", Kind::Time, "1m", "90d"),
    range("relay.max_validity", Kind::Time, "1m", "90d"),
    range("relay.notification_validity", Kind::Time, "1s", "1d"),
    range("relay.follow_moved", Kind::Time, "1m", "1d"),
    range("relay.first_retry", Kind::Time, "100ms", "1h"),
    range("relay.longest_retry", Kind::Time, "1s", "1d"),
    range("relay.outbox_concurrency", Kind::Count, "1", "10000"),
    range("store.max_size", Kind::Size, "16 MiB", "4096 GiB"),
    range("store.max_items", Kind::Count, "1", "1000000000"),
    range("store.max_items_per_queue", Kind::Count, "1", "1000000000"),
    range("store.postgres.connections", Kind::Count, "2", "1000"),
    range("store.postgres.connect_timeout", Kind::Time, "100ms", "1m"),
    range("store.postgres.statement_timeout", Kind::Time, "1s", "5m"),
    range("store.postgres.patience", Kind::Time, "100ms", "1m"),
    range("home.request_timeout", Kind::Time, "1s", "1m"),
    range("home.max_connections", Kind::Count, "1", "1000000"),
    range("home.max_connections_per_address", Kind::Count, "1", "1000000"),
    range("home.subscribe_again", Kind::Time, "1m", "7d"),
    range("home.limits.contacts", Kind::Count, "1", "100000"),
    range("home.limits.watchers", Kind::Count, "1", "100000"),
    range("home.limits.rules", Kind::Count, "1", "100000"),
    range("home.limits.inbox_events", Kind::Count, "1", "100000"),
    range("home.limits.inbox_size", Kind::Size, "64 KiB", "1 GiB"),
    range("home.limits.max_content", Kind::Size, "1 KiB", "16 MiB"),
    range("home.limits.max_body", Kind::Size, "4 KiB", "32 MiB"),
    range("home.limits.recipients", Kind::Count, "1", "1000"),
    range("home.limits.groups", Kind::Count, "1", "1000"),
    range("home.limits.groups_joined", Kind::Count, "1", "1000"),
    range("home.limits.group_members", Kind::Count, "2", "500"),
    range(
        "home.limits.group_messages_per_minute",
        Kind::Count,
        "1",
        "100000",
    ),
    range("home.limits.group_queue", Kind::Count, "1", "100000"),
    range("home.limits.requests_per_minute", Kind::Count, "1", "1000000"),
    range("home.limits.login_attempts", Kind::Count, "1", "1000"),
    range("home.limits.login_window", Kind::Time, "1s", "1d"),
    range("home.limits.devices", Kind::Count, "1", "100"),
    range("home.limits.connections", Kind::Count, "1", "100"),
    range("home.limits.events", Kind::Count, "1", "10000"),
    range("home.limits.idle", Kind::Time, "10s", "7d"),
    range("home.limits.token_validity", Kind::Time, "1m", "400d"),
    range("home.limits.default_validity", Kind::Time, "1m", "90d"),
    range("home.limits.max_validity", Kind::Time, "1m", "90d"),
    range("home.limits.password_memory", Kind::Size, "8 KiB", "1 GiB"),
    range("home.limits.password_passes", Kind::Count, "1", "1000"),
    range("cluster.heartbeat", Kind::Time, "100ms", "1m"),
    range("cluster.lease", Kind::Time, "300ms", "10m"),
    range("agreement.answer_timeout", Kind::Time, "1s", "7d"),
    range(
        "agreement.limits.requests_per_second",
        Kind::Count,
        "1",
        "100000000",
    ),
    range("agreement.limits.burst", Kind::Count, "1", "100000000"),
    range(
        "agreement.limits.sender_per_minute",
        Kind::Count,
        "1",
        "100000000",
    ),
    range("agreement.limits.max_content", Kind::Size, "1", "64 MiB"),
    range("agreement.limits.max_recipients", Kind::Count, "1", "100000"),
    range("agreement.limits.max_queued", Kind::Count, "1", "1000000000"),
    range(
        "agreement.limits.max_subscriptions",
        Kind::Count,
        "1",
        "1000000000",
    ),
    range("agreement.limits.documents_in_flight", Kind::Count, "1", "10000"),
    range("agreement.delivery.max_in_flight", Kind::Count, "1", "1000000"),
    range("agreement.delivery.max_per_second", Kind::Count, "1", "100000000"),
    range("agreement.delivery.slow_after", Kind::Time, "100ms", "5m"),
    range("agreement.delivery.first_retry", Kind::Time, "0s", "1h"),
    range("agreement.delivery.longest_retry", Kind::Time, "0s", "1d"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        agreement::AgreementConfig,
        cluster::ClusterConfig,
        config::{GatewayConfig, StoreSection},
        gateways::{home::HomeConfig, ssp::SspConfig},
        relay::RelayConfig,
    };

    /// Every default, by the name of its section.
    fn defaults() -> Vec<(&'static str, Value)> {
        let agreement = "peer = \"beta\"\ndomains = [\"beta.example\"]";
        let agreement: AgreementConfig = toml::from_str(agreement).unwrap();
        vec![
            ("gateway", serde_json::to_value(GatewayConfig::default()).unwrap()),
            ("ssp", serde_json::to_value(SspConfig::default()).unwrap()),
            ("relay", serde_json::to_value(RelayConfig::default()).unwrap()),
            ("store", serde_json::to_value(StoreSection::default()).unwrap()),
            ("cluster", serde_json::to_value(ClusterConfig::default()).unwrap()),
            ("home", serde_json::to_value(HomeConfig::default()).unwrap()),
            ("agreement", serde_json::to_value(agreement).unwrap()),
        ]
    }

    #[test]
    fn every_number_duration_and_size_has_a_range() {
        let mut without = Vec::new();
        for (section, value) in defaults() {
            collect(section, &value, &mut without);
        }
        without.retain(|key| !RANGES.iter().any(|range| range.key == key));
        assert!(without.is_empty(), "no range: {without:?}");
    }

    #[test]
    fn every_range_is_of_a_setting_and_holds_its_default() {
        let defaults = defaults();
        for range in RANGES {
            let (section, path) = range.key.split_once('.').unwrap();
            let (_, value) = defaults.iter().find(|(name, _)| *name == section).unwrap();
            let value = path.split('.').try_fold(value, |value, key| value.get(key));
            assert!(range.holds(value.unwrap()), "{range:?}: {value:?}");
        }
    }

    #[test]
    fn ends_of_a_range_belong_to_it() {
        let time = range("x", Kind::Time, "1s", "5m");
        for (text, is_in) in [("999ms", false), ("1s", true), ("5m", true), ("301s", false)] {
            assert_eq!(time.holds(&Value::from(text)), is_in, "{text}");
        }
        let count = range("x", Kind::Count, "1", "3");
        for (number, is_in) in [(0, false), (1, true), (3, true), (4, false)] {
            assert_eq!(count.holds(&Value::from(number)), is_in, "{number}");
        }
    }

    fn collect(name: &str, value: &Value, into: &mut Vec<String>) {
        let is_measure = |text: &str| duration::parse(text).is_some() || size(text).is_some();
        match value {
            Value::Object(inner) => {
                for (key, value) in inner {
                    collect(&format!("{name}.{key}"), value, into);
                }
            }
            Value::Number(_) => into.push(name.to_owned()),
            Value::String(text) if is_measure(text) => into.push(name.to_owned()),
            Value::String(_) | Value::Array(_) | Value::Bool(_) | Value::Null => {}
        }
    }
}
