//! Repairs of documents that a deployed peer writes ill-formed.
//!
//! Tried only after a document failed to parse, and only for peers whose profile says so; the result goes through the same
//! strict reader. Two faults are known: the end tag of `Canceled` written as an empty element, and `<` and `&` left as they
//! are in attribute values and in the free-text elements. Source: SSP reference §14 item 4.

use super::chars::reference;

/// What was repaired in a document; for the log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Repairs {
    /// A second `<Canceled/>` was taken as the end tag that it stands for.
    pub closed_canceled: bool,
    /// `<` or `&` was escaped in free text or in an attribute.
    pub escaped_text: bool,
}

impl Repairs {
    /// Whether anything was repaired.
    pub const fn is_any(self) -> bool {
        self.closed_canceled || self.escaped_text
    }
}

/// The document with the known faults repaired, and which they were; `None` when neither is there.
pub(in crate::wire::ssp) fn repaired(text: &str) -> Option<(String, Repairs)> {
    let mut repair = Repair {
        out: String::with_capacity(text.len() + 64),
        made: Repairs::default(),
        in_canceled: false,
        gave_up: false,
    };
    repair.document(text);
    repair.made.is_any().then_some((repair.out, repair.made))
}

struct Repair {
    out: String,
    made: Repairs,
    /// Between `<Canceled>` and its end.
    in_canceled: bool,
    /// A free-text element had no end: nothing more is searched, so the work stays linear in the document.
    gave_up: bool,
}

impl Repair {
    fn document(&mut self, text: &str) {
        let mut rest = text;
        while let Some((before, from_tag)) = split_before(rest, '<') {
            self.out.push_str(before);
            let tag = tag_of(from_tag);
            rest = from_tag.get(tag.len()..).unwrap_or_default();
            self.tag(tag);
            if !self.gave_up
                && is_start_tag(tag)
                && FREE_TEXT
                    .iter()
                    .any(|name| name.eq_ignore_ascii_case(name_of(tag)))
            {
                rest = self.free_text(name_of(tag), rest);
            }
            if tag.is_empty() {
                break;
            }
        }
        self.out.push_str(rest);
    }

    fn tag(&mut self, tag: &str) {
        if !name_of(tag).eq_ignore_ascii_case(CANCELED) {
            return self.tag_text(tag);
        }
        if self.in_canceled && tag.ends_with("/>") {
            self.in_canceled = false;
            self.made.closed_canceled = true;
            self.out.push_str("</");
            self.out.push_str(name_of(tag));
            self.out.push('>');
            return;
        }
        self.in_canceled = is_start_tag(tag);
        self.tag_text(tag);
    }

    /// A tag, with what stands between quotes escaped.
    fn tag_text(&mut self, tag: &str) {
        let mut rest = tag;
        while let Some((before, quoted)) = split_before(rest, ['"', '\'']) {
            self.out.push_str(before);
            let quote = quoted.chars().next().unwrap_or('"');
            let Some((value, after)) = quoted.get(1..).and_then(|inner| inner.split_once(quote)) else {
                rest = quoted;
                break;
            };
            self.out.push(quote);
            self.escaped(value);
            self.out.push(quote);
            rest = after;
        }
        self.out.push_str(rest);
    }

    /// The text up to the end tag of `name`, escaped; gives what follows. Without an end tag nothing is touched.
    fn free_text<'a>(&mut self, name: &str, text: &'a str) -> &'a str {
        let end_tag = text.match_indices("</").map(|(at, _)| at).find(|&at| {
            let after = text.get(at + 2..).unwrap_or_default();
            after
                .strip_prefix(name)
                .is_some_and(|after| after.trim_start().starts_with('>'))
        });
        let Some((inner, after)) = end_tag.and_then(|at| text.split_at_checked(at)) else {
            self.gave_up = true;
            return text;
        };
        self.escaped(inner);
        after
    }

    fn escaped(&mut self, text: &str) {
        let mut rest = text;
        while let Some((before, special)) = split_before(rest, ['<', '&']) {
            self.out.push_str(before);
            rest = special.get(1..).unwrap_or_default();
            if special.starts_with('<') {
                self.out.push_str("&lt;");
                self.made.escaped_text = true;
            } else if begins_with_reference(rest) {
                self.out.push('&');
            } else {
                self.out.push_str("&amp;");
                self.made.escaped_text = true;
            }
        }
        self.out.push_str(rest);
    }
}

