use std::net::IpAddr;

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
    assert!(parse(&["serve", "--config", "alpha.toml"]).is_err());
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
    let host = Host::Name("gw.example".parse().unwrap());
    assert_eq!(args.gateway, Some((host, 7100)));
    assert_eq!(args.home_domain, ["a.example".parse().unwrap()]);
}

#[test]
fn gateway_is_named_by_address_or_name() {
    for (text, host) in [
        (
            "198.51.100.7:7443",
            Host::Address("198.51.100.7".parse().unwrap()),
        ),
        (
            "[2001:db8::7]:7443",
            Host::Address("2001:db8::7".parse().unwrap()),
        ),
        (
            "ssp.alpha.example:7443",
            Host::Name("ssp.alpha.example".parse().unwrap()),
        ),
    ] {
        assert_eq!(host_and_port(text), Ok((host, 7443)));
    }
    for text in ["198.51.100.7", "gw.example:", "gw.example:70000", ":7443x"] {
        assert!(host_and_port(text).is_err(), "{text}");
    }
}

/// The arguments of the view, over the bundled zones.
fn view_of(more: &[&str]) -> ServeArgs {
    let serve = ["serve", "--gateway-view", "127.0.0.1:0"];
    let arguments: Vec<_> = serve.iter().chain(more).copied().collect();
    let ZoneCommand::Serve(args) = parse(&arguments).unwrap().command else {
        panic!("not serve");
    };
    args
}

async fn seen(more: &[&str]) -> Result<ZoneSet, String> {
    view::gateway_view(&view_of(more), ZoneSet::load_dir(Path::new("zones")).unwrap()).await
}

#[tokio::test]
async fn partners_and_gateway_are_those_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("alpha.toml");
    let text = "[gateway]\ndomains = [\"alpha.example\"]\n[ssp]\nlisten_plain = \"127.0.0.1:7070\"\n\
                [[agreement]]\npeer = \"home\"\ndomains = [\"alpha.example\"]\nrole = \"home\"\nservers = [\"10.0.0.1:1\"]\n\
                tls.required = false\n[[agreement]]\npeer = \"hub\"\ndomains = [\"hub.example\"]\n\
                speaks_for.domains = [\"third.example\"]\ntls.required = false\n";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let view = seen(&["--config", file, "--partner", "beta.example"])
        .await
        .unwrap();
    for partner in ["hub.example", "third.example", "beta.example"] {
        let host = format!("imps-gateway.{partner}").parse().unwrap();
        assert_eq!(
            view.addresses_of(&host),
            [IpAddr::from([127, 0, 0, 1])],
            "{partner}"
        );
    }
    assert!(
        view.addresses_of(&"imps-gateway.alpha.example".parse().unwrap())
            .is_empty()
    );
    std::fs::write(file, text.replace("127.0.0.1:7070", "0.0.0.0:7070")).unwrap();
    let refused = seen(&["--config", file]).await.unwrap_err();
    assert!(refused.contains("--gateway"), "{refused}");
    assert!(seen(&["--config", "no-such-file"]).await.is_err());
}

#[tokio::test]
async fn gateways_name_is_looked_up_in_the_zones_first() {
    let view = seen(&[
        "--gateway",
        "ssp.alpha.example:1",
        "--home-domain",
        "alpha.example",
    ])
    .await
    .unwrap();
    let host = "imps-gateway.beta.example".parse().unwrap();
    assert_eq!(view.addresses_of(&host), [IpAddr::from([127, 0, 0, 1])]);
    let refused = seen(&["--gateway", "nowhere.invalid:1"]).await.unwrap_err();
    assert!(refused.contains("write its address"), "{refused}");
}
