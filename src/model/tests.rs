use super::*;

fn address(text: &str) -> WvAddress {
    text.parse().unwrap()
}

#[test]
fn number_is_the_same_person_under_any_domain() {
    assert_eq!(
        address("wv:+447700900123@alpha.example").key(),
        address("+447700900123").key()
    );
    assert_ne!(
        address("wv:ada@alpha.example").key(),
        address("wv:ada@beta.example").key()
    );
}

#[test]
fn address_is_compared_without_case_and_shown_as_written() {
    assert_eq!(address("WV:Ada@ALPHA.example"), address("wv:ada@alpha.example"));
    assert_eq!(
        address("wv:Ada@ALPHA.example").to_string(),
        "wv:Ada@alpha.example"
    );
}

#[test]
fn group_keeps_its_owner() {
    let group = address("wv:+447700900456/walkers@bravo.example");
    assert!(group.is_group());
    assert_eq!(group.resource(), Some("walkers"));
    assert_eq!(group.key(), "+447700900456/walkers@bravo.example");
}

#[test]
fn wildcard_in_a_number_is_named_as_such() {
    assert_eq!("+4477*".parse::<E164>(), Err(InvalidE164::Wildcard));
    assert_eq!(
        "wv:+4477?".parse::<WvAddress>(),
        Err(InvalidAddress::Number(InvalidE164::Wildcard))
    );
}

#[test]
fn malformed_addresses_are_refused() {
    for bad in [
        "",
        "wv:",
        "wv:a b@c.example",
        "wv:a@",
        "wv:a@localhost",
        "wv:a@10.0.0.1",
        "wv:x/@c.example",
    ] {
        assert!(bad.parse::<WvAddress>().is_err(), "{bad}");
    }
}

#[test]
fn domain_is_lower_case_a_labels() {
    assert_eq!(
        "Bücher.Example.".parse::<Domain>().unwrap().as_str(),
        "xn--bcher-kva.example"
    );
}

#[test]
fn qualifier_f_hides_a_value() {
    let mut presence = Presence::default();
    presence.set(AttributeName::OnlineStatus, Some(AttributeValue::Flag(true)));
    assert_eq!(presence.online(), Some(true));
    presence.attributes[0].qualifier = Some(false);
    assert_eq!(presence.online(), None);
}

#[test]
fn timestamps_are_shown_as_iso_8601() {
    assert_eq!(
        Timestamp::from_seconds(1_237_026_030).to_string(),
        "2009-03-14T10:20:30Z"
    );
}

#[test]
fn search_concerns_the_one_it_names() {
    let search = |element, text: &str| {
        Request::Search(Search {
            by: address("wv:+447700900123"),
            pairs: vec![SearchPair {
                element,
                text: text.into(),
            }],
            limit: 10,
            resume: None,
        })
        .concerns()
    };
    let by_number = search(SearchElement::UserMobileNumber, "tel:+44 7700-900456");
    assert_eq!(by_number, [address("wv:+447700900456")]);
    assert_eq!(search(SearchElement::UserMobileNumber, "+44770*"), []);
    assert_eq!(
        search(SearchElement::UserId, "wv:bea@beta.example"),
        [address("wv:bea@beta.example")]
    );
    assert_eq!(search(SearchElement::UserFirstName, "bea"), []);
}
