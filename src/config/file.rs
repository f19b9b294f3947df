//! From text to sections: syntax errors, unknown sections, and each bad key of each section, all in one pass.
//!
//! A section is read again without the key that was wrong, until no more mistakes come; so one mistake hides no other.

use std::{
    collections::HashMap,
    fmt, fs, io,
    net::SocketAddr,
    ops::Range,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

use super::{AdminConfig, Config, GatewayConfig, agreements, check};
use crate::agreement::AgreementConfig;

/// One mistake, with where it is and what to do.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Mistake {
    /// The file.
    pub file: String,
    /// The line, counted from 1; 0 where no line is to blame.
    pub line: usize,
    /// What is wrong, and what to do about it.
    pub text: String,
}

/// Every mistake that was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.text),
            line => write!(f, "{}:{line}: {}", self.file, self.text),
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in &self.0 {
            writeln!(f, "{mistake}")?;
        }
        write!(f, "{} mistake(s)", self.0.len())
    }
}

impl std::error::Error for Mistakes {}

/// A section as it was read, with the line it begins in.
#[derive(Debug)]
pub(super) struct Read<T> {
    pub(super) value: T,
    pub(super) file: String,
    pub(super) line: usize,
    /// Where its keys begin, as `limits.burst`; an element of a list as `domains.0`.
    pub(super) lines: Lines,
}

pub(super) fn load(path: &Path) -> Result<Config, Mistakes> {
    let name = path.display().to_string();
    let text = read(path, &name)?;
    let mut reader = Reader::new(&text, &name);
    let mut config = reader.config();
    let mut agreements = reader.agreements;
    let mut mistakes = reader.mistakes;
    if let Some(dir) = &config.gateway.agreement_dir {
        let dir = path.parent().unwrap_or(Path::new(".")).join(dir);
        match agreement_files(&dir) {
            Ok(files) => {
                for file in files {
                    let name = file.display().to_string();
                    let text = match read(&file, &name) {
                        Ok(text) => text,
                        Err(more) => {
                            mistakes.extend(more.0);
                            continue;
                        }
                    };
                    let mut reader = Reader::new(&text, &name);
                    reader.only_agreements();
                    agreements.extend(reader.agreements);
                    mistakes.extend(reader.mistakes);
                }
            }
            Err(error) => mistakes.push(Mistake {
                file: name.clone(),
                line: 0,
                text: format!("agreement_dir {} can't be read: {error}", dir.display()),
            }),
        }
    }
    finish(&mut config, agreements, mistakes, &reader.lines, &name)?;
    Ok(config)
}

pub(super) fn agreements_of(path: &Path) -> Result<Vec<AgreementConfig>, Mistakes> {
    let name = path.display().to_string();
    let text = read(path, &name)?;
    let mut reader = Reader::new(&text, &name);
    reader.only_agreements();
    let mut mistakes = std::mem::take(&mut reader.mistakes);
    mistakes.extend(agreements::check_alone(&reader.agreements));
    if mistakes.is_empty() {
        Ok(reader.agreements.into_iter().map(|read| read.value).collect())
    } else {
        Err(in_order(mistakes))
    }
}

pub(super) fn admin_of(path: &Path) -> Option<(Option<SocketAddr>, PathBuf)> {
    let text = fs::read_to_string(path).ok()?;
    let table: toml::Table = text.parse().ok()?;
    let section = |name: &str| table.get(name).cloned();
    let gateway: GatewayConfig = section("gateway")
        .and_then(|it| it.try_into().ok())
        .unwrap_or_default();
    let admin: AdminConfig = section("admin")
        .and_then(|it| it.try_into().ok())
        .unwrap_or_default();
    Some((admin.listen, gateway.data_dir.join(admin.token_file)))
}

pub(super) fn parse(text: &str, name: &str) -> Result<Config, Mistakes> {
    let mut reader = Reader::new(text, name);
    let mut config = reader.config();
    finish(
        &mut config,
        reader.agreements,
        reader.mistakes,
        &reader.lines,
        name,
    )?;
    Ok(config)
}

