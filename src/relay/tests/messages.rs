//! Messages while the sender waits: taken, refused, stored; order within a conversation; the store's failures.

use serde_json::json;

use super::*;
use crate::store::Space;

#[tokio::test]
async fn message_is_taken_under_an_id_of_ours_and_its_body_is_not_stored() {
    let world = World::new();
    let answer = world
        .handle(
            world.ours("m1"),
            Request::Send(SendMessage {
                content: Content::text("between us two"),
                ..message("m1", ADA, &[BEA])
            }),
        )
        .await
        .unwrap();
    assert_eq!(outcome_of(&answer, BEA), Ok(Acceptance::Taken));
    assert!(matches!(answer, Answer::Sent { id: Some(id), .. } if id.as_str() == "m1"));
    let asked = world.ssp.asked();
    let (delivery, Request::Send(sent)) = (&asked[0], &asked[0].request) else {
        panic!("{asked:?}");
    };
    assert_eq!(delivery.domain, domain("beta.example"));
    assert_eq!(delivery.own, domain("alpha.example"));
    assert_eq!(delivery.via, Vec::new(), "our own people's requests come from us");
    assert_eq!(
        delivery.deadline,
        delivery.trail.started().plus(Duration::from_secs(5))
    );
    assert_ne!(sent.id, Some("m1".parse().unwrap()));
    assert!(world.waiting().await.is_empty());
    let rows = world
        .store
        .rows(Space::Seen, "", None, 10, world.clock.now())
        .await
        .unwrap();
    let [identity, reference] = &rows[..] else {
        panic!("{rows:?}");
    };
    assert_eq!(identity.key[..16], reference.key[..16], "they stand side by side");
    assert!(identity.value.len() < 200, "{:?}", identity.value);
    let is_kept = |row: &crate::store::Row| String::from_utf8_lossy(&row.value).contains("between us");
    assert!(!rows.iter().any(is_kept));
}

#[tokio::test]
async fn recipients_of_several_operators_get_one_answer() {
    let world = World::new();
    // Nobody asks the store, so the operators are asked in their order.
    world.relay.learn_lanes().await.unwrap();
    world.accounts.open("eve@alpha.example", "alpha.example");
    let to = [BEA, GIL, "wv:eve@alpha.example", BO];
    world.ssp.answers(Answer::Sent {
        id: None,
        recipients: vec![RecipientOutcome {
            recipient: person(BO),
            outcome: Err(remote(532)),
        }],
    });
    let answer = world
        .handle(world.ours("m1"), Request::Send(message("m1", ADA, &to)))
        .await
        .unwrap();
    assert_eq!(outcome_of(&answer, BEA), Ok(Acceptance::Taken));
    assert_eq!(outcome_of(&answer, BO), Err(remote(532)));
    assert_eq!(outcome_of(&answer, GIL), Ok(Acceptance::Taken));
    assert_eq!(outcome_of(&answer, "wv:eve@alpha.example"), Ok(Acceptance::Taken));
    assert_eq!(outcomes(answer).len(), 4);
    let sent = world.ssp.messages();
    assert_eq!(sent.len(), 2, "one request a serving side");
    assert_eq!(
        sent[0].recipients,
        people(&[BEA, BO]),
        "in the order of the sender"
    );
    assert_eq!(sent[1].recipients, people(&[GIL]));
}

#[tokio::test]
async fn recipient_named_in_two_forms_gets_one_message() {
    let world = World::new();
    let to = [BEA, "wv:+46701234567@beta.example", BEA];
    let answer = world
        .handle(world.ours("m1"), Request::Send(message("m1", ADA, &to)))
        .await
        .unwrap();
    assert_eq!(outcomes(answer).len(), 1);
    assert_eq!(world.ssp.messages()[0].recipients, people(&[BEA]));
}

#[tokio::test]
async fn refusal_of_the_peer_is_the_answer_and_nothing_is_stored() {
    let world = World::new();
    world.ssp.refuses(Refusal::UnknownUser {
        recipient: person(BEA),
    });
    assert_eq!(
        world.ada_sends("m1", BEA).await,
        Err(Refusal::UnknownUser {
            recipient: person(BEA)
        })
    );
    assert!(world.waiting().await.is_empty());
}

#[tokio::test]
async fn message_that_the_peer_can_not_take_is_stored_and_delivered_later_under_the_same_id() {
    let world = World::new();
    world.ssp.takes_nothing();
    assert_eq!(world.ada_sends("m1", BEA).await, Ok(Acceptance::Stored));
    world.deliver_due().await;
    let first = world.ssp.messages();
    assert_eq!(first.len(), 1, "not before its time");
    world.advance(10);
    world.deliver_due().await;
    let second = world.ssp.messages();
    assert_eq!(second.len(), 1);
    assert_eq!(second[0].id, first[0].id);
    assert_eq!(second[0].content, first[0].content);
    assert!(world.waiting().await.is_empty());
}

