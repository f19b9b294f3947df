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
fn participant_is_not_the_group_and_reads_back() {
    let group = address("wv:+447700900456/walkers@bravo.example");
    let robin = group.participant(" Robin Hood & Söhne ").unwrap();
    assert_eq!(robin.screen_name(), Some("Robin Hood & Söhne"));
    assert_ne!(robin, group);
    assert_ne!(robin.key(), group.key());
    assert!(!robin.is_same_as(&group));
    assert_ne!(
        robin.key(),
        group.participant("robin hood & söhne").unwrap().key()
    );
    assert_eq!(address(&robin.to_string()), robin);
    assert_eq!(
        robin.to_string(),
        "wv:+447700900456/walkers@bravo.example#Robin%20Hood%20%26%20S%C3%B6hne"
    );
    let kept: WvAddress = serde_json::from_str(&serde_json::to_string(&robin).unwrap()).unwrap();
    assert_eq!(kept, robin);
    assert_eq!(robin.without_screen_name(), group);
    assert_eq!(robin.canonical(), robin);
    assert_eq!(robin.masked(), "wv:+44***@bravo.example#***");
}

#[test]
fn screen_names_that_could_not_be_kept_are_refused() {
    let group = address("wv:/walkers@bravo.example");
    for bad in ["", "  ", "a\u{7}b", &"x".repeat(500)] {
        assert!(group.participant(bad).is_err(), "{bad}");
    }
    assert!(address("wv:ada@alpha.example").participant("Ada").is_err());
    for bad in [
        "wv:ada@alpha.example#Ada",
        "wv:/w@b.example#",
        "wv:/w@b.example#%4",
        "wv:/w@b.example#%ff",
    ] {
        assert!(bad.parse::<WvAddress>().is_err(), "{bad}");
    }
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
