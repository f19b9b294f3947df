//! What a peer writes and what it is told, in both forms of numbers; nobody's message gets wider on the way.

use serde_json::{Value, json};

use super::*;
use crate::{
    agreement::InterconnectionAgreement,
    model::{
        Acceptance, Answer, Content, Domain, GroupAction, GroupAnswer, GroupEvent, GroupRequest, JoinedUser,
        Privilege, RecipientOutcome, Refusal, Request, SendMessage, Timestamp, WvAddress,
    },
    wire::ssp::{
        DetailedResult, Entity, Mode, Primitive, Profile, ScreenName, SendMessageResponse, Status,
        StatusCode, Transaction, TransactionId,
    },
};

const GROUP: &str = "wv:+447700900456/walkers@bravo.example";

/// A session of `alpha.example` with `bravo.example`.
struct Eyes {
    own: Domain,
    peer: Domain,
    agreement: InterconnectionAgreement,
}

impl Eyes {
    fn new(form: &str) -> Self {
        Self::with(json!({ "msisdn_form": form }))
    }

    fn with(more: Value) -> Self {
        let mut agreement = json!({ "peer": "bravo", "domains": ["bravo.example"] });
        agreement
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        Self {
            own: domain("alpha.example"),
            peer: domain("bravo.example"),
            agreement: InterconnectionAgreement {
                config: serde_json::from_value(agreement).unwrap(),
            },
        }
    }

    fn view(&self) -> View<'_> {
        View {
            own: &self.own,
            peer: &self.peer,
            agreement: &self.agreement,
            profile: Profile::STRICT,
        }
    }

    /// The same session from the other end.
    fn other_end(&self) -> Self {
        let other = json!({ "peer": "alpha", "domains": ["alpha.example"] });
        Self {
            own: self.peer.clone(),
            peer: self.own.clone(),
            agreement: InterconnectionAgreement {
                config: serde_json::from_value(other).unwrap(),
            },
        }
    }

    fn writes(&self, request: &Request) -> Primitive {
        write_request(&self.view(), request, &[]).primitive
    }

    fn reads(&self, primitive: Primitive) -> Result<Incoming, Refusal> {
        let transaction = Transaction {
            mode: Mode::Request,
            id: TransactionId::new("t-1"),
            primitive,
        };
        read_request(&self.view(), &transaction, Timestamp::from_seconds(1_000_000))
    }

    fn reads_request(&self, primitive: Primitive) -> Request {
        match self.reads(primitive).unwrap() {
            Incoming::Request { request, .. } => *request,
            other => panic!("{other:?}"),
        }
    }
}

fn domain(text: &str) -> Domain {
    text.parse().unwrap()
}

fn person(text: &str) -> WvAddress {
    text.parse().unwrap()
}

fn participant(name: &str) -> WvAddress {
    person(GROUP).participant(name).unwrap()
}

fn message(sender: WvAddress, recipients: Vec<WvAddress>) -> SendMessage {
    SendMessage {
        sender,
        recipients,
        id: Some("m-1".parse().unwrap()),
        report_wanted: false,
        validity: None,
        sent_at: Some(Timestamp::from_seconds(1_000_000)),
        content: Content::text("hello"),
        conversation: None,
    }
}

fn group_request(action: GroupAction) -> Request {
    Request::Group(GroupRequest {
        by: person("wv:+447700900123"),
        group: person(GROUP),
        action,
    })
}

fn sent(primitive: Primitive) -> Box<crate::wire::ssp::SendMessageRequest> {
    match primitive {
        Primitive::SendMessageRequest(wire) => wire,
        other => panic!("{other:?}"),
    }
}

#[test]
fn private_message_to_a_participant_stays_private() {
    let eyes = Eyes::new("bare");
    let asked = message(person("wv:+447700900123"), vec![participant("Robin & Jess")]);
    let wire = sent(eyes.writes(&Request::Send(asked.clone())));
    let named = Entity::ScreenName(ScreenName {
        group_id: GROUP.into(),
        name: "Robin & Jess".into(),
    });
    assert_eq!(wire.info.recipients, [named]);
    let read = eyes
        .other_end()
        .reads_request(Primitive::SendMessageRequest(wire));
    assert_eq!(read, Request::Send(asked));
}

