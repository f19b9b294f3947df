use clap::Parser;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    zone: ZoneArgs,
}

fn parse(arguments: &[&str]) -> Result<ZoneArgs, clap::Error> {
    Cli::try_parse_from(["zone"].iter().chain(arguments)).map(|cli| cli.zone)
}

async fn output(arguments: &[&str]) -> (ExitCode, String) {
    let mut out = Vec::new();
    let code = run(parse(arguments).unwrap(), &mut out).await;
    (code, String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn clean_zones_are_good() {
    let (code, text) = output(&["check", "zones/alpha.example.zone", "zones/beta.example.zone"]).await;
    assert_eq!(
        (code, text.as_str()),
        (ExitCode::from(GOOD), "2 files, 0 errors, 0 warnings\n")
    );
}

#[tokio::test]
async fn directory_means_its_zone_files() {
    let (code, text) = output(&["check", "zones"]).await;
    assert_eq!(code, ExitCode::from(BAD), "one of them is made of mistakes");
    assert!(text.contains("\n7 files, "), "{text}");
    let (code, text) = output(&["check", "config"]).await;
    assert_eq!((code, text.as_str()), (ExitCode::from(USAGE), ""));
}

#[tokio::test]
async fn bad_zones_are_told_with_file_and_line() {
    let file = "tests/vectors/zone/regexp-and-replacement.zone";
    let (code, text) = output(&["check", file]).await;
    assert_eq!(code, ExitCode::from(BAD));
    assert!(
        text.starts_with(&format!("{file}:6: error regexp-and-replacement: ")),
        "{text}"
    );
    assert!(text.ends_with("1 file, 1 error, 0 warnings\n"), "{text}");
}

#[tokio::test]
async fn json_has_the_same_findings() {
    let file = "tests/vectors/zone/flag-i.zone";
    let (code, text) = output(&["check", "--json", file]).await;
    assert_eq!(code, ExitCode::from(GOOD), "a warning alone is good");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let finding = &report["findings"][0];
    assert_eq!(
        (finding["file"].as_str(), finding["line"].as_u64()),
        (Some(file), Some(6))
    );
    assert_eq!(
        (finding["severity"].as_str(), finding["mistake"].as_str()),
        (Some("warning"), Some("flag-i"))
    );
    assert!(
        finding["advice"]
            .as_str()
            .is_some_and(|advice| !advice.is_empty())
    );
}

#[tokio::test]
async fn a_file_that_is_not_there_is_usage() {
    let (code, text) = output(&["check", "zones/alpha.example.zone", "no-such.zone"]).await;
    assert_eq!((code, text.as_str()), (ExitCode::from(USAGE), ""));
}

#[tokio::test]
async fn zones_that_cannot_be_served_are_bad() {
    let (code, _) = output(&[
        "serve",
        "--zones",
        "tests/vectors/zone",
        "--listen",
        "127.0.0.1:0",
    ])
    .await;
    assert_eq!(code, ExitCode::from(BAD));
    let (code, _) = output(&["serve", "--zones", "no-such-directory", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(code, ExitCode::from(BAD));
}

#[test]
fn arguments_that_belong_together_are_asked_for_together() {
    assert!(parse(&["check"]).is_err());
    assert!(parse(&["serve", "--gateway-view", "127.0.0.1:0"]).is_err());
    assert!(parse(&["serve", "--gateway", "gw.example:1"]).is_err());
    assert!(
        parse(&[
            "serve",
            "--gateway-view",
            "127.0.0.1:0",
            "--gateway",
            "gw.example"
        ])
        .is_err()
    );
    let args = parse(&[
        "serve",
        "--gateway-view",
        "127.0.0.1:0",
        "--gateway",
        "gw.example:7100",
        "--home-domain",
        "a.example",
    ]);
    let ZoneCommand::Serve(args) = args.unwrap().command else {
        panic!("not serve");
    };
    assert_eq!(args.gateway, Some(("gw.example".parse().unwrap(), 7100)));
    assert_eq!(args.home_domain, ["a.example".parse().unwrap()]);
}
