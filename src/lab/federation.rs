//! Brings up DNS and the operators Alpha, Beta, Hub and Isle, each a full gateway with an embedded home domain.
//!
//! Alpha, Beta and Hub have agreements with one another; Isle has one with Hub alone, which carries what Isle and the
//! others have for one another.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc};

use super::{
    Guest, HandsetError, Person,
    certs::{Authority, CertificateError, CertificateOrder, write_file},
    place::Place,
    robots::{self, ROBOTS, Robots},
};
use crate::{
    app::{App, HomeGate, Sockets, StartError},
    config::{Config, Mistakes},
    model::{E164, TrailRecord},
    zone::ZoneServer,
};

/// A running federation.
pub struct Federation {
    /// Where its DNS answers.
    pub dns: SocketAddr,
    /// Operator Alpha: Ada, +447700900123.
    pub alpha: Operator,
    /// Operator Beta: Bea, +447700900456.
    pub beta: Operator,
    /// Operator Hub, in transit between Isle and the others: Hal, +447700900223.
    pub hub: Operator,
    /// Operator Isle: Isa, +447700900323.
    pub isle: Operator,
    place: Place,
    zone: ZoneServer,
    /// In the sandbox; they end before the operators do.
    robots: Option<Robots>,
}

/// One operator.
#[derive(Debug)]
pub struct Operator {
    /// `alpha` or `beta`.
    pub name: &'static str,
    /// Its gateway.
    pub app: App,
    /// What its gateway says of each request.
    pub trails: mpsc::UnboundedReceiver<TrailRecord>,
    /// Its subscriber API, as `http://127.0.0.1:port`.
    pub subscribers: String,
    /// Its configuration, to read and to start by hand.
    pub config: PathBuf,
}

impl Operator {
    /// Its subscribers of today.
    pub fn people(&self) -> impl Iterator<Item = Person> + '_ {
        let everybody = CASTS.into_iter().flat_map(|cast| cast.subscribers);
        everybody.filter_map(|&(number, user, name)| {
            let home = self.app.home.as_ref()?.here()?;
            home.account_of_number(&number.parse().ok()?)?;
            Some(Person {
                operator: self.name,
                number,
                user: format!("{user}@{}.example", self.name),
                name,
                password: password_of(user),
            })
        })
    }

    /// Asks its admin API, as its operator would.
    ///
    /// # Errors
    /// What it says, or why it can't be asked.
    pub async fn ask(&self, method: &str, path: &str, body: Value) -> Result<Value, String> {
        let admin = self.app.admin.ok_or("it has no admin API")?;
        let folder = self.config.parent().unwrap_or(Path::new("."));
        let token = folder.join(format!("{}-data/admin-token", self.name));
        let token = std::fs::read_to_string(token).map_err(|error| error.to_string())?;
        let asked = async {
            let http = reqwest::Client::builder().no_proxy().build()?;
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap_or_default();
            let request = http
                .request(method, format!("http://{admin}{path}"))
                .bearer_auth(token.trim());
            let request = if body.is_null() {
                request
            } else {
                request.json(&body)
            };
            let answer = request.send().await?;
            let is_good = answer.status().is_success();
            let said: Value = answer.json().await.unwrap_or(Value::Null);
            Ok::<_, reqwest::Error>((is_good, said))
        };
        match asked.await {
            Ok((true, said)) => Ok(said),
            Ok((false, said)) => Err(format!("{method} {path}: {said}")),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Hands over what its gateway says of each request from now on; `trails` stays silent.
    pub fn take_trails(&mut self) -> mpsc::UnboundedReceiver<TrailRecord> {
        let (_, silent) = mpsc::unbounded_channel();
        std::mem::replace(&mut self.trails, silent)
    }
}

/// Why the federation can't come up.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A bundled zone is not whole.
    #[error("the bundled zones can't be served: {0}")]
    Zones(String),
    /// The certificates.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// A socket or folder.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A configuration that the lab wrote.
    #[error("the lab's own configuration has mistakes: {0}")]
    Config(#[from] Mistakes),
    /// A gateway.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The partner can't be served as he is described.
    #[error("{0}")]
    Guest(String),
    /// A fixed port of the sandbox can't be had.
    #[error(
        "can't listen on {address} for {purpose}: {source}; end what listens there, or give --listen another address of this machine, such as 127.0.0.2"
    )]
    Port {
        /// Where.
        address: SocketAddr,
        /// For what.
        purpose: String,
        /// Why.
        source: std::io::Error,
    },
    /// A robot.
    #[error("a robot can't log in: {0}")]
    Robot(#[from] HandsetError),
}

