//! One run: everything is brought up, the phases are driven, what it cost is read, the books are checked.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{net::TcpListener, task::JoinSet};

use super::{
    Balance, HOME_DOMAIN, Latency, LoadError, PARTNER_NAME, Plan, Until, Usage, clock, gateway,
    home::{Driver, Home},
    http::{Poster, serve},
    partner, pki,
    process::{Running, free_address},
    side::Side,
    zones,
};

/// What a run found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was driven.
    pub plan: Plan,
    /// Messages of the measured part that were accepted.
    pub messages: u64,
    /// How long the measured part took.
    pub seconds: f64,
    /// Messages a second.
    pub per_second: f64,
    /// Messages a second until the last had arrived, which counts where they are queued.
    pub delivered_per_second: f64,
    /// From when a message was due to its answer.
    pub latency: Latency,
    /// The gateways' CPU seconds for 10,000 messages, and their peak memory.
    pub gateway: Cost,
    /// The home server's, with DNS.
    pub home: Cost,
    /// The partner's.
    pub partner: Cost,
    /// Whether every promise was kept.
    pub balance: Balance,
    /// The first refusals, if any.
    pub refusals: Vec<String>,
}

/// What a process spent on the measured part.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Cost {
    /// CPU seconds for 10,000 messages, user and system.
    pub cpu_seconds_per_10000: f64,
    /// The most memory that was resident since its start, in MiB.
    pub peak_mib: f64,
}

impl Cost {
    /// The cost of so many messages between two readings.
    pub(super) fn between(before: Usage, after: Usage, messages: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let messages = messages.max(1) as f64;
        Self {
            cpu_seconds_per_10000: (after.cpu_seconds - before.cpu_seconds) * 10_000.0 / messages,
            peak_mib: after.peak_mib,
        }
    }
}

/// Makes the load and says what it cost.
///
/// # Errors
/// When a part does not come up; a run whose books don't balance is a report, not an error.
pub async fn run(plan: Plan) -> Result<Report, LoadError> {
    std::fs::create_dir_all(&plan.folder).map_err(LoadError::io(plan.folder.display().to_string()))?;
    pki::write_certificates(&plan.folder)?;
    if plan.nodes > 1 {
        pki::write_node_certificates(&plan.folder.join("nodes"), plan.nodes)?;
    }
    let field = Field::start(Arc::new(plan)).await?;
    let report = field.measure().await;
    field.dns.shutdown().await;
    report
}

/// Everything that a run needs, up.
struct Field {
    driver: Arc<Driver>,
    gateways: Vec<Running>,
    partner: Running,
    ask_partner: Poster,
    dns: crate::zone::ZoneServer,
    _tasks: JoinSet<()>,
}

impl Field {
    async fn start(plan: Arc<Plan>) -> Result<Self, LoadError> {
        let gateways: Vec<_> = (0..plan.nodes.max(1))
            .map(|_| free_address())
            .collect::<Result<_, _>>()?;
        let (partner, partner_address) = partner::start(&plan, &gateways).await?;
        let dns = zones::serve(plan.peers, partner_address.port()).await?;
        let (server, client) = if plan.tls {
            let (server, client) = pki::tls(&plan.folder, HOME_DOMAIN)?;
            (Some(server), Some(client))
        } else {
            (None, None)
        };
        let poster = |addresses: &[_], name| {
            let poster = Poster::new(addresses, name, client.clone(), plan.connections);
            poster.map_err(LoadError::io(name))
        };
        let side = Side::new(
            HOME_DOMAIN,
            Arc::new(poster(&gateways, HOME_DOMAIN)?),
            Home::new(clock()),
        );
        let ask_partner = poster(&[partner_address], PARTNER_NAME)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(LoadError::io("the home server's socket"))?;
        let home_address = listener
            .local_addr()
            .map_err(LoadError::io("the home server's socket"))?;
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&side).keep_time());
        let handler: Arc<Side<Home>> = Arc::clone(&side);
        tasks.spawn(serve(listener, server, handler));
        let gateways = gateway::start(&plan, &gateways, home_address, dns.local_addr()).await?;
        let session = side
            .open(&format!("gateway.{HOME_DOMAIN}"))
            .await
            .map_err(LoadError::Session)?;
        let driver = Driver {
            side,
            session: session.own_session_id,
            plan,
            run: format!("load-{}", std::process::id()),
        };
        Ok(Self {
            driver: Arc::new(driver),
            gateways,
            partner,
            ask_partner,
            dns,
            _tasks: tasks,
        })
    }

    async fn measure(&self) -> Result<Report, LoadError> {
        let plan = &self.driver.plan;
        // What is queued goes to each person by itself, so a message to many would arrive as many.
        if !plan.queued {
            self.driver.prime().await;
        }
        if plan.warm_up > 0 {
            self.driver.drive(plan.pace, Until::Count(plan.warm_up)).await;
        }
        let before = self.usage();
        let began = clock();
        let first = self.driver.drive(plan.pace, plan.until).await;
        let after = self.usage();
        let home = &self.driver.side.actor;
        let (times, last) = home.ledger.times(first);
        let seconds = last.saturating_sub(home.ledger.since_epoch(began)).as_secs_f64();
        let messages = times.len();
        let balance = self.settle().await?;
        let drained = clock().saturating_duration_since(began).as_secs_f64();
        let [gateway, home_cost, partner] = [0, 1, 2].map(|index| {
            let of = |usages: &[Usage; 3]| usages.get(index).copied().unwrap_or_default();
            Cost::between(of(&before), of(&after), messages)
        });
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let per_second = messages as f64 / seconds.max(1e-9);
        Ok(Report {
            plan: Plan::clone(plan),
            messages: messages as u64,
            seconds,
            per_second,
            #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
            delivered_per_second: messages as f64 / drained.max(1e-9),
            latency: Latency::of(times),
            gateway,
            home: home_cost,
            partner,
            balance,
            refusals: home.refusals(),
        })
    }

    /// The gateways, this process and the partner.
    fn usage(&self) -> [Usage; 3] {
        [
            Usage::of_all(self.gateways.iter().map(Running::pid)),
            Usage::of_one(std::process::id()),
            Usage::of_one(self.partner.pid()),
        ]
    }

    /// Waits until the books balance, because a stored message or a report may come a little later; not for ever.
    async fn settle(&self) -> Result<Balance, LoadError> {
        let mut until = clock() + PATIENCE;
        let mut least = u64::MAX;
        loop {
            let arrivals = partner::arrivals(&self.ask_partner).await?;
            let balance = self.driver.side.actor.ledger.balance(&arrivals);
            // A queue that drains is waited for.
            if balance.lost < least {
                least = balance.lost;
                until = clock() + PATIENCE;
            }
            let is_late = clock() >= until;
            if balance.holds() || is_late || balance.repeated > 0 {
                return Ok(balance);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// How long nothing may arrive before the books are closed.
const PATIENCE: Duration = Duration::from_secs(30);
