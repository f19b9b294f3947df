//! What is put under the unchanged program: the libraries made from C files beside the tests.
//!
//! `unsynced.c` is a disk that forgets at the kill what was not synced; SQLite is built with the same compiler.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// What the disk keeps of the sync that ends a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kept {
    /// The process dies before anything of it is written.
    Nothing,
    /// Amid the writing: some of the sectors are there, which ones this number says.
    Torn(u64),
    /// After it, before the program knows.
    All,
}

impl Kept {
    /// One of the three.
    pub(crate) fn any(random: &mut fastrand::Rng) -> Self {
        match random.u8(..4) {
            0 => Self::Nothing,
            1 => Self::All,
            _ => Self::Torn(random.u64(..)),
        }
    }
}

/// Puts the disk that forgets under a program, for the store of this name.
pub(crate) fn forgetful<'a>(command: &'a mut Command, store: &str) -> &'a mut Command {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crash/unsynced.c");
    let library = LIBRARY.get_or_init(|| compiled(&source));
    preloaded(command, library).env("UNSYNCED_FILE", store)
}

/// Has a program on that disk die at this sync, counted from 1.
pub(crate) fn dies_at(command: &mut Command, sync: u64, kept: Kept) -> &mut Command {
    let (how, seed) = match kept {
        Kept::Nothing => ("nothing", 0),
        Kept::Torn(seed) => ("torn", seed),
        Kept::All => ("all", 0),
    };
    command
        .env("UNSYNCED_DIE_AT", sync.to_string())
        .env("UNSYNCED_DIE_HOW", how)
        .env("UNSYNCED_SEED", seed.to_string())
}

/// Adds a library to those that a program is started with.
pub(crate) fn preloaded<'a>(command: &'a mut Command, library: &Path) -> &'a mut Command {
    let already = command
        .get_envs()
        .find_map(|(name, value)| (name == "LD_PRELOAD").then_some(value).flatten())
        .map(|already| format!("{}:", already.to_string_lossy()))
        .unwrap_or_default();
    command.env("LD_PRELOAD", format!("{already}{}", library.display()))
}

/// The library that a C file makes.
pub(crate) fn compiled(source: &Path) -> PathBuf {
    let name = source.file_stem().unwrap().to_string_lossy();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // Other runs of the tests may be at it: each makes its own and puts it in its place whole.
    let (made, library) = (
        folder.join(format!("{name}-{}.so", std::process::id())),
        folder.join(format!("{name}.so")),
    );
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let output = Command::new(compiler)
        .args(["-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-o"])
        .args([made.as_path(), source])
        .args(["-ldl", "-lpthread"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::rename(made, &library).unwrap();
    library
}
