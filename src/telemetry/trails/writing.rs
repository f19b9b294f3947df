//! The thread that owns the files of a trail book, and what waits for it.
//!
//! A trail wakes nobody by itself: once something waits, the thread lets more gather for a moment and then writes all of it
//! in one go, so that a busy node pays for a wake-up and a write some times a second and not once a request.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc::SyncSender},
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{DAY, FULL, SEGMENTS, SUMMARY, files, number, remove};
use crate::{
    model::{Timestamp, TrailRecord},
    telemetry::TrailSummary,
};

/// The handle of the thread; dropping it waits until what was taken is written.
#[derive(Debug)]
pub(super) struct Writing {
    waiting: Arc<Waiting>,
    thread: Option<JoinHandle<()>>,
}

impl Writing {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub(super) fn start(mut writer: Writer) -> io::Result<Self> {
        let waiting = Arc::new(Waiting::default());
        let taken = Arc::clone(&waiting);
        let thread = thread::Builder::new().name("trails".into()).spawn(move || {
            let mut load = Load::default();
            while taken.take(&mut load) {
                writer.write_all(&mut load);
            }
        })?;
        Ok(Self {
            waiting,
            thread: Some(thread),
        })
    }

    /// Takes a trail: a line of it, and all of it where it is to be kept in full; `false` when too much waits already.
    pub(super) fn keep(&self, trail: TrailRecord, is_full: bool) -> bool {
        let line = TrailSummary::of(&trail).line();
        let day = trail.started.seconds() / DAY.as_secs();
        let full = is_full.then_some(trail);
        let mut gathered = self.waiting.lock();
        if gathered.load.count >= WAITING {
            return false;
        }
        gathered.load.add(day, &line, full);
        if gathered.load.count == 1 || gathered.load.count == ENOUGH {
            self.waiting.came.notify_one();
        }
        true
    }