#[test]
fn participant_and_group_are_two_recipients() {
    let eyes = Eyes::new("bare");
    let to = vec![person(GROUP), participant("Robin"), participant("Jess")];
    let asked = message(person("wv:ada@alpha.example"), to);
    let wire = sent(eyes.writes(&Request::Send(asked.clone())));
    assert_eq!(wire.info.recipients[0], Entity::GroupId(GROUP.into()));
    let read = eyes
        .other_end()
        .reads_request(Primitive::SendMessageRequest(wire));
    assert_eq!(read, Request::Send(asked));
}

#[test]
fn sender_keeps_his_screen_name_and_a_group_is_nobodys_behalf() {
    let bravo = Eyes::new("bare").other_end();
    let asked = message(participant("Sam"), vec![person("wv:ada@alpha.example")]);
    let wire = sent(bravo.writes(&Request::Send(asked.clone())));
    assert!(wire.meta.as_ref().unwrap().user.is_none());
    let read = Eyes::new("bare").reads_request(Primitive::SendMessageRequest(wire));
    assert_eq!(read, Request::Send(asked));
}

#[test]
fn member_of_a_foreign_group_is_the_requesting_user_and_not_the_group() {
    let eyes = Eyes::new("bare");
    let asked = message(
        person("wv:sam@bravo.example"),
        vec![person("wv:ada@alpha.example")],
    );
    let mut wire = sent(eyes.other_end().writes(&Request::Send(asked.clone())));
    wire.info.sender = Entity::ScreenName(ScreenName {
        group_id: "wv:/runners@alpha.example".into(),
        name: "Sam".into(),
    });
    assert_eq!(
        eyes.reads_request(Primitive::SendMessageRequest(wire.clone())),
        Request::Send(asked)
    );
    wire.meta = None;
    let Request::Send(read) = eyes.reads_request(Primitive::SendMessageRequest(wire)) else {
        panic!("no message");
    };
    let claimed = person("wv:/runners@alpha.example").participant("Sam").unwrap();
    assert_eq!(read.sender, claimed, "left to admission, which refuses it");
}

#[test]
fn screen_name_is_never_text_in_an_address() {
    let eyes = Eyes::new("bare");
    let asked = message(
        person("wv:sam@bravo.example"),
        vec![person("wv:ada@alpha.example")],
    );
    let mut wire = sent(eyes.other_end().writes(&Request::Send(asked)));
    wire.info.recipients = vec![Entity::GroupId("wv:/runners@alpha.example#Robin".into())];
    let Incoming::Unreadable(Primitive::Status(status)) =
        eyes.reads(Primitive::SendMessageRequest(wire)).unwrap()
    else {
        panic!("it was read");
    };
    assert_eq!(status.code, StatusCode::INVALID_USER_ID);
}

#[test]
fn details_by_screen_name_are_told_apart() {
    let eyes = Eyes::new("bare");
    let people = vec![participant("Robin"), participant("Jess"), participant("Sam")];
    let request = Request::Send(message(person("wv:ada@alpha.example"), people.clone()));
    let named = |code: StatusCode, group_id: &str, name: &str| {
        let mut detail = DetailedResult::new(code);
        detail.screen_names.push(ScreenName {
            group_id: group_id.into(),
            name: name.into(),
        });
        detail
    };
    let status = Status::new(StatusCode::PARTIAL_SUCCESS)
        .detailed(named(StatusCode(812), GROUP, "Jess"))
        .detailed(named(StatusCode(410), "", "Sam"));
    let response = SendMessageResponse {
        message_id: "m-1".into(),
        status,
    };
    let answer = read_answer(&eyes.view(), &request, &response.into()).unwrap();
    let code = |who: &WvAddress| match answer.for_recipient(who).unwrap() {
        Ok(_) => 200,
        Err(Refusal::Remote { status, .. }) => *status,
        Err(Refusal::InGroup { why, .. }) => why.status(),
        Err(other) => panic!("{other}"),
    };
    assert_eq!(people.iter().map(code).collect::<Vec<_>>(), [200, 812, 410]);
    let Primitive::SendMessageResponse(told) = write_answer(&eyes.view(), &request, &[], &Ok(answer)) else {
        panic!("no response");
    };
    let names = told.status.details.iter().flat_map(|detail| &detail.screen_names);
    assert_eq!(
        names.map(|one| one.name.as_str()).collect::<Vec<_>>(),
        ["Jess", "Sam"]
    );
    assert!(
        told.status
            .details
            .iter()
            .all(|detail| detail.group_ids.is_empty())
    );
}