#[tokio::test]
async fn later_message_of_a_conversation_queues_behind_the_stored_one_and_order_holds() {
    let world = World::new();
    world.ssp.takes_nothing();
    assert_eq!(world.ada_sends("m1", BEA).await, Ok(Acceptance::Stored));
    assert_eq!(world.ssp.texts(), ["m1"]);
    assert_eq!(world.ada_sends("m2", BEA).await, Ok(Acceptance::Stored));
    assert_eq!(
        world.ada_sends("m3", "wv:+46701234567@beta.example").await,
        Ok(Acceptance::Stored)
    );
    assert!(world.ssp.asked().is_empty(), "nothing overtakes");
    assert_eq!(
        world.ada_sends("other", BO).await,
        Ok(Acceptance::Taken),
        "another conversation"
    );
    assert_eq!(world.ssp.texts(), ["other"]);
    world.advance(10);
    world.deliver_due().await;
    assert_eq!(world.ssp.texts(), ["m1", "m2", "m3"]);
    assert_eq!(
        world.ada_sends("m4", BEA).await,
        Ok(Acceptance::Taken),
        "the way is free again"
    );
}

#[tokio::test]
async fn order_holds_across_a_restart() {
    let world = World::new();
    world.ssp.takes_nothing();
    world.ada_sends("m1", BEA).await.unwrap();
    let world = world.restart().await;
    assert_eq!(world.ada_sends("m2", BEA).await, Ok(Acceptance::Stored));
    world.advance(10);
    world.deliver_due().await;
    assert_eq!(world.ssp.texts(), ["m1", "m2"]);
}

