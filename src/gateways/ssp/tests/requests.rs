//! What the relay hands over: what the peer's answer, its silence and its refusal to take a document mean.

use super::*;
use crate::{
    model::{
        Answer as Outcome, Content, DeliveryReport, Disposition, Refusal, Request, Search, SearchElement,
        SearchPair, SendMessage, Trail, TrailId,
    },
    relay::{Delivery, Egress, Undelivered},
    wire::ssp::{Entity, MessageInfo, MetaInfo, SendMessageRequest, User},
};

const ADA: &str = "wv:ada@alpha.example";
const BEA: &str = "wv:bea@bravo.example";

pub(super) type Delivering = tokio::task::JoinHandle<Result<Outcome, Undelivered>>;

impl World {
    /// The relay hands a request over, and waits for this long.
    pub(super) fn deliver(&self, request: Request, wait: Duration) -> Delivering {
        let delivery = Delivery {
            request,
            own: self.own.clone(),
            domain: bravo(),
            candidates: Arc::new([]),
            agreement: self.agreements.load().for_domain(&bravo()).cloned(),
            via: Vec::new(),
            deadline: self.clock.now().plus(wait),
            trail: Arc::new(Trail::new(TrailId(1), self.clock.now())),
        };
        let gateway = Arc::clone(&self.gateway);
        tokio::spawn(async move { gateway.deliver(delivery).await })
    }

    /// The peer sends a message in a transaction of this ID, which we refuse because no relay is there.
    async fn is_sent_a_message(&mut self, ids: &Ids, id: &str) {
        let entity = |who: &str| Entity::User(User::new(who));
        let mut info = MessageInfo::new(entity(BEA), vec![entity(ADA)]);
        info.message_id = Some("m-1".into());
        let message = SendMessageRequest {
            delivery_report: true,
            meta: Some(MetaInfo::for_user("wv:@bravo.example", User::new(BEA))),
            info,
            content: None,
        };
        let message = vec![transaction(Mode::Request, id, message)];
        assert_eq!(self.say_in(ids, message).await, Answer::Taken);
        assert_eq!(self.peer.transaction(ids).await.id.as_str(), id);
    }
}

fn message() -> Request {
    Request::Send(SendMessage {
        sender: address(ADA),
        recipients: vec![address(BEA)],
        id: Some("m-1".parse().unwrap()),
        report_wanted: false,
        validity: None,
        sent_at: None,
        content: Content::text("hello"),
        conversation: None,
    })
}

fn search() -> Request {
    Request::Search(Search {
        by: address(ADA),
        pairs: vec![SearchPair {
            element: SearchElement::UserId,
            text: BEA.into(),
        }],
        limit: 10,
        resume: None,
    })
}

/// Ada has read Bea's message.
fn report() -> Request {
    Request::Report(DeliveryReport {
        message: "m-1".parse().unwrap(),
        sender: address(BEA),
        recipient: address(ADA),
        disposition: Disposition::Delivered,
        at: None,
        losses: Vec::new(),
    })
}

fn address(text: &str) -> WvAddress {
    text.parse().unwrap()
}

#[tokio::test]
async fn refusal_as_not_supported_is_remembered_of_our_own_extensions_only() {
    let mut world = World::new().await;
    let ids = world.open().await;
    let is_unsupported =
        |fault: &Undelivered| matches!(fault, Undelivered::Refused(Refusal::Unsupported { .. }));
    for request in [message(), message(), search()] {
        let delivering = world.deliver(request, PATIENCE);
        let asked = world.peer.transaction(&ids).await;
        let refused = Status::new(StatusCode::SERVICE_NOT_SUPPORTED);
        world.answer(&ids, &asked.id, refused).await;
        assert!(is_unsupported(&delivering.await.unwrap().unwrap_err()));
    }
    let refused = world.deliver(search(), PATIENCE).await.unwrap().unwrap_err();
    assert!(is_unsupported(&refused));
    assert!(world.peer.is_silent(), "asked again");
    // It is of the session.
    let (_, six) = world.climb("2", "904@bravo.example").await;
    six.take();
    until(|| !world.link().is_unsupported("SearchRequest")).await;
}

#[tokio::test]
async fn notice_is_refused_by_the_status_of_a_peer_that_answers_notices() {
    let mut world = World::new().await;
    let ids = world.open().await;
    for (code, is_temporary) in [(503, true), (500, true), (901, false)] {
        let delivering = world.deliver(report(), PATIENCE);
        let asked = world.peer.transaction(&ids).await;
        world.answer(&ids, &asked.id, Status::new(StatusCode(code))).await;
        let fault = delivering.await.unwrap().unwrap_err();
        let Undelivered::Refused(refusal) = &fault else {
            panic!("{fault:?}")
        };
        assert_eq!(refusal.is_temporary(), is_temporary, "{code}");
    }
    assert_eq!(world.link().unclaimed(), 0);
}