impl Federation {
    /// Brings everything up below a folder, on free loopback ports.
    ///
    /// # Errors
    /// [`LabError`]; nothing is left running.
    pub async fn start(folder: &Path) -> Result<Self, LabError> {
        Self::start_at(folder, None).await
    }

    /// Brings everything up for a partner who tests: on the ports of the zone files at his address, with robots, and with
    /// agreements between him and the operators Alpha and Beta. What is in the folder from an earlier time stays in force.
    ///
    /// # Errors
    /// [`LabError`]; nothing is left running.
    pub async fn start_for(folder: &Path, guest: Guest) -> Result<Self, LabError> {
        guest.check()?;
        Self::start_at(folder, Some(Arc::new(guest))).await
    }

    #[expect(clippy::disallowed_methods, reason = "certificates are made for now")]
    async fn start_at(folder: &Path, guest: Option<Arc<Guest>>) -> Result<Self, LabError> {
        std::fs::create_dir_all(folder)?;
        let now = std::time::SystemTime::now();
        let authority = authority(folder, guest.as_deref(), now)?;
        let mut sockets = Vec::with_capacity(CASTS.len());
        for cast in CASTS {
            let domain = format!("{}.example", cast.name);
            authority
                .issue(&CertificateOrder::for_domain(&domain, now))?
                .write(folder, cast.name)?;
            sockets.push((cast, cast.socket(guest.as_deref()).await?));
        }
        let mut place = Place {
            ports: Vec::with_capacity(CASTS.len()),
            dns: loopback(),
            guest,
        };
        for (cast, socket) in &sockets {
            place.ports.push((cast.name, socket.local_addr()?.port()));
        }
        let zone = place.serve_dns().await?;
        place.dns = zone.local_addr();
        let mut operators = Vec::with_capacity(CASTS.len());
        for (cast, ssp) in sockets {
            operators.push(operator(cast, folder, &place, ssp).await?);
        }
        let robots = match &place.guest {
            Some(guest) => {
                let operators: Vec<_> = operators.iter().collect();
                Some(Robots::start(&operators, guest, password_of).await?)
            }
            None => None,
        };
        let [alpha, beta, hub, isle] =
            <[Operator; 4]>::try_from(operators).unwrap_or_else(|_| unreachable!("one for each cast"));
        Ok(Self {
            dns: place.dns,
            alpha,
            beta,
            hub,
            isle,
            place,
            zone,
            robots,
        })
    }

    /// ENUM leads a number of Alpha's to another operator from now on, as after a port.
    ///
    /// # Errors
    /// [`LabError::Zones`] when that can't be said in a zone.
    pub async fn lead(&self, number: &E164, to: &str) -> Result<(), LabError> {
        let mut labels: Vec<_> = number.digits().chars().rev().map(String::from).collect();
        let owner = labels.join(".");
        // A name that exists hides the wildcard above it from its siblings, so they get one of their own.
        labels.remove(0);
        let siblings = format!("*.{}", labels.join("."));
        let mut records = String::new();
        for (owner, domain) in [(owner.as_str(), to), (siblings.as_str(), self.alpha.name)] {
            for service in ["im", "pres"] {
                records.push_str(&format!(
                    "{owner} IN NAPTR 100 10 \"u\" \"E2U+{service}\" \"!^(.*)$!{service}:\\\\1@{domain}.example!\" .\n"
                ));
            }
        }
        self.zone.replace(self.place.zones(&records)?).await;
        Ok(())
    }

    /// All operators.
    #[must_use]
    pub fn operators(&self) -> [&Operator; 4] {
        [&self.alpha, &self.beta, &self.hub, &self.isle]
    }

    /// All operators.
    pub fn operators_mut(&mut self) -> [&mut Operator; 4] {
        [&mut self.alpha, &mut self.beta, &mut self.hub, &mut self.isle]
    }

    /// Ends everything in order.
    pub async fn shut_down(self) {
        drop(self.robots);
        for operator in [self.alpha, self.beta, self.hub, self.isle] {
            operator.app.shut_down().await;
        }
        self.zone.shutdown().await;
    }
}

