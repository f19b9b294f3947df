//! A disk that is really full, and one that is read-only at the start: a small file system in memory.
//!
//! Mounting needs rights that not everybody has; without them these tests are a loud skip.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use impsgw::wire::ssp::StatusCode;

use super::stage::{Setup, Stage, start_in_vain};

/// A file system of its own, until it is dropped.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(folder.path())
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        assert!(
            std::env::var_os("REQUIRE_PEERS").is_none_or(|set| set != "1"),
            "a tmpfs can't be mounted"
        );
        eprintln!("SKIPPED: a tmpfs can't be mounted here, so no disk is filled");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut ballast = File::create(self.path().join("ballast")).unwrap();
        while ballast.write_all(&[0; 4096]).is_ok() {}
    }

    fn make_room(&self) {
        fs::remove_file(self.path().join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_refuses_for_now_loses_nothing_and_recovers_by_itself() {
    let Some(disk) = Disk::mount("48m") else { return };
    let mut stage = Stage::start(Setup {
        data: Some(disk.data()),
        ..Setup::default()
    })
    .await;
    for round in 1..=2 {
        let before = stage.sender.accepted().len();
        stage
            .sender
            .send_until("it works", 2000, |sender| sender.accepted().len() >= before + 60)
            .await;
        let refused: usize = stage.sender.refusals().values().sum();
        disk.fill();
        stage
            .sender
            .send_until("it is refused", 2000, |sender| {
                sender.refusals().values().sum::<usize>() >= refused + 60
            })
            .await;
        let why = stage.gateway.becomes(503).await;
        assert!(why.contains("the store can't write"), "{why}");
        assert_eq!(stage.gateway.metric("impsgw_store_failing").await, 1);
        disk.make_room();
        stage.gateway.becomes(200).await;
        assert_eq!(stage.gateway.metric("impsgw_store_failing").await, 0);
        stage.sender.all_answered().await;
        let codes: Vec<u16> = stage.sender.refusals().into_keys().collect();
        assert_eq!(codes, [503], "round {round}");
    }
    let before = stage.sender.accepted().len();
    stage
        .sender
        .send_until("it works again", 2000, |sender| {
            sender.accepted().len() >= before + 60
        })
        .await;
    stage.sender.all_answered().await;
    let repeated = stage.all_arrived().await;
    println!(
        "{} accepted, {:?} refused, {repeated} came twice",
        stage.sender.accepted().len(),
        stage.sender.refusals()
    );
}

/// What would be taken by the next hop at once is refused as well: its outcome could not be kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_cut_through_while_the_disk_is_full() {
    let Some(disk) = Disk::mount("48m") else { return };
    let mut stage = Stage::start(Setup {
        data: Some(disk.data()),
        accept: Some("taken"),
        ..Setup::default()
    })
    .await;
    for _ in 0..20 {
        assert_eq!(stage.sender.send(500).await, StatusCode::SUCCESS);
    }
    disk.fill();
    stage
        .sender
        .send_until("it is refused", 500, |sender| !sender.refusals().is_empty())
        .await;
    stage.gateway.becomes(503).await;
    stage.sender.all_answered().await;
    let arrived = stage.arrived();
    for _ in 0..20 {
        assert_eq!(stage.sender.send(500).await, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(stage.arrived(), arrived, "it was refused and sent all the same");
    disk.make_room();
    stage.gateway.becomes(200).await;
    assert_eq!(stage.sender.send(500).await, StatusCode::SUCCESS);
    assert_eq!(stage.all_arrived().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_only_disk_at_the_start_is_named() {
    let Some(disk) = Disk::mount("4m") else { return };
    fs::create_dir(disk.data()).unwrap();
    let remounted = Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(disk.path())
        .status();
    assert!(remounted.unwrap().success());
    let (code, log) = start_in_vain(&disk.data()).await;
    assert_ne!(code, Some(0));
    assert!(
        log.contains("the store can't be opened") && log.contains("Read-only"),
        "{log}"
    );
}