fn split_before(text: &str, pattern: impl CharSet) -> Option<(&str, &str)> {
    pattern.find_in(text).and_then(|at| text.split_at_checked(at))
}

/// One character or several; `str::find` takes both, but its trait can't be named here.
trait CharSet {
    fn find_in(&self, text: &str) -> Option<usize>;
}

impl CharSet for char {
    fn find_in(&self, text: &str) -> Option<usize> {
        text.find(*self)
    }
}

impl CharSet for [char; 2] {
    fn find_in(&self, text: &str) -> Option<usize> {
        text.find(*self)
    }
}

/// The tag that `text` begins with, up to the `>` that is not between quotes; all of it when there is none.
fn tag_of(text: &str) -> &str {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '>') => return text.get(..=at).unwrap_or(text),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
    }
    text
}

/// Whether a reference that XML knows follows its `&`; those we meet are short, so one look costs little.
fn begins_with_reference(text: &str) -> bool {
    let end = text.bytes().take(12).position(|byte| byte == b';');
    end.and_then(|end| text.get(..end))
        .is_some_and(|name| reference(name).is_some())
}

/// The name in a start, end or empty tag.
fn name_of(tag: &str) -> &str {
    let inner = tag.trim_start_matches(['<', '/']);
    let end = inner
        .find(|c: char| c.is_whitespace() || c == '>' || c == '/')
        .unwrap_or(inner.len());
    inner.get(..end).unwrap_or(inner)
}

fn is_start_tag(tag: &str) -> bool {
    tag.ends_with('>')
        && !tag.ends_with("/>")
        && !tag.starts_with("</")
        && !tag.starts_with("<!")
        && !tag.starts_with("<?")
}

/// The elements whose text the peer does not escape.
const FREE_TEXT: &[&str] = &[
    "InviteNote",
    "ResponseNote",
    "CancelNote",
    "StatusDescription",
    "ScreenName",
    "Name",
];
const CANCELED: &str = "Canceled";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faultless_documents_have_nothing_to_repair() {
        for text in [
            "",
            "<a>b</a>",
            "<Name>a &amp; &#60;</Name>",
            "<Canceled/><Canceled>x</Canceled>",
            "<a b='&lt;'/>",
        ] {
            assert_eq!(repaired(text), None, "{text}");
        }
    }

    #[test]
    fn second_canceled_becomes_an_end_tag_in_every_transaction() {
        let (text, made) = repaired("<Canceled>x<Canceled/><Canceled>y<Canceled /></a>").unwrap();
        assert_eq!(text, "<Canceled>x</Canceled><Canceled>y</Canceled></a>");
        assert_eq!(
            made,
            Repairs {
                closed_canceled: true,
                escaped_text: false
            }
        );
    }

    #[test]
    fn free_text_and_attributes_are_escaped_and_nothing_else() {
        let (text, made) = repaired("<a b=\"x>&<y\"><Name>1 < 2 & <b/>;</Name><c>&</c>").unwrap();
        assert_eq!(
            text,
            "<a b=\"x>&amp;&lt;y\"><Name>1 &lt; 2 &amp; &lt;b/>;</Name><c>&</c>"
        );
        assert_eq!(
            made,
            Repairs {
                closed_canceled: false,
                escaped_text: true
            }
        );
    }

    #[test]
    fn hostile_documents_take_linear_work() {
        for piece in ["<Name>", "<Name>&", "<Name a='", "&", "<Canceled>"] {
            let text = piece.repeat(100_000);
            assert!(repaired(&text).is_none_or(|(repaired, _)| repaired.len() >= text.len()));
            let noted = format!("<Name>{text}</Name>");
            assert!(repaired(&noted).is_none_or(|(repaired, _)| repaired.len() >= noted.len()));
        }
    }
}
