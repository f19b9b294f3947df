//! The metrics of a node, in the Prometheus text form.
//!
//! What happens to requests is cut from their trails, so a dashboard never disagrees with `impsgw trace`. Gauges are set
//! by whoever is scraped; the names and their meaning are in `names.rs`.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry},
};

use super::{StoreHealth, names};
use crate::model::{StepEvent, TrailRecord};

/// All metrics of a node.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<ServiceLabel, Histogram, fn() -> Histogram>,
    deliveries: Family<DeliveryLabels, Counter>,
    sessions: Family<PeerLabel, Gauge>,
    suspended: Family<PeerLabel, Gauge>,
    concurrency: Family<PeerLabel, Gauge>,
    rate: Family<PeerLabel, Gauge>,
    queue_held: Family<QueueLabel, Gauge>,
    queue_items: Family<QueueLabels, Gauge>,
    queue_oldest: Family<QueueLabels, Gauge>,
    routing: RoutingMetrics,
    cache_entries: Family<KindLabel, Gauge>,
    cache_fact_bytes: Gauge,
    certificate_days: Family<CertificateLabels, Gauge>,
    store_health: StoreHealth,
    store_failing: Gauge,
    store_full: Counter,
    store_commits: Family<OutcomeLabel, Histogram, fn() -> Histogram>,
    trails_dropped: Counter,
    cluster_nodes: Gauge,
    cluster_requests: Family<TopicLabels, Counter>,
    admin_calls: Family<StatusLabel, Counter>,
}

#[derive(Default)]
struct RoutingMetrics {
    queries: Counter,
    derived: Counter,
    temporary: Counter,
    stale: Counter,
    refreshed: Counter,
    conflicts: Gauge,
}

