//! Use case 5.22: taken means committed; push and fetch; blocks, repeats, bounds, reports.

use std::time::Duration;

use super::{
    super::{account::DeliveryMethod, event::Event, outgoing::NewMessage},
    ADA, BEA, BEN, Fixture, address, refusal,
};
use crate::{
    model::{Acceptance, Answer, Content, DeliveryReport, Disposition, Refusal, Request, SendMessage},
    relay::Undelivered,
};

fn message(id: Option<&str>, to: &[&str], text: &str) -> SendMessage {
    SendMessage {
        sender: address(BEA),
        recipients: to.iter().map(|one| address(one)).collect(),
        id: id.map(|id| id.parse().unwrap()),
        report_wanted: true,
        validity: None,
        sent_at: None,
        content: Content::text(text),
        conversation: None,
    }
}

fn send(id: &str, to: &[&str], text: &str) -> Request {
    Request::Send(message(Some(id), to, text))
}

#[tokio::test]
async fn taken_message_is_in_the_inbox_and_on_the_stream() {
    let fixture = Fixture::new().await;
    let ada = fixture.ada();
    let mut joined = ada.state().streams.join("d", None, 8).unwrap();
    let answer = fixture.deliver(send("m1", &[ADA], "Hej\nå")).await.unwrap();
    let Answer::Sent { recipients, .. } = answer else {
        panic!()
    };
    assert_eq!(recipients[0].outcome, Ok(Acceptance::Taken));
    let streamed = joined.events.try_recv().unwrap();
    let waiting = fixture.home.waiting(&ada, None, 10).await.unwrap();
    assert_eq!(streamed.inbox, Some(waiting[0].0));
    let Event::Message {
        message_id,
        from,
        content,
        ..
    } = &waiting[0].1.event
    else {
        panic!()
    };
    assert_eq!(
        (message_id.as_str(), from.to_string(), content.text.as_deref()),
        ("m1", BEA.into(), Some("Hej\nå"))
    );
}

#[tokio::test]
async fn each_recipient_has_an_outcome_of_his_own() {
    let fixture = Fixture::new().await;
    fixture.home.block(&fixture.ben(), &address(BEA)).await.unwrap();
    let answer = fixture
        .deliver(send("m1", &[ADA, BEN, "wv:+447700900199"], "x"))
        .await
        .unwrap();
    let Answer::Sent { recipients, .. } = answer else {
        panic!()
    };
    assert_eq!(recipients[0].outcome, Ok(Acceptance::Taken));
    assert_eq!(
        recipients[1].outcome,
        Err(Refusal::Blocked {
            recipient: address(BEN)
        })
    );
    assert!(matches!(recipients[2].outcome, Err(Refusal::UnknownUser { .. })));
    assert!(
        fixture
            .home
            .waiting(&fixture.ben(), None, 10)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn repeat_is_taken_and_comes_once() {
    let fixture = Fixture::new().await;
    for to in [&[ADA][..], &[ADA, BEN], &[ADA, "wv:ada@alpha.example"]] {
        assert_eq!(refusal(fixture.deliver(send("m1", to, "x")).await), None);
    }
    assert_eq!(
        fixture
            .home
            .waiting(&fixture.ada(), None, 10)
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        fixture
            .home
            .waiting(&fixture.ben(), None, 10)
            .await
            .unwrap()
            .len(),
        1
    );
    fixture
        .deliver(send("m2", &["wv:ada@alpha.example", ADA], "x"))
        .await
        .unwrap();
    assert_eq!(
        fixture
            .home
            .waiting(&fixture.ada(), None, 10)
            .await
            .unwrap()
            .len(),
        2
    );
    // Without an ID nothing tells a repeat, so both come.
    for _ in 0..2 {
        fixture
            .deliver(Request::Send(message(None, &[ADA], "x")))
            .await
            .unwrap();
    }
    assert_eq!(
        fixture
            .home
            .waiting(&fixture.ada(), None, 10)
            .await
            .unwrap()
            .len(),
        4
    );
}

#[tokio::test]
async fn inbox_is_bounded_in_events_and_octets() {
    let fixture = Fixture::with(|config| config.limits.inbox_events = 1).await;
    fixture.deliver(send("m1", &[ADA], "x")).await.unwrap();
    let full = refusal(fixture.deliver(send("m2", &[ADA], "x")).await);
    assert!(matches!(full, Some(Refusal::QueueFull { .. })));
    let (id, _) = fixture.home.waiting(&fixture.ada(), None, 1).await.unwrap()[0];
    fixture.home.acknowledge(&fixture.ada(), id).await.unwrap();
    assert_eq!(refusal(fixture.deliver(send("m2", &[ADA], "x")).await), None);

    let fixture = Fixture::with(|config| config.limits.inbox_size = crate::model::ByteSize::kib(1)).await;
    let full = refusal(fixture.deliver(send("m1", &[ADA], &"x".repeat(1025))).await);
    assert!(matches!(full, Some(Refusal::QueueFull { .. })));
    let fixture = Fixture::with(|config| config.limits.max_content = crate::model::ByteSize(3)).await;
    let large = refusal(fixture.deliver(send("m1", &[ADA], "xxxx")).await);
    assert_eq!(large, Some(Refusal::TooLarge { size: 4, limit: 3 }));
}

#[tokio::test]
async fn acknowledgement_reports_delivery_once() {
    let fixture = Fixture::new().await;
    let ada = fixture.ada();
    fixture.deliver(send("m1", &[ADA], "x")).await.unwrap();
    assert!(fixture.line.take().is_empty());
    let (id, _) = fixture.home.waiting(&ada, None, 1).await.unwrap()[0];
    for _ in 0..2 {
        fixture.home.acknowledge(&ada, id).await.unwrap();
    }
    fixture.home.underway().idle().await;
    let reports = fixture.line.reports();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].message.as_str(), "m1");
    assert_eq!(
        (&reports[0].sender, &reports[0].recipient),
        (&address(BEA), &address(ADA))
    );
    assert_eq!(reports[0].disposition, Disposition::Delivered);
    fixture.home.settle_reports().await;
    assert!(fixture.line.take().is_empty());
}

