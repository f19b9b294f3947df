//! Brings up DNS and the operators Alpha, Beta, Hub and Isle, each a full gateway with an embedded home domain.
//!
//! Alpha, Beta and Hub have agreements with one another; Isle has one with Hub alone, which carries what Isle and the
//! others have for one another.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc};

use super::{
    Person,
    certs::{Authority, CertificateError, CertificateOrder, write_file},
};
use crate::{
    app::{App, Sockets, StartError},
    config::{Config, Mistakes},
    model::{E164, TrailRecord},
    wire::naptr::Name,
    zone::{ZoneServer, ZoneSet},
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
    ports: Vec<(&'static str, u16)>,
    zone: ZoneServer,
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
            let home = self.app.home.as_ref()?;
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
}

impl Federation {
    /// Brings everything up below a folder, on free loopback ports.
    ///
    /// # Errors
    /// [`LabError`]; nothing is left running.
    #[expect(clippy::disallowed_methods, reason = "certificates are made for now")]
    pub async fn start(folder: &Path) -> Result<Self, LabError> {
        std::fs::create_dir_all(folder)?;
        let now = std::time::SystemTime::now();
        let authority = Authority::new("impsgw lab", now)?;
        write_file(&folder.join("ca.pem"), authority.certificate_pem(), 0o644)?;
        let mut sockets = Vec::with_capacity(CASTS.len());
        for cast in CASTS {
            let domain = format!("{}.example", cast.name);
            authority
                .issue(&CertificateOrder::for_domain(&domain, now))?
                .write(folder, cast.name)?;
            sockets.push((cast, bind().await?));
        }
        let mut ports = Vec::with_capacity(CASTS.len());
        for (cast, socket) in &sockets {
            ports.push((cast.name, socket.local_addr()?.port()));
        }
        let zones = zones(&ports, "")?;
        let zone = ZoneServer::start(zones, loopback())
            .await
            .map_err(|error| LabError::Zones(error.to_string()))?;
        let dns = zone.local_addr();
        let mut operators = Vec::with_capacity(CASTS.len());
        for (cast, ssp) in sockets {
            operators.push(operator(cast, folder, dns, ssp).await?);
        }
        let [alpha, beta, hub, isle] =
            <[Operator; 4]>::try_from(operators).unwrap_or_else(|_| unreachable!("one for each cast"));
        Ok(Self {
            dns,
            alpha,
            beta,
            hub,
            isle,
            ports,
            zone,
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
        self.zone.replace(zones(&self.ports, &records)?).await;
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
}

const ALPHA: Cast = Cast {
    name: "alpha",
    subscribers: &[("+447700900123", "ada", "Ada"), ("+447700900124", "al", "Al")],
    peers: &["beta", "hub"],
    gateway: Some("hub"),
};
const BETA: Cast = Cast {
    name: "beta",
    subscribers: &[("+447700900456", "bea", "Bea"), ("+447700900457", "ben", "Ben")],
    peers: &["alpha", "hub"],
    gateway: Some("hub"),
};
const HUB: Cast = Cast {
    name: "hub",
    subscribers: &[("+447700900223", "hal", "Hal")],
    peers: &["alpha", "beta", "isle"],
    gateway: None,
};
const ISLE: Cast = Cast {
    name: "isle",
    subscribers: &[("+447700900323", "isa", "Isa")],
    peers: &["hub"],
    gateway: Some("hub"),
};

const CASTS: [&Cast; 4] = [&ALPHA, &BETA, &HUB, &ISLE];

impl Cast {
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
    dns: SocketAddr,
    ssp: TcpListener,
) -> Result<Operator, LabError> {
    let text = config_text(cast, folder, dns, ssp.local_addr()?);
    let path = folder.join(format!("{}.toml", cast.name));
    write_file(&path, &text, 0o600)?;
    let config = Config::load(&path)?;
    let (sender, trails) = mpsc::unbounded_channel();
    let sockets = Sockets {
        ssp: Some(ssp),
        subscribers: Some(bind().await?),
        trails: Some(sender),
        reload: None,
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
fn config_text(cast: &Cast, folder: &Path, dns: SocketAddr, ssp: SocketAddr) -> String {
    let (name, folder) = (cast.name, folder.display());
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
authorities = "{folder}/ca.pem"

[routing]
views = [{{ name = "lab", resolvers = ["{dns}"] }}]
apexes = [{{ apex = "e164enum.net", view = "lab", trust = "private" }}]
ladder = {{ ssp = true, sip = false, xmpp = false }}
{gateway}
[admin]
listen = "127.0.0.1:0"

[home]
listen = "127.0.0.1:0"
public_attributes = ["OnlineStatus", "UserAvailability", "StatusText", "StatusMood"]

[[home.domain]]
name = "{name}.example"
"#
    );
    for (number, user, friendly_name) in cast.subscribers {
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
        let transit = cast.transit_with(peer);
        text.push_str(&format!(
            r#"
[[agreement]]
peer = "{peer}"
domains = ["{peer}.example"]
services.in = ["search", "presence", "message", "invite", "notice", "group"]
services.out = ["search", "presence", "message", "invite", "notice", "group"]
allowed_networks = ["127.0.0.0/8"]
{transit}"#
        ));
    }
    text
}

/// The bundled zones, with the ports of this run, and with more records in ENUM.
fn zones(ports: &[(&'static str, u16)], records: &str) -> Result<ZoneSet, LabError> {
    let fault = |error: &dyn std::fmt::Debug| LabError::Zones(format!("{error:?}"));
    let mut zones = ZoneSet::default();
    for (origin, text) in [
        ("e164enum.net", include_str!("../../zones/e164enum.net.zone")),
        ("alpha.example", include_str!("../../zones/alpha.example.zone")),
        ("beta.example", include_str!("../../zones/beta.example.zone")),
        ("hub.example", include_str!("../../zones/hub.example.zone")),
        ("isle.example", include_str!("../../zones/isle.example.zone")),
    ] {
        let origin: Name = origin.parse().map_err(|error| fault(&error))?;
        let text = match origin.as_str() {
            "e164enum.net." | "e164enum.net" => format!("{text}\n$ORIGIN e164enum.net.\n{records}"),
            _ => text.to_owned(),
        };
        zones = zones.with_zone(&text, &origin).map_err(|error| fault(&error))?;
    }
    for (name, port) in ports {
        let owner = format!("_imps-server._tcp.{name}.example");
        let owner: Name = owner.parse().map_err(|error| fault(&error))?;
        zones = zones
            .with_srv_port(&owner, *port)
            .map_err(|error| fault(&error))?;
    }
    Ok(zones)
}

/// What a subscriber of the lab logs in with.
fn password_of(user: &str) -> String {
    format!("{user}-on-the-lab")
}

/// A listener on a free loopback port.
pub(super) async fn bind() -> std::io::Result<TcpListener> {
    TcpListener::bind(loopback()).await
}

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}
