//! Presence attributes, both ways: every attribute of the IMPS schema crosses without loss.

use crate::{
    model::{AttributeName, AttributeValue, Field, FieldValue, Presence, PresenceAttribute},
    wire::ssp::{
        PresenceAttribute as Wire, PresenceAttributeName, PresenceValue,
        presence::{
            Address, Availability, Capability, ClientInfo, ClientType, CommC, CommStatus, ContactPreference,
            GeoLocation, InfoLink, Mood, PresenceClient, PresenceContent, Qualified, StatusContent, VCard,
            Zone,
        },
    },
};

/// The attributes of a list that mean something here; names of others are passed over.
pub(super) fn read_names(names: &[PresenceAttributeName]) -> Vec<AttributeName> {
    names
        .iter()
        .filter_map(|name| AttributeName::named(name.as_word()))
        .collect()
}

/// The names of attributes, as they are asked for.
pub(super) fn write_names(names: &[AttributeName]) -> Vec<PresenceAttributeName> {
    names
        .iter()
        .map(|name| PresenceAttributeName::from_word(name.as_str()))
        .collect()
}

/// A person's presence, as a peer tells it.
pub(super) fn read(value: &PresenceValue) -> Presence {
    Presence {
        attributes: value.attributes.iter().filter_map(read_attribute).collect(),
    }
}

/// A person's presence, for a peer.
pub(super) fn write(user_id: String, presence: &Presence) -> PresenceValue {
    PresenceValue {
        user_id,
        attributes: presence.attributes.iter().map(write_attribute).collect(),
    }
}

fn read_attribute(wire: &Wire) -> Option<PresenceAttribute> {
    let name = AttributeName::named(wire.name().as_word())?;
    let (qualifier, client, value) = match wire {
        Wire::OnlineStatus(value) | Wire::Registration(value) => {
            parts(value, |flag| AttributeValue::Flag(*flag))
        }
        Wire::FreeTextLocation(value)
        | Wire::Plmn(value)
        | Wire::PreferredLanguage(value)
        | Wire::StatusText(value)
        | Wire::Alias(value) => parts(value, |text| AttributeValue::Text(text.clone())),
        Wire::UserAvailability(value) => parts(value, |word| AttributeValue::Text(word.as_word().to_owned())),
        Wire::StatusMood(value) => parts(value, |word| AttributeValue::Text(word.as_word().to_owned())),
        Wire::TimeZone(value) => parts(value, |zone| {
            AttributeValue::Fields(texts([("Zone", Some(&zone.0))]))
        }),
        Wire::ClientInfo(value) => parts(value, |info| AttributeValue::Fields(client_info(info))),
        Wire::GeoLocation(value) => parts(value, |at| AttributeValue::Fields(geo_location(at))),
        Wire::Address(value) => parts(value, |at| AttributeValue::Fields(address(at))),
        Wire::CommCap(value) => parts(value, |ways| {
            AttributeValue::Fields(ways.iter().map(|way| nested("CommC", comm_c(way))).collect())
        }),
        Wire::PreferredContacts(value) => parts(value, |all| {
            AttributeValue::Fields(
                all.iter()
                    .map(|one| nested("AddrPref", preference(one)))
                    .collect(),
            )
        }),
        Wire::StatusContent(value) => parts(value, |content| {
            let mut fields = vec![carried(&content.content, "DirectContent", "ReferredContent")];
            fields.extend(texts([("ContentType", content.content_type.as_ref())]));
            AttributeValue::Fields(fields)
        }),
        Wire::ContactInfo(value) => parts(value, |card| {
            AttributeValue::Fields(vec![carried(&card.0, "ContainedvCard", "ReferredvCard")])
        }),
        Wire::InfoLink(value) => parts(value, |links| {
            AttributeValue::Fields(
                links
                    .iter()
                    .map(|link| nested("Inf-link", info_link(link)))
                    .collect(),
            )
        }),
    };
    Some(PresenceAttribute {
        name,
        qualifier: Some(qualifier),
        value,
        client,
    })
}

