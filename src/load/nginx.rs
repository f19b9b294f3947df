//! A reverse proxy measured the same way: nginx forwards POSTs of a message's size to an origin that answers at once.
//!
//! One message and its answer are four HTTP exchanges at a gateway, which is the work of two POSTs forwarded, so a unit here
//! is two POSTs, one after the other. The client and the origin are those of the gateway's runs.

use std::{
    fmt::Write as _,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use tokio::task::JoinSet;

use super::{
    HOME_DOMAIN, Latency, LoadError, PARTNER_NAME, Pace, Plan, Until, Usage, clock,
    http::Poster,
    partner, pki,
    process::{Running, free_address},
};
use crate::lab::certs::write_file;

/// What nginx needed.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ProxyReport {
    /// Mutual TLS on both sides.
    pub tls: bool,
    /// POSTs that were forwarded and answered.
    pub posts: u64,
    /// POSTs a second.
    pub posts_per_second: f64,
    /// CPU seconds of nginx for 20,000 POSTs, which is 10,000 messages.
    pub cpu_seconds_per_20000: f64,
    /// Of two POSTs, one after the other.
    pub latency: Latency,
    /// The most memory that was resident, all workers, in MiB.
    pub peak_mib: f64,
}

/// Measures nginx with this plan's connections, content, pace and end; a message of the plan is two POSTs.
///
/// # Errors
/// When nginx is not installed or does not come up.
pub async fn proxy(plan: &Plan, octets: usize) -> Result<ProxyReport, LoadError> {
    std::fs::create_dir_all(&plan.folder).map_err(LoadError::io(plan.folder.display().to_string()))?;
    pki::write_certificates(&plan.folder)?;
    let listen = free_address()?;
    let (_origin, origin) = partner::start(plan, &[listen]).await?;
    let conf = plan.folder.join("nginx.conf");
    write_file(&conf, &conf_text(plan, listen.port(), origin.port()), 0o600)?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&plan.folder).arg("-c").arg(&conf);
    let mut nginx = Running::start(&mut command, "nginx", &plan.folder)?;
    nginx.listens(listen).await?;
    let client = if plan.tls {
        Some(pki::tls(&plan.folder, HOME_DOMAIN)?.1)
    } else {
        None
    };
    let poster = Poster::new(&[listen], HOME_DOMAIN, client, plan.connections);
    let poster = Arc::new(poster.map_err(LoadError::io("the proxy's name"))?);
    let body: Arc<[u8]> = vec![b'x'; octets].into();
    pump(
        &poster,
        &body,
        plan.connections,
        Pace::Closed(0),
        Until::Count(plan.warm_up),
    )
    .await;
    let before = Usage::of(nginx.pid());
    let began = clock();
    let times = pump(&poster, &body, plan.connections, plan.pace, plan.until).await;
    let seconds = clock().saturating_duration_since(began).as_secs_f64();
    let after = Usage::of(nginx.pid());
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let posts = (times.len() * 2) as f64;
    Ok(ProxyReport {
        tls: plan.tls,
        posts: times.len() as u64 * 2,
        posts_per_second: posts / seconds.max(1e-9),
        cpu_seconds_per_20000: (after.cpu_seconds - before.cpu_seconds) * 20_000.0 / posts.max(1.0),
        latency: Latency::of(times),
        peak_mib: after.peak_mib,
    })
}

/// Posts pairs over all connections; nanoseconds from when each pair was due.
async fn pump(poster: &Arc<Poster>, body: &Arc<[u8]>, workers: usize, pace: Pace, until: Until) -> Vec<u64> {
    let began = clock();
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    match pace {
        Pace::Closed(_) => {
            for _ in 0..workers {
                let (poster, body, next) = (Arc::clone(poster), Arc::clone(body), Arc::clone(&next));
                tasks.spawn(async move {
                    let mut times = Vec::new();
                    loop {
                        let is_over = match until {
                            Until::Count(count) => next.fetch_add(1, Ordering::Relaxed) >= count,
                            Until::Elapsed(duration) => clock().saturating_duration_since(began) >= duration,
                        };
                        if is_over {
                            return times;
                        }
                        times.extend(pair(&poster, &body, clock()).await);
                    }
                });
            }
        }
        Pace::Open(rate) => {
            let interval = Duration::from_secs_f64(1.0 / rate.max(0.001));
            let mut beat = super::home::beat(interval, until.beats(interval));
            while let Some(due) = beat.recv().await {
                let (poster, body) = (Arc::clone(poster), Arc::clone(body));
                tasks.spawn(async move { Vec::from_iter(pair(&poster, &body, due).await) });
            }
        }
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

async fn pair(poster: &Poster, body: &[u8], due: std::time::Instant) -> Option<u64> {
    for _ in 0..2 {
        let (status, _) = poster.post("/forwarded", body).await.ok()?;
        if status != 200 {
            return None;
        }
    }
    u64::try_from(clock().saturating_duration_since(due).as_nanos()).ok()
}

fn conf_text(plan: &Plan, listen: u16, origin: u16) -> String {
    let mut text = String::new();
    let (folder, connections) = (plan.folder.display(), plan.connections);
    let (tls, scheme) = if plan.tls {
        (tls_conf(&plan.folder), "https")
    } else {
        (String::new(), "http")
    };
    let socket = if plan.tls { " ssl" } else { "" };
    let _ = write!(
        text,
        r#"daemon off;
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  keepalive_requests 100000000;
  upstream origin {{ server 127.0.0.1:{origin}; keepalive {connections}; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{listen}{socket};
{tls}
    location / {{
      proxy_pass {scheme}://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host {PARTNER_NAME};
    }}
  }}
}}
"#
    );
    text
}

fn tls_conf(folder: &Path) -> String {
    let folder = folder.display();
    let (own, key) = (
        format!("{folder}/{HOME_DOMAIN}.pem"),
        format!("{folder}/{HOME_DOMAIN}.key.pem"),
    );
    format!(
        "    ssl_certificate {own};\n    ssl_certificate_key {key};\n    ssl_client_certificate {folder}/ca.pem;\n    \
         ssl_verify_client on;\n    proxy_ssl_certificate {own};\n    proxy_ssl_certificate_key {key};\n    \
         proxy_ssl_trusted_certificate {folder}/ca.pem;\n    proxy_ssl_verify on;\n    proxy_ssl_name {PARTNER_NAME};\n    \
         proxy_ssl_server_name on;\n    proxy_ssl_protocols TLSv1.2 TLSv1.3;"
    )
}
