//! What people do by hand, done by a test: the commands of `docs/peering.md`, as they stand there, each walk in a fresh folder.
//!
//! Only the ports are exchanged for free ones, in the page, in the configurations and in the zones alike; the sandbox, whose ports
//! are fixed, gets an address of its own.

mod probe;

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

use crate::ports::free_address;

#[test]
fn two_gateways_peer_by_the_page_alone() {
    let Some(text) = walked("Try it on one machine", &Ports::new(&EXAMPLES)) else {
        return;
    };
    for wanted in [
        "it names alpha.example",
        "alpha.example – beta.example: open since",
        "\n=> beta.example by ssp at ssp.beta.example",
        "\"text\":\"Hello Beta\"",
        "\"text\":\"Hello Alpha\"",
        "and a gateway runs here",
        "THE END",
    ] {
        assert!(text.contains(wanted), "{wanted:?} is not there:\n{text}");
    }
}

#[test]
fn a_partner_tests_against_the_sandbox_by_the_page_alone() {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let mut ports = Ports::new(&PARTNER);
    ports.0.push(("127.0.0.2", format!("127.63.{high}.{low}")));
    let Some(text) = walked("Test against the sandbox", &ports) else {
        return;
    };
    for wanted in [
        "What your side needs:",
        "charlie.example – alpha.example: open since",
        "\"text\":\"Hello Echo\"",
        "THE END",
    ] {
        assert!(text.contains(wanted), "{wanted:?} is not there:\n{text}");
    }
}

/// Runs the commands below a heading of the page; what they printed, `None` when they can't be run here.
fn walked(heading: &str, ports: &Ports) -> Option<String> {
    let curl = Command::new("curl")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if curl.is_err() {
        assert!(
            std::env::var_os("REQUIRE_PEERS").is_none_or(|set| set != "1"),
            "curl is missing"
        );
        eprintln!("SKIPPED: curl is missing, so the commands of docs/peering.md are not run");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    for kind in ["config", "zones"] {
        fs::create_dir(folder.path().join(kind)).unwrap();
        for entry in fs::read_dir(root().join(kind)).unwrap() {
            let path = entry.unwrap().path();
            let text = ports.exchanged(&fs::read_to_string(&path).unwrap());
            fs::write(folder.path().join(kind).join(path.file_name().unwrap()), text).unwrap();
        }
    }
    let page = fs::read_to_string(root().join("docs/peering.md")).unwrap();
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let commands = ports.exchanged(&commands(section));
    assert!(commands.matches("impsgw ").count() >= 5, "{commands}");
    let log = folder.path().join("log");
    // Whatever happens, nothing is left running.
    let script = format!(
        "set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n{commands}\nwait\necho THE END\n"
    );
    let program = Path::new(env!("CARGO_BIN_EXE_impsgw")).parent().unwrap();
    let status = Command::new("timeout")
        .args(["--kill-after=10", "90", "bash", "-c", &script])
        .env(
            "PATH",
            format!("{}:{}", program.display(), std::env::var("PATH").unwrap()),
        )
        .env_remove("IMPSGW_CONFIG")
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(fs::File::create(&log).unwrap())
        .stderr(fs::File::options().append(true).open(&log).unwrap())
        .status()
        .unwrap();
    let text = fs::read_to_string(&log).unwrap();
    assert!(status.success(), "{status}\n{text}");
    Some(text)
}

/// The commands of a page: its blocks marked `sh`.
fn commands(page: &str) -> String {
    let mut commands = String::new();
    let mut is_inside = false;
    for line in page.lines() {
        match line {
            "```sh" => is_inside = true,
            "```" => is_inside = false,
            line if is_inside => commands.push_str(&format!("{line}\n")),
            _ => {}
        }
    }
    commands
}

/// Free ports in the place of those of the examples.
struct Ports(Vec<(&'static str, String)>);

impl Ports {
    fn new(examples: &[&'static str]) -> Self {
        let bound = |port: &&'static str| (*port, TcpListener::bind(free_address()).unwrap());
        // All are held before any is let go, so that no port comes twice.
        let listeners: Vec<_> = examples.iter().map(bound).collect();
        let free = |listener: &TcpListener| listener.local_addr().unwrap().port().to_string();
        Self(
            listeners
                .iter()
                .map(|(port, listener)| (*port, free(listener)))
                .collect(),
        )
    }

    fn exchanged(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (place, (example, _)) in self.0.iter().enumerate() {
            text = text.replace(example, &format!("@{place}@"));
        }
        for (place, (_, free)) in self.0.iter().enumerate() {
            text = text.replace(&format!("@{place}@"), free);
        }
        text
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

const EXAMPLES: [&str; 9] = [
    "5300", "17101", "17170", "17171", "17180", "17201", "17270", "17271", "17280",
];
/// The ports of `config/charlie.toml`.
const PARTNER: [&str; 4] = ["17501", "17570", "17571", "17580"];
