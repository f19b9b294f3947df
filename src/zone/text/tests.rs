use super::super::records::Data;
use super::*;

fn read(text: &str) -> Parsed {
    parse(text, Some(&"op.example".parse().unwrap()))
}

fn fault(text: &str) -> (usize, FaultKind) {
    let parsed = read(text);
    assert_eq!(parsed.faults.len(), 1, "{:?}", parsed.faults);
    let fault = parsed.faults.into_iter().next().unwrap();
    (fault.line, fault.kind)
}

#[test]
fn owners_ttls_and_origins_carry_over() {
    let parsed =
        read("$TTL 1h\na IN A 192.0.2.1\n  60 A 192.0.2.2\n$ORIGIN sub\nb A 192.0.2.3\n@ IN 5 A 192.0.2.4\n");
    assert_eq!(parsed.faults, []);
    let rows: Vec<(usize, &str, u32)> = parsed
        .entries
        .iter()
        .map(|entry| (entry.line, entry.owner.as_str(), entry.ttl))
        .collect();
    let expected = [
        (2, "a.op.example.", 3_600),
        (3, "a.op.example.", 60),
        (5, "b.sub.op.example.", 3_600),
        (6, "sub.op.example.", 5),
    ];
    assert_eq!(rows, expected);
}

#[test]
fn parentheses_join_lines_and_comments_end_them() {
    let parsed = read("@ 60 IN SOA ns hostmaster ( 1 ; serial\n 2 3 ; both\n 4w 5 ) ; end\n@ 60 NS ns");
    assert_eq!(parsed.faults, []);
    let Data::Soa { times, minimum, .. } = &parsed.entries[0].data else {
        panic!("{:?}", parsed.entries[0]);
    };
    assert_eq!((times, *minimum), (&[1, 2, 3, 2_419_200], 5));
    assert_eq!(parsed.entries[1].line, 4);
}

#[test]
fn backslashes_are_undone_once_and_semicolons_in_quotes_stay() {
    let parsed = read(r#"x 60 NAPTR 1 2 "u" "E2U+sip" "!^\\+(.*)$!sip:\\1@a.example;user=phone!" ."#);
    let Data::Naptr(naptr) = &parsed.entries[0].data else {
        panic!("{:?}", parsed.faults);
    };
    assert_eq!(naptr.regexp, br"!^\+(.*)$!sip:\1@a.example;user=phone!");
    assert_eq!(
        parsed.entries[0].fields[4],
        r#""!^\\+(.*)$!sip:\\1@a.example;user=phone!""#
    );
}

#[test]
fn every_fault_has_its_line_and_hides_no_other_line() {
    let text = "a 60 A 192.0.2.1\nb 60 A 192.0.2\nc 60 TXT \"open\nd 60 A 192.0.2.4\n";
    let parsed = read(text);
    assert_eq!(parsed.entries.len(), 2);
    assert_eq!(
        parsed.faults.iter().map(|fault| fault.line).collect::<Vec<_>>(),
        [2, 3]
    );
}

#[test]
fn faults_are_named() {
    assert_eq!(fault("a A 192.0.2.1"), (1, FaultKind::NoTtl));
    assert_eq!(fault("\n 60 A 192.0.2.1"), (2, FaultKind::NoOwner));
    assert_eq!(fault("a 60 IN"), (1, FaultKind::NoType));
    assert_eq!(fault("a 60 CH A 192.0.2.1"), (1, FaultKind::Class("CH".into())));
    assert_eq!(fault("a 60 NOPE x"), (1, FaultKind::UnknownType("NOPE".into())));
    assert_eq!(
        fault("$INCLUDE other"),
        (1, FaultKind::Directive("$INCLUDE".into()))
    );
    assert_eq!(fault("$TTL soon"), (1, FaultKind::DirectiveValue("$TTL".into())));
    assert_eq!(
        fault("a..b 60 A 192.0.2.1"),
        (1, FaultKind::BadName("a..b".into()))
    );
    assert_eq!(fault("@ 60 TXT ( a"), (1, FaultKind::Parenthesis));
    assert_eq!(fault("@ 60 TXT a )"), (1, FaultKind::Parenthesis));
    assert_eq!(
        parse("a 60 A 192.0.2.1", None).faults[0].kind,
        FaultKind::NoOrigin("a".into())
    );
    for broken in [
        "a 60 SRV 1 2 3",
        "a 60 SRV 1 2 70000 b",
        "a 60 AAAA 192.0.2.1",
        "a 60 NAPTR 1 2 u s r",
    ] {
        assert!(matches!(fault(broken).1, FaultKind::Data { .. }), "{broken}");
    }
}

#[test]
fn a_bad_owner_is_not_replaced_by_the_one_before() {
    let parsed = read("a 60 A 192.0.2.1\nb..c 60 A 192.0.2.2\n 60 A 192.0.2.3\n");
    assert_eq!(parsed.entries.len(), 1);
    assert_eq!(parsed.faults[1].kind, FaultKind::NoOwner);
}

#[test]
fn texts_are_octets() {
    let parsed = read("a 60 TXT \"v=1; \\195\\171\\\"\" plain");
    let rdata = parsed.entries[0].data.rdata().unwrap();
    let hickory_proto::rr::RData::TXT(txt) = rdata else {
        panic!("{rdata}");
    };
    let texts: Vec<&[u8]> = txt.txt_data.iter().map(AsRef::as_ref).collect();
    assert_eq!(texts, ["v=1; ë\"".as_bytes(), b"plain"]);
    assert!(matches!(fault("a 60 TXT \\25"), (1, FaultKind::Data { .. })));
    assert!(matches!(fault("a 60 TXT \\256"), (1, FaultKind::Data { .. })));
}