fn write_attribute(attribute: &PresenceAttribute) -> Wire {
    let fields = match &attribute.value {
        AttributeValue::Fields(fields) => fields.as_slice(),
        AttributeValue::Flag(_) | AttributeValue::Text(_) | AttributeValue::Empty => &[],
    };
    let text = match &attribute.value {
        AttributeValue::Text(text) => Some(text.clone()),
        AttributeValue::Flag(_) | AttributeValue::Fields(_) | AttributeValue::Empty => None,
    };
    let flag = match &attribute.value {
        AttributeValue::Flag(flag) => Some(*flag),
        AttributeValue::Text(_) | AttributeValue::Fields(_) | AttributeValue::Empty => None,
    };
    let get = |name: &str| text_of(fields, name);
    let has_fields = !fields.is_empty();
    match attribute.name {
        AttributeName::OnlineStatus => Wire::OnlineStatus(qualified(attribute, flag)),
        AttributeName::Registration => Wire::Registration(qualified(attribute, flag)),
        AttributeName::FreeTextLocation => Wire::FreeTextLocation(qualified(attribute, text)),
        AttributeName::PLMN => Wire::Plmn(qualified(attribute, text)),
        AttributeName::PreferredLanguage => Wire::PreferredLanguage(qualified(attribute, text)),
        AttributeName::StatusText => Wire::StatusText(qualified(attribute, text)),
        AttributeName::Alias => Wire::Alias(qualified(attribute, text)),
        AttributeName::UserAvailability => Wire::UserAvailability(qualified(
            attribute,
            text.map(|word| Availability::from_word(&word)),
        )),
        AttributeName::StatusMood => {
            Wire::StatusMood(qualified(attribute, text.map(|word| Mood::from_word(&word))))
        }
        AttributeName::TimeZone => Wire::TimeZone(qualified(attribute, get("Zone").map(Zone))),
        AttributeName::ClientInfo => Wire::ClientInfo(qualified(
            attribute,
            has_fields.then(|| Box::new(read_client_info(fields))),
        )),
        AttributeName::GeoLocation => Wire::GeoLocation(qualified(
            attribute,
            has_fields.then(|| {
                Box::new(GeoLocation {
                    longitude: get("Longitude"),
                    latitude: get("Latitude"),
                    altitude: get("Altitude"),
                    accuracy: get("Accuracy"),
                })
            }),
        )),
        AttributeName::Address => Wire::Address(qualified(
            attribute,
            has_fields.then(|| {
                Box::new(Address {
                    country: get("Country"),
                    city: get("City"),
                    street: get("Street"),
                    crossing1: get("Crossing1"),
                    crossing2: get("Crossing2"),
                    building: get("Building"),
                    named_area: get("NamedArea"),
                })
            }),
        )),
        AttributeName::CommCap => Wire::CommCap(qualified(
            attribute,
            has_fields.then(|| lists(fields, "CommC").map(read_comm_c).collect()),
        )),
        AttributeName::PreferredContacts => Wire::PreferredContacts(qualified(
            attribute,
            has_fields.then(|| lists(fields, "AddrPref").map(read_preference).collect()),
        )),
        AttributeName::StatusContent => {
            let content = carrier(fields, "DirectContent", "ReferredContent");
            let content = content.map(|content| StatusContent {
                content,
                content_type: get("ContentType"),
            });
            Wire::StatusContent(qualified(attribute, content))
        }
        AttributeName::ContactInfo => Wire::ContactInfo(qualified(
            attribute,
            carrier(fields, "ContainedvCard", "ReferredvCard").map(VCard),
        )),
        AttributeName::InfoLink => Wire::InfoLink(qualified(
            attribute,
            has_fields.then(|| {
                let link = |fields: &[Field]| InfoLink {
                    link: text_of(fields, "Link"),
                    text: text_of(fields, "Text"),
                    content_type: text_of(fields, "ContentType"),
                };
                lists(fields, "Inf-link").map(link).collect()
            }),
        )),
    }
}

fn parts<T>(
    value: &Qualified<T>,
    read: impl Fn(&T) -> AttributeValue,
) -> (bool, Option<String>, AttributeValue) {
    let client = value
        .client
        .as_ref()
        .and_then(|client| client.url.clone().or_else(|| client.msisdn.clone()));
    (
        value.qualifier,
        client,
        value.value.as_ref().map_or(AttributeValue::Empty, read),
    )
}

fn qualified<T>(attribute: &PresenceAttribute, value: Option<T>) -> Qualified<T> {
    let client = attribute.client.as_ref().map(|client| {
        let is_number = client.starts_with('+') && client.bytes().skip(1).all(|byte| byte.is_ascii_digit());
        if is_number {
            PresenceClient {
                url: None,
                msisdn: Some(client.clone()),
            }
        } else {
            PresenceClient {
                url: Some(client.clone()),
                msisdn: None,
            }
        }
    });
    Qualified {
        qualifier: attribute.qualifier.unwrap_or(true),
        value,
        client,
    }
}

fn client_info(info: &ClientInfo) -> Vec<Field> {
    let kind = info.client_type.as_ref().map(|kind| kind.as_word().to_owned());
    texts([
        ("ClientContentLimit", info.content_limit.as_ref()),
        ("ClientType", kind.as_ref()),
        ("DevManufacturer", info.manufacturer.as_ref()),
        ("ClientProducer", info.producer.as_ref()),
        ("Model", info.model.as_ref()),
        ("ClientVersion", info.version.as_ref()),
        ("Language", info.language.as_ref()),
        ("ClientIMPriority", info.im_priority.as_ref()),
        ("ApplicationID", info.application_id.as_ref()),
    ])
}

