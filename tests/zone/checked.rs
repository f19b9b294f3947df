//! The validator: every mistake has a file in `tests/vectors/zone/`, found on the marked lines and nowhere else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use impsgw::zone::check::{Mistake, Report, Severity, Source, check};

fn source(path: &Path) -> Source {
    Source {
        file: path.file_name().unwrap().to_str().unwrap().to_owned(),
        origin: None,
        text: fs::read_to_string(path).unwrap(),
    }
}

fn marked(text: &str) -> BTreeSet<(usize, String)> {
    let lines = text.lines().enumerate();
    lines
        .filter_map(|(at, line)| Some((at + 1, line.split_once(";! ")?.1.to_owned())))
        .collect()
}

fn zones(wanted: impl Fn(&str) -> bool) -> Report {
    let files = fs::read_dir("zones").unwrap().map(|file| file.unwrap().path());
    let mut sources: Vec<Source> = files
        .filter(|path| path.extension().is_some_and(|end| end == "zone"))
        .map(|path| source(&path))
        .collect();
    sources.retain(|source| wanted(&source.file));
    check(&sources)
}

#[test]
fn every_mistake_is_found_on_its_lines_and_nowhere_else() {
    for mistake in Mistake::ALL {
        let source = source(&Path::new("tests/vectors/zone").join(format!("{mistake}.zone")));
        let expected = marked(&source.text);
        assert!(
            expected.iter().any(|(_, code)| code == mistake.code()),
            "{mistake}: no marked line"
        );
        let report = check(&[source]);
        let found: BTreeSet<(usize, String)> = report
            .findings
            .iter()
            .map(|finding| (finding.line, finding.mistake.code().to_owned()))
            .collect();
        assert_eq!(found, expected, "{mistake}:\n{report}");
        let bad = report
            .findings
            .iter()
            .any(|finding| finding.severity == Severity::Error);
        assert_eq!(report.is_bad(), bad, "{mistake}");
    }
}

#[test]
fn every_vector_is_of_a_mistake() {
    let known: BTreeSet<String> = Mistake::ALL
        .iter()
        .map(|mistake| format!("{mistake}.zone"))
        .collect();
    let files = fs::read_dir("tests/vectors/zone")
        .unwrap()
        .map(|file| file.unwrap().file_name());
    let files: BTreeSet<String> = files
        .map(|file| file.into_string().unwrap())
        .filter(|file| file.ends_with(".zone"))
        .collect();
    assert_eq!(files, known);
}

#[test]
fn bundled_zones_are_clean_but_for_the_numbers_that_go_wrong() {
    let nasty = |file: &str| file.starts_with('7');
    let clean = zones(|file| !nasty(file));
    assert_eq!(
        (clean.files.len(), clean.findings.as_slice()),
        (6, &[][..]),
        "{clean}"
    );
    let all = zones(|_| true);
    assert!(all.findings.iter().all(|finding| nasty(&finding.file)), "{all}");
    let codes: BTreeSet<&str> = all
        .findings
        .iter()
        .map(|finding| finding.mistake.code())
        .collect();
    for code in [
        "regexp",
        "flags",
        "loop",
        "no-terminal",
        "too-deep",
        "compound-scheme",
        "double-escaped",
    ] {
        assert!(codes.contains(code), "{code} in\n{all}");
    }
}

#[test]
fn files_are_checked_together() {
    let text = |origin: &str, records: &str| Source {
        file: origin.to_owned(),
        origin: Some(origin.parse().unwrap()),
        text: format!("$TTL 60\n@ SOA ns hostmaster 1 1 1 1 1\n@ NS ns\nns A 127.0.0.1\n{records}\n"),
    };
    let leads = text(
        "a.example",
        "3.2.1.0.7.7.4.4 NAPTR 1 1 \"\" \"\" \"\" x.b.example.",
    );
    let srv = text("c.example", "_imps-server._tcp SRV 1 1 1 h.b.example.");
    assert_eq!(check(&[leads.clone(), srv.clone()]).findings, []);
    let report = check(&[leads, srv, text("b.example", "y A 127.0.0.1")]);
    let found: Vec<(&str, Mistake)> = report
        .findings
        .iter()
        .map(|finding| (finding.file.as_str(), finding.mistake))
        .collect();
    let expected = [
        ("a.example", Mistake::NoTerminal),
        ("c.example", Mistake::TargetWithoutAddress),
    ];
    assert_eq!(found, expected);
}

proptest::proptest! {
    /// Whatever stands in a file: reading, checking and building it ends without a panic.
    #[test]
    fn no_text_can_stop_the_check(
        lines in proptest::collection::vec(
            "(a|\\*\\.1|3\\.2\\.1|@|\\$ORIGIN|\\$TTL|[ -~]{0,6}|\\PC{0,4}) ?(60 )?(IN )?(NAPTR|SRV|NS|SOA|A|CNAME|MX|TXT|CAA|DS|TLSA|SSHFP|HINFO|SVCB|HTTPS|CERT|CSYNC|OPENPGPKEY|SMIMEA|ANAME|PTR|[A-Z]{1,4})( [0-9]{1,5}){0,3}( (\"[ -~]{0,12}\"|[ -~]{0,8}|\\\\[0-9]{0,3})){0,4}",
            0..12,
        )
    ) {
        let text = format!("$TTL 60\n@ SOA ns x 1 1 1 1 1\n@ NS ns\nns A 127.0.0.1\n{}\n", lines.join("\n"));
        let origin: impsgw::wire::naptr::Name = "op.example".parse().unwrap();
        let source = Source { file: "any".to_owned(), origin: Some(origin.clone()), text: text.clone() };
        let report = check(&[source]);
        let served = impsgw::zone::ZoneSet::parse(&text, &origin);
        // What the check has no fault with in form, the server takes.
        let form = [Mistake::Syntax, Mistake::MissingSoa, Mistake::SecondSoa, Mistake::MissingNs, Mistake::OutOfZone, Mistake::SingleBackslash];
        if !report.findings.iter().any(|finding| form.contains(&finding.mistake)) {
            proptest::prop_assert!(served.is_ok(), "{served:?}");
        }
    }
}