#[test]
fn invitation_of_a_participant_names_him() {
    let eyes = Eyes::new("bare");
    let request = Request::Invite(crate::model::Invite {
        id: "i-1".parse().unwrap(),
        kind: crate::model::InviteType::Chat,
        validity: Some(std::time::Duration::from_secs(60)),
        inviting: person("wv:ada@alpha.example"),
        invited: participant("Robin"),
        group: None,
        application: None,
        attributes: Vec::new(),
        content_urls: Vec::new(),
        note: None,
        screen_name: None,
    });
    let read = eyes.other_end().reads_request(eyes.writes(&request));
    assert_eq!(read, request);
}

#[test]
fn number_has_the_domain_of_its_side_where_the_peer_wants_one() {
    let eyes = Eyes::new("with-domain");
    let asked = message(
        person("wv:+447700900123"),
        vec![person("wv:+447700900456@old.example")],
    );
    let wire = sent(eyes.writes(&Request::Send(asked)));
    assert_eq!(wire.info.sender.address(), "wv:+447700900123@alpha.example");
    assert_eq!(
        wire.info.recipients[0].address(),
        "wv:+447700900456@bravo.example"
    );
}

#[test]
fn people_in_lists_keep_the_domain_that_stands_after_their_number() {
    let eyes = Eyes::new("with-domain");
    let gil = person("wv:+4915112345678@gamma.example");
    let request = group_request(GroupAction::AddMembers(vec![
        gil.clone(),
        person("wv:+447700900457"),
    ]));
    let Primitive::AddGroupMemberRequest(wire) = eyes.writes(&request) else {
        panic!("no request");
    };
    assert_eq!(
        wire.user_ids,
        [
            "wv:+4915112345678@gamma.example",
            "wv:+447700900457@bravo.example"
        ]
    );
    let members = Answer::Group(GroupAnswer::Members(vec![(Privilege::Admin, gil.clone())]));
    let answer = write_answer(&eyes.view(), &request, &[], &Ok(members));
    let Primitive::GetGroupMemberResponse(wire) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(wire.members.admins, ["wv:+4915112345678@gamma.example"]);
    let rejected = Answer::Group(GroupAnswer::RejectList(vec![gil.clone()]));
    let answer = write_answer(&eyes.view(), &request, &[], &Ok(rejected));
    let Primitive::RejectListResponse(wire) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(wire.rejected, ["wv:+4915112345678@gamma.example"]);
    let event = Request::GroupEvent(GroupEvent {
        group: person("wv:/runners@alpha.example"),
        to: vec![person("wv:+447700900456")],
        joined: Vec::new(),
        left: Vec::new(),
        blocked: vec![JoinedUser {
            screen_name: None,
            user: Some(gil),
        }],
        unblocked: Vec::new(),
        group_properties: Vec::new(),
        own_properties: Vec::new(),
        removed: None,
    });
    let Primitive::GroupChangeNotice(wire) = eyes.writes(&event) else {
        panic!("no notice");
    };
    assert_eq!(wire.users[0].user_id, "wv:+447700900456@bravo.example");
    assert_eq!(
        wire.joined_blocked[0].user_id.as_deref(),
        Some("wv:+4915112345678@gamma.example")
    );
}

#[test]
fn bare_form_drops_domains_of_numbers_and_no_others() {
    let eyes = Eyes::new("bare");
    let asked = message(
        person("wv:ada@alpha.example"),
        vec![person("wv:+447700900456@bravo.example"), person(GROUP)],
    );
    let wire = sent(eyes.writes(&Request::Send(asked)));
    assert_eq!(wire.info.sender.address(), "wv:ada@alpha.example");
    assert_eq!(wire.info.recipients[0].address(), "wv:+447700900456");
    assert_eq!(wire.info.recipients[1].address(), GROUP);
}

