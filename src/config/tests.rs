use super::*;

const GOOD: &str = r#"
[gateway]
domains = ["alpha.example"]

[ssp]
listen_plain = "127.0.0.1:0"

[[agreement]]
peer = "beta"
domains = ["beta.example"]
services.in = ["message"]
services.out = ["message", "search"]
allowed_networks = ["127.0.0.0/8"]
tls.required = false
limits.max_content = "10 KiB"
answer_timeout = "10s"
"#;

fn mistakes(text: &str) -> Vec<(usize, String)> {
    let mistakes = Config::parse(text, "test.toml").unwrap_err();
    mistakes
        .0
        .into_iter()
        .map(|mistake| (mistake.line, mistake.text))
        .collect()
}

#[test]
fn agreement_is_read_with_units() {
    let config = Config::parse(GOOD, "test.toml").unwrap();
    let agreement = &config.agreements[0];
    assert_eq!(agreement.limits.max_content.0, 10 * 1024);
    assert_eq!(agreement.answer_timeout.as_secs(), 10);
    assert!(agreement.allowed_networks.allows("127.0.0.1".parse().unwrap()));
    assert!(!agreement.allowed_networks.allows("10.0.0.1".parse().unwrap()));
}

#[test]
fn every_mistake_is_reported_with_its_line() {
    let text = r#"[gateway]
domains = ["alpha.example"]
nodee = "x"

[ssp]
listen_plain = "nowhere"
time_to_live = "soon"

[sssp]
x = 1

[[agreement]]
peer = "beta"
domains = ["beta.example"]
services.in = ["massage"]
answer_timeout = 3
"#;
    let found = mistakes(text);
    for line in [3, 6, 7, 9, 15, 16] {
        assert!(
            found.iter().any(|(at, _)| *at == line),
            "nothing for line {line} in {found:?}"
        );
    }
}

#[test]
fn syntax_errors_do_not_hide_one_another() {
    let found = mistakes("[gateway]\ndomains = \nnode = =\n");
    assert!(found.iter().any(|(line, _)| *line == 2), "{found:?}");
    assert!(found.iter().any(|(line, _)| *line == 3), "{found:?}");
}

#[test]
fn own_domain_is_no_partner() {
    let found = mistakes(&GOOD.replace("beta.example", "alpha.example"));
    assert!(
        found
            .iter()
            .any(|(line, text)| *line == 8 && text.contains("our own domains")),
        "{found:?}"
    );
}

#[test]
fn peer_and_domain_occur_once() {
    let twice = format!("{GOOD}\n[[agreement]]\npeer = \"beta\"\ndomains = [\"beta.example\"]\n");
    let found = mistakes(&twice);
    assert!(
        found
            .iter()
            .any(|(_, text)| text.contains("has an agreement already")),
        "{found:?}"
    );
    assert!(
        found.iter().any(|(_, text)| text.contains("as well")),
        "{found:?}"
    );
}

#[test]
fn tls_listener_needs_its_files() {
    let found = mistakes(&GOOD.replace("listen_plain", "listen"));
    assert!(
        found
            .iter()
            .any(|(_, text)| text.contains("listen needs certificate")),
        "{found:?}"
    );
}
