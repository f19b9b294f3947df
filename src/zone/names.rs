//! Steps between domain names that a zone needs: parent, wildcard, inside or not, and to and from hickory's type.
//!
//! Zones are keyed by [`Name`], whose spelling is canonical; hickory's names are used on the socket only, because its
//! text form reads `\DDD` in octal.

use hickory_proto::rr;
use hickory_proto::serialize::binary::BinDecodable;

use crate::wire::naptr::Name;

/// The name without its first label; nothing above the root.
pub(super) fn parent(name: &Name) -> Option<Name> {
    if name.is_root() {
        return None;
    }
    let mut escaped = false;
    for (at, octet) in name.as_str().bytes().enumerate() {
        match octet {
            b'\\' if !escaped => escaped = true,
            b'.' if !escaped => {
                let rest = name.as_str().get(at + 1..).unwrap_or_default();
                return if rest.is_empty() {
                    Some(Name::root())
                } else {
                    rest.parse().ok()
                };
            }
            _ => escaped = false,
        }
    }
    None
}

/// `*.` in front of the name; nothing when that would be too long.
pub(super) fn wildcard_under(name: &Name) -> Option<Name> {
    if name.is_root() {
        return "*".parse().ok();
    }
    format!("*.{name}").parse().ok()
}

/// Whether the name is the origin or below it.
pub(super) fn is_within(name: &Name, origin: &Name) -> bool {
    let (labels, top) = (name.labels(), origin.labels());
    labels.ends_with(&top)
}

/// The labels of `name` below `origin`, leftmost first; nothing when it is elsewhere.
pub(super) fn labels_below(name: &Name, origin: &Name) -> Option<Vec<String>> {
    let (mut labels, top) = (name.labels(), origin.labels());
    if !labels.ends_with(&top) {
        return None;
    }
    labels.truncate(labels.len() - top.len());
    Some(
        labels
            .iter()
            .map(|label| String::from_utf8_lossy(label).into_owned())
            .collect(),
    )
}

/// As the socket side spells it; nothing for a name that hickory's limits refuse.
pub(super) fn to_hickory(name: &Name) -> Option<rr::Name> {
    // By way of the wire form, which both sides read alike.
    let mut octets = Vec::new();
    name.encode(&mut octets);
    rr::Name::from_bytes(&octets).ok()
}

/// As the zones spell it; nothing for octets that no zone can hold.
pub(super) fn from_hickory(name: &rr::Name) -> Option<Name> {
    let mut text = String::new();
    for label in name.iter() {
        for &octet in label {
            match octet {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'*' => text.push(octet.into()),
                other => text.push_str(&format!("\\{other:03}")),
            }
        }
        text.push('.');
    }
    if text.is_empty() {
        Some(Name::root())
    } else {
        text.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn parent_respects_escaped_dots() {
        assert_eq!(parent(&name("a\\.b.c.")), Some(name("c.")));
        assert_eq!(parent(&name("c.")), Some(Name::root()));
        assert_eq!(parent(&Name::root()), None);
    }

    #[test]
    fn inside_is_by_label_not_by_text() {
        assert!(is_within(&name("a.op.example."), &name("op.example.")));
        assert!(is_within(&name("op.example."), &name("op.example.")));
        assert!(!is_within(&name("aop.example."), &name("op.example.")));
        assert_eq!(
            labels_below(&name("3.2.op.example."), &name("op.example.")).unwrap(),
            ["3", "2"]
        );
    }

    #[test]
    fn odd_octets_survive_the_way_to_the_socket_and_back() {
        for text in [
            "_imps-server._tcp.alpha.example.",
            "a\\.b\\032\\255.x.",
            "*.1.0.e164.arpa.",
            ".",
        ] {
            assert_eq!(
                from_hickory(&to_hickory(&name(text)).unwrap()),
                Some(name(text)),
                "{text}"
            );
        }
    }
}