fn finish(
    config: &mut Config,
    agreements: Vec<Read<AgreementConfig>>,
    mut mistakes: Vec<Mistake>,
    lines: &Lines,
    name: &str,
) -> Result<(), Mistakes> {
    mistakes.extend(check::check(config, &agreements, lines, name));
    config.agreements = agreements.into_iter().map(|read| read.value).collect();
    if mistakes.is_empty() {
        Ok(())
    } else {
        Err(in_order(mistakes))
    }
}

/// As a reader goes through the files: the files as they came, each from the top.
fn in_order(mut mistakes: Vec<Mistake>) -> Mistakes {
    let files: Vec<String> = mistakes.iter().map(|one| one.file.clone()).collect();
    mistakes.sort_by_key(|one| (files.iter().position(|file| *file == one.file), one.line));
    Mistakes(mistakes)
}

fn read(path: &Path, name: &str) -> Result<String, Mistakes> {
    fs::read_to_string(path).map_err(|error| {
        let text = if error.kind() == io::ErrorKind::NotFound {
            "there is no such file; name yours with --config FILE or in IMPSGW_CONFIG".to_owned()
        } else {
            format!("can't be read: {error}")
        };
        Mistakes(vec![Mistake {
            file: name.to_owned(),
            line: 0,
            text,
        }])
    })
}

fn agreement_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The line that each section or key of a section begins in, as `ssp` or `ssp.listen`.
pub(super) type Lines = HashMap<String, usize>;

struct Reader<'t> {
    lines: Lines,
    text: &'t str,
    name: &'t str,
    mistakes: Vec<Mistake>,
    agreements: Vec<Read<AgreementConfig>>,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str, name: &'t str) -> Self {
        Self {
            lines: Lines::new(),
            text,
            name,
            mistakes: Vec::new(),
            agreements: Vec::new(),
        }
    }

    fn config(&mut self) -> Config {
        let mut config = Config::default();
        for (key, value) in self.sections() {
            let name = key.get_ref().to_string();
            self.lines.insert(name.clone(), self.line_of(key.span().start));
            let lines = self.lines_in(value.get_ref());
            self.lines.extend(
                lines
                    .into_iter()
                    .map(|(key, line)| (format!("{name}.{key}"), line)),
            );
            match key.get_ref().as_ref() {
                "gateway" => config.gateway = self.section(value).unwrap_or_default(),
                "ssp" => config.ssp = self.section(value).unwrap_or_default(),
                "relay" => config.relay = self.section(value).unwrap_or_default(),
                "routing" => config.routing = self.section(value).unwrap_or_default(),
                "store" => config.store = self.section(value).unwrap_or_default(),
                "home" => config.home = self.section(value),
                "cluster" => config.cluster = self.section(value),
                "admin" => config.admin = self.section(value).unwrap_or_default(),
                "agreement" => self.agreement_list(value),
                unknown => {
                    let text = format!(
                        "unknown section [{unknown}]; the sections are gateway, ssp, relay, routing, store, home, cluster, admin and agreement"
                    );
                    self.blame(key.span(), text);
                }
            }
        }
        config
    }

    /// Where the keys of a table and the elements of a list begin, and those in them.
    fn lines_in(&self, value: &DeValue<'_>) -> Lines {
        let mut lines = Lines::new();
        let mut note = |key: String, start: usize, inner: &DeValue<'_>| {
            let below = self.lines_in(inner).into_iter();
            lines.extend(below.map(|(below, line)| (format!("{key}.{below}"), line)));
            lines.insert(key, self.line_of(start));
        };
        match value {
            DeValue::Table(table) => {
                for (key, inner) in table {
                    note(key.get_ref().to_string(), key.span().start, inner.get_ref());
                }
            }
            DeValue::Array(list) => {
                for (index, inner) in list.iter().enumerate() {
                    note(index.to_string(), inner.span().start, inner.get_ref());
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
        lines
    }

    fn only_agreements(&mut self) {
        for (key, value) in self.sections() {
            if key.get_ref() == "agreement" {
                self.agreement_list(value);
            } else {
                let text = format!(
                    "an agreement file holds [[agreement]] tables only, not {}",
                    key.get_ref()
                );
                self.blame(key.span(), text);
            }
        }
    }

    fn sections(&mut self) -> Vec<(Spanned<std::borrow::Cow<'t, str>>, Spanned<DeValue<'t>>)> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            self.blame(error.span().unwrap_or(0..0), error.message().to_owned());
        }
        table.into_inner().into_iter().collect()
    }

    fn agreement_list(&mut self, value: Spanned<DeValue<'t>>) {
        let span = value.span();
        let DeValue::Array(list) = value.into_inner() else {
            self.blame(
                span,
                "an agreement is written [[agreement]], with two brackets".into(),
            );
            return;
        };
        for one in list {
            let line = self.line_of(one.span().start);
            let lines = self.lines_in(one.get_ref());
            if let Some(value) = self.section(one) {
                self.agreements.push(Read {
                    value,
                    file: self.name.to_owned(),
                    line,
                    lines,
                });
            }
        }
    }

    /// Reads a section, blaming each key that is wrong; `None` when anything was.
    fn section<T: DeserializeOwned>(&mut self, value: Spanned<DeValue<'t>>) -> Option<T> {
        let mut value = value;
        let mut is_good = true;
        let mut removed = Vec::new();
        loop {
            let error = match T::deserialize(ValueDeserializer::from(value.clone())) {
                Ok(section) => return is_good.then_some(section),
                Err(error) => error,
            };
            is_good = false;
            let span = error.span().unwrap_or_else(|| value.span());
            let is_missing = |key: &String| error.message() == format!("missing field `{key}`");
            if !removed.iter().any(is_missing) {
                self.blame(span.clone(), self.with_value(&span, error.message()));
            }
            removed.push(without_key_at(&mut value, &span)?);
        }
    }

    /// The complaint with what it is about, unless it says that already.
    fn with_value(&self, span: &Range<usize>, message: &str) -> String {
        let value = self.text.get(span.clone()).unwrap_or_default().trim();
        // A complaint about a whole section has the section's header for its span.
        let before = self.text.get(..span.start).unwrap_or_default().trim_end();
        let is_value = before.ends_with(['=', ',', '[']) && !value.starts_with('[') || before.ends_with('=');
        let is_short = is_value && !value.contains('\n') && value.len() <= 80;
        if is_short && !message.contains(value.trim_matches('"')) {
            format!("{value}: {message}")
        } else {
            message.to_owned()
        }
    }

    fn blame(&mut self, span: Range<usize>, text: String) {
        let line = self.line_of(span.start);
        let text = text.replace('\n', " ");
        let mistake = Mistake {
            file: self.name.to_owned(),
            line,
            text,
        };
        if self.mistakes.len() < MAX_MISTAKES && !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    fn line_of(&self, offset: usize) -> usize {
        self.text
            .as_bytes()
            .iter()
            .take(offset)
            .filter(|byte| **byte == b'\n')
            .count()
            + 1
    }
}

