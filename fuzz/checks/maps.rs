//! The maps between SSP and the model, on every value that the codec lets through.

use std::sync::{Arc, OnceLock};

use impsgw::agreement::{Agreements, InterconnectionAgreement};
use impsgw::config::Config;
use impsgw::gateways::ssp::Server;
use impsgw::gateways::ssp::map::{
    Incoming, Unreadable, View, read_answer, read_request, write_answer, write_refusal, write_request,
};
use impsgw::model::{
    Acceptance, Answer, Domain, Outcome, RecipientOutcome, Refusal, Request, Service, Timestamp,
};
use impsgw::wire::ssp::{
    Document, Limits, Primitive, Profile, SessionId, Transaction, TransactionId, decode, encode,
};

/// What a peer says is understood or refused; what is said because of it, to that peer or the next one, can be read.
///
/// Each document is read as a partner's and as a home server's. Its requests are answered and passed on; its answers are
/// taken as answers to its requests and to those of [`ASKED`].
pub(crate) fn maps(input: &[u8]) {
    let [own, peer, next]: [Domain; 3] = ["bravo.example", "alpha.example", "charlie.example"]
        .map(|text| text.parse().unwrap_or_else(|_| panic!()));
    for (name, profile) in [("alpha", Profile::STRICT), ("home", Profile::OBSERVED)] {
        let Some(said) = transactions(input, &profile) else {
            continue;
        };
        let (from, to, back) = (found(name), found("charlie"), found("bravo"));
        let view = View {
            own: &own,
            peer: &peer,
            agreement: &from,
            profile,
        };
        let onward = View {
            own: &own,
            peer: &next,
            agreement: &to,
            profile: Profile::STRICT,
        };
        let reader = View {
            own: &next,
            peer: &own,
            agreement: &back,
            profile: Profile::STRICT,
        };
        let mut requests: Vec<Request> = ASKED
            .iter()
            .filter_map(|document| understood(&view, transactions(document, &profile)?.first()?))
            .collect();
        assert_eq!(requests.len(), ASKED.len());
        for transaction in &said {
            if let Some(request) = understood(&view, transaction) {
                answer(&view, &request);
                pass_on(&onward, &reader, &request);
                requests.push(request);
            }
        }
        for transaction in &said {
            for request in &requests {
                let outcome = read_answer(&view, request, &transaction.primitive);
                legible(write_answer(&view, request, &[], &outcome));
            }
        }
    }
}

/// A URL of the peer's is refused, or is a server whose own URL names it again.
pub(crate) fn server_url(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    for name in ["alpha", "charlie"] {
        let agreement = found(name);
        let Ok(server) = Server::parse(text, &agreement) else {
            continue;
        };
        let url = server.url();
        assert!(
            url.starts_with("https://") || !agreement.config.tls.required,
            "{url}"
        );
        let again = Server::parse(&url, &agreement).map(|server| server.url());
        assert_eq!(again.as_ref(), Ok(&url), "{text:?}");
    }
}

fn understood(view: &View<'_>, transaction: &Transaction) -> Option<Request> {
    match read_request(view, transaction, NOW) {
        Ok(Incoming::Request { request, .. }) => Some(*request),
        Ok(_) => None,
        Err(refusal) => {
            legible(write_refusal(&refusal, Service::Message));
            None
        }
    }
}

/// Every way in which the relay may answer.
fn answer(view: &View<'_>, request: &Request) {
    let recipients = request.recipients().into_iter().cloned();
    let recipients: Vec<RecipientOutcome> = recipients
        .map(|recipient| RecipientOutcome {
            recipient,
            outcome: Ok(Acceptance::Taken),
        })
        .collect();
    let outcomes: [Outcome; 3] = [
        Ok(Answer::Done),
        Ok(Answer::Recipients(recipients.clone())),
        Ok(Answer::Sent { id: None, recipients }),
    ];
    let one = Unreadable {
        text: "wv:+44*".into(),
        refusal: Refusal::Loop,
    };
    for (outcome, unreadable) in outcomes
        .iter()
        .flat_map(|outcome| [(outcome, &[][..]), (outcome, std::slice::from_ref(&one))])
    {
        legible(write_answer(view, request, unreadable, outcome));
    }
}

/// What is passed on, the next one reads; passed on by him as it came, it would be the same.
fn pass_on(onward: &View<'_>, reader: &View<'_>, request: &Request) {
    let written = write_request(onward, request, &[]);
    let read = legible(written.primitive.clone());
    // Whose the roles of an answer to an invitation are is told by the domains, and none of them is the next one's here.
    if matches!(request, Request::InviteAnswer(_)) {
        return;
    }
    if let Ok(Incoming::Request { request: again, .. }) = read_request(reader, &read, NOW) {
        let rewritten = write_request(onward, &again, &[]);
        assert_eq!(rewritten.primitive, written.primitive, "{request:?}");
    }
}

/// A document around a primitive of ours is read by others as what was written.
fn legible(primitive: Primitive) -> Transaction {
    let document = Document::Session {
        session_id: SessionId::new("1@bravo.example"),
        transactions: vec![Transaction::request(TransactionId::new("t"), primitive)],
    };
    let written = encode(&document, &Profile::STRICT);
    let Some(mut read) = transactions(&written, &Profile::STRICT) else {
        panic!("{}", String::from_utf8_lossy(&written));
    };
    let read = read.remove(0);
    let is_known = !matches!(
        read.primitive,
        Primitive::Malformed { .. } | Primitive::Unknown { .. }
    );
    assert!(is_known, "{read:?}: {}", String::from_utf8_lossy(&written));
    read
}

fn transactions(body: &[u8], profile: &Profile) -> Option<Vec<Transaction>> {
    match decode(body, &Limits::default(), profile).ok()?.document {
        Document::Session { transactions, .. } => Some(transactions),
        Document::Setup(_) => None,
    }
}

fn agreements() -> &'static Agreements {
    static READ: OnceLock<Agreements> = OnceLock::new();
    READ.get_or_init(|| {
        let config = Config::parse(AGREEMENTS, "maps.toml").unwrap_or_else(|mistakes| panic!("{mistakes}"));
        Agreements::new(config.agreements)
    })
}

fn found(name: &str) -> Arc<InterconnectionAgreement> {
    let name = name.parse().unwrap_or_else(|_| panic!("{name}"));
    agreements()
        .for_peer(&name)
        .map(Arc::clone)
        .unwrap_or_else(|| panic!("{name}"))
}

const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// One request of each kind whose answer carries something.
const ASKED: [&[u8]; 3] = [
    include_bytes!("../../tests/vectors/ssp/12.1/send-message-request.xml"),
    include_bytes!("../../tests/vectors/ssp/12.10/get-presence-request.xml"),
    include_bytes!("../../tests/vectors/ssp/extensions/search-request.xml"),
];

/// Two partners, a home server, and the next one's agreement with us.
const AGREEMENTS: &str = r#"
[gateway]
domains = ["home.example"]
[ssp]
listen_plain = "127.0.0.1:0"
[[agreement]]
peer = "alpha"
domains = ["alpha.example"]
msisdn_form = "with-domain"
disclose.friendly_name = true
tls.required = false
[[agreement]]
peer = "charlie"
domains = ["charlie.example"]
[[agreement]]
peer = "home"
domains = ["home.example"]
role = "home"
profile = "observed"
servers = ["127.0.0.1:80"]
allowed_networks = ["127.0.0.0/8"]
[[agreement]]
peer = "bravo"
domains = ["bravo.example"]
speaks_for.domains = ["alpha.example"]
"#;
