//! The wall clock of a gateway, stepped while it runs.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::crash::preload::{compiled, preloaded};

/// The file that says how far the clock is off.
pub(crate) struct WallClock(PathBuf);

impl WallClock {
    /// A clock that is right.
    pub(crate) fn new(folder: &Path) -> Self {
        let clock = Self(folder.join("clock-offset"));
        fs::write(&clock.0, 0_i64.to_ne_bytes()).unwrap();
        clock
    }

    /// Steps it by so many seconds.
    pub(crate) fn step_by(&self, seconds: i64) {
        let file = fs::File::options().read(true).write(true).open(&self.0).unwrap();
        let mut offset = [0; 8];
        file.read_exact_at(&mut offset, 0).unwrap();
        let offset = i64::from_ne_bytes(offset) + seconds * 1000;
        file.write_all_at(&offset.to_ne_bytes(), 0).unwrap();
    }

    /// Gives it to a program.
    pub(crate) fn put_under(&self, command: &mut Command) {
        static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ledger/clock.c");
        let library = LIBRARY.get_or_init(|| compiled(&source));
        preloaded(command, library).env("CLOCK_OFFSET", &self.0);
    }
}
