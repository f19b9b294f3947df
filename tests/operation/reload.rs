//! A changed configuration and SIGHUP: sessions stay, the new terms hold in them, and a bad file changes nothing.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use impsgw::wire::ssp::StatusCode;

use crate::hostile::peer::Peer;

const SEARCH: &str = "<SearchRequest><MetaInfo clientOriginated=\"Yes\"><Requestor serviceID=\"wv:@beta.example\"><User userID=\"wv:bea@beta.example\"/></Requestor></MetaInfo>\
                      <SearchPair searchElement=\"USER_ID\">ada</SearchPair></SearchRequest>";

#[tokio::test]
async fn changed_agreement_holds_in_the_open_session() {
    let mut beta = Peer::new("beta").await;
    let folder = tempfile::tempdir().unwrap();
    write_configuration(folder.path(), "");
    write_agreement(folder.path(), &beta, "\"message\"");
    let gateway = Gateway::start(folder.path()).await;
    let session = beta.open(gateway.ssp).await;
    let (status, text) = beta.ask(gateway.ssp, &session, SEARCH).await;
    assert_eq!(status, StatusCode::SERVICE_NOT_AGREED, "{text}");

    write_agreement(folder.path(), &beta, "\"message\", \"search\"");
    gateway.hang_up();
    gateway.logged("the configuration was taken up", 1).await;
    let (status, text) = beta.ask(gateway.ssp, &session, SEARCH).await;
    assert_eq!(status, StatusCode::SUCCESS, "{text}");

    // Neither a file that can't be read nor one with a mistake changes anything, and the log says where the mistake is.
    for (services, said) in [("", "beta.toml:1:"), ("\"massage\"", "beta.toml:4: ")] {
        let broken = if services.is_empty() { "= nonsense" } else { "" };
        write_agreement(folder.path(), &beta, services);
        let path = folder.path().join("peers/beta.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{broken}{text}")).unwrap();
        gateway.hang_up();
        gateway.logged(said, 1).await;
        gateway.logged("the old one stays", 1).await;
        let (status, text) = beta.ask(gateway.ssp, &session, SEARCH).await;
        assert_eq!(status, StatusCode::SUCCESS, "{text}");
    }
}

/// The domains are the start's, in every part; the operator is told.
#[tokio::test]
async fn changed_domains_wait_for_the_next_start() {
    let mut beta = Peer::new("beta").await;
    let folder = tempfile::tempdir().unwrap();
    write_configuration(folder.path(), "");
    write_agreement(folder.path(), &beta, "\"message\", \"search\"");
    let gateway = Gateway::start(folder.path()).await;
    let session = beta.open(gateway.ssp).await;
    write_configuration(folder.path(), ", \"new.example\"");
    gateway.hang_up();
    gateway.logged("gateway.domains", 1).await;
    let (status, text) = beta.ask(gateway.ssp, &session, SEARCH).await;
    assert_eq!(status, StatusCode::SUCCESS, "{text}");
}

/// The program, with what it logs.
struct Gateway {
    child: Child,
    ssp: SocketAddr,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Gateway {
    async fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_impsgw"))
            .args(["serve", "--config", "impsgw.toml"])
            .env_remove("RUST_LOG")
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = BufReader::new(child.stderr.take().unwrap());
        let kept = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        let mut gateway = Self {
            child,
            ssp: SocketAddr::from(([127, 0, 0, 1], 0)),
            lines,
        };
        let started = gateway.logged(" started ", 1).await;
        let (_, rest) = started.split_once("ssp=[").unwrap();
        gateway.ssp = rest.split_once(']').unwrap().0.parse().unwrap();
        gateway
    }

    fn hang_up(&self) {
        let sent = Command::new("kill")
            .args(["-HUP", &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits for so many lines with these words.
    async fn logged(&self, words: &str, count: usize) -> String {
        for _ in 0..1000 {
            let lines = self.lines.lock().unwrap().clone();
            let mut found = lines.into_iter().filter(|line| line.contains(words));
            if let Some(line) = found.nth(count - 1) {
                return line;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("nothing says {words:?}: {:#?}", self.lines.lock().unwrap());
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_configuration(folder: &Path, more_domains: &str) {
    let text = format!(
        r#"[gateway]
domains = ["alpha.example"{more_domains}]
agreement_dir = "peers"

[ssp]
listen_plain = "127.0.0.1:0"

[routing]
views = [{{ name = "none", resolvers = ["127.0.0.1:9"] }}]

[home]

[[home.domain]]
name = "alpha.example"

[[home.account]]
number = "+447700900123"
user = "ada"
friendly_name = "Ada"
password = "ada-among-wolves"
"#
    );
    fs::write(folder.join("impsgw.toml"), text).unwrap();
}

fn write_agreement(folder: &Path, peer: &Peer, services: &str) {
    fs::create_dir_all(folder.join("peers")).unwrap();
    let text = format!(
        r#"[[agreement]]
peer = "{}"
domains = ["{}"]
services.in = [{services}]
services.out = ["message"]
allowed_networks = ["127.0.0.0/8"]
servers = ["{}"]
tls.required = false
"#,
        peer.name, peer.domain, peer.address
    );
    fs::write(folder.join("peers/beta.toml"), text).unwrap();
}
