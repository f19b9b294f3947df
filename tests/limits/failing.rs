//! A disk that turns read-only under a running gateway, one that says that it could not keep what it was told, and one that is
//! slow. A library of a hundred lines, compiled here, stands between the gateway and the C library.

use std::{fs, path::PathBuf, process::Command, time::Instant};

use super::stage::{Setup, Stage};

/// The library, and the file that says what it does.
struct Shim(tempfile::TempDir);

impl Shim {
    fn build() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/limits/failing.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(folder.path().join("failing.so"))
            .args([source, "-ldl"])
            .output();
        match built {
            Ok(output) if output.status.success() => {
                let shim = Self(folder);
                shim.says("ok");
                Some(shim)
            }
            Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => {
                assert!(
                    std::env::var_os("REQUIRE_PEERS").is_none_or(|set| set != "1"),
                    "cc is missing: {error}"
                );
                eprintln!("SKIPPED: cc is missing, so no disk fails or is slow");
                None
            }
        }
    }

    fn setup(&self) -> Setup {
        let path = |path: PathBuf| path.display().to_string();
        Setup {
            environment: vec![
                ("LD_PRELOAD".into(), path(self.0.path().join("failing.so"))),
                ("IMPSGW_FAILING".into(), path(self.0.path().join("mode"))),
            ],
            ..Setup::default()
        }
    }

    fn says(&self, mode: &str) {
        // Never half a word.
        let beside = self.0.path().join("next");
        fs::write(&beside, mode).unwrap();
        fs::rename(beside, self.0.path().join("mode")).unwrap();
    }
}

/// Returns the counts.
async fn refuses_while_it_fails(mode: &str) -> String {
    let Some(shim) = Shim::build() else {
        return "skipped".into();
    };
    let mut stage = Stage::start(shim.setup()).await;
    stage
        .sender
        .send_until("it works", 500, |sender| sender.accepted().len() >= 60)
        .await;
    shim.says(mode);
    stage
        .sender
        .send_until("it is refused", 500, |sender| !sender.refusals().is_empty())
        .await;
    let why = stage.gateway.becomes(503).await;
    assert!(why.contains("the store can't write"), "{why}");
    assert_eq!(stage.gateway.metric("impsgw_store_failing").await, 1);
    stage.sender.all_answered().await;
    shim.says("ok");
    stage.gateway.becomes(200).await;
    let before = stage.sender.accepted().len();
    stage
        .sender
        .send_until("it works again", 500, |sender| {
            sender.accepted().len() >= before + 60
        })
        .await;
    stage.sender.all_answered().await;
    let codes: Vec<u16> = stage.sender.refusals().into_keys().collect();
    assert_eq!(codes, [503]);
    let repeated = stage.all_arrived().await;
    format!(
        "{mode}: {} accepted, {:?} refused, {repeated} came twice",
        stage.sender.accepted().len(),
        stage.sender.refusals()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disk_that_turns_read_only_refuses_for_now_and_loses_nothing() {
    println!("{}", refuses_while_it_fails("read-only").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disk_that_can_not_sync_refuses_for_now_and_loses_nothing() {
    println!("{}", refuses_while_it_fails("no-sync").await);
}

/// A flush takes a third of a second. Each message needs three commits, to accept, to lease and to settle it, which one by one
/// would take longer than the stage waits; nothing is refused, and nothing comes twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_disk_refuses_nothing_and_many_share_a_commit() {
    let Some(shim) = Shim::build() else { return };
    let mut stage = Stage::start(shim.setup()).await;
    shim.says("slow 300");
    let began = Instant::now();
    stage
        .sender
        .send_until("it works slowly", 500, |sender| sender.accepted().len() >= 240)
        .await;
    let took = began.elapsed();
    assert_eq!(stage.gateway.ready().await.0, 200);
    shim.says("ok");
    stage.sender.all_answered().await;
    assert!(
        stage.sender.refusals().is_empty(),
        "{:?}",
        stage.sender.refusals()
    );
    assert_eq!(stage.all_arrived().await, 0);
    println!("240 accepted in {took:?} at 300 ms a flush");
}
