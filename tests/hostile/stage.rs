//! A real gateway on loopback, with what it logs and whether anything in it panicked.
//!
//! Each test has a runtime of one thread, so everything that its gateway does runs on the test's own thread: its log and
//! its panics are this test's and nobody else's. The folder outlives a restart.

use std::{
    cell::RefCell,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, Once},
    time::Duration,
};

use impsgw::{
    app::{App, Sockets},
    config::Config,
    wire::naptr::Name,
    zone::{ZoneServer, ZoneSet},
};
use tempfile::TempDir;
use tracing::subscriber::DefaultGuard;

use super::peer::Peer;

/// The gateway of `alpha.example` with the subscriber Ada, and agreements with Beta and Gamma.
pub(super) struct Stage {
    pub(super) app: Option<App>,
    pub(super) folder: TempDir,
    config: String,
    lines: Log,
    zone: Option<ZoneServer>,
    _log: DefaultGuard,
}

/// How a test's gateway differs from the usual one.
#[derive(Default)]
pub(super) struct Setting<'a> {
    /// Lines of `[ssp]`.
    pub(super) ssp: &'a str,
    /// Lines of `[routing]`, instead of those for the bundled DNS server.
    pub(super) routing: Option<String>,
    /// Lines of the ENUM zone.
    pub(super) numbers: &'a str,
    /// Lines of `[relay]`.
    pub(super) relay: &'a str,
    /// Lines of each agreement.
    pub(super) agreement: &'a str,
    /// Whole sections.
    pub(super) more: &'a str,
}

/// What was logged.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

impl Stage {
    /// A gateway with the usual settings.
    pub(super) async fn new(peers: &[&Peer]) -> Self {
        Self::with(peers, &Setting::default()).await
    }

    /// A gateway with the test's settings; each peer's domain has its SRV record in the bundled DNS server.
    pub(super) async fn with(peers: &[&Peer], setting: &Setting<'_>) -> Self {
        watch_for_panics();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let lines = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .with_writer({
                let lines = lines.clone();
                move || lines.clone()
            })
            .finish();
        let log = tracing::subscriber::set_default(subscriber);
        let mut zone = None;
        let routing = match &setting.routing {
            Some(routing) => routing.clone(),
            None => {
                let server = ZoneServer::start(zones(peers, setting.numbers), loopback())
                    .await
                    .unwrap();
                let dns = server.local_addr();
                zone = Some(server);
                format!(
                    "[routing]\nviews = [{{ name = \"lab\", resolvers = [\"{dns}\"] }}]\n\
                     apexes = [{{ apex = \"e164.example\", view = \"lab\", trust = \"private\" }}]\n\
                     home_ranges = [{{ prefix = \"+447700900\", domain = \"alpha.example\" }}]\n\
                     ladder = {{ ssp = true, sip = false, xmpp = false }}\n"
                )
            }
        };
        let folder = tempfile::tempdir().unwrap();
        let config = config_text(peers, setting, &routing, &folder);
        let mut stage = Self {
            app: None,
            folder,
            config,
            lines,
            zone,
            _log: log,
        };
        stage.start().await;
        stage
    }

    /// Ends the gateway in order, and starts it again on its data.
    pub(super) async fn restart(&mut self) {
        self.app.take().unwrap().shut_down().await;
        self.start().await;
    }

    /// Where peers reach the gateway.
    pub(super) fn ssp(&self) -> SocketAddr {
        self.app.as_ref().unwrap().ssp[0]
    }

    /// Where subscribers reach it.
    pub(super) fn subscribers(&self) -> SocketAddr {
        self.app.as_ref().unwrap().subscribers.unwrap()
    }

    /// Where the NOC reaches it.
    pub(super) fn admin(&self) -> SocketAddr {
        self.app.as_ref().unwrap().admin.unwrap()
    }

    /// The token of the first start.
    pub(super) fn admin_token(&self) -> String {
        let path = self.folder.path().join("data/admin-token");
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    }

