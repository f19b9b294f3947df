//! A document as a tree that borrows from the input.
//!
//! Nodes and attributes lie in two vectors, so a document costs a handful of allocations. Text is the concatenation of an
//! element's own pieces; comments are skipped; processing instructions are refused, because SSP has none.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::Event;

use super::chars::{blank_at, is_blank, leading_blanks, plain_name, reference, split_name, survey};
use super::element::Element;
use super::namespaces;
use super::{Limits, XmlError};

/// A well-formed document.
#[derive(Debug)]
pub struct Tree<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) attributes: Vec<Attribute<'a>>,
}

#[derive(Debug)]
pub(super) struct Node<'a> {
    /// Without the prefix.
    pub(super) name: &'a str,
    pub(super) text: Cow<'a, str>,
    pub(super) attributes: std::ops::Range<usize>,
    pub(super) first_child: Option<usize>,
    pub(super) next_sibling: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Attribute<'a> {
    /// With the prefix.
    pub(super) name: &'a str,
    pub(super) value: Cow<'a, str>,
}

impl<'a> Tree<'a> {
    /// Reads a document; `bytes` may begin with a byte order mark and an XML declaration.
    ///
    /// # Errors
    /// `XmlError` when the document is not well-formed UTF-8 XML without a DTD, or goes beyond a limit.
    pub fn parse(bytes: &'a [u8], limits: &Limits) -> Result<Self, XmlError> {
        if bytes.len() > limits.document {
            return Err(XmlError::TooLarge {
                octets: bytes.len(),
                limit: limits.document,
            });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| XmlError::NotUtf8)?;
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        let survey = survey(text);
        if let Some(at) = survey.forbidden_at {
            return Err(XmlError::IllFormed {
                at,
                what: "a character that XML does not allow",
            });
        }
        Builder::new(text, limits, survey.is_plain).build()
    }

    pub(in crate::wire::ssp) fn root(&self) -> Option<Element<'_, 'a>> {
        self.element(0)
    }

    pub(super) fn element(&self, index: usize) -> Option<Element<'_, 'a>> {
        Some(Element {
            tree: self,
            node: self.nodes.get(index)?,
        })
    }
}

/// An element whose end tag has not come yet.
struct Open<'a> {
    /// With the prefix, because the end tag must repeat it.
    name: &'a str,
    node: usize,
    last_child: Option<usize>,
}

struct Builder<'a, 'l> {
    input: &'a str,
    limits: &'l Limits,
    tree: Tree<'a>,
    open: Vec<Open<'a>>,
    /// As [`super::chars::Survey::is_plain`], of the whole document.
    is_plain: bool,
    /// Where the event under the eye begins.
    at: usize,
}

impl<'a, 'l> Builder<'a, 'l> {
    fn new(input: &'a str, limits: &'l Limits, is_plain: bool) -> Self {
        let nodes = Vec::with_capacity((input.len() / 48).clamp(8, 512));
        let attributes = Vec::with_capacity((input.len() / 64).clamp(8, 512));
        let open = Vec::with_capacity(limits.depth.min(32));
        Self {
            input,
            limits,
            tree: Tree { nodes, attributes },
            open,
            is_plain,
            at: 0,
        }
    }

