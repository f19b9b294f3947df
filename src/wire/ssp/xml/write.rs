//! Writing a document, strictly.
//!
//! Every text and attribute goes through here and is escaped, so no value can change the shape of a document. A character
//! that XML can't carry becomes U+FFFD. Text is trimmed by its reader: leading and trailing white space does not survive.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::chars::{is_char, is_nc_name};
use super::element::Wire;

/// Appends elements to one output buffer.
pub(in crate::wire::ssp) struct Writer {
    out: String,
    /// The last start tag still lacks its `>`, so attributes may follow.
    in_tag: bool,
    odd_names: bool,
}

impl Writer {
    /// A writer whose buffer holds `capacity` octets before it grows.
    pub(in crate::wire::ssp) fn new(capacity: usize, odd_names: bool) -> Self {
        let mut out = String::with_capacity(capacity);
        out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
        Self {
            out,
            in_tag: false,
            odd_names,
        }
    }

    /// The document.
    pub(in crate::wire::ssp) fn into_bytes(self) -> Vec<u8> {
        self.out.into_bytes()
    }

    /// Whether the peer wants its odd spellings as well.
    pub(in crate::wire::ssp) const fn emits_odd_names(&self) -> bool {
        self.odd_names
    }

    /// One element; `content` writes attributes first, then children or text.
    pub(in crate::wire::ssp) fn element(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        self.close_tag();
        self.out.push('<');
        self.out.push_str(name);
        self.in_tag = true;
        content(self);
        if self.in_tag {
            self.in_tag = false;
            self.out.push_str("/>");
            return;
        }
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    /// A value as its element.
    pub(in crate::wire::ssp) fn wire<T: Wire>(&mut self, value: &T) {
        self.element(T::NAME, |writer| value.write(writer));
    }

    /// A value as its element, when there is one.
    pub(in crate::wire::ssp) fn some_wire<T: Wire>(&mut self, value: Option<&T>) {
        if let Some(value) = value {
            self.wire(value);
        }
    }

    /// Values as their elements.
    pub(in crate::wire::ssp) fn wires<T: Wire>(&mut self, values: &[T]) {
        for value in values {
            self.wire(value);
        }
    }

    /// An empty element whose name came from elsewhere; a name that XML can't carry becomes `Unknown`.
    pub(in crate::wire::ssp) fn empty_named(&mut self, name: &str) {
        self.element(if is_nc_name(name) { name } else { "Unknown" }, |_| {});
    }

    /// An attribute of the element just begun.
    pub(in crate::wire::ssp) fn attribute(&mut self, name: &str, value: &str) {
        self.begin_attribute(name);
        self.escape(value, |byte| matches!(byte, b'"' | b'\t' | b'\n'));
        self.out.push('"');
    }

    /// An attribute, when there is a value.
    pub(in crate::wire::ssp) fn some_attribute(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.attribute(name, value);
        }
    }

    /// An attribute that is `Yes` or `No`.
    pub(in crate::wire::ssp) fn yes_or_no(&mut self, name: &str, value: bool) {
        self.attribute(name, if value { "Yes" } else { "No" });
    }

    /// An attribute that is a number.
    pub(in crate::wire::ssp) fn number(&mut self, name: &str, value: u64) {
        self.begin_attribute(name);
        self.push_display(&value);
        self.out.push('"');
    }

    /// An attribute that is a number, when there is one.
    pub(in crate::wire::ssp) fn some_number(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.number(name, value);
        }
    }

    /// An attribute in whole seconds, when there is one.
    pub(in crate::wire::ssp) fn some_seconds(&mut self, name: &str, value: Option<Duration>) {
        self.some_number(name, value.map(|value| value.as_secs()));
    }

    /// Text of the element just begun.
    pub(in crate::wire::ssp) fn text(&mut self, text: &str) {
        if !text.is_empty() {
            self.close_tag();
            self.escape(text, |_| false);
        }
    }

    /// Text of the element just begun, when there is any.
    pub(in crate::wire::ssp) fn some_text(&mut self, text: Option<&str>) {
        self.text(text.unwrap_or_default());
    }

    /// A number as text of the element just begun.
    pub(in crate::wire::ssp) fn number_text(&mut self, number: u64) {
        self.display(&number);
    }

    /// A value whose display form needs no escaping, as text of the element just begun.
    pub(in crate::wire::ssp) fn display(&mut self, value: &impl Display) {
        self.close_tag();
        self.push_display(value);
    }

    /// Octets as text of the element just begun.
    pub(in crate::wire::ssp) fn base64(&mut self, bytes: &[u8]) {
        self.close_tag();
        STANDARD.encode_string(bytes, &mut self.out);
    }

    /// An element that holds only text.
    pub(in crate::wire::ssp) fn text_element(&mut self, name: &str, text: &str) {
        self.element(name, |writer| writer.text(text));
    }

    /// An element that holds only text, when there is any.
    pub(in crate::wire::ssp) fn some_text_element(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text_element(name, text);
        }
    }

    /// Elements of one name that hold only text.
    pub(in crate::wire::ssp) fn text_elements(&mut self, name: &str, texts: &[String]) {
        for text in texts {
            self.text_element(name, text);
        }
    }

    fn close_tag(&mut self) {
        if self.in_tag {
            self.in_tag = false;
            self.out.push('>');
        }
    }

    fn begin_attribute(&mut self, name: &str) {
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
    }

    fn push_display(&mut self, value: &impl Display) {
        // Writing to a String fails only when the Display itself does; what it wrote so far stays.
        let _ = write!(self.out, "{value}");
    }

    /// Appends `text`, with everything replaced that may not stand in it as it is.
    fn escape(&mut self, text: &str, also: impl Fn(u8) -> bool) {
        // 0xEF begins U+FFFE and U+FFFF, and much that is harmless.
        // Without an early end, the compiler looks at many octets at once.
        let may_be_special = text.bytes().fold(false, |seen, byte| {
            seen | (byte < 0x20)
                | (byte == b'&')
                | (byte == b'<')
                | (byte == b'>')
                | (byte == b'"')
                | (byte == 0xEF)
        });
        if !may_be_special {
            self.out.push_str(text);
            return;
        }
        let is_special = |byte: u8| {
            matches!(byte, b'&' | b'<' | b'>' | b'\r' | 0..=8 | 11 | 12 | 14..=31 | 0xEF) || also(byte)
        };
        let mut rest = text;
        while let Some(at) = rest.bytes().position(is_special) {
            let Some((plain, special)) = rest.split_at_checked(at) else {
                break;
            };
            self.out.push_str(plain);
            let mut chars = special.chars();
            match chars.next() {
                Some('&') => self.out.push_str("&amp;"),
                Some('<') => self.out.push_str("&lt;"),
                Some('>') => self.out.push_str("&gt;"),
                Some('"') => self.out.push_str("&quot;"),
                Some('\r') => self.out.push_str("&#13;"),
                Some('\n') => self.out.push_str("&#10;"),
                Some('\t') => self.out.push_str("&#9;"),
                Some(other) if is_char(other) => self.out.push(other),
                Some(_) | None => self.out.push('\u{FFFD}'),
            }
            rest = chars.as_str();
        }
        self.out.push_str(rest);
    }
}
