//! A store whose process is killed amid its commits, on a disk that keeps what was written and on one that forgets what was
//! not synced.
//!
//! The test binary starts itself again as the process to kill: [`victim`] does nothing unless it is told where.
//! `IMPSGW_CRASH_SEED=N` plays an earlier run's moments again, `IMPSGW_CRASH_CYCLES=500` dies more often.

use std::{
    collections::HashSet,
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use impsgw::{
    model::Timestamp,
    store::{
        Batch, Committed, Lane, NewItem, Priority, QueueFilter, Space, Store,
        sqlite::{SqliteConfig, SqliteStore, Synchronous},
    },
};

use super::{
    number,
    preload::{Kept, dies_at, forgetful},
};

/// Where the victim has its store, which cycle it is in, and what its commits wait for.
const PLACE: &str = "IMPSGW_CRASH_STORE";
const CYCLE: &str = "IMPSGW_CRASH_CYCLE";
const SYNCHRONOUS: &str = "IMPSGW_CRASH_SYNCHRONOUS";
const NOW: Timestamp = Timestamp(1_000);
const PRODUCERS: u32 = 8;

#[tokio::test]
async fn killed_store_keeps_what_it_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("impsgw.db");
    let mut acknowledged = HashSet::new();
    for cycle in 0..5_usize {
        // Each cycle dies at another moment: amid the first commits, or after hundreds.
        acknowledged.extend(run_and_kill(victim_of(&path, cycle, "full"), 1 + cycle * 150));
        let found = Found::at(&path).await;
        assert_eq!(found.lost(&acknowledged), Vec::<&String>::new(), "cycle {cycle}");
        assert_eq!(found.faults, Vec::<String>::new());
    }
    assert!(acknowledged.len() >= 1500);
}

#[tokio::test]
async fn store_keeps_what_it_acknowledged_on_a_disk_that_forgets() {
    let seed = number("IMPSGW_CRASH_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let cycles = number("IMPSGW_CRASH_CYCLES").unwrap_or(16);
    println!("IMPSGW_CRASH_SEED={seed} IMPSGW_CRASH_CYCLES={cycles}");
    let mut random = fastrand::Rng::with_seed(seed);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("impsgw.db");
    let mut acknowledged = HashSet::new();
    for cycle in 0..usize::try_from(cycles).unwrap() {
        let mut victim = victim_of(&path, cycle, "full");
        forgetful(&mut victim, "impsgw.db");
        // Half of them die at a sync, half somewhere between.
        let moment = if random.bool() {
            let (sync, kept) = (random.u64(1..60), Kept::any(&mut random));
            dies_at(&mut victim, sync, kept);
            acknowledged.extend(run(victim));
            format!("sync {sync}, {kept:?}")
        } else {
            let enough = random.usize(1..300);
            acknowledged.extend(run_and_kill(victim, enough));
            format!("after {enough}")
        };
        let found = Found::at(&path).await;
        assert_eq!(
            found.lost(&acknowledged),
            Vec::<&String>::new(),
            "cycle {cycle}, {moment}"
        );
        assert_eq!(found.faults, Vec::<String>::new(), "cycle {cycle}, {moment}");
    }
    println!("{} acknowledged, none lost", acknowledged.len());
    assert!(acknowledged.len() as u64 >= 5 * cycles);
}

/// The proof can fail: the same test finds what a store loses that syncs nothing.
#[tokio::test]
async fn loss_without_syncs_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("impsgw.db");
    let mut victim = victim_of(&path, 0, "off");
    forgetful(&mut victim, "impsgw.db");
    let acknowledged = HashSet::from_iter(run_and_kill(victim, 200));
    let found = Found::at(&path).await;
    assert!(found.lost(&acknowledged).len() >= 200);
}

/// What waits for the system alone loses its last commits, all of one piece, and never the file.
#[tokio::test]
async fn store_without_syncs_of_its_log_loses_the_last_and_keeps_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("impsgw.db");
    let mut acknowledged = HashSet::new();
    for cycle in 0..3 {
        let mut victim = victim_of(&path, cycle, "normal");
        forgetful(&mut victim, "impsgw.db");
        acknowledged.extend(run_and_kill(victim, 100));
        assert_eq!(Found::at(&path).await.faults, Vec::<String>::new());
    }
    let found = Found::at(&path).await;
    assert!(!found.lost(&acknowledged).is_empty());
}