    /// Has this told when everything taken before is written.
    pub(super) fn settle(&self, done: SyncSender<()>) {
        self.waiting.lock().load.settling.push(done);
        self.waiting.came.notify_one();
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.waiting.lock().is_closed = true;
        self.waiting.came.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What waits for the thread.
#[derive(Debug, Default)]
struct Waiting {
    gathered: Mutex<Gathered>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct Gathered {
    load: Load,
    is_closed: bool,
}

/// What is written in one go.
#[derive(Debug, Default)]
struct Load {
    /// Lines of summaries, by the day that they belong to.
    summaries: Vec<(u64, String)>,
    full: Vec<TrailRecord>,
    /// Trails in it.
    count: usize,
    /// Who waits for it to be written.
    settling: Vec<SyncSender<()>>,
}

impl Waiting {
    /// Waits for the next load and exchanges it for the empty one; `false` at the end, when nothing is left.
    fn take(&self, load: &mut Load) -> bool {
        let is_idle = |gathered: &mut Gathered| gathered.load.is_empty() && !gathered.is_closed;
        let gathered = self.came.wait_while(self.lock(), is_idle);
        let gathered = gathered.unwrap_or_else(PoisonError::into_inner);
        let may_gather = |gathered: &mut Gathered| {
            gathered.load.settling.is_empty() && gathered.load.count < ENOUGH && !gathered.is_closed
        };
        let gathered = self.came.wait_timeout_while(gathered, GATHERING, may_gather);
        let (mut gathered, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut gathered.load, load);
        !load.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Load {
    fn add(&mut self, day: u64, line: &str, full: Option<TrailRecord>) {
        if self.summaries.last().is_none_or(|(last, _)| *last != day) {
            self.summaries.push((day, String::new()));
        }
        if let Some((_, lines)) = self.summaries.last_mut() {
            lines.push_str(line);
            lines.push('\n');
        }
        self.full.extend(full);
        self.count += 1;
    }

    fn is_empty(&self) -> bool {
        self.count == 0 && self.settling.is_empty()
    }

    /// Empty again; the room for one day's lines is kept.
    fn clear(&mut self) {
        self.summaries.truncate(1);
        self.summaries.iter_mut().for_each(|(_, lines)| lines.clear());
        self.full.clear();
        self.count = 0;
        self.settling.clear();
    }
}

/// What the thread owns.
#[derive(Debug)]
pub(super) struct Writer {
    dir: PathBuf,
    segment_size: u64,
    keep: Duration,
    keep_days: u64,
    segment: Option<(File, u64)>,
    day: Option<(File, u64)>,
}

impl Writer {
    /// For a folder, with segments of so many octets and the times of both kinds of file.
    pub(super) fn new(dir: PathBuf, segment_size: u64, keep: Duration, keep_days: u64) -> Self {
        Self {
            dir,
            segment_size,
            keep,
            keep_days,
            segment: None,
            day: None,
        }
    }

    /// Removes what is too old or too much.
    pub(super) fn forget_old(&self, now: Timestamp) {
        let Ok(full) = files(&self.dir, FULL) else { return };
        let room = usize::try_from(SEGMENTS).unwrap_or(usize::MAX) - 1;
        let too_many = full.len().saturating_sub(room);
        let oldest = now.minus(self.keep).0;
        // A segment goes when the one after it began too long ago, because then all of it is too old.
        let begins: Vec<u64> = full.iter().map(|path| number(path, FULL)).collect();
        for (index, path) in full.iter().enumerate() {
            let is_old = begins.get(index + 1).is_some_and(|next| *next < oldest);
            if index < too_many || is_old {
                remove(path);
            }
        }
        let first_day = (now.seconds() / DAY.as_secs()).saturating_sub(self.keep_days);
        for path in files(&self.dir, SUMMARY).unwrap_or_default() {
            if number(&path, SUMMARY) < first_day {
                remove(&path);
            }
        }
    }

    fn write_all(&mut self, load: &mut Load) {
        if let Err(error) = self.write(load) {
            tracing::error!(%error, dir = %self.dir.display(), "trails can't be written; check the disk");
            self.segment = None;
            self.day = None;
        }
        for done in &load.settling {
            // The one who waits may have gone.
            let _ = done.send(());
        }
        load.clear();
    }

    fn write(&mut self, load: &Load) -> io::Result<()> {
        for (day, lines) in load.summaries.iter().filter(|(_, lines)| !lines.is_empty()) {
            self.day_file(*day)?.write_all(lines.as_bytes())?;
        }
        for trail in &load.full {
            let mut line = serde_json::to_string(trail)?;
            line.push('\n');
            let size = u64::try_from(line.len()).unwrap_or(u64::MAX);
            self.segment_file(trail.started, size)?
                .write_all(line.as_bytes())?;
        }
        Ok(())
    }

    fn day_file(&mut self, day: u64) -> io::Result<&mut File> {
        if self.day.as_ref().is_none_or(|(_, open)| *open != day) {
            self.forget_old(
                Timestamp::default().plus(Duration::from_secs(day.saturating_mul(DAY.as_secs()))),
            );
            self.day = Some((append(&self.dir.join(format!("{SUMMARY}{day:08}")))?, day));
        }
        let file = self.day.as_mut().map(|(file, _)| file);
        file.ok_or_else(|| io::Error::other("no file"))
    }

    fn segment_file(&mut self, at: Timestamp, size: u64) -> io::Result<&mut File> {
        let is_full = |written: u64| written.saturating_add(size) > self.segment_size;
        if self.segment.as_ref().is_none_or(|(_, written)| is_full(*written)) {
            self.forget_old(at);
            // Times may repeat, names may not.
            let mut name = at.0;
            while self.dir.join(format!("{FULL}{name:016}")).exists() {
                name += 1;
            }
            self.segment = Some((append(&self.dir.join(format!("{FULL}{name:016}")))?, 0));
        }
        let Some((file, written)) = self.segment.as_mut() else {
            return Err(io::Error::other("no file"));
        };
        *written += size;
        Ok(file)
    }
}

fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Trails that may wait for the disk.
const WAITING: usize = 8192;
/// So many are written without waiting for more.
const ENOUGH: usize = 1024;
/// How long trails gather; a crash of the process may take so much.
const GATHERING: Duration = Duration::from_millis(20);