#[derive(Debug)]
struct Cast {
    name: &'static str,
    /// Number, user name, friendly name.
    subscribers: &'static [(&'static str, &'static str, &'static str)],
    /// Those with whom there is an agreement.
    peers: &'static [&'static str],
    /// Who takes what goes to a domain without an agreement.
    gateway: Option<&'static str>,
    /// Where its zone file says that it listens for peers.
    port: u16,
    /// Whether a partner who tests has an agreement with it.
    meets_guests: bool,
}

const ALPHA: Cast = Cast {
    name: "alpha",
    subscribers: &[("+447700900123", "ada", "Ada"), ("+447700900124", "al", "Al")],
    peers: &["beta", "hub"],
    gateway: Some("hub"),
    port: 17101,
    meets_guests: true,
};
const BETA: Cast = Cast {
    name: "beta",
    subscribers: &[("+447700900456", "bea", "Bea"), ("+447700900457", "ben", "Ben")],
    peers: &["alpha", "hub"],
    gateway: Some("hub"),
    port: 17201,
    meets_guests: true,
};
const HUB: Cast = Cast {
    name: "hub",
    subscribers: &[("+447700900223", "hal", "Hal")],
    peers: &["alpha", "beta", "isle"],
    gateway: None,
    port: 17301,
    meets_guests: false,
};
const ISLE: Cast = Cast {
    name: "isle",
    subscribers: &[("+447700900323", "isa", "Isa")],
    peers: &["hub"],
    gateway: Some("hub"),
    port: 17401,
    meets_guests: false,
};

const CASTS: [&Cast; 4] = [&ALPHA, &BETA, &HUB, &ISLE];
/// The names of all operators; `NAME.example` is the domain.
pub(super) const OPERATORS: [&str; 4] = [ALPHA.name, BETA.name, HUB.name, ISLE.name];

impl Cast {
    /// Its listener for peers: on a free port, or for a guest where the zone files say.
    async fn socket(&self, guest: Option<&Guest>) -> Result<TcpListener, LabError> {
        let Some(guest) = guest else {
            return Ok(bind().await?);
        };
        let address = SocketAddr::new(guest.listen, self.port);
        let bound = TcpListener::bind(address).await;
        bound.map_err(|source| LabError::Port {
            address,
            purpose: format!("SSP of {}.example", self.name),
            source,
        })
    }

    /// What an agreement says of transit: whether the peer may send through us, and in whose name besides its own.
    fn transit_with(&self, peer: &str) -> String {
        if self.gateway == Some(peer) {
            let others = CASTS.map(|one| one.name);
            let spoken_for: Vec<_> = others
                .iter()
                .filter(|one| **one != self.name && **one != peer && !self.peers.contains(one))
                .map(|one| format!("\"{one}.example\""))
                .collect();
            return format!("speaks_for.domains = [{}]\n", spoken_for.join(", "));
        }
        if self.gateway.is_none() {
            return "transit = true\n".to_owned();
        }
        String::new()
    }
}

async fn operator(
    cast: &'static Cast,
    folder: &Path,
    place: &Place,
    ssp: TcpListener,
) -> Result<Operator, LabError> {
    let text = config_text(cast, folder, place, ssp.local_addr()?);
    let path = folder.join(format!("{}.toml", cast.name));
    write_file(&path, &text, 0o600)?;
    let config = Config::load(&path)?;
    let (sender, trails) = mpsc::unbounded_channel();
    let sockets = Sockets {
        ssp: Some(ssp),
        subscribers: Some(bind().await?),
        trails: Some(sender),
        gate: place.guest.is_some().then_some(robots::gate as HomeGate),
        ..Sockets::default()
    };
    let app = App::start(config, sockets).await?;
    let subscribers = app
        .subscribers
        .map(|address| format!("http://{address}"))
        .unwrap_or_default();
    Ok(Operator {
        name: cast.name,
        app,
        trails,
        subscribers,
        config: path,
    })
}

