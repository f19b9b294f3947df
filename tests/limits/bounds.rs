//! Message size, queue length and store size: each refused before anything is accepted, with its own code, and each passes.

use impsgw::wire::ssp::StatusCode;
use serde_json::json;

use super::stage::{PATIENCE, Setup, Stage};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn message_that_is_too_large_is_rejected_and_the_next_is_not() {
    let mut stage = Stage::start(Setup {
        agreement: "limits.max_content = \"1 KiB\"",
        ..Setup::default()
    })
    .await;
    assert_eq!(stage.sender.send(2000).await, StatusCode(538));
    assert_eq!(stage.sender.send(500).await, StatusCode::SUCCESS);
    stage.all_arrived().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_queue_of_a_peer_refuses_what_is_more_and_takes_it_when_there_is_room() {
    let mut stage = Stage::start(Setup {
        agreement: "limits.max_queued = 10",
        ..Setup::default()
    })
    .await;
    stage
        .gateway
        .ask("POST", "queues/beta.example/hold", json!({}))
        .await;
    for _ in 0..10 {
        assert_eq!(stage.sender.send(100).await, StatusCode::SUCCESS);
    }
    assert_eq!(stage.sender.send(100).await, StatusCode(507));
    assert!(stage.gateway.metric("impsgw_store_full_total").await >= 1);
    assert_eq!(
        stage.gateway.ready().await.0,
        200,
        "one full queue is no reason to send all elsewhere"
    );
    stage
        .gateway
        .ask("POST", "queues/beta.example/release", json!({}))
        .await;
    assert_eq!(stage.all_arrived().await, 0);
    assert_eq!(stage.sender.send(100).await, StatusCode::SUCCESS);
    assert_eq!(stage.all_arrived().await, 0);
}

/// The store takes no more than its size while the peer is down, and all that it took goes out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_store_refuses_and_empties_by_itself() {
    let mut stage = Stage::start(Setup {
        store: "max_size = \"16 MiB\"",
        ..Setup::default()
    })
    .await;
    stage.beta_refuses(true);
    stage
        .sender
        .send_until("the store is full", 50_000, |sender| {
            !sender.refusals().is_empty()
        })
        .await;
    stage.sender.all_answered().await;
    let codes: Vec<u16> = stage.sender.refusals().into_keys().collect();
    assert_eq!(codes, [507]);
    let accepted = stage.sender.accepted().len();
    assert!((100..400).contains(&accepted), "{accepted} of 50 kB in 16 MiB");
    stage.beta_refuses(false);
    stage
        .sender
        .send_until("there is room again", 50_000, |sender| {
            sender.accepted().len() > accepted + 20
        })
        .await;
    stage.sender.all_answered().await;
    assert_eq!(
        stage.all_arrived().await,
        0,
        "nothing failed, so nothing is sent twice"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peer_that_is_resumed_gets_at_once_what_waits() {
    let mut stage = Stage::start(Setup {
        agreement: "delivery.first_retry = \"1h\"\ndelivery.longest_retry = \"1h\"",
        ..Setup::default()
    })
    .await;
    let beta = "peers/beta.example";
    stage
        .gateway
        .ask("POST", &format!("{beta}/suspend"), json!({}))
        .await;
    for _ in 0..3 {
        assert_eq!(stage.sender.send(100).await, StatusCode::SUCCESS);
    }
    let deadline = std::time::Instant::now() + PATIENCE;
    while stage.has_untried_items().await {
        assert!(std::time::Instant::now() < deadline, "nothing is tried");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(stage.arrived(), 0);
    stage
        .gateway
        .ask("POST", &format!("{beta}/resume"), json!({}))
        .await;
    assert_eq!(stage.all_arrived().await, 0);
}