#[tokio::test]
async fn report_that_the_relay_can_not_take_yet_is_sent_again() {
    let fixture = Fixture::new().await;
    let ada = fixture.ada();
    fixture.deliver(send("m1", &[ADA], "x")).await.unwrap();
    let (id, _) = fixture.home.waiting(&ada, None, 1).await.unwrap()[0];
    fixture.line.answer(Err(Refusal::NotFound {
        what: "message m1".into(),
    }));
    fixture.home.acknowledge(&ada, id).await.unwrap();
    fixture.home.underway().idle().await;
    assert_eq!(fixture.line.reports().len(), 1);
    fixture.home.sweep().await;
    assert_eq!(fixture.line.reports().len(), 1);
    fixture.home.sweep().await;
    assert!(fixture.line.take().is_empty());
}

#[tokio::test]
async fn expired_message_is_reported_as_failed() {
    let fixture = Fixture::new().await;
    let mut short = message(Some("m1"), &[ADA], "x");
    short.validity = Some(Duration::from_secs(60));
    fixture.deliver(Request::Send(short)).await.unwrap();
    fixture.hand.advance(Duration::from_secs(59));
    fixture.home.sweep().await;
    assert_eq!(
        fixture.home.waiting(&fixture.ada(), None, 1).await.unwrap().len(),
        1
    );
    fixture.hand.advance(Duration::from_secs(1));
    assert!(
        fixture
            .home
            .waiting(&fixture.ada(), None, 1)
            .await
            .unwrap()
            .is_empty()
    );
    fixture.home.sweep().await;
    fixture.home.underway().idle().await;
    assert_eq!(
        fixture.line.reports()[0].disposition,
        Disposition::Failed(Refusal::Expired)
    );
    assert!(fixture.ada().state().inbox.waiting.is_empty());
}

#[tokio::test]
async fn message_that_waits_for_somebody_who_leaves_is_reported_as_failed() {
    let fixture = Fixture::new().await;
    let ada = fixture.ada();
    fixture.deliver(send("m1", &[ADA], "x")).await.unwrap();
    fixture.home.set_active(&ada.number, false).await.unwrap();
    fixture.home.underway().idle().await;
    assert!(fixture.line.reports().is_empty(), "he may come back");
    fixture.home.remove_account(&ada.number).await.unwrap();
    fixture.home.underway().idle().await;
    let gone = Refusal::UnknownUser {
        recipient: address("wv:+447700900123"),
    };
    assert_eq!(fixture.line.reports()[0].disposition, Disposition::Failed(gone));
}

