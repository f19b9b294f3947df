//! Characters, names and references of XML 1.0.
//!
//! Source: XML 1.0 (fifth edition) §2.2, §2.3, §4.1; Namespaces in XML §4.

/// Whether the text is nothing but white space as XML has it.
pub(super) fn is_blank(text: &str) -> bool {
    text.bytes().all(is_blank_byte)
}

/// The text without white space at its ends.
pub(super) fn trim(text: &str) -> &str {
    let is_tight = |byte: Option<&u8>| byte.is_none_or(|byte| !is_blank_byte(*byte));
    if is_tight(text.as_bytes().first()) && is_tight(text.as_bytes().last()) {
        return text;
    }
    text.trim_matches([' ', '\t', '\r', '\n'])
}

/// What one look over a whole text has found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Survey {
    /// Where the first character stands that no document may hold.
    pub(super) forbidden_at: Option<usize>,
    /// No reference, and no white space but spaces and line feeds: attribute values without a line feed are what they say.
    pub(super) is_plain: bool,
}

/// Looks over a text once.
pub(super) fn survey(text: &str) -> Survey {
    // Without an early end, the compiler looks at many octets at once; 0xEF begins the two noncharacters.
    let (suspicious, special) = text.bytes().fold((false, false), |(suspicious, special), byte| {
        let is_control = (byte < 0x20) & (byte != b'\n');
        (
            suspicious | (is_control & (byte != b'\t') & (byte != b'\r')) | (byte == 0xEF),
            special | is_control | (byte == b'&'),
        )
    });
    let forbidden = |text: &str| text.char_indices().find(|&(_, c)| !is_char(c)).map(|(at, _)| at);
    Survey {
        forbidden_at: suspicious.then(|| forbidden(text)).flatten(),
        is_plain: !special,
    }
}

/// Whether a document may hold the character.
pub(super) const fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// Splits a qualified name into prefix and local part; `None` when it isn't one.
pub(super) fn split_name(name: &str) -> Option<(Option<&str>, &str)> {
    if is_nc_name(name) {
        return Some((None, name));
    }
    let (prefix, local) = name.split_once(':')?;
    (is_nc_name(prefix) && is_nc_name(local)).then_some((Some(prefix), local))
}

/// How many octets of ASCII the text begins with that make a name without a colon; 0 when it begins with none, or when what
/// follows may be part of the name as well.
pub(super) fn plain_name(text: &str) -> usize {
    let bytes = text.as_bytes();
    if !bytes
        .first()
        .is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_')
    {
        return 0;
    }
    let ends = |byte: &u8| !matches!(*byte, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' | b'-' | b'.');
    let length = bytes.iter().position(ends).unwrap_or(bytes.len());
    match bytes.get(length) {
        Some(b':' | 0x80..) => 0,
        Some(_) | None => length,
    }
}

/// Whether the text is a name without a colon.
pub(super) fn is_nc_name(name: &str) -> bool {
    if !name.is_empty() && plain_name(name) == name.len() {
        return true;
    }
    let mut chars = name.chars();
    chars.next().is_some_and(is_name_start) && chars.all(is_name_char)
}

/// Where the first octet of white space stands, or the end.
pub(super) fn blank_at(text: &str) -> usize {
    text.bytes().position(is_blank_byte).unwrap_or(text.len())
}

/// How many octets of white space the text begins with.
pub(super) fn leading_blanks(text: &str) -> usize {
    text.bytes()
        .position(|byte| !is_blank_byte(byte))
        .unwrap_or(text.len())
}

const fn is_blank_byte(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The character that `&name;` stands for: one of the five, or a numeric reference to a character that XML allows.
pub(super) fn reference(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => numeric_reference(name.strip_prefix('#')?).filter(|c| is_char(*c)),
    }
}

fn numeric_reference(number: &str) -> Option<char> {
    let (digits, radix) = number
        .strip_prefix('x')
        .map_or((number, 10), |digits| (digits, 16));
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    u32::from_str_radix(digits, radix).ok().and_then(char::from_u32)
}

const fn is_name_start(c: char) -> bool {
    matches!(c, 'A'..='Z' | 'a'..='z' | '_'
        | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}' | '\u{370}'..='\u{37D}'
        | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}' | '\u{2C00}'..='\u{2FEF}'
        | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}')
}

const fn is_name_char(c: char) -> bool {
    is_name_start(c)
        || matches!(c, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}