/// Removes the innermost key whose key or value holds the span, and says which; `None` when there is none. An element of a
/// list has no name.
fn without_key_at(value: &mut Spanned<DeValue<'_>>, span: &Range<usize>) -> Option<String> {
    let holds = |range: Range<usize>| range.start <= span.start && span.end <= range.end;
    match value.get_mut() {
        DeValue::Table(table) => {
            let mut guilty = None;
            for (key, inner) in table.iter_mut() {
                if holds(key.span()) {
                    guilty = Some(key.clone());
                    break;
                }
                if holds(inner.span()) || is_subtable(inner) {
                    if let Some(removed) = without_key_at(inner, span) {
                        return Some(removed);
                    }
                    if holds(inner.span()) {
                        guilty = Some(key.clone());
                        break;
                    }
                }
            }
            let key = guilty?;
            table.remove(&key).map(|_| key.get_ref().to_string())
        }
        DeValue::Array(list) => {
            for index in 0..list.len() {
                let inner = list.get_mut(index)?;
                if let Some(removed) = without_key_at(inner, span) {
                    return Some(removed);
                }
                if holds(inner.span()) {
                    let kept = list.iter().enumerate().filter(|(at, _)| *at != index);
                    *list = kept.map(|(_, value)| value.clone()).collect();
                    return Some(String::new());
                }
            }
            None
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => None,
    }
}

/// A table's span may be its header only, so its keys are looked at in any case.
fn is_subtable(value: &Spanned<DeValue<'_>>) -> bool {
    value.get_ref().is_table() || value.get_ref().is_array()
}

/// More are not worth reading at once.
const MAX_MISTAKES: usize = 200;
