//! A store whose process is killed amid its commits.
//!
//! The test binary starts itself again as the process to kill: [`victim`] does nothing unless it is told where.

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
        sqlite::{SqliteConfig, SqliteStore},
    },
};

/// Where the victim has its store, and which cycle it is in.
const PLACE: &str = "IMPSGW_CRASH_STORE";
const CYCLE: &str = "IMPSGW_CRASH_CYCLE";
const NOW: Timestamp = Timestamp(1_000);
const PRODUCERS: u32 = 8;

#[tokio::test]
async fn killed_store_keeps_what_it_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("impsgw.db");
    let mut acknowledged = HashSet::new();
    for cycle in 0..5_usize {
        // Each cycle dies at another moment: amid the first commits, or after hundreds.
        acknowledged.extend(run_and_kill(&path, cycle, 1 + cycle * 150));
        let store = SqliteStore::open(&SqliteConfig::new(&path)).unwrap();
        let rows = store
            .rows(Space::Charge, "", None, usize::MAX, NOW)
            .await
            .unwrap();
        let rows: HashSet<String> = rows.into_iter().map(|row| row.key).collect();
        let lost: Vec<_> = acknowledged.difference(&rows).collect();
        assert!(lost.is_empty(), "cycle {cycle} lost {lost:?}");
        // A batch is whole or not there at all.
        let items = store
            .items(&QueueFilter::default(), None, usize::MAX)
            .await
            .unwrap();
        let items: HashSet<String> = items.into_iter().flat_map(|item| item.labels).collect();
        assert_eq!(items, rows, "cycle {cycle}");
        assert_eq!(store.check().await.unwrap().faults, Vec::<String>::new());
        store.close().await.unwrap();
    }
    assert!(acknowledged.len() >= 1500);
}

/// The process that is killed: commits numbered batches for ever and prints each one's name once it is safe.
#[tokio::test]
async fn victim() {
    let (Ok(path), Ok(cycle)) = (env::var(PLACE), env::var(CYCLE)) else {
        return;
    };
    let store = Arc::new(SqliteStore::open(&SqliteConfig::new(path)).unwrap());
    let producers = (0..PRODUCERS).map(|producer| {
        let (store, cycle) = (Arc::clone(&store), cycle.clone());
        tokio::spawn(async move {
            for n in 0_u64.. {
                let name = format!("{cycle}-{producer}-{n}");
                let batch = Batch::new(NOW)
                    .put_new(Space::Charge, name.clone(), "v", None)
                    .enqueue(item(&name));
                assert_eq!(store.commit(batch).await.unwrap(), Committed::Done);
                println!("\nsafe {name}");
            }
        })
    });
    for producer in producers.collect::<Vec<_>>() {
        producer.await.unwrap();
    }
}

/// Runs the victim until so many names came, kills it, and returns all names that came.
fn run_and_kill(path: &Path, cycle: usize, enough: usize) -> Vec<String> {
    let mut child = Victim(
        Command::new(env::current_exe().unwrap())
            .args(["--exact", "crash::store::victim", "--nocapture"])
            .env(PLACE, path)
            .env(CYCLE, cycle.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let output = BufReader::new(child.0.stdout.take().unwrap());
    let mut names = Vec::new();
    for line in output.lines() {
        names.extend(line.unwrap().strip_prefix("safe ").map(str::to_owned));
        if names.len() == enough {
            // What it printed before it died is read to the end.
            child.0.kill().unwrap();
        }
    }
    assert!(
        names.len() >= enough,
        "the victim ended by itself after {} names",
        names.len()
    );
    // A name that was cut short by the kill was not told.
    names.pop();
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
        labels: vec![name.to_owned()],
        body: vec![b'x'; 1024].into(),
    }
}
