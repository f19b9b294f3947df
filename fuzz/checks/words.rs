//! The words of the model: addresses, domains, identifiers, media types, amounts.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use impsgw::admin::Role;
use impsgw::model::{
    ByteSize, Domain, E164, InviteId, MediaType, MessageId, PeerName, TrailId, WvAddress, duration, mask_text,
};
use impsgw::routing::{NumberPrefix, typed_address};
use impsgw::wire::naptr::Name;
use impsgw::wire::ssp::DateTime;

/// An address is read again from its own text as the same address, and its canonical form is stable.
pub(crate) fn wv_address(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Ok(address) = text.parse::<WvAddress>() else {
        return;
    };
    let printed = address.to_string();
    assert_eq!(printed.parse::<WvAddress>().as_ref(), Ok(&address), "{printed}");
    assert_eq!(address.canonical().canonical(), address.canonical());
    assert_eq!(address.canonical().key(), address.key());
    let _ = address.masked();
}

/// A name is in its one spelling, which is read as itself; a domain of the model is a name in the DNS.
pub(crate) fn domain(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Some(domain) = same_again::<Domain>(text) {
        let text = domain.as_str();
        assert!(
            text.is_ascii() && text.len() <= 253 && text == text.to_ascii_lowercase(),
            "{text}"
        );
        assert!(domain.is_within(&domain));
        let name: Name = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(name.without_dot(), text);
    }
    same_again::<Name>(text);
}

/// A media type keeps its text, and covers itself.
pub(crate) fn media_type(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Some(media_type) = same_again::<MediaType>(text) else {
        return;
    };
    assert_eq!(media_type.as_str(), text.trim());
    assert!(media_type.is_covered_by(media_type.essence()) && media_type.is_covered_by("*/*"));
    let kind = media_type.essence().split('/').next().unwrap_or_default();
    assert!(media_type.is_covered_by(&format!("{kind}/*")));
}

/// Every type that reads one word reads its own text as the same value.
pub(crate) fn words(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    same_again::<E164>(text);
    same_again::<MessageId>(text);
    same_again::<InviteId>(text);
    same_again::<PeerName>(text);
    same_again::<ByteSize>(text);
    if let Ok(id) = TrailId::try_from(text.to_owned()) {
        assert_eq!(TrailId::try_from(id.to_string()), Ok(id));
    }
    if let Ok(prefix) = text.parse::<NumberPrefix>() {
        assert_eq!(String::from(prefix.clone()).parse().as_ref(), Ok(&prefix));
    }
    if let Ok(person) = typed_address(text) {
        assert_eq!(person.to_string().parse().as_ref(), Ok(&person));
    }
    if let Some(date) = DateTime::parse(text)
        && date.unix_seconds >= 0
    {
        assert_eq!(DateTime::parse(&date.to_string()), Some(date));
    }
    let _ = (duration::parse(text), text.parse::<Role>(), mask_text(text));
}

fn same_again<T: FromStr + Display + Debug + PartialEq>(text: &str) -> Option<T> {
    let value: T = text.parse().ok()?;
    let again = value.to_string().parse().ok();
    assert_eq!(again.as_ref(), Some(&value), "{text:?}");
    Some(value)
}
