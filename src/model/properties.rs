//! What holds for every word of the model: its own text is read as the same value.

use std::{fmt, str::FromStr};

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn numbers_round_trip(digits in "[1-9][0-9]{3,14}") {
        let number = same_again::<E164>(&format!("+{digits}"))?;
        prop_assert_eq!(number.digits(), digits);
    }

    #[test]
    fn domains_round_trip_in_one_spelling(text in domain(), upper in any::<bool>(), dot in any::<bool>()) {
        let written = if upper { text.to_uppercase() } else { text.clone() };
        let domain = same_again::<Domain>(&format!("{written}{}", if dot { "." } else { "" }))?;
        prop_assert_eq!(domain.as_str(), text);
    }

    #[test]
    fn addresses_round_trip_and_are_compared_without_case(
        local in prop_oneof!["\\+[1-9][0-9]{3,14}", name(), Just(String::new())],
        resource in prop::option::of(name()),
        domain in prop::option::of(domain()),
    ) {
        prop_assume!(!local.is_empty() || domain.is_some());
        let resource = resource.map(|text| format!("/{text}")).unwrap_or_default();
        let domain = domain.map(|text| format!("@{text}")).unwrap_or_default();
        let text = format!("wv:{local}{resource}{domain}");
        let address = same_again::<WvAddress>(&text)?;
        prop_assert_eq!(address.to_string(), text.clone());
        prop_assert_eq!(same_again::<WvAddress>(&text.replace("wv:", "WV:"))?, address.clone());
        prop_assert_eq!(same_again::<WvAddress>(&text.to_ascii_uppercase())?.key(), address.key());
        prop_assert_eq!(same_again::<WvAddress>(&address.canonical().to_string())?.key(), address.key());
    }

    #[test]
    fn media_types_round_trip_with_their_parameters(
        essence in "[a-zA-Z0-9!#$&^_.+-]{1,20}/[a-zA-Z0-9!#$&^_.+-]{1,20}",
        parameters in prop::collection::vec("; ?[a-z]{1,8}=(\"[^\\pC\"]{0,12}\"|[a-zA-Z0-9-]{1,12})", 0..4),
    ) {
        let text = format!("{essence}{}", parameters.concat());
        let media_type = same_again::<MediaType>(&text)?;
        prop_assert_eq!(media_type.as_str(), text);
        prop_assert_eq!(media_type.essence(), essence);
        prop_assert_eq!(&as_json(&media_type)?, &media_type);
    }

    #[test]
    fn identifiers_keep_their_text(text in "\\PC{1,60}") {
        prop_assert_eq!(same_again::<MessageId>(&text)?.to_string(), text.clone());
        prop_assert_eq!(same_again::<InviteId>(&text)?.to_string(), text.clone());
        prop_assert_eq!(same_again::<PeerName>(&text)?.to_string(), text.clone());
    }

    #[test]
    fn trail_identities_round_trip(id in any::<u64>()) {
        prop_assert_eq!(TrailId::try_from(TrailId(id).to_string()), Ok(TrailId(id)));
    }

    #[test]
    fn sizes_round_trip(
        size in prop_oneof![any::<u64>(), (0_u64..1 << 34, 0_u32..4).prop_map(|(n, unit)| n << (10 * unit))]
    ) {
        prop_assert_eq!(same_again::<ByteSize>(&ByteSize(size).to_string())?, ByteSize(size));
        prop_assert_eq!(as_json(&ByteSize(size))?, ByteSize(size));
    }

    #[test]
    fn durations_round_trip(
        millis in prop_oneof![
            any::<u64>(),
            (0_u64..100_000, prop::sample::select(vec![1, 1000, 60_000, 3_600_000, 86_400_000]))
                .prop_map(|(n, unit)| n * unit),
        ]
    ) {
        #[derive(Debug, PartialEq, serde::Deserialize, serde::Serialize)]
        struct Setting(#[serde(with = "duration")] std::time::Duration);
        let setting = Setting(std::time::Duration::from_millis(millis));
        let text = serde_json::to_string(&setting).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(duration::parse(text.trim_matches('"')), Some(setting.0), "{}", text);
        prop_assert_eq!(as_json(&setting)?, setting);
    }
}

/// Labels of letters, digits and hyphens, the last one with a letter.
fn domain() -> impl Strategy<Value = String> {
    "([a-z0-9]([a-z0-9_-]{0,12}[a-z0-9])?\\.){1,4}[a-z]([a-z0-9-]{0,8}[a-z0-9])?"
}

/// What a user or a group may be called.
fn name() -> impl Strategy<Value = String> {
    let is_free = |c: char| !c.is_whitespace() && !c.is_control() && !"/@;#".contains(c);
    "\\PC{1,24}".prop_filter("no name", move |text| {
        text.chars().all(is_free) && !text.starts_with('+')
    })
}

fn same_again<T>(text: &str) -> Result<T, TestCaseError>
where
    T: FromStr<Err: fmt::Debug> + fmt::Display + fmt::Debug + PartialEq,
{
    let read = |text: &str| {
        text.parse::<T>()
            .map_err(|error| TestCaseError::fail(format!("{text:?}: {error:?}")))
    };
    let value = read(text)?;
    prop_assert_eq!(read(&value.to_string())?, read(text)?);
    Ok(value)
}

fn as_json<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> Result<T, TestCaseError> {
    serde_json::to_string(value)
        .and_then(|text| serde_json::from_str(&text))
        .map_err(|error| TestCaseError::fail(error.to_string()))
}
