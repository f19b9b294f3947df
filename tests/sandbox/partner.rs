//! A sandbox, and the partner who tests against it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::AsFd,
    path::Path,
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, Instant, SystemTime},
};

use impsgw::{
    app::{App, Sockets},
    config::Config,
    lab::{
        Federation, Found, Guest, Handset, HandsetError, YOURS,
        certs::{Authority, CertificateOrder},
    },
};
use serde_json::Value;
use tokio::net::TcpListener;

/// A running sandbox.
pub(super) struct Sandbox {
    pub(super) folder: tempfile::TempDir,
    pub(super) federation: Federation,
    /// Where the partner listens.
    pub(super) socket: TcpListener,
    authority: Authority,
}

impl Sandbox {
    /// For `charlie.example`, at an address of its own, because the ports are fixed.
    pub(super) async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("Charlie's own", now()).unwrap();
        std::fs::write(folder.path().join("charlie-ca.pem"), authority.certificate_pem()).unwrap();
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let guest = guest(folder.path(), socket.local_addr().unwrap());
        let federation = Federation::start_for(&folder.path().join("sandbox"), guest)
            .await
            .unwrap();
        Self {
            folder,
            federation,
            socket,
            authority,
        }
    }

    /// The partner's socket once more, for his gateway.
    pub(super) fn socket(&self) -> TcpListener {
        let socket: std::net::TcpListener = self.socket.as_fd().try_clone_to_owned().unwrap().into();
        TcpListener::from_std(socket).unwrap()
    }

    /// Another house with a certificate of the partner's authority, its server at this socket.
    pub(super) async fn house(&self, domain: &str, ssp: TcpListener) -> House {
        let folder = self.folder.path();
        self.authority
            .issue(&CertificateOrder::for_domain(domain, now()))
            .unwrap()
            .write(folder, domain)
            .unwrap();
        let text = config(domain, folder, self.federation.dns, ssp.local_addr().unwrap());
        let path = folder.join(format!("{domain}.toml"));
        std::fs::write(&path, text).unwrap();
        let sockets = Sockets {
            ssp: Some(ssp),
            ..Sockets::default()
        };
        let app = App::start(Config::load(&path).unwrap(), sockets).await.unwrap();
        let subscribers = format!("http://{}", app.subscribers.unwrap());
        House { app, subscribers }
    }
}

/// A partner's gateway with two subscribers.
pub(super) struct House {
    pub(super) app: App,
    subscribers: String,
}

impl House {
    /// A handset of its own for +447700900601 (Cay) or 602 (Cat).
    pub(super) async fn handset(&self, number: &str) -> Handset {
        Handset::log_in(&self.subscribers, number, PASSWORD)
            .await
            .unwrap()
    }
}

/// Waits for an event, for longer than a handset does.
pub(super) async fn event(
    handset: &mut Handset,
    (kind, wanted): (&str, &str),
    within: Duration,
    fits: impl Fn(&Value) -> bool,
) -> Result<Value, String> {
    let deadline = clock() + within;
    loop {
        match handset.event(kind, wanted, &fits).await {
            Ok(event) => return Ok(event),
            Err(error) if clock() >= deadline => return Err(error.to_string()),
            Err(_) => {}
        }
    }
}

/// The IMPS status of a call, and its answer.
pub(super) fn status(answer: Result<Value, HandsetError>) -> (u64, Value) {
    match answer {
        Ok(answer) => (200, answer),
        Err(HandsetError::Refused { answer, .. }) => {
            let status = answer.pointer("/error/status").and_then(Value::as_u64);
            (status.unwrap_or_default(), answer)
        }
        Err(error) => panic!("{error}"),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a partner waits is what is tested"
)]
pub(super) fn clock() -> Instant {
    Instant::now()
}

/// The partner `charlie.example`, and where the lab serves him.
pub(super) fn guest(folder: &Path, server: SocketAddr) -> Guest {
    Guest {
        domain: "charlie.example".parse().unwrap(),
        authorities: folder.join("charlie-ca.pem"),
        found: Found::At(server),
        numbers: YOURS.to_owned(),
        listen: free_address(),
    }
}

/// A loopback address that nothing else of this machine uses: by the process and the count in it.
fn free_address() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let host = NEXT.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::new(127, 64 | (host & 0x3f), high, low).into()
}

#[expect(clippy::disallowed_methods, reason = "certificates are made for now")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn config(domain: &str, folder: &Path, dns: SocketAddr, ssp: SocketAddr) -> String {
    let folder = folder.display();
    let mut text = format!(
        r#"
[gateway]
node = "partner"
domains = ["{domain}"]
data_dir = "{folder}/{domain}-data"

[ssp]
listen = "{ssp}"
certificate = "{folder}/{domain}.pem"
key = "{folder}/{domain}.key.pem"
authorities = "{folder}/sandbox/ca.pem"

[routing]
views = [{{ name = "sandbox", resolvers = ["{dns}"] }}]
apexes = [{{ apex = "e164enum.net", view = "sandbox", trust = "private" }}]
ladder = {{ ssp = true, sip = false, xmpp = false }}

[home]
listen = "127.0.0.1:0"
public_attributes = ["OnlineStatus"]
limits = {{ requests_per_minute = 60000, devices = 100, connections = 100, password_memory = "8 KiB", password_passes = 1, login_attempts = 1000 }}

[[home.domain]]
name = "{domain}"
"#
    );
    for (number, user) in [("+447700900601", "cay"), ("+447700900602", "cat")] {
        text.push_str(&format!(
            "[[home.account]]\nnumber = \"{number}\"\nuser = \"{user}\"\ndomain = \"{domain}\"\n\
             friendly_name = \"{user}\"\npassword = \"{PASSWORD}\"\n"
        ));
    }
    for peer in ["alpha", "beta"] {
        text.push_str(&format!(
            "[[agreement]]\npeer = \"{peer}\"\ndomains = [\"{peer}.example\"]\n\
             services.in = [\"search\", \"presence\", \"message\", \"invite\", \"notice\"]\n\
             services.out = [\"search\", \"presence\", \"message\", \"invite\", \"notice\"]\n\
             limits.media_types = [\"*/*\"]\nallowed_networks = [\"127.0.0.0/8\"]\n"
        ));
    }
    text
}

const PASSWORD: &str = "tries-the-sandbox";
