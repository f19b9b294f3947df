//! What comes out of the DNS: messages, NAPTR records and their fields, numbers, URIs.

use impsgw::wire::naptr::ere::Ere;
use impsgw::wire::naptr::portability::{RouteOn, TelParams};
use impsgw::wire::naptr::regexp::{MAX_EXPANDED, Substitution};
use impsgw::wire::naptr::services::Services;
use impsgw::wire::naptr::{
    AbsoluteUri, Aus, Mailbox, Name, Naptr, NationalRules, Number, RecordType, Response,
};

/// Whatever was read can be searched, and no name leads around in circles.
pub(crate) fn dns_response(input: &[u8]) {
    let Ok(response) = Response::parse(input) else {
        return;
    };
    for question in response.question.iter() {
        let name = &question.name;
        for qtype in [
            RecordType::NAPTR,
            RecordType::SRV,
            RecordType::A,
            RecordType::CNAME,
        ] {
            let _ = response.answers(response.id, name, qtype);
            if let Ok(found) = response.find(name, qtype) {
                let _ = (found.naptrs(), found.srvs());
            }
        }
        assert_eq!(name.as_str().parse::<Name>().as_ref(), Ok(name));
        let _ = response.negative_ttl();
    }
}

/// RDATA is read, written and printed without a change.
pub(crate) fn naptr(input: &[u8]) {
    if let Ok(naptr) = Naptr::decode(input) {
        assert_eq!(Naptr::decode(&naptr.encode()).as_ref(), Ok(&naptr));
        assert_eq!(naptr.to_string().parse::<Naptr>().as_ref(), Ok(&naptr), "{naptr}");
    }
    if let Ok(text) = std::str::from_utf8(input)
        && let Ok(naptr) = text.parse::<Naptr>()
    {
        assert_eq!(naptr.to_string().parse::<Naptr>().as_ref(), Ok(&naptr), "{naptr}");
    }
}

/// Every expression of the length that a record can hold is compiled within its bounds, or refused.
pub(crate) fn ere(input: &[u8]) {
    let expression = input.get(..255).unwrap_or(input);
    for ignore_case in [false, true] {
        let Ok(ere) = Ere::compile(expression, ignore_case) else {
            continue;
        };
        for subject in SUBJECTS {
            if let Some(captures) = ere.captures(subject.as_bytes()) {
                // The engine forgets groups at the end that are repeated no times.
                assert!((1..=ere.groups() + 1).contains(&captures.len()));
            }
        }
    }
}

/// A field is refused, or its result for any number is within bounds.
pub(crate) fn regexp(input: &[u8]) {
    let Ok(substitution) = Substitution::parse(input.get(..255).unwrap_or(input)) else {
        return;
    };
    for subject in SUBJECTS {
        let Ok(number) = Number::parse(subject, None) else {
            continue;
        };
        if let Ok(expanded) = substitution.apply(&number.aus) {
            assert!(expanded.octets.len() <= MAX_EXPANDED);
            let _ = AbsoluteUri::parse(&expanded.octets);
        }
    }
}

/// A number is E.164 or refused, and its own text is read as the same number.
pub(crate) fn number(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let _ = TelParams::parse(text).map(|params| (params.is_empty(), params.route_on() == RouteOn::Number));
    let rules = NationalRules {
        country_code: Some("44".to_owned()),
        trunk_prefix: Some("0".to_owned()),
        international_prefixes: vec!["00".to_owned(), "011".to_owned()],
    };
    for rules in [None, Some(&rules)] {
        let Ok(number) = Number::parse(text, rules) else {
            continue;
        };
        let digits = number.aus.digits();
        assert!((4..=15).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit()));
        assert_eq!(Aus::new(digits).as_ref(), Ok(&number.aus));
        assert_eq!(
            Number::parse(number.aus.as_str(), rules)
                .map(|again| again.aus)
                .as_ref(),
            Ok(&number.aus)
        );
        let _ = number.params.route_on();
        let apex: Result<Name, _> = "e164.arpa".parse();
        let name = apex.ok().and_then(|apex| number.aus.enum_name(&apex).ok());
        assert_eq!(name.map(|name| name.labels().len()), Some(digits.len() + 2));
    }
}

/// A URI keeps its text, and its target can be asked for under every service.
pub(crate) fn uri(input: &[u8]) {
    if let Ok(mailbox) = Mailbox::parse(&String::from_utf8_lossy(input)) {
        assert!(!mailbox.local.contains(char::is_control) && !mailbox.domain.is_root());
    }
    let Ok(uri) = AbsoluteUri::parse(input) else {
        return;
    };
    assert_eq!(uri.as_str().as_bytes(), input);
    for service in ["im", "pres", "pstn:tel", "pstn:sip", "sip"] {
        if let Ok(service) = service.parse() {
            let _ = uri.target(&service);
        }
    }
}

/// Each service that was read is read again from its own text.
pub(crate) fn services(input: &[u8]) {
    let Ok(services) = Services::parse(input.get(..255).unwrap_or(input)) else {
        return;
    };
    for service in &services.offered {
        assert_eq!(service.to_string().parse().as_ref(), Ok(service));
        let _ = (service.kind(), service.subtypes().count());
    }
}

const SUBJECTS: &[&str] = &["+447700900123", "+1234", "+999999999999999"];