#[tokio::test]
async fn order_holds_when_the_person_changes_the_operator_meanwhile() {
    let world = World::new();
    world.ssp.takes_nothing();
    world.ada_sends("m1", BEA).await.unwrap();
    world.ssp.asked();
    world.serves("number", "+46701234567", "gamma");
    assert_eq!(world.ada_sends("m2", BEA).await, Ok(Acceptance::Stored));
    world.advance(10);
    world.deliver_due().await;
    let asked = world.ssp.asked();
    let domains: Vec<_> = asked.iter().map(|one| one.domain.to_string()).collect();
    assert_eq!(
        domains,
        ["gamma.example", "gamma.example"],
        "each attempt routes anew"
    );
    let texts: Vec<_> = asked
        .into_iter()
        .map(|one| match one.request {
            Request::Send(message) => message.content.as_text().unwrap().to_owned(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(texts, ["m1", "m2"]);
}

#[tokio::test]
async fn what_an_operator_discards_blocks_nobody() {
    let world = World::new();
    world.ssp.takes_nothing();
    world.ada_sends("m1", BEA).await.unwrap();
    let id = world.waiting().await[0].id;
    let batch = crate::store::Batch::new(world.clock.now()).settle(id, crate::store::Settle::Discard);
    world.store.commit(batch).await.unwrap();
    assert_eq!(world.ada_sends("m2", BEA).await, Ok(Acceptance::Taken));
}

#[tokio::test]
async fn accept_store_commits_the_body_first() {
    let world = World::with(|setup| {
        setup.agreements = vec![agreement_with("beta", "accept", json!("store"))];
    });
    assert_eq!(world.ada_sends("m1", BEA).await, Ok(Acceptance::Stored));
    assert!(world.ssp.asked().is_empty());
    world.deliver_due().await;
    assert_eq!(world.ssp.texts(), ["m1"], "due at once");
}

#[tokio::test]
async fn route_that_can_not_be_found_now_is_looked_up_anew() {
    let world = World::new();
    assert_eq!(
        world.ada_sends("m1", "wv:dan@delta.example").await,
        Ok(Acceptance::Stored)
    );
    assert_eq!(world.waiting().await[0].lane.queue, "unrouted");
    world.serves("domain", "delta.example", "beta");
    assert_eq!(
        world.ada_sends("m2", "wv:dan@delta.example").await,
        Ok(Acceptance::Stored),
        "behind the first"
    );
    world.advance(10);
    world.deliver_due().await;
    assert_eq!(world.ssp.texts(), ["m1", "m2"]);
}

#[tokio::test]
async fn domain_without_an_agreement_is_refused() {
    let world = World::new();
    world.agree(&[agreement("gamma")]);
    let refused = world.ada_sends("m1", BEA).await.unwrap_err();
    assert!(
        refused.to_string().contains("no agreement") || matches!(refused, Refusal::NoAgreement { .. }),
        "{refused}"
    );
    assert!(world.ssp.asked().is_empty());
}

#[tokio::test]
async fn full_store_refuses_what_only_it_would_have_kept() {
    let world = World::with(|setup| setup.max_items = Some(1));
    world.ssp.takes_nothing();
    assert_eq!(world.ada_sends("m1", BEA).await, Ok(Acceptance::Stored));
    world.ssp.takes_nothing();
    let refused = world.ada_sends("m2", BO).await.unwrap_err();
    assert!(matches!(refused, Refusal::QueueFull { .. }), "{refused}");
    assert_eq!(
        world.ada_sends("m3", BO).await,
        Ok(Acceptance::Taken),
        "nothing of it waits"
    );
}

#[tokio::test]
async fn closed_store_breaks_no_promise_that_the_peer_made() {
    let world = World::new();
    world.relay.learn_seen().await.unwrap();
    world.relay.learn_lanes().await.unwrap();
    world.store.close().await.unwrap();
    assert_eq!(world.ada_sends("m1", BEA).await, Ok(Acceptance::Taken));
    world.ssp.takes_nothing();
    let refused = world.ada_sends("m2", BEA).await.unwrap_err();
    assert!(matches!(refused, Refusal::Internal { .. }), "{refused}");
}

/// The order in which messages wait.
async fn in_store(world: &World) -> Vec<String> {
    let mut waiting = world.waiting().await;
    waiting.sort_by_key(|item| item.id);
    waiting.into_iter().map(|item| item.labels[2].clone()).collect()
}

#[tokio::test]
async fn messages_wait_in_the_order_in_which_they_were_admitted() {
    let world = Arc::new(World::new());
    let release = world.ssp.holds_in_vain();
    world.ssp.takes_nothing();
    let mut sending = Vec::new();
    for (count, id) in [(1, "m1"), (2, "m2")] {
        let sender = Arc::clone(&world);
        sending.push(tokio::spawn(async move { sender.ada_sends(id, BEA).await }));
        world.ssp.is_asked(count).await;
    }
    for _ in 0..50 {
        assert_eq!(
            in_store(&world).await,
            Vec::<String>::new(),
            "the first is still out"
        );
    }
    release.send(()).unwrap();
    for sent in sending {
        assert_eq!(sent.await.unwrap(), Ok(Acceptance::Stored));
    }
    assert_eq!(in_store(&world).await, ["m1", "m2"]);
}

#[tokio::test]
async fn message_does_not_overtake_one_that_is_about_to_wait() {
    let world = Arc::new(World::new());
    world.ssp.takes_nothing();
    let release = world.ssp.holds();
    let sender = Arc::clone(&world);
    let both = Request::Send(message("m1", ADA, &[BEA, GIL]));
    let first = tokio::spawn(async move { sender.handle(sender.ours("m1"), both).await });
    world.ssp.is_asked(2).await;
    // Bea's part was given up, and is committed when Gil's has ended.
    let sender = Arc::clone(&world);
    let second = tokio::spawn(async move { sender.ada_sends("m2", BEA).await });
    for _ in 0..50 {
        assert_eq!(in_store(&world).await, Vec::<String>::new());
    }
    release.send(()).unwrap();
    first.await.unwrap().unwrap();
    assert_eq!(second.await.unwrap(), Ok(Acceptance::Stored));
    assert_eq!(world.ssp.texts(), ["m1", "m1"]);
    assert_eq!(in_store(&world).await, ["m1", "m2"]);
}

#[tokio::test]
async fn messages_that_are_taken_do_not_wait_for_one_another() {
    let world = Arc::new(World::new());
    let release = world.ssp.holds();
    let sender = Arc::clone(&world);
    let first = tokio::spawn(async move { sender.ada_sends("m1", BEA).await });
    world.ssp.is_asked(1).await;
    assert_eq!(world.ada_sends("m2", BEA).await, Ok(Acceptance::Taken));
    release.send(()).unwrap();
    assert_eq!(first.await.unwrap(), Ok(Acceptance::Taken));
}

#[tokio::test]
async fn no_more_waits_for_a_peer_than_agreed() {
    let limit =
        |peer: &str| agreement_with(peer, "limits", json!({ "max_queued": 2, "media_types": ["*/*"] }));
    let world = World::with(|setup| setup.agreements = vec![limit("beta"), limit("gamma")]);
    // Nobody asks the store, so the operators are asked in their order.
    world.relay.learn_lanes().await.unwrap();
    world.ssp.takes_nothing();
    for id in ["m1", "m2"] {
        assert_eq!(world.ada_sends(id, BEA).await, Ok(Acceptance::Stored));
    }
    let full = Err(Refusal::QueueFull {
        queue: "limits.max_queued of beta is 2".into(),
    });
    assert_eq!(world.ada_sends("m3", BEA).await, full);
    world.ssp.asked();
    // Who is taken stays taken, and a repeat is recognised; only who would wait is refused.
    world.ssp.takes_nothing();
    let mixed = message("m4", ADA, &["wv:bob@beta.example", GIL]);
    for _ in 0..2 {
        let answer = world
            .handle(world.ours("m4"), Request::Send(mixed.clone()))
            .await
            .unwrap();
        assert_eq!(outcome_of(&answer, GIL), Ok(Acceptance::Taken));
        world.ssp.takes_nothing();
    }
    let to_gil = world.ssp.asked();
    let to_gil = to_gil.iter().filter(|one| one.domain == domain("gamma.example"));
    assert_eq!(to_gil.count(), 1);
    assert_eq!(world.waiting().await.len(), 2);
    let world = world.restart().await;
    assert_eq!(
        world.ada_sends("m5", BEA).await,
        full,
        "it is counted after a restart as well"
    );
    world.advance(10);
    world.deliver_due().await;
    assert_eq!(world.ada_sends("m6", BEA).await, Ok(Acceptance::Taken));
}
