//! What each parser promises for every input, one function a fuzz target.
//!
//! A function returns or panics. The fuzz targets call them with new inputs, `tests/corpus.rs` with the committed ones,
//! so a crash that was found stays a test without the fuzzing engine.

use std::time::{Duration, Instant};

use impsgw::config::Config;
use impsgw::model::WvAddress;
use impsgw::wire::naptr::ere::Ere;
use impsgw::wire::naptr::regexp::{MAX_EXPANDED, Substitution};
use impsgw::wire::naptr::services::Services;
use impsgw::wire::naptr::{AbsoluteUri, Aus, Name, Naptr, NationalRules, Number, RecordType, Response};
use impsgw::wire::ssp::ladder::{Delivery, Input, Ladder, Output, Settings, Step, Token, failing_step};
use impsgw::wire::ssp::{
    Document, Limits, Primitive, Profile, Secret, SetupPrimitive, SetupTransaction, StatusCode,
    TransactionId, decode, encode,
};
use impsgw::zone::check::{Source, check};

/// What was read is what is read again after writing, for every profile.
pub(super) fn ssp(input: &[u8]) {
    let limits = Limits::default();
    for profile in [Profile::STRICT, Profile::OBSERVED] {
        let Ok(decoded) = decode(input, &limits, &profile) else {
            continue;
        };
        if !is_writable(&decoded.document) {
            continue;
        }
        let written = encode(&decoded.document, &profile);
        let again = decode(&written, &limits, &Profile::STRICT)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&written)));
        assert_eq!(
            again.document,
            decoded.document,
            "{}",
            String::from_utf8_lossy(&written)
        );
        assert_eq!(encode(&again.document, &profile), written);
    }
}

