//! Several zones that are served together, where they come from, and how they are read again while running.
//!
//! A file that became bad keeps the zone it gave before: partners and the lab go on, the log says why. Zones may also
//! come from text; the lab puts its own ports and addresses into the files' real values with [`Substitution`]s, which
//! are applied again after every reload. The same set with [`Substitution::Gateway`] on another address is the view in
//! which a home server finds every partner at the gateway.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use thiserror::Error;

use super::data::Zone;
use super::records::Entry;
use super::substitution::Substitution;
use super::text::{Fault, parse};
use crate::wire::naptr::Name;

/// Zones by origin; cheap to clone, never changed in place.
#[derive(Clone, Debug, Default)]
pub struct ZoneSet {
    /// Directories whose `*.zone` files belong to the set, also those that appear later.
    directories: Vec<PathBuf>,
    files: BTreeMap<PathBuf, File>,
    substitutions: Vec<Substitution>,
    pub(super) zones: BTreeMap<Name, Arc<Zone>>,
}

/// Why one file cannot be served.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{file}:{}{reason}", .line.map(|line| format!("{line}: ")).unwrap_or_else(|| " ".to_owned()))]
pub struct LoadError {
    /// The file, or the origin of a zone that came as text.
    pub file: String,
    /// Counted from 1, when one line is to blame.
    pub line: Option<usize>,
    /// What is wrong, for a person.
    pub reason: String,
}

/// Every reason that was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LoadErrors(pub Vec<LoadError>);

/// What a reload changed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reloaded {
    /// Zones that are new or have new contents.
    pub changed: Vec<Name>,
    /// Zones whose files are gone.
    pub removed: Vec<Name>,
    /// Why files were not taken; the zones that they gave before are still served.
    pub kept: Vec<LoadError>,
}

/// What was read from one place last time, and the last zone that was good.
#[derive(Clone, Debug)]
struct File {
    /// Time and length of the file; nothing for a zone that came as text and is never read again.
    stamp: Option<Stamp>,
    text: Arc<str>,
    /// The text is not the one that gave the zone below.
    bad: bool,
    good: Option<Good>,
}

type Stamp = (SystemTime, u64);

/// A zone with the records it was made of, before substitutions.
#[derive(Clone, Debug)]
struct Good {
    entries: Arc<[Entry]>,
    zone: Arc<Zone>,
}

impl ZoneSet {
    /// Reads every `*.zone` file of a directory; a file's name without `.zone` is its origin until `$ORIGIN`.
    ///
    /// # Errors
    /// All mistakes of all files, or the directory's own.
    pub fn load_dir(directory: &Path) -> Result<Self, LoadErrors> {
        let set = Self {
            directories: vec![directory.to_owned()],
            ..Self::default()
        };
        let paths = set.paths()?;
        set.fill(paths)
    }

    /// Reads these files.
    ///
    /// # Errors
    /// All mistakes of all files.
    pub fn load_files(paths: &[PathBuf]) -> Result<Self, LoadErrors> {
        Self::default().fill(paths.to_vec())
    }

    /// Makes a set of one zone from its text.
    ///
    /// # Errors
    /// All mistakes in the text.
    pub fn parse(text: &str, origin: &Name) -> Result<Self, LoadErrors> {
        Self::default().with_zone(text, origin)
    }

    /// Adds a zone from its text; it is not read again.
    ///
    /// # Errors
    /// All mistakes in the text.
    pub fn with_zone(mut self, text: &str, origin: &Name) -> Result<Self, LoadErrors> {
        let place = PathBuf::from(origin.as_str());
        let good = Good::read(text, &place, Some(origin), &self.substitutions).map_err(LoadErrors)?;
        let file = File {
            stamp: None,
            text: text.into(),
            bad: false,
            good: Some(good),
        };
        self.files.insert(place, file);
        self.joined().map_err(LoadErrors)
    }

    /// The set with a value replaced, now and after every reload.
    ///
    /// # Errors
    /// A zone that is no longer whole; none of the substitutions makes one.
    pub fn with(mut self, substitution: Substitution) -> Result<Self, LoadErrors> {
        self.substitutions.push(substitution);
        for (path, file) in &mut self.files {
            if let Some(good) = &mut file.good {
                good.zone = zone_of(&good.entries, path, &self.substitutions)?;
            }
        }
        self.joined().map_err(LoadErrors)
    }

    /// Short for [`Substitution::SrvPort`].
    ///
    /// # Errors
    /// As [`ZoneSet::with`].
    pub fn with_srv_port(self, owner: &Name, port: u16) -> Result<Self, LoadErrors> {
        let owner = owner.clone();
        self.with(Substitution::SrvPort { owner, port })
    }

    /// The set as its files are now. With `all` every file's text is read, otherwise only those with a new time or
    /// length. Does file I/O and blocks for as long.
    pub fn refreshed(&self, all: bool) -> (Self, Reloaded) {
        let mut next = self.clone();
        let mut report = Reloaded::default();
        let paths = match self.paths() {
            Ok(paths) => paths,
            Err(LoadErrors(kept)) => return (next, Reloaded { kept, ..report }),
        };
        next.files.retain(|path, file| {
            let stays = file.stamp.is_none() || paths.contains(path);
            if !stays {
                report
                    .removed
                    .extend(file.good.as_ref().map(|good| good.zone.origin().clone()));
            }
            stays
        });
        for path in paths {
            next.reread(&path, all, &mut report);
        }
        match next.joined() {
            Ok(joined) => (joined, report),
            Err(kept) => (
                self.clone(),
                Reloaded {
                    kept,
                    ..Reloaded::default()
                },
            ),
        }
    }

