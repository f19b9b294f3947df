//! Gateway and nginx in one run on one machine, TLS off and on, and the ratios that the speed goals are about.

use serde::Serialize;

use super::{LoadError, Pace, Plan, ProxyReport, Report, proxy, run};

/// Both, with TLS off or on.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// nginx as fast as it goes.
    pub proxy: ProxyReport,
    /// nginx at a tenth of the gateway's peak.
    pub proxy_calm: ProxyReport,
    /// One transaction a document, as fast as it goes.
    pub single: Report,
    /// Many transactions a document, likewise.
    pub batched: Report,
    /// One transaction a document, at a tenth of the peak.
    pub calm: Report,
    /// The ratios.
    pub ratios: Ratios,
}

/// How the gateway stands beside nginx; a message is compared with two POSTs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ratios {
    /// CPU of a message to CPU of two POSTs, one transaction a document; the goal is 3 or less.
    pub cpu_single: f64,
    /// The same, batched; the goal is 1 or less.
    pub cpu_batched: f64,
    /// Messages a second to POSTs a second, one transaction a document; the goal is 0.25 or more.
    pub rate_single: f64,
    /// The same, batched; the goal is 0.5 or more.
    pub rate_batched: f64,
    /// Median of the gateway less nginx's at a tenth of the peak, in milliseconds; the goal is 0.5 or less.
    pub added_p50_ms: f64,
    /// The 99th percentile likewise; the goal is 2 or less.
    pub added_p99_ms: f64,
}

/// Measures both; `batch` is the number of transactions of the batched run.
///
/// # Errors
/// When a part does not come up.
pub async fn compare(plan: &Plan, batch: usize) -> Result<Comparison, LoadError> {
    let octets = plan.content + ENVELOPE;
    let part = |name: &str, batch: usize, pace: Pace| Plan {
        folder: plan.folder.join(name),
        batch,
        pace,
        ..plan.clone()
    };
    let window = match plan.pace {
        Pace::Closed(window) => window,
        Pace::Open(_) => plan.connections * 8,
    };
    let closed = |batch: usize| Pace::Closed(window.max(batch * plan.connections * 4));
    let proxied = proxy(&part("nginx", 1, Pace::Closed(0)), octets).await?;
    let single = run(part("single", 1, closed(1))).await?;
    let batched = run(part("batched", batch, closed(batch))).await?;
    let tenth = Pace::Open(single.per_second / 10.0);
    let calm = run(part("calm", 1, tenth)).await?;
    let proxy_calm = proxy(&part("nginx-calm", 1, tenth), octets).await?;
    let of_proxy = proxied.cpu_seconds_per_20000.max(1e-9);
    let ratios = Ratios {
        cpu_single: single.gateway.cpu_seconds_per_10000 / of_proxy,
        cpu_batched: batched.gateway.cpu_seconds_per_10000 / of_proxy,
        rate_single: single.per_second / proxied.posts_per_second.max(1e-9),
        rate_batched: batched.per_second / proxied.posts_per_second.max(1e-9),
        added_p50_ms: calm.latency.p50_ms - proxy_calm.latency.p50_ms,
        added_p99_ms: calm.latency.p99_ms - proxy_calm.latency.p99_ms,
    };
    Ok(Comparison {
        proxy: proxied,
        proxy_calm,
        single,
        batched,
        calm,
        ratios,
    })
}

/// What a document of one message is longer than twice its base64 content would be; with 240 octets it is 1.2 KiB.
const ENVELOPE: usize = 960;
