//! Properties of a group, and of a person in it.
//!
//! Names and values are text (`T` and `F` for booleans): the list of names is open. Source: SSP reference §12.18.

use super::entity::MetaInfo;
use super::flaw::Flaw;
use super::group::{group_requests, read_welcome_note, write_welcome_note};
use super::message::ContentData;
use super::status::Status;
use super::xml::{Element, Wire, Writer};

group_requests! {
    /// Ask for a group's properties.
    GetGroupPropsRequest;
}

/// A name and its value. Element `Property`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Property {
    /// Such as `Topic`, `MaxActiveUsers`, `PrivilegeLevel`.
    pub name: String,
    /// As written.
    pub value: String,
}

/// What a group is like. Element `GroupProperties`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct GroupProperties {
    /// In wire order.
    pub properties: Vec<Property>,
    /// The group's greeting.
    pub welcome_note: Option<ContentData>,
}

/// A group's properties.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GetGroupPropsResponse {
    /// Read as 200 when absent.
    pub status: Status,
    /// The group's.
    pub group_properties: Option<GroupProperties>,
    /// The asking person's own.
    pub own_properties: Vec<Property>,
}

/// Change properties.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SetGroupPropsRequest {
    /// The group's address.
    pub group_id: String,
    /// On whose behalf.
    pub meta: Option<MetaInfo>,
    /// The group's, as far as they change.
    pub group_properties: Option<GroupProperties>,
    /// The asking person's own, as far as they change.
    pub own_properties: Vec<Property>,
}

impl Wire for Property {
    const NAME: &'static str = "Property";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        let name = element.scalar("Name").ok_or(Flaw::MissingElement {
            element: Self::NAME,
            child: "Name",
        })?;
        Ok(Self {
            name: name.to_owned(),
            value: element.scalar("Value").unwrap_or_default().to_owned(),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.text_element("Name", &self.name);
        writer.text_element("Value", &self.value);
    }
}

impl Wire for GroupProperties {
    const NAME: &'static str = "GroupProperties";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self {
            properties: element.read_children(),
            welcome_note: read_welcome_note(element),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.wires(&self.properties);
        write_welcome_note(writer, self.welcome_note.as_ref());
    }
}

impl Wire for GetGroupPropsResponse {
    const NAME: &'static str = "GetGroupPropsResponse";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self {
            status: Status::read_or_success(element),
            group_properties: element.read_child()?,
            own_properties: read_own_properties(element),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.wire(&self.status);
        writer.some_wire(self.group_properties.as_ref());
        write_own_properties(writer, &self.own_properties);
    }
}

impl Wire for SetGroupPropsRequest {
    const NAME: &'static str = "SetGroupPropsRequest";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self {
            group_id: element.required_group_id(Self::NAME)?,
            meta: element.read_child()?,
            group_properties: element.read_child()?,
            own_properties: read_own_properties(element),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.attribute("groupID", &self.group_id);
        writer.some_wire(self.meta.as_ref());
        writer.some_wire(self.group_properties.as_ref());
        write_own_properties(writer, &self.own_properties);
    }
}

pub(super) fn read_own_properties(parent: Element<'_, '_>) -> Vec<Property> {
    parent
        .child("OwnProperties")
        .map(|own| own.read_children())
        .unwrap_or_default()
}

pub(super) fn write_own_properties(writer: &mut Writer, properties: &[Property]) {
    if !properties.is_empty() {
        writer.element("OwnProperties", |writer| writer.wires(properties));
    }
}
