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
fn mistakes_come_from_the_top_without_what_only_follows_from_them() {
    let found = mistakes(
        "[gateway]\ndomains = [\"alpha.example\"]\n[[agreement]]\npeer = \"beta\"\nfoo = 1\ndomains = [\"not a domain\"]\n[x]\n",
    );
    let lines: Vec<usize> = found.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [5, 6, 7], "{found:?}");
    assert!(
        found
            .iter()
            .any(|(_, text)| text.starts_with("[\"not a domain\"]: a domain name")),
        "{found:?}"
    );
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
            .any(|(line, text)| *line == 10 && text.contains("our own domains")),
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
            .any(|(line, text)| *line == 19 && text.contains("has an agreement already, in test.toml:9")),
        "{found:?}"
    );
    assert!(
        found
            .iter()
            .any(|(line, text)| *line == 20 && text.contains("is in test.toml:10 as well")),
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

/// Each mistake, put into the good configuration, with the line that must be named and words that must be said.
#[test]
fn each_mistake_is_named_where_it_stands() {
    for (from, to, line, words) in [
        (
            "domains = [\"alpha.example\"]",
            "domains = []",
            3,
            "domains is empty",
        ),
        ("domains = [\"alpha.example\"]", "domains = [\"alpha\"]", 3, ""),
        (
            "domains = [\"alpha.example\"]",
            "domains = [\"alpha.example\"]\nnode = \"a b\"",
            4,
            "letters, digits",
        ),
        (
            "domains = [\"alpha.example\"]",
            "domains = [\"alpha.example\"]\nlog.level = \"info,x=y=z\"",
            4,
            "no level",
        ),
        (
            "domains = [\"alpha.example\"]",
            "domains = [\"alpha.example\"]\ntrails.max_size = \"1 MiB\"",
            4,
            "8 MiB",
        ),
        (
            "\"127.0.0.1:0\"",
            "\"127.0.0.1:0\"\ntime_to_live = \"1s\"",
            7,
            "write 60s to 30d",
        ),
        (
            "\"127.0.0.1:0\"",
            "\"127.0.0.1:0\"\ntransactions_per_document = 0",
            7,
            "write 1 to 1000",
        ),
        (
            "\"127.0.0.1:0\"",
            "\"127.0.0.1:0\"\ncertificate = \"/nowhere\"",
            7,
            "no such file",
        ),
        ("listen_plain = \"127.0.0.1:0\"", "", 5, "no peer can reach us"),
        ("peer = \"beta\"", "peer = \"\"", 9, "empty"),
        ("[\"beta.example\"]", "[]", 10, "name the peer's domains"),
        ("tls.required = false", "tls.requird = false", 14, "unknown field"),
        ("\"10 KiB\"", "\"10 KB\"", 15, "64 KiB"),
        (
            "answer_timeout = \"10s\"",
            "answer_timeout = \"0s\"",
            16,
            "answer_timeout = \"0s\" is out of range: write 1s to 7d",
        ),
        ("answer_timeout = \"10s\"", "limits.burst = 0", 16, "limits.burst"),
        (
            "answer_timeout = \"10s\"",
            "limits.media_types = [\"text\"]",
            16,
            "media type",
        ),
        (
            "answer_timeout = \"10s\"",
            "servers = [\"im.beta.example\"]",
            16,
            "host:port",
        ),
        (
            "answer_timeout = \"10s\"",
            "speaks_for.numbers = [\"+44*\"]",
            16,
            "no prefix",
        ),
        (
            "answer_timeout = \"10s\"",
            "role = \"home\"",
            10,
            "must be in [gateway] domains",
        ),
        (
            "answer_timeout = \"10s\"",
            "presents = \"partner-domains\"",
            16,
            "how we speak to a home server",
        ),
        (
            "answer_timeout = \"10s\"",
            "delivery.first_retry = \"1h\"",
            16,
            "longer than longest_retry",
        ),
        (
            "answer_timeout = \"10s\"",
            "presents = \"partners\"",
            16,
            "partner-domains",
        ),
        (
            "\"127.0.0.1:0\"",
            "\"127.0.0.1:0\"\n[[ssp.identities]]\ncertificate = \"/nowhere\"\nkey = \"/dev/null\"",
            8,
            "no such file",
        ),
        ("[\"127.0.0.0/8\"]", "[\"127.0.0.0/40\"]", 13, "no network"),
        ("[ssp]", "[relay]\ncut_through = \"0s\"\n[ssp]", 6, "1s to 30s"),
        (
            "[ssp]",
            "[relay]\nfirst_retry = \"1h\"\n[ssp]",
            6,
            "longest_retry",
        ),
        (
            "[ssp]",
            "[relay]\noutbox_concurrency = 0\n[ssp]",
            6,
            "write 1 to 10000",
        ),
        ("[ssp]", "[store]\nmax_size = \"1 MiB\"\n[ssp]", 6, "16 MiB"),
        (
            "[ssp]",
            "[store]\nmax_items_per_queue = 2000000\n[ssp]",
            6,
            "larger than max_items",
        ),
        (
            "[ssp]",
            "[home]\nlisten = \"0.0.0.0:1\"\n[[home.domain]]\nname = \"alpha.example\"\n[ssp]",
            6,
            "set certificate and key, or tls_in_front = true",
        ),
        (
            "[ssp]",
            "[home]\nkey = \"/nowhere\"\n[[home.domain]]\nname = \"alpha.example\"\n[ssp]",
            5,
            "[home] has no certificate",
        ),
        (
            "[ssp]",
            "[home]\nlimits.idle = \"1s\"\n[[home.domain]]\nname = \"alpha.example\"\n[ssp]",
            6,
            "limits.idle = \"1s\" is out of range: write 10s to 7d",
        ),
        (
            "[ssp]",
            "[relay]\nquery_timeout = \"0s\"\n[ssp]",
            6,
            "write 1s to 5m",
        ),
        (
            "\"127.0.0.1:0\"",
            "\"127.0.0.1:0\"\nmax_connections = 5",
            5,
            "one source could take all",
        ),
        (
            "[ssp]",
            "[admin]\nlisten = \"0.0.0.0:1\"\n[ssp]",
            6,
            "hosts must name",
        ),
        ("[ssp]", "[admin]\nhosts = [\"https://x\"]\n[ssp]", 6, "no name"),
        (
            "[ssp]",
            "[admin]\nlisten = \"127.0.0.1:9\"\nhealth = \"127.0.0.1:9\"\n[ssp]",
            7,
            "its own port",
        ),
        (
            "[ssp]",
            "[routing.cache]\nrefresh_percent = 90\n[ssp]",
            6,
            "over 50",
        ),
        (
            "[ssp]",
            "[[routing.default_gateway]]\npeer = \"gamma\"\n[ssp]",
            5,
            "there is no agreement",
        ),
        (
            "[ssp]",
            "[[routing.home_ranges]]\nprefix = \"+44\"\ndomain = \"x.example\"\n[ssp]",
            5,
            "not ours",
        ),
        (
            "[ssp]",
            "[[routing.apexes]]\napex = \"e164.arpa\"\nview = \"none\"\n[ssp]",
            5,
            "not there",
        ),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let found = mistakes(&GOOD.replacen(from, to, 1));
        assert!(
            found.iter().any(|(at, text)| *at == line && text.contains(words)),
            "{to:?}: nothing with {words:?} for line {line} in {found:?}"
        );
    }
}

/// Each mistake in the settings of routing, put before `[ssp]`, which stands in line 5.
#[test]
fn each_mistake_of_routing_is_named_where_it_stands() {
    let view = "[[routing.views]]\nname = \"v\"\nresolvers = [\"127.0.0.1:53\"]";
    let apex = |settings: &str| {
        format!("{view}\n[[routing.apexes]]\napex = \"e164.arpa\"\nview = \"v\"\n{settings}")
    };
    let gateway = "[[routing.default_gateway]]\npeer = \"beta\"\nprefix = \"+44\"";
    for (section, line, words) in [
        (format!("{view}\ntimeout = \"0s\""), 5, "timeout of v is 0s"),
        (apex("timeout = \"0s\""), 8, "timeout of e164.arpa is 0s"),
        (apex("infrastructure_position = 0"), 8, "not 1 to 14"),
        (apex("infrastructure_position = 15"), 8, "not 1 to 14"),
        (apex("dnssec_required = true"), 8, "no trust_ad"),
        (
            apex("[[routing.apexes]]\napex = \"e164enum.net\"\nview = \"v\"\ntrust = \"private\""),
            8,
            "put private ones first",
        ),
        (
            "[[routing.routing_numbers]]\nprefix = \"\"\ndomain = \"beta.example\"".into(),
            5,
            "no beginning of routing numbers",
        ),
        (
            "[[routing.routing_numbers]]\nprefix = \"+44x\"\ndomain = \"beta.example\"".into(),
            5,
            "no beginning of routing numbers",
        ),
        (
            "[routing]\nown_hosts = [\"gw.alpha.example:99999\"]".into(),
            6,
            "no host",
        ),
        ("[routing]\nown_hosts = [\"\"]".into(), 6, "no host"),
        (
            "[routing]\nown_hosts = [\"192.0.2.1\"]".into(),
            6,
            "own_addresses",
        ),
        (
            "[routing]\nown_addresses = [\"gw.alpha.example\"]".into(),
            6,
            "no address",
        ),
        ("[routing.cache]\nroutes = \"1 KiB\"".into(), 6, "under 1 MiB"),
        ("[routing.ladder]\nsip = true".into(), 6, "no sip gateway runs"),
        ("[routing.ladder]\nxmpp = true".into(), 6, "no xmpp gateway runs"),
        (
            format!("{gateway}\n{gateway}"),
            5,
            "the same service, prefix and domain",
        ),
    ] {
        let found = mistakes(&GOOD.replacen("[ssp]", &format!("{section}\n[ssp]"), 1));
        assert!(
            found.iter().any(|(at, text)| *at == line && text.contains(words)),
            "{section:?}: nothing with {words:?} for line {line} in {found:?}"
        );
    }
}

#[test]
fn agreements_of_a_folder_are_read_and_blamed_with_their_file() {
    let dir = tempfile::tempdir().unwrap();
    let main = GOOD.replace(
        "domains = [\"alpha.example\"]",
        "domains = [\"alpha.example\"]\nagreement_dir = \"peers\"",
    );
    std::fs::write(dir.path().join("impsgw.toml"), main).unwrap();
    std::fs::create_dir(dir.path().join("peers")).unwrap();
    let gamma = "[[agreement]]\npeer = \"gamma\"\ndomains = [\"gamma.example\"]\n";
    std::fs::write(dir.path().join("peers/gamma.toml"), gamma).unwrap();
    std::fs::write(dir.path().join("peers/notes.txt"), "not read").unwrap();
    let config = Config::load(&dir.path().join("impsgw.toml")).unwrap();
    assert_eq!(config.agreements.len(), 2);
    std::fs::write(
        dir.path().join("peers/gamma.toml"),
        format!("{gamma}peeer = 1\n[ssp]\n"),
    )
    .unwrap();
    let mistakes = Config::load(&dir.path().join("impsgw.toml")).unwrap_err().0;
    let lines: Vec<_> = mistakes
        .iter()
        .filter(|mistake| mistake.file.ends_with("gamma.toml"))
        .map(|mistake| mistake.line)
        .collect();
    assert_eq!(lines.len(), 2, "{mistakes:?}");
    assert!(lines.contains(&4) && lines.contains(&5), "{mistakes:?}");
}

/// A mistake in one of several lines of a list is found in its own line.
#[test]
fn element_of_a_list_is_blamed_where_it_stands() {
    let found = mistakes(&GOOD.replace(
        "answer_timeout = \"10s\"",
        "servers = [\n  \"im.beta.example:7443\",\n  \"im.beta.example\",\n]",
    ));
    let lines: Vec<usize> = found.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [18], "{found:?}");
}

#[test]
fn what_only_a_start_takes_up_is_named() {
    let parse = |text: &str| Config::parse(text, "test.toml").unwrap();
    let start = parse(GOOD);
    let changed = GOOD
        .replace(
            "[\"alpha.example\"]",
            "[\"alpha.example\", \"new.example\"]\nagreement_dir = \"peers\"",
        )
        .replace("\"127.0.0.1:0\"", "\"127.0.0.1:0\"\ntime_to_live = \"2d\"");
    let changed = format!("{changed}\n[relay]\ncut_through = \"9s\"\n");
    assert_eq!(
        start.differences_at_start(&parse(&changed)),
        ["gateway.domains", "relay.cut_through", "ssp.time_to_live"]
    );
    assert!(start.differences_at_start(&start).is_empty());
    // Agreements are exchanged.
    let other = parse(&GOOD.replace("\"10s\"", "\"20s\""));
    assert!(start.differences_at_start(&other).is_empty());
}
