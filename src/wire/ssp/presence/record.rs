//! Presence attributes that are records of texts: what a client is, and where a user is.
//!
//! Source: SSP reference §10.2.

use super::kinds::{ClientType, Kind};
use crate::wire::ssp::entity::application_id;
use crate::wire::ssp::xml::{Element, Writer};

/// Defines a record whose fields are child elements with text.
macro_rules! record {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* $field:ident = $element:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Eq, PartialEq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: Option<String>,)*
        }

        impl Kind for Box<$name> {
            fn read(element: Element<'_, '_>) -> Option<Self> {
                let record = $name { $($field: element.text_of($element),)* };
                (record != $name::default()).then(|| Self::new(record))
            }

            fn write(&self, writer: &mut Writer) {
                $(writer.some_text_element($element, self.$field.as_deref());)*
            }
        }
    };
}

record! {
    /// A place on the globe, as texts of the peer's making.
    pub struct GeoLocation {
        /// Degrees.
        longitude = "Longitude",
        /// Degrees.
        latitude = "Latitude",
        /// Metres.
        altitude = "Altitude",
        /// Metres.
        accuracy = "Accuracy",
    }
}

record! {
    /// A place by street.
    pub struct Address {
        /// Country.
        country = "Country",
        /// City.
        city = "City",
        /// Street.
        street = "Street",
        /// One street of a crossing.
        crossing1 = "Crossing1",
        /// The other street of a crossing.
        crossing2 = "Crossing2",
        /// Building.
        building = "Building",
        /// A place with a name.
        named_area = "NamedArea",
    }
}

/// What a client is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ClientInfo {
    /// The largest content that it takes, as written.
    pub content_limit: Option<String>,
    /// What kind of device.
    pub client_type: Option<ClientType>,
    /// Who made the device.
    pub manufacturer: Option<String>,
    /// Who made the program.
    pub producer: Option<String>,
    /// Which device.
    pub model: Option<String>,
    /// Which version of the program.
    pub version: Option<String>,
    /// ISO language code.
    pub language: Option<String>,
    /// Its place among the user's clients for messages, as written.
    pub im_priority: Option<String>,
    /// The application.
    pub application_id: Option<String>,
}

impl Kind for Box<ClientInfo> {
    fn read(element: Element<'_, '_>) -> Option<Self> {
        let client = ClientInfo {
            content_limit: element.text_of("ClientContentLimit"),
            client_type: element
                .text_of("ClientType")
                .map(|word| ClientType::from_word(&word)),
            manufacturer: element.text_of("DevManufacturer"),
            producer: element.text_of("ClientProducer"),
            model: element.text_of("Model"),
            version: element.text_of("ClientVersion"),
            language: element.text_of("Language"),
            im_priority: element.text_of("ClientIMPriority"),
            application_id: element
                .child("ApplicationID")
                .and_then(application_id)
                .map(str::to_owned),
        };
        (client != ClientInfo::default()).then(|| Self::new(client))
    }

    fn write(&self, writer: &mut Writer) {
        writer.some_text_element("ClientContentLimit", self.content_limit.as_deref());
        writer.some_text_element("ClientType", self.client_type.as_ref().map(ClientType::as_word));
        writer.some_text_element("DevManufacturer", self.manufacturer.as_deref());
        writer.some_text_element("ClientProducer", self.producer.as_deref());
        writer.some_text_element("Model", self.model.as_deref());
        writer.some_text_element("ClientVersion", self.version.as_deref());
        writer.some_text_element("Language", self.language.as_deref());
        writer.some_text_element("ClientIMPriority", self.im_priority.as_deref());
        writer.some_text_element("ApplicationID", self.application_id.as_deref());
    }
}