    /// Waits until the log has a line with all these words.
    pub(super) async fn logged(&self, words: &[&str]) -> String {
        let has_all = |line: &&str| words.iter().all(|word| line.contains(word));
        for _ in 0..500 {
            let text = self.lines.text();
            if let Some(line) = text.lines().find(has_all) {
                return line.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no line says {words:?}:\n{}", self.lines.text());
    }

    /// What is kept for peers, as the place of each item.
    pub(super) async fn items(&self) -> Vec<String> {
        let answer = reqwest::Client::builder()
            .no_proxy()
            .build()
            .unwrap()
            .get(format!("http://{}/api/v1/items", self.admin()))
            .bearer_auth(self.admin_token())
            .send()
            .await
            .unwrap();
        let answer: serde_json::Value = answer.json().await.unwrap();
        let items = answer["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["place"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Waits until nothing is kept.
    pub(super) async fn nothing_waits(&self) {
        for _ in 0..500 {
            if self.items().await.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{:?} still waits:\n{}", self.items().await, self.lines.text());
    }

    /// How many questions came to the bundled DNS server.
    pub(super) fn questions(&self) -> u64 {
        self.zone.as_ref().unwrap().queries()
    }

    /// How many lines have this word.
    pub(super) fn count_logged(&self, word: &str) -> usize {
        self.lines.text().matches(word).count()
    }

    /// Ends everything; the test fails when something panicked.
    pub(super) async fn end(mut self) {
        if let Some(app) = self.app.take() {
            tokio::time::timeout(Duration::from_secs(10), app.shut_down())
                .await
                .unwrap();
        }
        if let Some(zone) = self.zone.take() {
            zone.shutdown().await;
        }
        let panics = PANICS.with(|panics| panics.borrow().clone());
        assert!(panics.is_empty(), "{panics:#?}");
        let text = self.lines.text();
        assert!(!text.contains("panicked"), "{text}");
    }

    async fn start(&mut self) {
        let config = Config::parse(&self.config, "hostile.toml").unwrap_or_else(|error| panic!("{error}"));
        self.app = Some(App::start(config, Sockets::default()).await.unwrap());
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn config_text(peers: &[&Peer], setting: &Setting<'_>, routing: &str, folder: &TempDir) -> String {
    let data = folder.path().join("data");
    let mut text = format!(
        r#"[gateway]
domains = ["alpha.example"]
data_dir = "{}"

[ssp]
listen_plain = "127.0.0.1:0"
{}

{routing}

[relay]
{}

[admin]
listen = "127.0.0.1:0"

[home]
listen = "127.0.0.1:0"

[[home.domain]]
name = "alpha.example"

[[home.account]]
number = "+447700900123"
user = "ada"
domain = "alpha.example"
friendly_name = "Ada"
password = "ada-among-wolves"
"#,
        data.display(),
        setting.ssp,
        setting.relay,
    );
    for peer in peers {
        text.push_str(&format!(
            r#"
[[agreement]]
peer = "{}"
domains = ["{}"]
services.in = ["search", "presence", "message", "invite", "notice", "group"]
services.out = ["search", "presence", "message", "invite", "notice", "group"]
allowed_networks = ["127.0.0.0/8"]
tls = {{ required = false }}
{}
"#,
            peer.name, peer.domain, setting.agreement
        ));
    }
    text.push_str(setting.more);
    text
}

/// An SRV record for each peer, and an ENUM apex with these numbers.
fn zones(peers: &[&Peer], numbers: &str) -> ZoneSet {
    let mut zones = ZoneSet::default();
    let mut add = |origin: &str, more: &str| {
        let text = format!(
            "$TTL 300\n@ IN SOA ns hostmaster 1 3600 600 604800 60\n@ IN NS ns\nns IN A 127.0.0.1\n{more}"
        );
        let origin: Name = origin.parse().unwrap();
        zones = std::mem::take(&mut zones).with_zone(&text, &origin).unwrap();
    };
    add("e164.example", numbers);
    for peer in peers {
        let port = peer.address.port();
        add(
            &peer.domain,
            &format!("_imps-server._tcp IN SRV 10 0 {port} ssp\nssp IN A 127.0.0.1\n"),
        );
    }
    zones
}

/// A panic of a task is swallowed by the runtime; here it is kept.
fn watch_for_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.with(|panics| panics.borrow_mut().push(panic.to_string()));
            before(panic);
        }));
    });
    PANICS.with(|panics| panics.borrow_mut().clear());
}