fn read_client_info(fields: &[Field]) -> ClientInfo {
    let get = |name: &str| text_of(fields, name);
    ClientInfo {
        content_limit: get("ClientContentLimit"),
        client_type: get("ClientType").map(|word| ClientType::from_word(&word)),
        manufacturer: get("DevManufacturer"),
        producer: get("ClientProducer"),
        model: get("Model"),
        version: get("ClientVersion"),
        language: get("Language"),
        im_priority: get("ClientIMPriority"),
        application_id: get("ApplicationID"),
    }
}

fn geo_location(at: &GeoLocation) -> Vec<Field> {
    texts([
        ("Longitude", at.longitude.as_ref()),
        ("Latitude", at.latitude.as_ref()),
        ("Altitude", at.altitude.as_ref()),
        ("Accuracy", at.accuracy.as_ref()),
    ])
}

fn address(at: &Address) -> Vec<Field> {
    texts([
        ("Country", at.country.as_ref()),
        ("City", at.city.as_ref()),
        ("Street", at.street.as_ref()),
        ("Crossing1", at.crossing1.as_ref()),
        ("Crossing2", at.crossing2.as_ref()),
        ("Building", at.building.as_ref()),
        ("NamedArea", at.named_area.as_ref()),
    ])
}

fn comm_c(way: &CommC) -> Vec<Field> {
    let capability = way.capability.as_word().to_owned();
    let status = way.status.as_ref().map(|status| status.as_word().to_owned());
    texts([
        ("Cap", Some(&capability)),
        ("Status", status.as_ref()),
        ("Contact", way.contact.as_ref()),
        ("Note", way.note.as_ref()),
    ])
}

fn read_comm_c(fields: &[Field]) -> CommC {
    CommC {
        capability: Capability::from_word(&text_of(fields, "Cap").unwrap_or_default()),
        status: text_of(fields, "Status").map(|word| CommStatus::from_word(&word)),
        contact: text_of(fields, "Contact"),
        note: text_of(fields, "Note"),
    }
}

fn preference(one: &ContactPreference) -> Vec<Field> {
    let capability = one.capability.as_word().to_owned();
    let status = one.status.as_ref().map(|status| status.as_word().to_owned());
    texts([
        ("PrefC", Some(&capability)),
        ("Caddr", one.address.as_ref()),
        ("Cstatus", status.as_ref()),
        ("Cname", one.name.as_ref()),
        ("Cpriority", one.priority.as_ref()),
    ])
}

fn read_preference(fields: &[Field]) -> ContactPreference {
    ContactPreference {
        capability: Capability::from_word(&text_of(fields, "PrefC").unwrap_or_default()),
        address: text_of(fields, "Caddr"),
        status: text_of(fields, "Cstatus").map(|word| CommStatus::from_word(&word)),
        name: text_of(fields, "Cname"),
        priority: text_of(fields, "Cpriority"),
    }
}

fn info_link(link: &InfoLink) -> Vec<Field> {
    texts([
        ("Link", link.link.as_ref()),
        ("Text", link.text.as_ref()),
        ("ContentType", link.content_type.as_ref()),
    ])
}

fn carried(content: &PresenceContent, direct: &str, referred: &str) -> Field {
    let (name, text) = match content {
        PresenceContent::Direct(text) => (direct, text),
        PresenceContent::Referred(url) => (referred, url),
    };
    Field {
        name: name.to_owned(),
        value: FieldValue::Text(text.clone()),
    }
}

fn carrier(fields: &[Field], direct: &str, referred: &str) -> Option<PresenceContent> {
    let direct = text_of(fields, direct).map(PresenceContent::Direct);
    direct.or_else(|| text_of(fields, referred).map(PresenceContent::Referred))
}

fn texts<'t>(pairs: impl IntoIterator<Item = (&'t str, Option<&'t String>)>) -> Vec<Field> {
    let field = |(name, text): (&str, Option<&String>)| {
        Some(Field {
            name: name.to_owned(),
            value: FieldValue::Text(text?.clone()),
        })
    };
    pairs.into_iter().filter_map(field).collect()
}

fn nested(name: &str, fields: Vec<Field>) -> Field {
    Field {
        name: name.to_owned(),
        value: FieldValue::Fields(fields),
    }
}

fn text_of(fields: &[Field], name: &str) -> Option<String> {
    fields
        .iter()
        .find(|field| field.name == name)
        .and_then(|field| match &field.value {
            FieldValue::Text(text) => Some(text.clone()),
            FieldValue::Fields(_) => None,
        })
}

fn lists<'f>(fields: &'f [Field], name: &'static str) -> impl Iterator<Item = &'f [Field]> {
    fields
        .iter()
        .filter(move |field| field.name == name)
        .filter_map(|field| match &field.value {
            FieldValue::Fields(inner) => Some(inner.as_slice()),
            FieldValue::Text(_) => None,
        })
}
