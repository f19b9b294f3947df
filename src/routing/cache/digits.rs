//! Digits of a number in one word, so that a walk over a million of them compares and never formats.

/// Up to 15 digits, four bits each, the first one highest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::routing) struct Digits {
    packed: u64,
    count: u32,
}

impl Digits {
    /// Of a text without the `+`; `None` when it is anything but 1 to 15 digits.
    pub(in crate::routing) fn of(text: &str) -> Option<Self> {
        let digits = text.bytes().map(digit);
        Self::gather(digits)
    }

    /// Of a name that ENUM made of a number, with or without the label `i` of Infrastructure ENUM (RFC 5527); `None` for
    /// other names.
    pub(in crate::routing) fn of_enum_name(name: &str) -> Option<Self> {
        let mut reversed = [0_u8; MOST];
        let mut count = 0;
        for label in name.split('.') {
            match label.as_bytes() {
                [octet] if octet.is_ascii_digit() => {
                    *reversed.get_mut(count)? = *octet;
                    count += 1;
                }
                b"i" if count > 0 => {}
                _ => break,
            }
        }
        Self::gather(reversed.iter().take(count).rev().map(|octet| digit(*octet)))
    }

    /// Of a number that begins with no zero.
    pub(in crate::routing) fn unpacked(packed: u64) -> Self {
        let count = (u64::BITS - packed.leading_zeros()).div_ceil(4);
        Self { packed, count }
    }

    pub(in crate::routing) fn begins_with(self, prefix: Self) -> bool {
        self.count
            .checked_sub(prefix.count)
            .is_some_and(|rest| self.packed >> (4 * rest) == prefix.packed)
    }

    fn gather(digits: impl Iterator<Item = Option<u8>>) -> Option<Self> {
        let mut gathered = Self { packed: 0, count: 0 };
        for digit in digits {
            gathered.packed = gathered.packed << 4 | u64::from(digit?);
            gathered.count += 1;
            if gathered.count > 15 {
                return None;
            }
        }
        (gathered.count > 0).then_some(gathered)
    }
}

fn digit(octet: u8) -> Option<u8> {
    octet.is_ascii_digit().then_some(octet & 0x0f)
}

/// Digits of the longest number.
const MOST: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_compared_as_their_texts_are() {
        let of = |text| Digits::of(text).unwrap();
        for (number, prefix, expected) in [
            ("447700900123", "44", true),
            ("447700900123", "447700900123", true),
            ("447700900123", "4477009001234", false),
            ("447700900123", "45", false),
            ("447700900123", "0", false),
            ("999999999999999", "99999999999999", true),
            ("1", "1", true),
        ] {
            assert_eq!(of(number).begins_with(of(prefix)), expected, "{number} {prefix}");
        }
        for text in ["", "+44", "44 7", "1234567890123456"] {
            assert_eq!(Digits::of(text), None, "{text:?}");
        }
    }

    #[test]
    fn enum_names_give_their_numbers() {
        let of = Digits::of_enum_name;
        let number = Digits::of("442079460148");
        assert_eq!(of("8.4.1.0.6.4.9.7.0.2.4.4.e164.arpa"), number);
        assert_eq!(
            of("8.4.1.0.6.4.9.7.0.2.i.4.4.e164.arpa"),
            number,
            "Infrastructure ENUM"
        );
        for name in ["op.example", "i.example", "_imps-server._tcp.op.example", ""] {
            assert_eq!(of(name), None, "{name}");
        }
    }
}
