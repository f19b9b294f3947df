//! The trails of a node on its own disk: full ones in a ring bounded by octets and age, a summary of every request.
//!
//! Writing is off the hot path: a bounded buffer and one thread (`writing.rs`); what does not fit is dropped and counted. Full
//! trails are kept when the request failed or was stored (what went on from the store too), is followed, or is in the sample.
//! A look-up reads the files, newest first: it is for people, takes about a second a GiB, and belongs on a blocking thread.
//! Nothing here is flushed to the disk's platter: a loss of power may take the last seconds.

mod writing;

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufRead, BufReader, Seek},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::sync_channel,
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};

use self::writing::{Writer, Writing};
use super::{Clock, TrailSummary};
use crate::model::{ByteSize, StepEvent, Timestamp, TrailId, TrailRecord, duration};

/// How much is kept, and how long.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrailConfig {
    /// Most octets of full trails on disk; the oldest go first.
    pub max_size: ByteSize,
    /// How long full trails are kept.
    #[serde(with = "duration")]
    pub keep: Duration,
    /// How long the summaries of all requests are kept, 200 octets or less each; in whole days.
    #[serde(with = "duration")]
    pub keep_summaries: Duration,
    /// Of requests that went well, one in so many is kept in full; 0 keeps none, 1 keeps all.
    pub sample: u64,
}

impl Default for TrailConfig {
    fn default() -> Self {
        Self {
            max_size: ByteSize(2 << 30),
            keep: DAY,
            keep_summaries: DAY * 30,
            sample: 100,
        }
    }
}

/// What a look-up found, newest first.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TrailsFound {
    /// Full trails.
    pub trails: Vec<TrailRecord>,
    /// Summaries of requests whose full trail is not there.
    pub summaries: Vec<TrailSummary>,
    /// Whether older files were left unread, because a look-up reads 2 GiB of each kind at most.
    pub is_cut: bool,
}

/// Keeps trails; cheap to share.
#[derive(Debug)]
pub struct TrailBook {
    dir: PathBuf,
    clock: Clock,
    sample: u64,
    seen: AtomicU64,
    dropped: AtomicU64,
    followed: Mutex<HashMap<String, Timestamp>>,
    writing: Writing,
}

