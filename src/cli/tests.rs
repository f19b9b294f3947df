//! The commands as people type them, against a real admin API on loopback.

use clap::CommandFactory;

use super::{
    noc::carry_out,
    output::{Done, Failure},
    *,
};
use crate::{
    admin::{Role, tests::Node},
    model::Timestamp,
    store::Place,
};

/// The commands of operators alone.
#[derive(Parser)]
struct Operator {
    #[command(subcommand)]
    command: NocCommand,
}

fn noc<'a>(words: impl IntoIterator<Item = &'a str>) -> NocCommand {
    Operator::try_parse_from(words).unwrap().command
}

async fn run_on(node: &Node, role: Role, words: &[&str]) -> Done {
    // There may be one from another test.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let file = node.dir.path().join(format!("{role}.token"));
    std::fs::write(&file, node.token(role).await).unwrap();
    let admin = format!("http://127.0.0.1:{}", node.port);
    let tail = ["--admin", &admin, "--token-file", file.to_str().unwrap()];
    let words = std::iter::once("impsgw").chain(words.iter().copied()).chain(tail);
    carry_out(noc(words)).await
}

#[test]
fn command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn each_command_has_json_or_commands_that_have() {
    fn check(command: &clap::Command) {
        let subcommands: Vec<_> = command
            .get_subcommands()
            .filter(|one| one.get_name() != "help")
            .collect();
        if subcommands.is_empty() {
            let has_json = command
                .get_arguments()
                .any(|argument| argument.get_id() == "json");
            assert!(has_json, "{} has no --json", command.get_name());
        }
        subcommands.into_iter().for_each(check);
    }
    check(&Operator::command());
}

#[tokio::test]
async fn commands_end_as_the_thing_asked_about_is() {
    let node = Node::start().await;
    let due = Timestamp(1_800_000_000_000);
    node.item(1, Place::Scheduled { due });
    node.item(
        2,
        Place::Dead {
            reason: "outcome unknown".into(),
        },
    );
    let silent_bad = || Err(Failure::Bad(String::new()));
    for (line, wanted) in [
        ("peer list", Ok(())),
        ("peer show beta --json", Ok(())),
        ("peer suspend beta --reason test", Ok(())),
        ("peer show beta", silent_bad()),
        ("peer resume beta", Ok(())),
        ("route +447700900123", silent_bad()),
        (
            "override add --number +4477009 --to-domain alpha.example --for 1h",
            Ok(()),
        ),
        ("override list", Ok(())),
        ("route +447700900123 --service pres", Ok(())),
        ("override remove --number +4477009", Ok(())),
        ("cache list --prefix +44", Ok(())),
        ("cache show", Ok(())),
        ("cache flush --all", Ok(())),
        ("agreement list", Ok(())),
        ("queue list", Ok(())),
        ("queue list --queue beta.example", Ok(())),
        ("queue hold 1 --reason test", Ok(())),
        ("queue release 1", Ok(())),
        ("queue retry 2", Ok(())),
        (
            "queue list --place dead --older-than 2h --limit 1 --after 1",
            Ok(()),
        ),
        ("queue hold --queue beta.example --reason test", Ok(())),
        ("queue list --json", Ok(())),
        ("queue release --queue beta.example", Ok(())),
        ("queue hold --all --yes", Ok(())),
        ("queue release --place held", Ok(())),
        ("queue discard 1 --reason test --json", Ok(())),
        ("queue discard 1 --reason test", Err(Failure::Bad(GONE.into()))),
        ("queue redirect 2 --to beta", Err(Failure::Usage(NO_BETA.into()))),
        (
            "queue redirect --queue beta.example --to beta --yes",
            silent_bad(),
        ),
        ("queue discard --queue beta.example --reason test --yes", Ok(())),
        ("store status", Ok(())),
        ("trace +447700900199", silent_bad()),
        ("token create noc --role operate", Ok(())),
        ("token list", Ok(())),
        ("audit --last 36500d", Ok(())),
        ("reload", silent_bad()),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let done = run_on(&node, Role::Admin, &words).await;
        assert_eq!(done, wanted, "{line}");
    }
}

#[tokio::test]
async fn refusals_say_why_and_what_to_do() {
    let node = Node::start().await;
    for (role, line, is_usage, words) in [
        (
            Role::Read,
            "peer suspend beta",
            false,
            "the role operate is needed",
        ),
        (Role::Admin, "peer show gamma", false, "no peer gamma"),
        (Role::Admin, "queue show 77", false, "may have been delivered"),
        (Role::Admin, "cache flush", true, "--all"),
        (Role::Admin, "queue discard", true, "--queue"),
        (Role::Admin, "queue discard 1", true, "--reason"),
        (
            Role::Admin,
            "queue discard --queue beta.example --reason x",
            true,
            "--yes",
        ),
        (Role::Admin, "queue hold --all", true, "--yes"),
        (
            Role::Admin,
            "queue redirect --place dead --to beta",
            true,
            "--yes",
        ),
        (Role::Admin, "queue hold 1 --queue beta.example", true, "not both"),
        (Role::Admin, "queue list --older-than soon", true, "write it as"),
        (Role::Read, "queue hold 1", false, "the role operate is needed"),
        (Role::Admin, "route +44*", true, "wildcard"),
        (Role::Admin, "watch +447700900123 --for soon", true, "write it as"),
    ] {
        let parts: Vec<&str> = line.split(' ').collect();
        match run_on(&node, role, &parts).await {
            Err(Failure::Usage(text)) if is_usage => assert!(text.contains(words), "{line}: {text}"),
            Err(Failure::Bad(text)) if !is_usage => assert!(text.contains(words), "{line}: {text}"),
            other => panic!("{line}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn gateway_that_is_down_is_named() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "impsgw_x_y").unwrap();
    // A port that was free a moment ago, with nobody behind it.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let admin = format!("http://127.0.0.1:{port}");
    let words = [
        "impsgw",
        "peer",
        "list",
        "--admin",
        &admin,
        "--token-file",
        file.to_str().unwrap(),
    ];
    let done = carry_out(noc(words)).await;
    let Err(Failure::Bad(text)) = done else {
        panic!("{done:?}")
    };
    assert!(text.contains("is the gateway running"), "{text}");
}

#[tokio::test]
async fn missing_token_file_is_a_usage_mistake() {
    let words = ["impsgw", "peer", "list", "--token-file", "/nowhere/token"];
    let done = carry_out(noc(words)).await;
    assert!(matches!(done, Err(Failure::Usage(text)) if text.contains("--token-file")));
}

const GONE: &str = "there is no item 1; it may have been delivered";
const NO_BETA: &str = "bad request: \"beta\" is neither a peer nor a domain";
