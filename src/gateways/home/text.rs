//! Text that people write and others read: what is let through, and what the server says in whose language.
//!
//! Names, nicknames, notes and status texts lose control characters and the marks that turn the direction of text
//! around (they make one name look like another); white space is drawn together. Message texts keep line ends and tabs;
//! any other control character in them is refused, because no XML document can carry it.

use std::collections::BTreeMap;

use super::config::Templates;
use crate::model::Refusal;

/// A line of text without control characters and direction marks, at most so many characters; empty when nothing is left.
#[must_use]
pub(crate) fn line(text: &str, most: usize) -> String {
    let shown = text.chars().filter(|c| !is_hidden(*c) || c.is_whitespace());
    let shown: String = shown.collect();
    let words: Vec<&str> = shown.split_whitespace().collect();
    words
        .join(" ")
        .chars()
        .take(most)
        .collect::<String>()
        .trim_end()
        .to_owned()
}

/// Checks the text of a message.
///
/// # Errors
/// [`Refusal::BadRequest`] for a control character other than tab and line ends.
pub(crate) fn message(text: &str) -> Result<(), Refusal> {
    let is_bad = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
    if text.chars().any(is_bad) {
        let reason = "the text holds a control character; only tabs and line ends are allowed".into();
        return Err(Refusal::BadRequest { reason });
    }
    Ok(())
}

/// The server's words by language: the operator's own first, then the built-in ones.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    own: BTreeMap<String, Templates>,
    fallback: String,
}

impl Words {
    pub(crate) fn new(own: &BTreeMap<String, Templates>, fallback: &str) -> Self {
        let own = own
            .iter()
            .map(|(tag, words)| (tag.to_ascii_lowercase(), words.clone()))
            .collect();
        Self {
            own,
            fallback: fallback.to_owned(),
        }
    }

    /// "… has added you", and the language that it is in.
    pub(crate) fn contact_added(&self, language: &str, name: &str, address: &str) -> (String, String) {
        let (template, language) = self.find(language);
        (fill(&template, name, address), language)
    }

    /// The template of the language, of its primary tag, of the fallback, or the English one.
    fn find(&self, language: &str) -> (String, String) {
        let language = language.to_ascii_lowercase();
        let primary = language.split('-').next().unwrap_or_default().to_owned();
        for tag in [language, primary, self.fallback.to_ascii_lowercase()] {
            if let Some(own) = self.own.get(&tag) {
                return (own.contact_added.clone(), tag);
            }
            if let Some((_, text)) = CONTACT_ADDED.iter().find(|(known, _)| *known == tag) {
                return ((*text).to_owned(), tag);
            }
        }
        (ENGLISH.to_owned(), "en".to_owned())
    }
}

/// Puts the names in; one pass, so that a name that looks like a placeholder stays a name.
fn fill(template: &str, name: &str, address: &str) -> String {
    let mut out = String::with_capacity(template.len() + name.len() + address.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        match after.split_once('}') {
            Some(("name", after)) => {
                out.push_str(name);
                rest = after;
            }
            Some(("address", after)) => {
                out.push_str(address);
                rest = after;
            }
            Some(_) | None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// Control characters and the invisible marks that change direction or join (Unicode bidirectional controls, zero width).
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

const ENGLISH: &str = "{name} ({address}) has added you as a contact. Add them too?";

const CONTACT_ADDED: &[(&str, &str)] = &[
    ("en", ENGLISH),
    (
        "de",
        "{name} ({address}) hat Sie als Kontakt hinzugefügt. Auch hinzufügen?",
    ),
    (
        "es",
        "{name} ({address}) te ha añadido a sus contactos. ¿Añadir también?",
    ),
    (
        "fr",
        "{name} ({address}) vous a ajouté à ses contacts. L’ajouter aussi ?",
    ),
    (
        "sv",
        "{name} ({address}) har lagt till dig som kontakt. Lägga till tillbaka?",
    ),
];
