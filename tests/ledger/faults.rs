//! One fault a case: before it, amid it and after it messages are sent.

use std::time::Duration;

use super::{
    books::{Balance, Excuse},
    proxy::Weather,
    seed,
    side::Manner,
    stage::{Settings, Stage},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault() {
    let mut stage = Stage::open("no fault", &mut seed("no fault"), Settings::default()).await;
    stage.sender.until_answered(300).await;
    let balance = stage.balance(Excuse::Nothing).await;
    assert_eq!(balance.arrived, balance.accepted);
    nothing_refused(&stage, &balance);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peer_answers_slowly() {
    let settings = Settings {
        answer_timeout: 20_000,
        query_timeout: 20_000,
        ..Settings::default()
    };
    let mut stage = Stage::open("slow answers", &mut seed("slow answers"), settings).await;
    // Beyond the cut-through bound, below the answer timeout.
    stage.peer.behave(Manner::Slow(Duration::from_millis(1300)));
    stage.sender.until_answered(40).await;
    stage.peer.behave(Manner::Proper);
    stage.sender.until_answered(40).await;
    let balance = stage.balance(Excuse::Nothing).await;
    assert_eq!(balance.arrived, balance.accepted);
    nothing_refused(&stage, &balance);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_cut_short() {
    let mut random = seed("cut documents");
    let mut stage = Stage::open("cut documents", &mut random, Settings::default()).await;
    for _ in 0..5 {
        stage.sender.until_answered(10).await;
        stage
            .to_peer
            .set(Weather::CutsRequests(random.usize(1..2000)))
            .await;
        stage.sender.until_answered(30).await;
        stage.to_peer.set(Weather::Fair).await;
    }
    let balance = stage.balance(Excuse::Unanswered).await;
    assert_eq!(balance.arrived, balance.accepted);
    nothing_refused(&stage, &balance);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledgements_are_cut_short() {
    let mut random = seed("cut acknowledgements");
    let mut stage = Stage::open("cut acknowledgements", &mut random, Settings::default()).await;
    for _ in 0..5 {
        stage.sender.until_answered(10).await;
        stage
            .to_peer
            .set(Weather::CutsResponses(random.usize(0..40)))
            .await;
        stage.sender.until_answered(30).await;
        stage.to_peer.set(Weather::Fair).await;
    }
    let balance = stage.balance(Excuse::Unanswered).await;
    assert_eq!(balance.arrived, balance.accepted);
    nothing_refused(&stage, &balance);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_cut_short() {
    let mut random = seed("cut answers");
    let mut stage = Stage::open("cut answers", &mut random, Settings::default()).await;
    stage.sender.until_answered(10).await;
    stage
        .from_peer
        .set(Weather::CutsRequests(random.usize(1..1000)))
        .await;
    stage.sender.until_answered(60).await;
    stage.from_peer.set(Weather::Fair).await;
    stage.sender.until_answered(20).await;
    let balance = stage.balance(Excuse::Unanswered).await;
    assert_eq!(balance.arrived, balance.accepted);
    nothing_refused(&stage, &balance);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peer_answers_500() {
    let mut stage = Stage::open("HTTP 500", &mut seed("HTTP 500"), Settings::default()).await;
    stage.sender.until_answered(20).await;
    stage.peer.behave(Manner::Fails);
    stage.sender.until_answered(60).await;
    stage.peer.behave(Manner::Proper);
    stage.sender.until_answered(20).await;
    let balance = stage.balance(Excuse::Nothing).await;
    assert_eq!(balance.arrived, balance.accepted);
    nothing_refused(&stage, &balance);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peer_answers_garbage() {
    let mut stage = Stage::open("garbage", &mut seed("garbage"), Settings::default()).await;
    stage.sender.until_answered(20).await;
    stage.peer.behave(Manner::Garbage);
    stage.sender.until_answered(60).await;
    stage.peer.behave(Manner::Proper);
    stage.sender.until_answered(20).await;
    let balance = stage.balance(Excuse::Unanswered).await;
    nothing_refused(&stage, &balance);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_peer_that_tells_repeats_apart_is_asked_again() {
    let mut stage = Stage::open("silence, strict", &mut seed("silence, strict"), brief("strict")).await;
    let balance = silence(&mut stage).await;
    assert_eq!(balance.arrived, balance.accepted);
    assert!(balance.repeated > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_peer_that_does_not_is_left_to_a_person() {
    let mut stage = Stage::open(
        "silence, observed",
        &mut seed("silence, observed"),
        brief("observed"),
    )
    .await;
    let balance = silence(&mut stage).await;
    assert_eq!(balance.arrived + balance.unknown, balance.accepted);
    assert!(balance.unknown > 0);
    assert_eq!(
        (balance.unknown_and_arrived, balance.repeated),
        (balance.unknown, 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn network_is_parted() {
    let mut stage = Stage::open("partition", &mut seed("partition"), Settings::default()).await;
    stage.sender.until_answered(20).await;
    stage.set_network(Weather::Held).await;
    stage.sender.validity = Some(Duration::from_secs(3));
    stage.sender.until_answered(30).await;
    stage.sender.validity = None;
    stage.sender.until_answered(30).await;
    stage.sender.wait(Duration::from_secs(5)).await;
    stage.set_network(Weather::Fair).await;
    stage.sender.until_answered(20).await;
    let balance = stage.balance(Excuse::Unanswered).await;
    assert!(balance.told > 0);
    nothing_refused(&stage, &balance);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peer_is_down_for_a_day() {
    let mut stage = Stage::open("down", &mut seed("down"), Settings::default()).await;
    stage.sender.until_answered(20).await;
    stage.to_peer.set(Weather::Closed).await;
    stage.sender.until_answered(30).await;
    stage.sender.validity = Some(Duration::from_secs(2));
    stage.sender.until_answered(30).await;
    stage.sender.wait(Duration::from_secs(5)).await;
    stage.sender.validity = None;
    stage.to_peer.set(Weather::Fair).await;
    stage.sender.until_answered(20).await;
    let balance = stage.balance(Excuse::Unanswered).await;
    assert!(balance.told > 0);
    nothing_refused(&stage, &balance);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dns_is_gone_with_what_it_said_in_memory() {
    let mut stage = Stage::open("DNS gone, warm", &mut seed("DNS gone, warm"), Settings::default()).await;
    stage.sender.until_answered(30).await;
    stage.stop_dns().await;
    stage.sender.until_answered(100).await;
    // Nobody waits for the name server to come back.
    let balance = stage.balance(Excuse::Nothing).await;
    assert_eq!(balance.arrived, balance.accepted);
    nothing_refused(&stage, &balance);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dns_is_gone_with_nothing_in_memory() {
    let settings = Settings {
        ttl: 1,
        ..Settings::default()
    };
    let mut stage = Stage::open("DNS gone, cold", &mut seed("DNS gone, cold"), settings).await;
    stage.sender.until_answered(30).await;
    stage.stop_dns().await;
    stage.sender.wait(Duration::from_secs(2)).await;
    stage.sender.until_answered(30).await;
    stage.kill();
    stage.start().await;
    stage.sender.until_answered(30).await;
    stage.start_dns().await;
    stage.sender.until_answered(30).await;
    let balance = stage.balance(Excuse::Faults).await;
    assert_eq!(balance.arrived, balance.accepted);
    nothing_refused(&stage, &balance);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_jumps_forward() {
    let balance = clock_steps("clock forward", 3600).await;
    // Whose validity ended in the hour that was not, and whose sender was told so.
    assert!(balance.told > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_jumps_backward() {
    let balance = clock_steps("clock backward", -3600).await;
    assert_eq!(balance.arrived, balance.accepted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateway_is_killed_while_the_peer_is_silent() {
    let mut stage = Stage::open("killed, silence", &mut seed("killed, silence"), brief("strict")).await;
    stage.peer.behave(Manner::Silent);
    let balance = killed(&mut stage).await;
    assert_eq!(balance.arrived, balance.accepted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateway_is_killed_while_the_peer_babbles() {
    let mut stage = Stage::open("killed, garbage", &mut seed("killed, garbage"), brief("observed")).await;
    stage.peer.behave(Manner::Garbage);
    killed(&mut stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateway_is_killed_while_the_network_is_parted() {
    let mut stage = Stage::open(
        "killed, partition",
        &mut seed("killed, partition"),
        brief("strict"),
    )
    .await;
    stage.set_network(Weather::Held).await;
    stage.sender.validity = Some(Duration::from_secs(4));
    killed(&mut stage).await;
}

/// A gateway on a disk that forgets is killed twice amid a fault, which ends thereafter.
async fn killed(stage: &mut Stage) -> Balance {
    stage.ground.forgets = true;
    for _ in 0..2 {
        stage.sender.until_answered(20).await;
        stage.kill();
        stage.start().await;
    }
    stage.sender.until_answered(20).await;
    stage.sender.validity = None;
    stage.peer.behave(Manner::Proper);
    stage.set_network(Weather::Fair).await;
    stage.sender.until_answered(20).await;
    let balance = stage.balance(Excuse::Unanswered).await;
    nothing_refused(stage, &balance);
    balance
}

/// Messages that wait while the wall clock steps by so many seconds, and that are sent thereafter.
async fn clock_steps(name: &'static str, by: i64) -> Balance {
    let mut random = seed(name);
    let mut stage = Stage::new(name, &mut random, Settings::default()).await;
    stage.ground.has_clock = true;
    stage.start().await;
    stage.sender.until_answered(20).await;
    stage.to_peer.set(Weather::Closed).await;
    stage.sender.validity = Some(Duration::from_secs(1800));
    stage.sender.until_answered(20).await;
    stage.sender.validity = None;
    stage.sender.until_answered(20).await;
    stage.clock.step_by(by);
    stage.sender.until_answered(20).await;
    stage.to_peer.set(Weather::Fair).await;
    stage.sender.until_answered(20).await;
    let balance = stage.balance(Excuse::Unanswered).await;
    nothing_refused(&stage, &balance);
    balance
}

/// A peer that takes everything and answers nothing for a while.
async fn silence(stage: &mut Stage) -> Balance {
    stage.sender.until_answered(20).await;
    stage.peer.behave(Manner::Silent);
    stage.sender.until_answered(40).await;
    stage.sender.wait(Duration::from_secs(4)).await;
    stage.peer.behave(Manner::Proper);
    stage.sender.until_answered(20).await;
    let balance = stage.balance(Excuse::Unanswered).await;
    nothing_refused(stage, &balance);
    balance
}

/// A gateway that waits for answers for a second.
fn brief(profile: &'static str) -> Settings {
    Settings {
        profile,
        answer_timeout: 1000,
        query_timeout: 1000,
        ..Settings::default()
    }
}

fn nothing_refused(stage: &Stage, balance: &Balance) {
    assert_eq!(balance.refused, 0, "{:?}", stage.ledger.lock().unwrap().refused);
}