/// The process that is killed: commits numbered batches for ever and prints each one's name once it is safe.
#[tokio::test]
async fn victim() {
    let (Ok(path), Ok(cycle)) = (env::var(PLACE), env::var(CYCLE)) else {
        return;
    };
    let config = SqliteConfig {
        synchronous: match env::var(SYNCHRONOUS).unwrap().as_str() {
            "off" => Synchronous::Off,
            "normal" => Synchronous::Normal,
            _ => Synchronous::Full,
        },
        ..SqliteConfig::new(path)
    };
    let store = Arc::new(SqliteStore::open(&config).unwrap());
    let producers = (0..PRODUCERS).map(|producer| {
        let (store, cycle) = (Arc::clone(&store), cycle.clone());
        tokio::spawn(async move {
            for n in 0_u64.. {
                let name = format!("{cycle}-{producer}-{n}");
                let batch = Batch::new(NOW)
                    .put_new(Space::Charge, name.clone(), "v", None)
                    .enqueue(item(&name));
                assert_eq!(store.commit(batch).await.unwrap(), Committed::Done);
                println!("\nsafe {name}.");
            }
        })
    });
    for producer in producers.collect::<Vec<_>>() {
        producer.await.unwrap();
    }
}

/// What is in a store whose process was killed.
struct Found {
    names: HashSet<String>,
    faults: Vec<String>,
}

impl Found {
    async fn at(path: &Path) -> Self {
        let store = SqliteStore::open(&SqliteConfig::new(path)).unwrap();
        let rows = store
            .rows(Space::Charge, "", None, usize::MAX, NOW)
            .await
            .unwrap();
        let names: HashSet<String> = rows.into_iter().map(|row| row.key).collect();
        let items = store
            .items(&QueueFilter::default(), None, usize::MAX)
            .await
            .unwrap();
        // A batch is whole or not there at all.
        let items: HashSet<String> = items.into_iter().flat_map(|item| item.labels).collect();
        assert_eq!(items, names);
        let faults = store.check().await.unwrap().faults;
        store.close().await.unwrap();
        Self { names, faults }
    }

    fn lost<'a>(&'a self, acknowledged: &'a HashSet<String>) -> Vec<&'a String> {
        acknowledged.difference(&self.names).collect()
    }
}

fn victim_of(path: &Path, cycle: usize, synchronous: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "crash::store::victim", "--nocapture"])
        .env(PLACE, path)
        .env(CYCLE, cycle.to_string())
        .env(SYNCHRONOUS, synchronous);
    command
}

/// Runs the victim until so many names came, kills it, and returns all names that came.
fn run_and_kill(victim: Command, enough: usize) -> Vec<String> {
    let names = told(victim, enough);
    assert!(
        names.len() >= enough,
        "the victim ended by itself after {} names",
        names.len()
    );
    names
}

/// Runs the victim until it dies by itself, or of having lived too long.
fn run(victim: Command) -> Vec<String> {
    told(victim, 20_000)
}

/// The names that a process tells until it dies; it is killed once it has told so many.
pub(super) fn told(mut command: Command, enough: usize) -> Vec<String> {
    let mut child = Victim(command.stdout(Stdio::piped()).spawn().unwrap());
    let output = BufReader::new(child.0.stdout.take().unwrap());
    let mut names = Vec::new();
    for line in output.lines() {
        // A name that was cut short by the kill was not told: it lacks its end.
        let name = line.as_ref().unwrap().strip_prefix("safe ");
        names.extend(name.and_then(|name| name.strip_suffix('.')).map(str::to_owned));
        if names.len() == enough {
            // What it printed before it died is read to the end.
            let _ = child.0.kill();
        }
    }
    names
}

/// Killed at the latest when the test ends.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn item(name: &str) -> NewItem {
    NewItem {
        lane: Lane {
            queue: "beta".to_owned(),
            conversation: name.to_owned(),
        },
        priority: Priority::Interactive,
        due: NOW,
        expires: Timestamp(u64::MAX),
        replaces: None,
        is_awaiting: false,
        last_failure: None,
        labels: vec![name.to_owned()],
        body: vec![b'x'; 1024].into(),
    }
}