impl TrailBook {
    /// Opens the book in a folder, which is made when it is missing, and starts its thread.
    ///
    /// # Errors
    /// When the folder can't be made or read.
    pub fn open(dir: PathBuf, config: &TrailConfig, clock: Clock) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        let segment_size = (config.max_size.0 / SEGMENTS).max(1 << 20);
        let keep_days = config.keep_summaries.as_secs().div_ceil(DAY.as_secs()).max(1);
        let writer = Writer::new(dir.clone(), segment_size, config.keep, keep_days);
        writer.forget_old(clock.now());
        Ok(Self {
            dir,
            clock,
            sample: config.sample,
            seen: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            followed: Mutex::new(HashMap::new()),
            writing: Writing::start(writer)?,
        })
    }

    /// Takes a finished trail. Never waits.
    pub fn keep(&self, trail: TrailRecord) {
        let is_full = self.is_kept_in_full(&trail);
        if !self.writing.keep(trail, is_full) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Keeps every trail that names this number or address in full, until then.
    pub fn follow(&self, address: &str, until: Timestamp) {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        followed.retain(|_, end| *end > now);
        if followed.len() < MAX_FOLLOWED {
            followed.insert(address.to_owned(), until);
        }
    }

    /// Who is followed, and until when.
    #[must_use]
    pub fn followed(&self) -> Vec<(String, Timestamp)> {
        let followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let mut all: Vec<_> = followed
            .iter()
            .filter(|(_, end)| **end > now)
            .map(|(address, end)| (address.clone(), *end))
            .collect();
        all.sort();
        all
    }

    /// How many trails were not kept, because the disk was too slow or failed.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Trails with this identity: the request's own, and what went on from the store. Blocks.
    ///
    /// # Errors
    /// When the files can't be read.
    pub fn by_id(&self, id: TrailId) -> io::Result<TrailsFound> {
        let id = id.to_string();
        self.find(&id, MAX_FOUND, |found| found == id)
    }

    /// Trails that name this number, address or message ID, at most `limit` of each kind. Blocks.
    ///
    /// # Errors
    /// When the files can't be read.
    pub fn by_word(&self, word: &str, limit: usize) -> io::Result<TrailsFound> {
        self.find(word, limit.min(MAX_FOUND), |_| true)
    }

    /// Waits until what was taken before is in the files. Blocks.
    pub fn settle(&self) {
        let (done, wait) = sync_channel(1);
        self.writing.settle(done);
        // An error says that the thread is gone, and with it anything to wait for.
        let _ = wait.recv();
    }

    fn is_kept_in_full(&self, trail: &TrailRecord) -> bool {
        let went_wrong = trail.steps.iter().any(|step| match &step.event {
            StepEvent::Refused { .. } | StepEvent::Stored { .. } => true,
            StepEvent::Attempt { failure, .. } => failure.is_some(),
            StepEvent::Received { .. }
            | StepEvent::Checked { .. }
            | StepEvent::Routed { .. }
            | StepEvent::Note { .. }
            | StepEvent::Answered { .. } => false,
        });
        let is_sampled = self.sample != 0
            && self
                .seen
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(self.sample);
        // What goes on from the store begins without a request being read.
        let is_sequel = !trail
            .steps
            .iter()
            .any(|step| matches!(step.event, StepEvent::Received { .. }));
        went_wrong || is_sequel || is_sampled || self.is_followed(trail)
    }

    fn is_followed(&self, trail: &TrailRecord) -> bool {
        let followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        if followed.is_empty() {
            return false;
        }
        let now = self.clock.now();
        let text = serde_json::to_string(trail).unwrap_or_default();
        followed
            .iter()
            .any(|(address, until)| *until > now && has_word(&text, address))
    }

    fn find(&self, word: &str, limit: usize, is_meant: impl Fn(&str) -> bool) -> io::Result<TrailsFound> {
        self.settle();
        let mut found = TrailsFound::default();
        let mut budget = MAX_READ;
        for path in files(&self.dir, FULL)?.into_iter().rev() {
            let mut trails: Vec<TrailRecord> = Vec::new();
            found.is_cut |= budget == 0;
            each_line(&path, &mut budget, |line| {
                if has_word(line, word)
                    && let Ok(trail) = serde_json::from_str::<TrailRecord>(line)
                    && is_meant(&trail.id.to_string())
                {
                    trails.push(trail);
                }
            })?;
            found.trails.extend(trails.into_iter().rev());
            if found.trails.len() >= limit {
                break;
            }
        }
        found.trails.truncate(limit);
        let mut budget = MAX_READ;
        for path in files(&self.dir, SUMMARY)?.into_iter().rev() {
            let mut summaries = Vec::new();
            found.is_cut |= budget == 0;
            each_line(&path, &mut budget, |line| {
                if has_word(line, word)
                    && let Some(summary) = TrailSummary::parse(line)
                    && is_meant(&summary.id.to_string())
                    && !found.trails.iter().any(|trail| trail.id == summary.id)
                {
                    summaries.push(summary);
                }
            })?;
            found.summaries.extend(summaries.into_iter().rev());
            if found.summaries.len() >= limit {
                break;
            }
        }
        found.summaries.truncate(limit);
        Ok(found)
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(%error, path = %path.display(), "old trails can't be removed");
    }
}

/// The files of a kind, oldest first.
fn files(dir: &Path, kind: &str) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with(kind)) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn number(path: &Path, kind: &str) -> u64 {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    name.strip_prefix(kind)
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

/// Shows the lines of a file, or of its end when the budget of octets is less than its size.
fn each_line(path: &Path, budget: &mut u64, mut look: impl FnMut(&str)) -> io::Result<()> {
    if *budget == 0 {
        return Ok(());
    }
    let mut file = match File::open(path) {
        Ok(file) => file,
        // The ring went on meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let size = file.metadata()?.len();
    let skipped = size.saturating_sub(*budget);
    *budget = budget.saturating_sub(size);
    file.seek(io::SeekFrom::Start(skipped))?;
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let mut line = Vec::new();
    let mut is_whole = skipped == 0;
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        // A line that was cut, or damaged by a crash, says nothing.
        if is_whole && let Ok(text) = std::str::from_utf8(&line) {
            look(text.trim_end_matches('\n'));
        }
        is_whole = true;
    }
}

/// Whether the word stands in the text, not as a part of a longer one: `+44770090012` is not in `+447700900123`.
fn has_word(text: &str, word: &str) -> bool {
    if word.is_empty() {
        return false;
    }
    text.match_indices(word).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|after| after.chars().next());
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}

const DAY: Duration = Duration::from_secs(86_400);
/// Full trails are in so many files at most; the oldest goes when another begins.
const SEGMENTS: u64 = 8;
/// Numbers and addresses followed at once.
const MAX_FOLLOWED: usize = 1000;
/// More are not looked at by a person.
const MAX_FOUND: usize = 1000;
/// Octets that one look-up reads of each kind of file, newest first.
const MAX_READ: u64 = 2 << 30;
const FULL: &str = "full-";
const SUMMARY: &str = "summary-";

#[cfg(test)]
mod tests;