#[tokio::test]
async fn fetch_mode_keeps_messages_off_the_stream() {
    let fixture = Fixture::new().await;
    let ada = fixture.ada();
    fixture
        .home
        .change_account(&ada, |account| account.settings.delivery = DeliveryMethod::Fetch)
        .await
        .unwrap();
    let mut joined = ada.state().streams.join("d", None, 8).unwrap();
    fixture.deliver(send("m1", &[ADA], "x")).await.unwrap();
    assert!(joined.events.try_recv().is_err());
    assert_eq!(fixture.home.waiting(&ada, None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn report_of_an_own_message_is_an_event_and_comes_once() {
    let fixture = Fixture::new().await;
    let report = || {
        Request::Report(DeliveryReport {
            message: "m9".parse().unwrap(),
            sender: address(ADA),
            recipient: address(BEA),
            disposition: Disposition::Failed(Refusal::Expired),
            at: None,
            losses: Vec::new(),
        })
    };
    fixture.deliver(report()).await.unwrap();
    fixture.deliver(report()).await.unwrap();
    let waiting = fixture.home.waiting(&fixture.ada(), None, 10).await.unwrap();
    assert_eq!(waiting.len(), 1);
    let Event::Report {
        is_delivered, status, ..
    } = &waiting[0].1.event
    else {
        panic!()
    };
    assert_eq!((*is_delivered, *status), (false, 542));
}

#[tokio::test]
async fn outgoing_message_is_checked_and_signed_with_the_number() {
    let fixture = Fixture::new().await;
    let new = |text: &str| NewMessage {
        id: None,
        to: vec![address(BEA)],
        content: Content::text(text),
        report_wanted: true,
        validity: None,
        conversation: None,
    };
    let ada = fixture.ada();
    let refused = fixture.home.send_message(&ada, new("bell\u{7}")).await;
    assert!(matches!(refused, Err(Refusal::BadRequest { .. })));
    let nobody = fixture
        .home
        .send_message(
            &ada,
            NewMessage {
                to: Vec::new(),
                ..new("x")
            },
        )
        .await;
    assert!(matches!(nobody, Err(Refusal::BadRequest { .. })));
    assert!(fixture.line.take().is_empty());
    let (id, _) = fixture
        .home
        .send_message(&ada, new("tab\tand\r\nline"))
        .await
        .unwrap();
    let sent = fixture.line.take();
    let [Request::Send(message)] = &sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!(
        (message.sender.to_string(), message.id.as_ref()),
        (ADA.into(), Some(&id))
    );
}

#[tokio::test]
async fn store_that_fails_takes_nothing() {
    let fixture = Fixture::new().await;
    fixture.store.close().await.unwrap();
    let answer = fixture.deliver(send("m1", &[ADA], "x")).await;
    assert!(matches!(
        answer,
        Err(Undelivered::NotTaken(Refusal::Internal { .. }))
    ));
    assert!(fixture.ada().state().inbox.waiting.is_empty());
}

#[tokio::test]
async fn same_message_at_once_comes_once_and_the_bound_holds() {
    let fixture = Fixture::with(|config| config.limits.inbox_events = 5).await;
    let same = (0..8).map(|_| fixture.deliver(send("m1", &[ADA], "x")));
    let answers = futures_util::future::join_all(same).await;
    let taken = answers
        .into_iter()
        .filter(|answer| refusal(answer.clone()).is_none())
        .count();
    assert!(taken >= 5, "{taken}");
    assert_eq!(
        fixture
            .home
            .waiting(&fixture.ada(), None, 10)
            .await
            .unwrap()
            .len(),
        1
    );
    let ids: Vec<_> = (0..8).map(|id| format!("n{id}")).collect();
    let answers =
        futures_util::future::join_all(ids.iter().map(|id| fixture.deliver(send(id, &[ADA], "x")))).await;
    let taken = answers
        .into_iter()
        .filter(|answer| refusal(answer.clone()).is_none())
        .count();
    assert_eq!((taken, fixture.ada().state().inbox.waiting.len()), (4, 5));
}

#[tokio::test]
async fn one_person_under_two_addresses_has_one_outcome() {
    let fixture = Fixture::new().await;
    let both = send("m1", &[ADA, "wv:ada@alpha.example"], "x");
    fixture.store.close().await.unwrap();
    let answer = fixture.deliver(both).await;
    assert!(matches!(answer, Err(Undelivered::NotTaken(_))), "{answer:?}");
}