#[test]
fn recipient_that_can_not_be_read_is_a_detail_beside_those_that_can() {
    let eyes = Eyes::new("bare");
    let asked = message(
        person("wv:sam@bravo.example"),
        vec![person("wv:ada@alpha.example")],
    );
    let mut wire = sent(eyes.other_end().writes(&Request::Send(asked.clone())));
    wire.info.recipients.push(Entity::user("wv:+4477*"));
    wire.info.recipients.push(Entity::user("wv:a@b@c"));
    let incoming = eyes.reads(Primitive::SendMessageRequest(wire.clone())).unwrap();
    let Incoming::Request {
        request, unreadable, ..
    } = incoming
    else {
        panic!("{incoming:?}");
    };
    assert_eq!(*request, Request::Send(asked));
    let outcome = Ok(Answer::Sent {
        id: Some("m-1".parse().unwrap()),
        recipients: vec![RecipientOutcome {
            recipient: person("wv:ada@alpha.example"),
            outcome: Ok(Acceptance::Taken),
        }],
    });
    let Primitive::SendMessageResponse(told) = write_answer(&eyes.view(), &request, &unreadable, &outcome)
    else {
        panic!("no response");
    };
    assert_eq!(told.status.code, StatusCode::PARTIAL_SUCCESS);
    let details: Vec<_> = told
        .status
        .details
        .iter()
        .map(|one| (one.code.0, one.user_ids[0].as_str()))
        .collect();
    assert_eq!(details, [(402, "wv:+4477*"), (427, "wv:a@b@c")]);
    wire.info.recipients.remove(0);
    let Incoming::Unreadable(Primitive::SendMessageResponse(told)) =
        eyes.reads(Primitive::SendMessageRequest(wire)).unwrap()
    else {
        panic!("it was read");
    };
    assert_eq!(told.status.code, StatusCode::SEVERAL_ERRORS);
    assert_eq!((told.message_id.as_str(), told.status.details.len()), ("", 2));
}

#[test]
fn timeouts_name_the_service_that_failed() {
    let eyes = Eyes::new("bare");
    let timed_out = || {
        Err(Refusal::TimedOut {
            domain: domain("gamma.example"),
        })
    };
    let people = vec![person("wv:ada@alpha.example")];
    for (request, wanted) in [
        (
            Request::Unsubscribe(crate::model::Unsubscribe {
                watcher: person("wv:sam@bravo.example"),
                presentities: people.clone(),
            }),
            521,
        ),
        (group_request(GroupAction::Members), 522),
        (
            Request::Search(crate::model::Search {
                by: person("wv:sam@bravo.example"),
                pairs: Vec::new(),
                limit: 1,
                resume: None,
            }),
            535,
        ),
        (
            Request::Send(message(person("wv:sam@bravo.example"), people.clone())),
            504,
        ),
    ] {
        let Primitive::Status(status) = write_answer(&eyes.view(), &request, &[], &timed_out()) else {
            panic!("no status");
        };
        assert_eq!(status.code.0, wanted, "{}", request.name());
    }
}

#[test]
fn portability_is_believed_from_peers_that_are_trusted_with_it() {
    for (is_trusted, wanted) in [(true, Some("npdi;rn=+12155550199")), (false, None)] {
        let eyes = Eyes::with(json!({ "trust_portability": is_trusted }));
        let asked = message(
            person("wv:sam@bravo.example"),
            vec![person("wv:+447700900123@alpha.example")],
        );
        let mut wire = sent(eyes.other_end().writes(&Request::Send(asked.clone())));
        wire.info.recipients = vec![Entity::user(
            "wv:+447700900123;npdi;rn=+12155550199@alpha.example",
        )];
        let Request::Send(read) = eyes.reads_request(Primitive::SendMessageRequest(wire)) else {
            panic!("no message");
        };
        assert_eq!(read.recipients, asked.recipients, "the same person");
        assert_eq!(read.recipients[0].portability(), wanted);
    }
}
