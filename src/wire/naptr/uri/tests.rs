//! Mailboxes, numbers and schemes of URIs.

use super::*;

fn mailbox(rest: &str) -> Result<(String, String), UriError> {
    Mailbox::parse(rest).map(|mailbox| (mailbox.local, mailbox.domain.without_dot().to_owned()))
}

fn target(uri: &str, service: &str) -> Result<Target, UriError> {
    AbsoluteUri::parse(uri.as_bytes())?.target(&service.parse().unwrap())
}

#[test]
fn mailbox_is_split_before_it_is_decoded() {
    for (rest, local, domain) in [
        ("alice@op.example", "alice", "op.example"),
        ("anna%2Fm%40x@op.example", "anna/m@x", "op.example"),
        ("a@b@op.example", "a@b", "op.example"),
        ("alice@OP.Example.?subject=a@b", "alice", "op.example"),
        ("+447700900123@op.example", "+447700900123", "op.example"),
        ("zo%C3%AB@b%C3%BCcher.example", "zoë", "xn--bcher-kva.example"),
        ("Alice%20B@op.example", "Alice B", "op.example"),
    ] {
        assert_eq!(mailbox(rest), Ok((local.to_owned(), domain.to_owned())), "{rest}");
    }
}

#[test]
fn broken_mailboxes_have_their_reasons() {
    assert_eq!(mailbox("//alice@op.example"), Err(UriError::Slashes));
    assert_eq!(mailbox("alice"), Err(UriError::NoMailbox));
    assert_eq!(mailbox("@op.example"), Err(UriError::NoMailbox));
    assert_eq!(mailbox("?a@op.example"), Err(UriError::NoMailbox));
    assert_eq!(mailbox("a%00@op.example"), Err(UriError::LocalPart));
    assert_eq!(mailbox("a%ff@op.example"), Err(UriError::LocalPart));
    for domain in [
        "",
        "localhost",
        "192.0.2.1",
        "[2001:db8::1]",
        "a..b",
        "op.example..",
        "a_b.example",
        "op.example:5060",
        "%ff.x",
    ] {
        assert_eq!(
            mailbox(&format!("a@{domain}")),
            Err(UriError::Domain(domain.to_owned())),
            "{domain}"
        );
    }
}

#[test]
fn absolute_uris_are_told_from_other_text() {
    for good in [
        "im:a@b.example",
        "SIP:a@b",
        "data:,",
        "http://x/?y",
        "mailto:+44/TYPE=PLMN@mms.example",
    ] {
        assert_eq!(AbsoluteUri::parse(good.as_bytes()).unwrap().as_str(), good);
    }
    for (bad, error) in [
        ("alice@op.example", UriError::NotAbsolute),
        ("1im:a@b", UriError::NotAbsolute),
        (":a", UriError::NotAbsolute),
        ("im:", UriError::NotAbsolute),
        ("im:a b@c", UriError::Character(' ')),
        ("im:a@b#f", UriError::Character('#')),
        ("im:a\u{7}@b", UriError::Character('\u{7}')),
        ("im:a%4", UriError::Percent),
        ("im:a%zz", UriError::Percent),
        ("im:zoë@op.example", UriError::NotAscii),
    ] {
        assert_eq!(AbsoluteUri::parse(bad.as_bytes()), Err(error), "{bad}");
    }
}

#[test]
fn portability_data_is_read_from_tel_and_from_the_user_part_of_sip() {
    let ported = "+12155550123;npdi;rn=+12155550199";
    for uri in [
        format!("tel:{ported}"),
        format!("sip:{ported}@gw.example;user=phone"),
    ] {
        let Ok(Target::Telephone(telephone)) = target(&uri, "pstn:tel") else {
            panic!("{uri}")
        };
        assert_eq!(telephone.aus.as_str(), "+12155550123");
        assert!(telephone.params.npdi && telephone.params.rn.is_some());
    }
    assert_eq!(target("sip:a@b.example", "sip"), Ok(Target::Opaque));
    assert!(matches!(
        target("tel:5550123;phone-context=+1", "voice:tel"),
        Err(UriError::Number(_))
    ));
    assert!(matches!(
        target("tel:+1215555;rn=x", "pstn:tel"),
        Err(UriError::Number(_))
    ));
}

#[test]
fn schemes_follow_the_registrations() {
    let fits = |service: &str, scheme| scheme_fits(&service.parse().unwrap(), scheme);
    assert!(
        fits("im", "im") && fits("sip", "sips") && fits("mms:mailto", "mailto") && fits("pstn:sip", "sips")
    );
    assert!(fits("x-try", "anything") && fits("im:sip", "sip") && fits("unused:data", "data"));
    assert!(
        !fits("im", "mailto") && !fits("pres", "sip") && !fits("mms:tel", "mailto") && !fits("vcard", "im")
    );
}