#[tokio::test]
async fn notice_without_an_answer_is_taken() {
    for mut world in [World::new().await, World::observed().await] {
        let ids = world.open().await;
        let delivering = world.deliver(report(), PATIENCE);
        world.peer.transaction(&ids).await;
        assert_eq!(delivering.await.unwrap(), Ok(Outcome::Done));
        assert_eq!(world.link().load(), (0, 0, 0));
    }
}

#[tokio::test]
async fn notice_keeps_nothing_waiting_once_it_is_acknowledged() {
    let mut world = World::new().await;
    let ids = world.open().await;
    let first = world.deliver(report(), PATIENCE);
    world.peer.transaction(&ids).await;
    let second = world.deliver(report(), PATIENCE);
    let asked = world.peer.transaction(&ids).await;
    assert!(!first.is_finished(), "its answer may still come");
    world.answer(&ids, &asked.id, success()).await;
    assert_eq!(second.await.unwrap(), Ok(Outcome::Done));
    assert_eq!(first.await.unwrap(), Ok(Outcome::Done));
}

#[tokio::test]
async fn report_in_response_mode_is_delivered_with_its_acknowledgement() {
    let mut world = World::observed().await;
    let ids = world.open().await;
    world.is_sent_a_message(&ids, "t-9").await;
    let delivering = world.deliver(report(), PATIENCE);
    let heard = world.peer.next().await;
    let sent = &heard.transactions()[0];
    assert_eq!((sent.mode, sent.id.as_str()), (Mode::Response, "t-9"));
    assert!(!delivering.is_finished());
    // The session is lost: it goes again in the next one.
    heard.refuse(403);
    let new = world.climb_with_gateway("904@bravo.example").await;
    let sent = world.peer.transaction(&new).await;
    assert_eq!((sent.mode, sent.id.as_str()), (Mode::Response, "t-9"));
    assert_eq!(delivering.await.unwrap(), Ok(Outcome::Done));
}

#[tokio::test]
async fn report_in_response_mode_that_no_session_takes_is_not_taken() {
    let mut world = World::observed().await;
    let ids = world.open().await;
    world.is_sent_a_message(&ids, "t-9").await;
    let delivering = world.deliver(report(), PATIENCE);
    world.peer.next().await.refuse(403);
    // The ladder is refused.
    world.peer.next().await.refuse(503);
    let fault = delivering.await.unwrap().unwrap_err();
    assert!(matches!(fault, Undelivered::NotTaken(_)), "{fault:?}");
    assert_eq!(world.link().load(), (0, 0, 0));
}

#[tokio::test]
async fn answer_of_a_lost_session_goes_in_the_next_one() {
    let mut world = World::new().await;
    let ids = world.open().await;
    let asks = vec![transaction(Mode::Request, "t-1", ask(600))];
    assert_eq!(world.say_in(&ids, asks).await, Answer::Taken);
    let heard = world.peer.next().await;
    assert_eq!(heard.transactions()[0].id.as_str(), "t-1");
    heard.refuse(404);
    let new = world.climb_with_gateway("904@bravo.example").await;
    assert_eq!(world.peer.transaction(&new).await.id.as_str(), "t-1");
}

#[tokio::test]
async fn report_finds_its_transaction_after_a_restart() {
    let mut world = World::observed().await;
    let ids = world.open().await;
    world.is_sent_a_message(&ids, "t-9").await;
    world.restart().await;
    let delivering = world.deliver(report(), PATIENCE);
    let heard = world.peer.next().await;
    let sent = match heard.take() {
        Document::Session { transactions, .. } => transactions,
        Document::Setup(one) => {
            // The session was stored in the background, and may not have been in time.
            let new = world.go_on_climbing(one, "904@bravo.example").await;
            vec![world.peer.transaction(&new).await]
        }
    };
    assert_eq!((sent[0].mode, sent[0].id.as_str()), (Mode::Response, "t-9"));
    assert_eq!(delivering.await.unwrap(), Ok(Outcome::Done));
}

#[tokio::test]
async fn message_that_is_given_up_while_it_is_posted_is_unanswered_and_a_notice_is_not_taken() {
    let mut world = World::new().await;
    world.open().await;
    for (request, is_message) in [(message(), true), (report(), false)] {
        let delivering = world.deliver(request, Duration::from_millis(200));
        let heard = world.peer.next().await;
        let fault = delivering.await.unwrap().unwrap_err();
        assert_eq!(
            matches!(fault, Undelivered::Unanswered(_)),
            is_message,
            "{fault:?}"
        );
        heard.take();
    }
}