    fn build(mut self) -> Result<Tree<'a>, XmlError> {
        let mut reader = Reader::from_str(self.input);
        let config = reader.config_mut();
        // End tags are compared here, against the input, which spares the reader its copies.
        config.check_end_names = false;
        config.allow_unmatched_ends = true;
        config.check_comments = true;
        loop {
            self.at = offset(reader.buffer_position());
            let event = match reader.read_event() {
                Ok(event) => event,
                Err(source) => {
                    return Err(XmlError::Syntax {
                        at: offset(reader.error_position()),
                        source,
                    });
                }
            };
            let end = offset(reader.buffer_position());
            match event {
                Event::Start(tag) => self.start(end, ">", tag.len(), true)?,
                Event::Empty(tag) => self.start(end, "/>", tag.len(), false)?,
                Event::End(_) => self.end(end)?,
                Event::Text(text) => self.text(text.into_inner())?,
                Event::CData(text) => self.character_data(text.into_inner())?,
                Event::GeneralRef(name) => self.reference(&name)?,
                Event::Comment(_) => {}
                Event::Decl(_) => self.declaration(end)?,
                Event::PI(_) => return Err(self.broken("a processing instruction is not allowed")),
                Event::DocType(_) => return Err(XmlError::Dtd { at: self.at }),
                Event::Eof => break,
            }
        }
        match (self.open.last(), self.tree.nodes.is_empty()) {
            (Some(_), _) => Err(self.broken("an element is not closed")),
            (None, true) => Err(self.broken("there is no element")),
            (None, false) => Ok(self.tree),
        }
    }

    fn start(&mut self, end: usize, close: &str, length: usize, has_content: bool) -> Result<(), XmlError> {
        if self.open.is_empty() && !self.tree.nodes.is_empty() {
            return Err(self.broken("there are two roots"));
        }
        if self.open.len() >= self.limits.depth {
            return Err(self.too_much("elements inside one another", self.limits.depth));
        }
        if self.tree.nodes.len() >= self.limits.elements {
            return Err(self.too_much("elements", self.limits.elements));
        }
        let stop = end.saturating_sub(close.len());
        let tag = self
            .input
            .get(stop.saturating_sub(length)..stop)
            .unwrap_or_default();
        let Some((name, prefix, local, rest)) = split_tag(tag) else {
            return Err(self.broken("an element has no proper name"));
        };
        let first = self.tree.attributes.len();
        let has_prefixes = self.attributes(rest, first)?;
        let node = self.tree.nodes.len();
        self.tree.nodes.push(Node {
            name: local,
            text: Cow::Borrowed(""),
            attributes: first..self.tree.attributes.len(),
            first_child: None,
            next_sibling: None,
        });
        self.link(node);
        if prefix.is_some() || has_prefixes {
            self.check_namespaces(prefix, node)?;
        }
        if has_content {
            self.open.push(Open {
                name,
                node,
                last_child: None,
            });
        }
        Ok(())
    }

    fn link(&mut self, node: usize) {
        let Some(parent) = self.open.last_mut() else {
            return;
        };
        match parent.last_child.replace(node) {
            None => {
                if let Some(parent) = self.tree.nodes.get_mut(parent.node) {
                    parent.first_child = Some(node);
                }
            }
            Some(sibling) => {
                if let Some(sibling) = self.tree.nodes.get_mut(sibling) {
                    sibling.next_sibling = Some(node);
                }
            }
        }
    }

    fn end(&mut self, end: usize) -> Result<(), XmlError> {
        let tag = self.input.get(self.at..end).unwrap_or_default();
        let name = tag
            .strip_prefix("</")
            .and_then(|tag| tag.strip_suffix('>'))
            .unwrap_or_default();
        let Some(open) = self.open.pop() else {
            return Err(self.broken("an end tag without a start tag"));
        };
        if name.trim_end_matches([' ', '\t', '\r', '\n']) == open.name {
            return Ok(());
        }
        Err(self.broken("an end tag does not match its start tag"))
    }

    fn text(&mut self, text: Cow<'a, str>) -> Result<(), XmlError> {
        if memchr::memchr(b'>', text.as_bytes()).is_some() && text.contains("]]>") {
            return Err(self.broken("]]> in text"));
        }
        if self.open.is_empty() {
            return if is_blank(&text) {
                Ok(())
            } else {
                Err(self.broken("text outside the root"))
            };
        }
        self.append(self.line_ends(text))
    }

    fn character_data(&mut self, text: Cow<'a, str>) -> Result<(), XmlError> {
        if self.open.is_empty() {
            return Err(self.broken("text outside the root"));
        }
        self.append(self.line_ends(text))
    }

    /// As [`line_ends`]; a plain document has none to change.
    fn line_ends(&self, text: Cow<'a, str>) -> Cow<'a, str> {
        if self.is_plain { text } else { line_ends(text) }
    }

    fn reference(&mut self, name: &str) -> Result<(), XmlError> {
        if self.open.is_empty() {
            return Err(self.broken("a reference outside the root"));
        }
        let Some(character) = reference(name) else {
            return Err(self.broken("an unknown reference"));
        };
        self.append(
            Cow::Borrowed(character.encode_utf8(&mut [0; 4]))
                .into_owned()
                .into(),
        )
    }

    fn append(&mut self, piece: Cow<'a, str>) -> Result<(), XmlError> {
        let limit = self.limits.text;
        let node = self.open.last().map(|open| open.node);
        let Some(node) = node.and_then(|node| self.tree.nodes.get_mut(node)) else {
            return Ok(());
        };
        if node.text.len().saturating_add(piece.len()) > limit {
            return Err(self.too_much("octets of text", limit));
        }
        // White space before the first text is trimmed by every reader of it anyway.
        if node.text.is_empty() {
            if !is_blank(&piece) {
                node.text = piece;
            }
        } else {
            node.text.to_mut().push_str(&piece);
        }
        Ok(())
    }

    /// Reads the attributes of a tag; says whether any name has a prefix.
    fn attributes(&mut self, tag: &'a str, first: usize) -> Result<bool, XmlError> {
        let mut rest = tag;
        let mut has_prefixes = false;
        loop {
            let blank = leading_blanks(rest);
            rest = rest.get(blank..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(has_prefixes);
            }
            if blank == 0 {
                return Err(self.broken("no white space before an attribute"));
            }
            let (name, value, after) = match split_plain_attribute(rest) {
                Some(parts) => parts,
                None => {
                    let Some(parts) = split_attribute(rest) else {
                        return Err(self.broken("an attribute is not a name and a quoted value"));
                    };
                    let Some((prefix, _)) = split_name(parts.0) else {
                        return Err(self.broken("an attribute has no proper name"));
                    };
                    has_prefixes |= prefix.is_some();
                    parts
                }
            };
            has_prefixes |= name == "xmlns";
            let value = self.attribute_value(value)?;
            let others = self.tree.attributes.get(first..).unwrap_or_default();
            if others.len() >= self.limits.attributes {
                return Err(self.too_much("attributes of one element", self.limits.attributes));
            }
            if others.iter().any(|other| other.name == name) {
                return Err(self.broken("an attribute is there twice"));
            }
            self.tree.attributes.push(Attribute { name, value });
            rest = after;
        }
    }

    fn attribute_value(&self, raw: &'a str) -> Result<Cow<'a, str>, XmlError> {
        if raw.len() > self.limits.text {
            return Err(self.too_much("octets of text", self.limits.text));
        }
        let is_special = |byte: u8| matches!(byte, b'<' | b'&' | b'\t' | b'\r' | b'\n');
        let is_as_it_says = if self.is_plain {
            memchr::memchr2(b'<', b'\n', raw.as_bytes()).is_none()
        } else {
            !raw.bytes().any(is_special)
        };
        if is_as_it_says {
            return Ok(Cow::Borrowed(raw));
        }
        let mut value = String::with_capacity(raw.len());
        let lines = line_ends(Cow::Borrowed(raw));
        let mut rest = &*lines;
        while let Some(at) = rest.find(['<', '&', '\t', '\n']) {
            let (plain, special) = rest.split_at_checked(at).unwrap_or((rest, ""));
            value.push_str(plain);
            rest = special.get(1..).unwrap_or_default();
            if special.starts_with('<') {
                return Err(self.broken("< in an attribute value"));
            }
            if !special.starts_with('&') {
                value.push(' ');
                continue;
            }
            let resolved = rest
                .split_once(';')
                .and_then(|(name, after)| Some((reference(name)?, after)));
            let Some((character, after)) = resolved else {
                return Err(self.broken("an unknown reference"));
            };
            value.push(character);
            rest = after;
        }
        value.push_str(rest);
        Ok(Cow::Owned(value))
    }

    fn check_namespaces(&self, prefix: Option<&str>, node: usize) -> Result<(), XmlError> {
        let outer = self.open.iter().rev().map(|open| open.node);
        let nodes = std::iter::once(node)
            .chain(outer)
            .filter_map(|node| self.tree.nodes.get(node));
        namespaces::check(prefix, nodes.map(|node| self.attributes_of(node)))
            .map_err(|what| self.broken(what))
    }

    fn attributes_of(&self, node: &Node<'a>) -> &[Attribute<'a>] {
        self.tree
            .attributes
            .get(node.attributes.clone())
            .unwrap_or_default()
    }

    fn declaration(&mut self, end: usize) -> Result<(), XmlError> {
        let text = self.input.get(self.at..end).unwrap_or_default();
        let inner = text
            .strip_prefix("<?xml")
            .and_then(|text| text.strip_suffix("?>"))
            .unwrap_or_default();
        if self.at != 0 {
            return Err(self.broken("the XML declaration is not at the beginning"));
        }
        let has_prefixes = self.attributes(inner, 0)?;
        let mut parts = self
            .tree
            .attributes
            .drain(..)
            .map(|part| (part.name, part.value))
            .peekable();
        let version = parts.next_if(|(name, _)| *name == "version");
        let encoding = parts.next_if(|(name, _)| *name == "encoding");
        let standalone = parts.next_if(|(name, _)| *name == "standalone");
        let is_complete = parts.next().is_none() && !has_prefixes;
        drop(parts);
        let is_version = version.is_some_and(|(_, version)| version == "1.0" || version == "1.1");
        let is_standalone = standalone.is_none_or(|(_, word)| word == "yes" || word == "no");
        if !is_complete || !is_version || !is_standalone {
            return Err(self.broken("the XML declaration is not a proper one"));
        }
        let is_utf8 = encoding.is_none_or(|(_, name)| {
            name.eq_ignore_ascii_case("utf-8") || name.eq_ignore_ascii_case("utf8") || self.input.is_ascii()
        });
        if is_utf8 { Ok(()) } else { Err(XmlError::NotUtf8) }
    }

    const fn broken(&self, what: &'static str) -> XmlError {
        XmlError::IllFormed { at: self.at, what }
    }

    const fn too_much(&self, what: &'static str, limit: usize) -> XmlError {
        XmlError::TooMuch {
            at: self.at,
            what,
            limit,
        }
    }
}

/// Splits a start tag, without its brackets, into its name, the prefix and the local part of that, and the rest.
fn split_tag(tag: &str) -> Option<(&str, Option<&str>, &str, &str)> {
    let plain = plain_name(tag);
    if plain > 0 && tag.as_bytes().get(plain).is_none_or(|byte| *byte == b' ') {
        let (name, rest) = tag.split_at_checked(plain)?;
        return Some((name, None, name, rest));
    }
    let (name, rest) = tag.split_at_checked(blank_at(tag))?;
    let (prefix, local) = split_name(name)?;
    Some((name, prefix, local, rest))
}

/// As [`split_attribute`] for a plain name without a prefix and no white space around `=`; `None` for anything else.
fn split_plain_attribute(text: &str) -> Option<(&str, &str, &str)> {
    let plain = plain_name(text);
    if plain == 0 {
        return None;
    }
    let after = text.as_bytes().get(plain..)?;
    let [b'=', quote @ (b'"' | b'\''), value @ ..] = after else {
        return None;
    };
    let length = memchr::memchr(*quote, value)?;
    let begin = plain + 2;
    let end = begin + length;
    Some((text.get(..plain)?, text.get(begin..end)?, text.get(end + 1..)?))
}

/// Splits `name = "value" and the rest` into its three parts, the value without its quotes.
fn split_attribute(text: &str) -> Option<(&str, &str, &str)> {
    let (name, value) = split_at_byte(text, b'=')?;
    let (name, _) = name
        .split_at_checked(blank_at(name))
        .filter(|(_, blank)| is_blank(blank))?;
    let value = value.get(leading_blanks(value)..)?;
    let quote = value
        .bytes()
        .next()
        .filter(|quote| matches!(quote, b'"' | b'\''))?;
    let (value, rest) = split_at_byte(value.get(1..)?, quote)?;
    Some((name, value, rest))
}

/// Splits around the first such octet, which must be ASCII; on short texts this beats a search for a `char`.
fn split_at_byte(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|other| other == byte)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Line ends as XML 1.0 §2.11 has them: every one is a line feed.
fn line_ends(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.contains('\r') {
        Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        text
    }
}

fn offset(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}