/// How routing is used, as counts since the start; told at each scrape.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "each is the metric of the same name in names.rs")]
pub struct RoutingCounts {
    pub queries: u64,
    pub derived: u64,
    pub temporary: u64,
    pub stale: u64,
    pub refreshed: u64,
    pub conflicts: u64,
    pub facts: u64,
    pub fact_octets: u64,
    pub numbers: u64,
    pub domains: u64,
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(request_buckets),
            deliveries: Family::default(),
            sessions: Family::default(),
            suspended: Family::default(),
            concurrency: Family::default(),
            rate: Family::default(),
            queue_held: Family::default(),
            queue_items: Family::default(),
            queue_oldest: Family::default(),
            routing: RoutingMetrics::default(),
            cache_entries: Family::default(),
            cache_fact_bytes: Gauge::default(),
            certificate_days: Family::default(),
            store_health: StoreHealth::default(),
            store_failing: Gauge::default(),
            store_full: Counter::default(),
            store_commits: Family::new_with_constructor(commit_buckets),
            trails_dropped: Counter::default(),
            cluster_nodes: Gauge::default(),
            cluster_requests: Family::default(),
            admin_calls: Family::default(),
        };
        metrics.register();
        metrics
    }

    /// Counts a finished request and its delivery attempts.
    pub fn request(&self, trail: &TrailRecord) {
        let mut labels = None;
        let mut outcome = "done";
        for step in &trail.steps {
            match &step.event {
                StepEvent::Received {
                    service,
                    from,
                    protocol,
                    ..
                } => labels = Some((service.name(), from.clone(), protocol.clone())),
                StepEvent::Attempt {
                    to,
                    protocol,
                    failure,
                    ..
                } => {
                    let outcome = if failure.is_none() { "taken" } else { "failed" };
                    let labels = DeliveryLabels {
                        to: to.clone(),
                        protocol: protocol.clone(),
                        outcome,
                    };
                    self.deliveries.get_or_create(&labels).inc();
                }
                StepEvent::Stored { .. } => outcome = "stored",
                StepEvent::Refused { .. } => outcome = "refused",
                StepEvent::Checked { .. }
                | StepEvent::Routed { .. }
                | StepEvent::Note { .. }
                | StepEvent::Answered { .. } => {}
            }
        }
        // A trail that goes on from the store was counted when its request was answered.
        let Some((service, from, protocol)) = labels else {
            return;
        };
        let labels = RequestLabels {
            service,
            from,
            protocol,
            outcome,
        };
        self.requests.get_or_create(&labels).inc();
        let took = trail.steps.last().map(|step| step.after).unwrap_or_default();
        self.request_seconds
            .get_or_create(&ServiceLabel { service })
            .observe(took.as_secs_f64());
    }

    /// Counts a commit of the store.
    pub fn commit(&self, took: Duration, is_done: bool) {
        let outcome = if is_done { "done" } else { "failed" };
        self.store_commits
            .get_or_create(&OutcomeLabel { outcome })
            .observe(took.as_secs_f64());
    }

    /// Counts a commit that a bound of the store refused.
    pub fn store_full(&self) {
        self.store_full.inc();
    }

    /// Whether the store takes what it is given.
    #[must_use]
    pub fn store_health(&self) -> &StoreHealth {
        &self.store_health
    }

    /// How many nodes live.
    pub fn cluster_nodes(&self, count: usize) {
        self.cluster_nodes.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts a request to another node.
    pub fn cluster_request(&self, topic: &'static str, outcome: &'static str) {
        let labels = TopicLabels { topic, outcome };
        self.cluster_requests.get_or_create(&labels).inc();
    }

    /// Counts an answer of the admin API.
    pub fn admin_call(&self, status: u16) {
        self.admin_calls.get_or_create(&StatusLabel { status }).inc();
    }

    /// Forgets the peers of before; called ahead of [`Metrics::peer`] at each scrape.
    pub fn clear_peers(&self) {
        self.sessions.clear();
        self.suspended.clear();
        self.concurrency.clear();
        self.rate.clear();
    }

    /// How a peer stands now.
    pub fn peer(&self, peer: &str, sessions: u64, is_suspended: bool) {
        let label = PeerLabel {
            peer: peer.to_owned(),
        };
        self.sessions.get_or_create(&label).set(signed(sessions));
        self.suspended.get_or_create(&label).set(i64::from(is_suspended));
    }

    /// How much may go to a peer now: deliveries under way, and a second.
    pub fn pace(&self, peer: &str, in_flight: u32, per_second: u32) {
        let label = PeerLabel {
            peer: peer.to_owned(),
        };
        self.concurrency.get_or_create(&label).set(in_flight.into());
        self.rate.get_or_create(&label).set(per_second.into());
    }

    /// Forgets the queues of before; called ahead of [`Metrics::queue`] at each scrape.
    pub fn clear_queues(&self) {
        self.queue_items.clear();
        self.queue_oldest.clear();
        self.queue_held.clear();
    }

    /// How a place of a queue stands now.
    pub fn queue(&self, queue: &str, place: &str, items: u64, oldest: Duration) {
        let label = QueueLabels {
            queue: queue.to_owned(),
            place: place.to_owned(),
        };
        self.queue_items.get_or_create(&label).set(signed(items));
        self.queue_oldest
            .get_or_create(&label)
            .set(signed(oldest.as_secs()));
    }

    /// An operator holds this queue.
    pub fn held_queue(&self, queue: &str) {
        let queue = queue.to_owned();
        self.queue_held.get_or_create(&QueueLabel { queue }).set(1);
    }

    /// Forgets the certificates of before; called ahead of [`Metrics::certificate`].
    pub fn clear_certificates(&self) {
        self.certificate_days.clear();
    }

    /// How many whole days are left of a certificate or revocation list.
    pub fn certificate(&self, kind: &'static str, name: &str, days: u64) {
        let name = name.to_owned();
        let labels = CertificateLabels { kind, name };
        self.certificate_days.get_or_create(&labels).set(signed(days));
    }

    /// How routing is used so far.
    pub fn routing(&self, counts: RoutingCounts) {
        let routing = &self.routing;
        raise(&routing.queries, counts.queries);
        raise(&routing.derived, counts.derived);
        raise(&routing.temporary, counts.temporary);
        raise(&routing.stale, counts.stale);
        raise(&routing.refreshed, counts.refreshed);
        routing.conflicts.set(signed(counts.conflicts));
        let entries = [
            ("facts", counts.facts),
            ("numbers", counts.numbers),
            ("domains", counts.domains),
        ];
        for (kind, count) in entries {
            self.cache_entries
                .get_or_create(&KindLabel { kind })
                .set(signed(count));
        }
        self.cache_fact_bytes.set(signed(counts.fact_octets));
    }

    /// How many trails were not kept so far.
    pub fn dropped_trails(&self, count: u64) {
        raise(&self.trails_dropped, count);
    }

    /// Everything, in the Prometheus text form (OpenMetrics).
    #[must_use]
    pub fn text(&self) -> String {
        let is_failing = self.store_health.failing().is_some();
        self.store_failing.set(i64::from(is_failing));
        let mut text = String::new();
        // Writing to a String cannot fail; half a page would be refused by the scraper as incomplete.
        if encode(&mut text, &self.registry).is_err() {
            text.clear();
        }
        text
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        add(registry, names::RELAY_REQUESTS, &self.requests);
        add(registry, names::RELAY_REQUEST_SECONDS, &self.request_seconds);
        add(registry, names::RELAY_DELIVERIES, &self.deliveries);
        add(registry, names::PEER_SESSIONS, &self.sessions);
        add(registry, names::PEER_SUSPENDED, &self.suspended);
        add(registry, names::PEER_CONCURRENCY_LIMIT, &self.concurrency);
        add(registry, names::PEER_RATE_LIMIT, &self.rate);
        add(registry, names::QUEUE_HELD, &self.queue_held);
        add(registry, names::QUEUE_ITEMS, &self.queue_items);
        add(registry, names::QUEUE_OLDEST_SECONDS, &self.queue_oldest);
        add(registry, names::ROUTING_QUERIES, &self.routing.queries);
        add(registry, names::ROUTING_DERIVED, &self.routing.derived);
        add(registry, names::ROUTING_TEMPORARY, &self.routing.temporary);
        add(registry, names::ROUTING_STALE, &self.routing.stale);
        add(registry, names::ROUTING_REFRESHES, &self.routing.refreshed);
        add(registry, names::ROUTING_CONFLICTS, &self.routing.conflicts);
        add(registry, names::CACHE_ENTRIES, &self.cache_entries);
        add(registry, names::CACHE_FACT_BYTES, &self.cache_fact_bytes);
        add(registry, names::SSP_CERTIFICATE_DAYS, &self.certificate_days);
        add(registry, names::STORE_FAILING, &self.store_failing);
        add(registry, names::STORE_FULL, &self.store_full);
        add(registry, names::STORE_COMMIT_SECONDS, &self.store_commits);
        add(registry, names::TRAILS_DROPPED, &self.trails_dropped);
        add(registry, names::CLUSTER_NODES, &self.cluster_nodes);
        add(registry, names::CLUSTER_REQUESTS, &self.cluster_requests);
        add(registry, names::ADMIN_CALLS, &self.admin_calls);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct RequestLabels {
    service: &'static str,
    from: String,
    protocol: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ServiceLabel {
    service: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct DeliveryLabels {
    to: String,
    protocol: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct PeerLabel {
    peer: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct QueueLabels {
    queue: String,
    place: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct QueueLabel {
    queue: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct CertificateLabels {
    kind: &'static str,
    name: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct TopicLabels {
    topic: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct StatusLabel {
    status: u16,
}

/// Registers a metric; the text form adds `_total` to counters itself.
fn add(registry: &mut Registry, name: &'static str, metric: &(impl Metric + Clone)) {
    let name = name.strip_suffix("_total").unwrap_or(name);
    registry.register(name, "see docs/reference/metrics.md", metric.clone());
}

fn request_buckets() -> Histogram {
    Histogram::new([0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0])
}

fn commit_buckets() -> Histogram {
    Histogram::new([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0])
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Sets a counter to what its owner has counted since the start.
fn raise(counter: &Counter<u64, AtomicU64>, to: u64) {
    counter.inner().fetch_max(to, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Service, Step, Stop, Timestamp, TrailId};

    fn step(event: StepEvent) -> Step {
        Step {
            after: Duration::from_millis(30),
            stop: Stop::Answer,
            event,
        }
    }

    #[test]
    fn request_is_counted_once_from_its_trail() {
        let metrics = Metrics::new();
        metrics.request(&TrailRecord {
            id: TrailId(1),
            started: Timestamp(0),
            steps: vec![
                step(StepEvent::Received {
                    request: "SendMessage".into(),
                    service: Service::Message,
                    from: "beta".into(),
                    protocol: "ssp".into(),
                    sender: None,
                    recipients: Vec::new(),
                }),
                step(StepEvent::Refused {
                    reason: "rate".into(),
                }),
            ],
        });
        let text = metrics.text();
        let line = "impsgw_relay_requests_total{service=\"message\",from=\"beta\",protocol=\"ssp\",outcome=\"refused\"} 1";
        assert!(text.contains(line), "{text}");
        assert!(
            text.contains("impsgw_relay_request_seconds_count{service=\"message\"} 1"),
            "{text}"
        );
    }

    #[test]
    fn peer_that_is_gone_leaves_the_page() {
        let metrics = Metrics::new();
        metrics.peer("beta", 2, true);
        assert!(metrics.text().contains("impsgw_peer_sessions{peer=\"beta\"} 2"));
        metrics.clear_peers();
        assert!(!metrics.text().contains("peer=\"beta\""));
    }
}
