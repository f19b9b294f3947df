//! Files: who may read them, that only one process has them, and how a connection to them is set.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use super::config::Synchronous;
use crate::store::StoreError;

/// Makes the directory and the file, where they are missing, readable by this user only.
///
/// # Errors
/// [`StoreError::Disk`] when they can't be made.
pub(super) fn prepare(path: &Path) -> Result<(), StoreError> {
    if let Some(directory) = path
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty())
    {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .create(directory)
            .map_err(|error| disk(directory, &error))?;
    }
    // SQLite gives the log and the shared memory the mode of the database.
    private().open(path).map_err(|error| disk(path, &error))?;
    Ok(())
}

/// Locks the store for this process until the returned file is dropped.
///
/// The lock has a file of its own: closing another handle of the database would drop SQLite's own locks. Whoever has it may be about to
/// end, or be a child of the process that had it and has not begun its own program yet, so it is asked for again for a moment.
///
/// # Errors
/// [`StoreError::Engine`] when another process, or another store of this one, has it.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    let beside = beside(path, ".lock");
    let file = private().open(&beside).map_err(|error| disk(&beside, &error))?;
    let mut locked = file.try_lock();
    for _ in 0..LOCK_AGAIN {
        if !matches!(locked, Err(TryLockError::WouldBlock)) {
            break;
        }
        thread::sleep(LOCK_PAUSE);
        locked = file.try_lock();
    }
    match locked {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Engine {
            reason: format!(
                "{} is in use by another impsgw; stop it, or give this one a store of its own",
                path.display()
            ),
        }),
        Err(TryLockError::Error(error)) => Err(disk(&beside, &error)),
    }
}

/// The connection that writes; sets the file to write-ahead logging.
///
/// # Errors
/// When the engine can't open it.
pub(super) fn writer(path: &Path, synchronous: Synchronous) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        let reason = format!(
            "the file system of {} has no write-ahead logging ({mode})",
            path.display()
        );
        return Err(StoreError::Engine { reason });
    }
    tune(&connection, 16 * 1024)?;
    make_durable(&connection, synchronous)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    Ok(connection)
}

/// The connection that moves the log into the database.
///
/// # Errors
/// When the engine can't open it.
pub(super) fn checkpointer(path: &Path, synchronous: Synchronous) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    tune(&connection, 1024)?;
    make_durable(&connection, synchronous)?;
    Ok(connection)
}

fn make_durable(connection: &Connection, synchronous: Synchronous) -> Result<(), StoreError> {
    connection.pragma_update(None, "synchronous", synchronous.pragma())?;
    // Some systems' plain fsync leaves the bytes in the drive.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    Ok(())
}

/// A connection that reads beside the writer.
///
/// # Errors
/// When the engine can't open it.
pub(super) fn reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    tune(&connection, 4 * 1024)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// The one connection of a store in memory.
///
/// # Errors
/// When the engine has no memory.
pub(super) fn memory() -> Result<Connection, StoreError> {
    let connection = Connection::open_in_memory()?;
    tune(&connection, 16 * 1024)?;
    Ok(connection)
}

fn tune(connection: &Connection, cache_kib: i64) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // A negative size is KiB, a positive one pages.
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // A file that another hand prepared can't make us run its expressions.
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(())
}

/// Options that make a file which only this user may read, and leave an existing one as it is.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// The file beside a database with this ending.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A failure of the file system.
pub(super) fn disk(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Disk {
        reason: format!("{}: {error}", path.display()),
    }
}

/// How long a connection waits for another one's lock; only recovery and the last close take any.
const BUSY: Duration = Duration::from_secs(10);
/// Prepared statements kept by a connection; more than we have.
const STATEMENTS: usize = 96;
/// What the log is cut to after a burst.
const LOG_BYTES: i64 = 64 * 1024 * 1024;

/// How often a lock that somebody has is asked for again.
const LOCK_AGAIN: u32 = 10;
/// How long after one another.
const LOCK_PAUSE: Duration = Duration::from_millis(20);
