//! Brings up DNS and the operators Alpha and Beta, each a full gateway with an embedded home domain.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use tokio::{net::TcpListener, sync::mpsc};

use super::{
    Person,
    certs::{Authority, CertificateError, CertificateOrder, write_file},
};
use crate::{
    app::{App, Sockets, StartError},
    config::{Config, Mistakes},
    model::TrailRecord,
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
    cast: &'static Cast,
}

impl Operator {
    /// Its subscribers.
    pub fn people(&self) -> impl Iterator<Item = Person> + '_ {
        let person = |&(number, user, name): &(&'static str, &'static str, &'static str)| Person {
            operator: self.name,
            number,
            user: format!("{user}@{}.example", self.name),
            name,
            password: password_of(user),
        };
        self.cast.subscribers.iter().map(person)
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
        for name in [ALPHA.name, BETA.name] {
            let domain = format!("{name}.example");
            authority
                .issue(&CertificateOrder::for_domain(&domain, now))?
                .write(folder, name)?;
        }
        let (alpha_ssp, beta_ssp) = (bind().await?, bind().await?);
        let zones = zones(alpha_ssp.local_addr()?.port(), beta_ssp.local_addr()?.port())?;
        let zone = ZoneServer::start(zones, loopback())
            .await
            .map_err(|error| LabError::Zones(error.to_string()))?;
        let dns = zone.local_addr();
        let alpha = operator(&ALPHA, &BETA, folder, dns, alpha_ssp).await?;
        let beta = operator(&BETA, &ALPHA, folder, dns, beta_ssp).await?;
        Ok(Self {
            dns,
            alpha,
            beta,
            zone,
        })
    }

    /// Ends everything in order.
    pub async fn shut_down(self) {
        self.alpha.app.shut_down().await;
        self.beta.app.shut_down().await;
        self.zone.shutdown().await;
    }
}

#[derive(Debug)]
struct Cast {
    name: &'static str,
    subscribers: &'static [(&'static str, &'static str, &'static str)],
}

const ALPHA: Cast = Cast {
    name: "alpha",
    subscribers: &[("+447700900123", "ada", "Ada"), ("+447700900124", "al", "Al")],
};
const BETA: Cast = Cast {
    name: "beta",
    subscribers: &[("+447700900456", "bea", "Bea"), ("+447700900457", "ben", "Ben")],
};

async fn operator(
    cast: &'static Cast,
    other: &Cast,
    folder: &Path,
    dns: SocketAddr,
    ssp: TcpListener,
) -> Result<Operator, LabError> {
    let text = config_text(cast, other, folder, dns, ssp.local_addr()?);
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
        cast,
    })
}

/// The configuration of an operator, as one would write it by hand.
fn config_text(cast: &Cast, other: &Cast, folder: &Path, dns: SocketAddr, ssp: SocketAddr) -> String {
    let (name, peer, folder) = (cast.name, other.name, folder.display());
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
    text.push_str(&format!(
        r#"
[[agreement]]
peer = "{peer}"
domains = ["{peer}.example"]
services.in = ["search", "presence", "message", "invite", "notice", "group"]
services.out = ["search", "presence", "message", "invite", "notice", "group"]
allowed_networks = ["127.0.0.0/8"]
"#
    ));
    text
}

/// The bundled zones, with the ports of this run.
fn zones(alpha: u16, beta: u16) -> Result<ZoneSet, LabError> {
    let fault = |error: &dyn std::fmt::Debug| LabError::Zones(format!("{error:?}"));
    let mut zones = ZoneSet::default();
    for (origin, text) in [
        ("e164enum.net", include_str!("../../zones/e164enum.net.zone")),
        ("alpha.example", include_str!("../../zones/alpha.example.zone")),
        ("beta.example", include_str!("../../zones/beta.example.zone")),
    ] {
        let origin: Name = origin.parse().map_err(|error| fault(&error))?;
        zones = zones.with_zone(text, &origin).map_err(|error| fault(&error))?;
    }
    for (owner, port) in [
        ("_imps-server._tcp.alpha.example", alpha),
        ("_imps-server._tcp.beta.example", beta),
    ] {
        let owner: Name = owner.parse().map_err(|error| fault(&error))?;
        zones = zones.with_srv_port(&owner, port).map_err(|error| fault(&error))?;
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
