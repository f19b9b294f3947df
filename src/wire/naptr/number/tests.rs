//! Numbers beside the vectors of `tests/vectors/enum/`.

use super::*;

fn british() -> NationalRules {
    NationalRules {
        country_code: Some("44".into()),
        trunk_prefix: Some("0".into()),
        international_prefixes: vec!["0".into(), "00".into()],
    }
}

fn aus(text: &str, rules: Option<&NationalRules>) -> Result<String, NumberError> {
    Number::parse(text, rules).map(|number| number.aus.to_string())
}

#[test]
fn longest_international_prefix_is_taken() {
    assert_eq!(aus("00447700900123", Some(&british())).unwrap(), "+447700900123");
    let no_prefix = NationalRules {
        international_prefixes: vec![],
        ..british()
    };
    assert_eq!(aus("07700 900123", Some(&no_prefix)).unwrap(), "+447700900123");
    assert!(matches!(
        aus("7700900123", Some(&no_prefix)),
        Err(NumberError::NotE164(_))
    ));
    assert!(matches!(
        aus("tel:07700900123", Some(&british())),
        Err(NumberError::NotE164(_))
    ));
}

#[test]
fn a_country_without_trunk_prefix() {
    let spanish = NationalRules {
        country_code: Some("34".into()),
        ..NationalRules::default()
    };
    assert_eq!(aus("600 000 000", Some(&spanish)).unwrap(), "+34600000000");
}

#[test]
fn zeros_inside_a_number_stay() {
    assert_eq!(aus("+39 06 1234567", None).unwrap(), "+39061234567");
    assert_eq!(aus("+44 7700 9001 (0) 23", None).unwrap(), "+4477009001023");
    for text in ["+44(0)7700900123", "+44 ( 0 ) 7700900123", "+(44)(0)7700900123"] {
        assert_eq!(aus(text, None), Err(NumberError::AmbiguousTrunkZero), "{text}");
    }
    let two = NationalRules {
        international_prefixes: vec!["00".into()],
        ..NationalRules::default()
    };
    assert_eq!(
        aus("0044(0)7700900123", Some(&two)),
        Err(NumberError::AmbiguousTrunkZero)
    );
}

#[test]
fn what_stands_around_a_number_is_kept() {
    let number = Number::parse("WV:+447700900123;npdi;rn=+441632960000@Op.Example", None).unwrap();
    assert_eq!(number.domain.as_deref(), Some("Op.Example"));
    assert!(number.params.npdi);
    assert_eq!(number.params.rn.unwrap().number, "+441632960000");
    assert!(matches!(
        aus("+447700900123;npdi;npdi", None),
        Err(NumberError::Params(_))
    ));
}

#[test]
fn doubts_are_refusals() {
    for (text, expected) in [
        ("+447", NumberError::TooShort(3)),
        ("+44@", NumberError::BadCharacter('@')),
        ("tel:+447700900123@op.example", NumberError::BadCharacter('@')),
        ("wv:alice@op.example", NumberError::BadCharacter('a')),
        ("wv:@op.example", NumberError::Empty),
        ("*#06#", NumberError::Wildcard('*')),
        ("+44\u{a0}7700900123", NumberError::BadCharacter('\u{a0}')),
        ("( ) -", NumberError::Empty),
    ] {
        assert_eq!(aus(text, None), Err(expected), "{text:?}");
    }
}

#[test]
fn infrastructure_label_lies_inside_the_number() {
    let aus = Aus::new("442079460148").unwrap();
    let apex = "e164.arpa".parse().unwrap();
    for position in [0, 12, 13] {
        assert_eq!(
            aus.infrastructure_name(&apex, position),
            Err(EnumNameError::Position(position))
        );
    }
    assert_eq!(
        Aus::new("4420")
            .unwrap()
            .enum_name(&Name::root())
            .unwrap()
            .as_str(),
        "0.2.4.4."
    );
    let long: Name = vec!["x".repeat(59); 4].join(".").parse().unwrap();
    assert_eq!(
        aus.enum_name(&long),
        Err(EnumNameError::Name(InvalidName::TooLong))
    );
}