/// Whatever was read can be searched, and no name leads around in circles.
pub(super) fn dns_response(input: &[u8]) {
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
pub(super) fn naptr(input: &[u8]) {
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
pub(super) fn ere(input: &[u8]) {
    let expression = input.get(..255).unwrap_or(input);
    for ignore_case in [false, true] {
        let Ok(ere) = Ere::compile(expression, ignore_case) else {
            continue;
        };
        for subject in SUBJECTS {
            if let Some(captures) = ere.captures(subject.as_bytes()) {
                assert_eq!(captures.len(), ere.groups() + 1);
            }
        }
    }
}

/// A field is refused, or its result for any number is within bounds.
pub(super) fn regexp(input: &[u8]) {
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
pub(super) fn number(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
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
pub(super) fn uri(input: &[u8]) {
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
pub(super) fn services(input: &[u8]) {
    let Ok(services) = Services::parse(input.get(..255).unwrap_or(input)) else {
        return;
    };
    for service in &services.offered {
        assert_eq!(service.to_string().parse().as_ref(), Ok(service));
        let _ = (service.kind(), service.subtypes().count());
    }
}

/// Any text gives findings, each on a line that the file has.
pub(super) fn zone(input: &[u8]) {
    let text = String::from_utf8_lossy(input).into_owned();
    let lines = text.split('\n').count();
    for origin in [None, "7.7.4.4.e164.example".parse().ok()] {
        let source = Source {
            file: "fuzz.zone".to_owned(),
            origin,
            text: text.clone(),
        };
        for finding in check(&[source]).findings {
            assert!(
                (1..=lines).contains(&finding.line),
                "{finding:?} in {lines} lines"
            );
        }
    }
}

/// An address is read again from its own text as the same address, and its canonical form is stable.
pub(super) fn wv_address(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Ok(address) = text.parse::<WvAddress>() else {
        return;
    };
    let printed = address.to_string();
    assert_eq!(printed.parse::<WvAddress>().as_ref(), Ok(&address), "{printed}");
    assert_eq!(address.canonical().canonical(), address.canonical());
    assert_eq!(address.canonical().key(), address.key());
    let _ = address.masked();
}

/// A file is taken, or refused with at least one mistake.
pub(super) fn config(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Err(mistakes) = Config::parse(text, "fuzz.toml") {
        assert!(!mistakes.0.is_empty());
        let _ = mistakes.to_string();
    }
}

/// Two ladders and a network that loses, repeats, reorders and forges: each ladder ends once, at its deadline at the
/// latest, and two that are both established agree about the session.
#[expect(
    clippy::disallowed_methods,
    reason = "the times are only compared with one another"
)]
pub(super) fn ladder(input: &[u8]) {
    let Some((&first, commands)) = input.split_first() else {
        return;
    };
    let mut now = Instant::now();
    let profile = |odd: bool| if odd { Profile::OBSERVED } else { Profile::STRICT };
    let alpha_settings = Settings::for_profile(&profile(first & 1 != 0));
    let bravo_settings = Settings::for_profile(&profile(first & 2 != 0));
    let mut alpha = End::new(Ladder::initiate(
        "alpha.example",
        "bravo.example",
        token("a-1", 1),
        now,
        alpha_settings,
    ));
    alpha.drain();
    let secret = alpha.sent.iter().find_map(|step| match &step.primitive {
        SetupPrimitive::SendSecretToken(step) => Some(step.secret.clone()),
        _ => None,
    });
    let opening = (
        TransactionId::new("a-1"),
        &secret.unwrap_or_else(|| Secret::new("unsent")),
    );
    let mut bravo = End::new(Ladder::respond(
        "bravo.example",
        "alpha.example",
        opening,
        token("b-1", 2),
        now,
        bravo_settings,
    ));
    bravo.drain();
    for command in commands.iter().take(512) {
        let (to, from) = if command & 1 == 0 {
            (&mut alpha, &bravo)
        } else {
            (&mut bravo, &alpha)
        };
        let choice = usize::from(command >> 4);
        let input = match command >> 1 & 7 {
            0 | 1 => received(from.sent.get(choice)),
            2 => received(to.sent.get(choice)),
            3 => Some(Input::Delivered {
                step: STEPS[choice & 3],
                delivery: DELIVERIES[choice >> 2 & 3],
            }),
            4 => Some(Input::Acknowledged),
            5 => {
                now += Duration::from_millis(1 << choice);
                Some(Input::Tick)
            }
            6 if choice == 15 => Some(Input::Abandoned(StatusCode(503))),
            6 => received(from.sent.last()),
            _ => {
                let id = TransactionId::new(if choice & 1 == 0 { "a-1" } else { "b-1" });
                let code = StatusCode(100 * u16::try_from(choice).unwrap_or_default());
                received(Some(&failing_step(from.ladder.role(), id, code)))
            }
        };
        if let Some(input) = input {
            to.ladder.handle(input, now);
            to.drain();
        }
    }
    now += Duration::from_secs(120);
    for end in [&mut alpha, &mut bravo] {
        end.ladder.handle(Input::Tick, now);
        end.drain();
        assert!(end.ladder.is_over() && end.ends == 1, "{end:?}");
        assert_eq!(end.ladder.wakes_at(), None);
    }
    if let (Some(alpha), Some(bravo)) = (&alpha.session, &bravo.session) {
        assert_eq!(alpha.own_session_id, bravo.peer_session_id);
        assert_eq!(alpha.peer_session_id, bravo.own_session_id);
    }
}

#[derive(Debug)]
struct End {
    ladder: Ladder,
    sent: Vec<SetupTransaction>,
    session: Option<impsgw::wire::ssp::ladder::Session>,
    ends: usize,
}

impl End {
    fn new(ladder: Ladder) -> Self {
        Self {
            ladder,
            sent: Vec::new(),
            session: None,
            ends: 0,
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.ladder.poll() {
            match output {
                Output::Send { transaction, .. } => {
                    assert_eq!(self.ends, 0, "a step after the end");
                    self.sent.push(*transaction);
                }
                Output::WakeAt(_) => {}
                Output::Honour(_) => assert_eq!(self.ends, 0, "a session is honoured after the end"),
                Output::Established(session) => {
                    self.session = Some(session);
                    self.ends += 1;
                }
                Output::Failed(_) => self.ends += 1,
            }
            assert!(self.ends <= 1, "a ladder ended twice");
        }
    }
}

fn received(step: Option<&SetupTransaction>) -> Option<Input> {
    step.map(|step| Input::Received(Box::new(step.clone())))
}

fn token(id: &str, octet: u8) -> Token {
    Token {
        transaction_id: TransactionId::new(id),
        secret: [octet; 16],
        session: [octet | 0x80; 16],
    }
}

/// Malformed primitives are never written, and a session without transactions is not a document.
fn is_writable(document: &Document) -> bool {
    match document {
        Document::Setup(setup) => !matches!(setup.primitive, SetupPrimitive::Malformed { .. }),
        Document::Session { transactions, .. } => {
            !transactions.is_empty()
                && !transactions
                    .iter()
                    .any(|transaction| matches!(transaction.primitive, Primitive::Malformed { .. }))
        }
    }
}

const SUBJECTS: &[&str] = &["+447700900123", "+1234", "+999999999999999"];

const STEPS: [Step; 4] = [
    Step::SendSecretToken,
    Step::LoginRequest,
    Step::LoginResponse,
    Step::Failure,
];

const DELIVERIES: [Delivery; 4] = [
    Delivery::Accepted,
    Delivery::Refused,
    Delivery::Unreachable,
    Delivery::Unanswered,
];