/// The configuration of an operator, as one would write it by hand.
fn config_text(cast: &Cast, folder: &Path, place: &Place, ssp: SocketAddr) -> String {
    let (name, dns, folder) = (cast.name, place.dns, folder.display());
    let met = place.guest.as_deref().filter(|_| cast.meets_guests);
    let view = met.map(Guest::view).unwrap_or_default();
    let authorities = if met.is_some() { AUTHORITIES } else { "ca.pem" };
    let limits = if place.guest.is_some() { LIMITS } else { "" };
    let networks = place.networks();
    let gateway = cast
        .gateway
        .map(|peer| format!("default_gateway = [{{ peer = \"{peer}\" }}]\n"))
        .unwrap_or_default();
    let mut text = format!(
        r#"# Operator {name} of the lab.
[gateway]
node = "{name}"
domains = ["{name}.example"]
data_dir = "{folder}/{name}-data"

[ssp]
listen = "{ssp}"
certificate = "{folder}/{name}.pem"
key = "{folder}/{name}.key.pem"
authorities = "{folder}/{authorities}"

[routing]
views = [{{ name = "lab", resolvers = ["{dns}"] }}{view}]
apexes = [{{ apex = "e164enum.net", view = "lab", trust = "private" }}]
ladder = {{ ssp = true, sip = false, xmpp = false }}
{gateway}
[admin]
listen = "127.0.0.1:0"

[home]
listen = "127.0.0.1:0"
public_attributes = ["OnlineStatus", "UserAvailability", "StatusText", "StatusMood"]
{limits}
[[home.domain]]
name = "{name}.example"
"#
    );
    let people = cast.subscribers.iter().copied();
    let robots = ROBOTS
        .iter()
        .filter(|one| place.guest.is_some() && one.operator == name);
    let robots = robots.map(|one| (one.number, one.user, one.name));
    for (number, user, friendly_name) in people.chain(robots) {
        let password = password_of(user);
        text.push_str(&format!(
            r#"
[[home.account]]
number = "{number}"
user = "{user}"
domain = "{name}.example"
friendly_name = "{friendly_name}"
password = "{password}"
"#
        ));
    }
    for peer in cast.peers {
        let mut transit = cast.transit_with(peer);
        if let Some(guest) = met.filter(|_| transit.is_empty()) {
            transit = format!("speaks_for.domains = [\"{}\"]\n", guest.domain);
        }
        text.push_str(&format!(
            r#"
[[agreement]]
peer = "{peer}"
domains = ["{peer}.example"]
services.in = ["search", "presence", "message", "invite", "notice", "group"]
services.out = ["search", "presence", "message", "invite", "notice", "group"]
allowed_networks = {networks}
{transit}"#
        ));
    }
    // Through one of them he reaches the others, as by way of any transit operator.
    text.extend(met.map(|guest| guest.agreement(cast.name == ALPHA.name)));
    text
}

/// The lab's authority. For a guest it stays the same from one time to the next, because he trusts it.
fn authority(
    folder: &Path,
    guest: Option<&Guest>,
    now: std::time::SystemTime,
) -> Result<Authority, LabError> {
    let (certificate, key) = (folder.join("ca.pem"), folder.join("ca.key.pem"));
    let Some(guest) = guest else {
        let authority = Authority::new("impsgw lab", now)?;
        write_file(&certificate, authority.certificate_pem(), 0o644)?;
        return Ok(authority);
    };
    let kept = (
        std::fs::read_to_string(&certificate),
        std::fs::read_to_string(&key),
    );
    let authority = match kept {
        (Ok(certificate), Ok(key)) => Authority::load(&certificate, &key)?,
        (Ok(_) | Err(_), _) => {
            let authority = Authority::new("impsgw sandbox", now)?;
            write_file(&key, &authority.key_pem(), 0o600)?;
            write_file(&certificate, authority.certificate_pem(), 0o644)?;
            authority
        }
    };
    let theirs = std::fs::read_to_string(&guest.authorities)?;
    let both = format!("{}\n{theirs}", authority.certificate_pem());
    write_file(&folder.join(AUTHORITIES), &both, 0o644)?;
    Ok(authority)
}

/// What a subscriber of the lab logs in with.
fn password_of(user: &str) -> String {
    format!("{user}-on-the-lab")
}

/// A listener on a free loopback port.
pub(super) async fn bind() -> std::io::Result<TcpListener> {
    TcpListener::bind(loopback()).await
}

pub(super) fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// Whom those who meet a guest trust: the lab's authority and his.
const AUTHORITIES: &str = "authorities.pem";
/// What a partner may do to a robot is bounded, and does not stay for long; a robot's password is no secret.
const LIMITS: &str = "limits = { requests_per_minute = 6000, connections = 8, default_validity = \"1h\", \
                      max_validity = \"1d\", contacts = 1000, watchers = 1000, password_memory = \"64 KiB\", \
                      password_passes = 1 }\n";