    /// The zones, by origin.
    pub fn zones(&self) -> impl Iterator<Item = &Zone> {
        self.zones.values().map(AsRef::as_ref)
    }

    /// The files to look at now.
    fn paths(&self) -> Result<Vec<PathBuf>, LoadErrors> {
        let mut paths: Vec<PathBuf> = self
            .files
            .iter()
            .filter(|(path, file)| {
                file.stamp.is_some() && !self.directories.iter().any(|dir| path.starts_with(dir))
            })
            .map(|(path, _)| path.clone())
            .collect();
        for directory in &self.directories {
            let listed = fs::read_dir(directory).map_err(|fault| unreadable(directory, &fault))?;
            for file in listed {
                let path = file.map_err(|fault| unreadable(directory, &fault))?.path();
                if path.extension() == Some(OsStr::new("zone")) {
                    paths.push(path);
                }
            }
        }
        paths.sort();
        Ok(paths)
    }

    /// The first load: nothing to keep, so every mistake counts.
    fn fill(mut self, paths: Vec<PathBuf>) -> Result<Self, LoadErrors> {
        let mut report = Reloaded::default();
        for path in paths {
            self.reread(&path, true, &mut report);
        }
        match report.kept.is_empty() {
            true => self.joined().map_err(LoadErrors),
            false => Err(LoadErrors(report.kept)),
        }
    }

    fn reread(&mut self, path: &Path, all: bool, report: &mut Reloaded) {
        let known = self.files.get(path);
        let stamp = stamp(path);
        if !all && known.is_some_and(|known| known.stamp == Some(stamp)) {
            return;
        }
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(fault) => return report.kept.extend(unreadable(path, &fault).0),
        };
        let same = known.is_some_and(|known| *known.text == *text);
        let bad = known.is_some_and(|known| known.bad);
        let mut file = File {
            stamp: Some(stamp),
            text: text.as_str().into(),
            bad,
            good: known.and_then(|known| known.good.clone()),
        };
        // The same bad text is worth a second sentence only to those who asked.
        if !same || (bad && all) {
            let origin = path
                .file_stem()
                .and_then(OsStr::to_str)
                .and_then(|stem| stem.parse().ok());
            match Good::read(&text, path, origin.as_ref(), &self.substitutions) {
                Ok(good) => {
                    report.changed.push(good.zone.origin().clone());
                    file.bad = false;
                    file.good = Some(good);
                }
                Err(errors) => {
                    report.kept.extend(errors);
                    file.bad = true;
                }
            }
        }
        self.files.insert(path.to_owned(), file);
    }

    /// Puts the files' zones side by side; two files for one origin are a mistake.
    fn joined(mut self) -> Result<Self, Vec<LoadError>> {
        self.zones.clear();
        for (path, file) in &self.files {
            let Some(Good { zone, .. }) = &file.good else {
                continue;
            };
            if self.zones.insert(zone.origin().clone(), zone.clone()).is_some() {
                let reason = format!("another file has the zone {} already", zone.origin());
                return Err(vec![LoadError {
                    file: path.display().to_string(),
                    line: None,
                    reason,
                }]);
            }
        }
        Ok(self)
    }
}

impl Reloaded {
    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.removed.is_empty() && self.kept.is_empty()
    }
}

impl fmt::Display for LoadErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadErrors {}

impl Good {
    fn read(
        text: &str,
        place: &Path,
        origin: Option<&Name>,
        substitutions: &[Substitution],
    ) -> Result<Self, Vec<LoadError>> {
        let parsed = parse(text, origin);
        if !parsed.faults.is_empty() {
            let error = |fault: Fault| LoadError {
                file: place.display().to_string(),
                line: Some(fault.line),
                reason: fault.kind.to_string(),
            };
            return Err(parsed.faults.into_iter().map(error).collect());
        }
        let zone = zone_of(&parsed.entries, place, substitutions).map_err(|LoadErrors(errors)| errors)?;
        let entries = parsed.entries.into();
        Ok(Self { entries, zone })
    }
}

fn zone_of(entries: &[Entry], place: &Path, substitutions: &[Substitution]) -> Result<Arc<Zone>, LoadErrors> {
    let mut entries = entries.to_vec();
    for substitution in substitutions {
        substitution.apply(&mut entries);
    }
    let error = |(line, reason)| {
        LoadErrors(vec![LoadError {
            file: place.display().to_string(),
            line,
            reason,
        }])
    };
    Zone::build(&entries).map(Arc::new).map_err(error)
}

/// A file whose metadata cannot be had gets a stamp that no file has; reading it says why.
fn stamp(path: &Path) -> Stamp {
    let read = fs::metadata(path).and_then(|meta| Ok((meta.modified()?, meta.len())));
    read.unwrap_or((SystemTime::UNIX_EPOCH, 0))
}

fn unreadable(path: &Path, fault: &std::io::Error) -> LoadErrors {
    LoadErrors(vec![LoadError {
        file: path.display().to_string(),
        line: None,
        reason: fault.to_string(),
    }])
}
