//! How addresses look to one peer.

use crate::{
    agreement::{InterconnectionAgreement, MsisdnForm, Role},
    model::{Domain, InvalidAddress, InvalidE164, LocalPart, Refusal, WvAddress},
    wire::ssp::{Entity, MetaInfo, Profile, ScreenName, User},
};

/// One session's eyes: both domains, the agreement, the peer's quirks.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The domain that we speak as.
    pub own: &'a Domain,
    /// The peer's domain.
    pub peer: &'a Domain,
    /// The agreement.
    pub agreement: &'a InterconnectionAgreement,
    /// The peer's quirks.
    pub profile: Profile,
}

impl View<'_> {
    /// Somebody of the peer's side, as the peer wrote him.
    pub(super) fn theirs(&self, text: &str) -> Result<WvAddress, Refusal> {
        read(text, self.peer)
    }

    /// Somebody of our side, as the peer wrote him.
    pub(super) fn ours(&self, text: &str) -> Result<WvAddress, Refusal> {
        let address = read(text, self.own)?;
        let is_trusted = self.agreement.config.trust_portability && is_number(&address);
        Ok(match portability(text).filter(|_| is_trusted) {
            Some(params) => address.with_portability(params),
            None => address,
        })
    }

    /// Somebody of the peer's side: a person, a group or one participant of it.
    pub(super) fn entity_of_theirs(&self, entity: &Entity) -> Result<WvAddress, Refusal> {
        read_entity(entity, self.theirs(entity.address())?)
    }

    /// Somebody of our side: a person, a group or one participant of it.
    pub(super) fn entity_of_ours(&self, entity: &Entity) -> Result<WvAddress, Refusal> {
        read_entity(entity, self.ours(entity.address())?)
    }

    /// Several of our side.
    pub(super) fn all_ours<'t>(
        &self,
        texts: impl IntoIterator<Item = &'t str>,
    ) -> Result<Vec<WvAddress>, Refusal> {
        texts.into_iter().map(|text| self.ours(text)).collect()
    }

    /// Several of the peer's side.
    pub(super) fn all_theirs<'t>(
        &self,
        texts: impl IntoIterator<Item = &'t str>,
    ) -> Result<Vec<WvAddress>, Refusal> {
        texts.into_iter().map(|text| self.theirs(text)).collect()
    }

    /// Somebody of our side, as the peer takes him.
    pub(super) fn write_ours(&self, address: &WvAddress) -> String {
        self.write(address, self.own)
    }

    /// Somebody of the peer's side, as the peer takes him.
    pub(super) fn write_theirs(&self, address: &WvAddress) -> String {
        self.write(address, self.peer)
    }

    /// Somebody in a list of our side's, who may be of any side: a domain that stands after his number is kept.
    pub(super) fn write_listed(&self, address: &WvAddress) -> String {
        self.write_any(address, self.own)
    }

    /// Somebody in a list for the peer's side.
    pub(super) fn write_listed_theirs(&self, address: &WvAddress) -> String {
        self.write_any(address, self.peer)
    }

    /// A person, group or participant of our side.
    pub(super) fn entity_ours(&self, address: &WvAddress) -> Entity {
        write_entity(address, |address| self.write_ours(address))
    }

    /// A person, group or participant of the peer's side.
    pub(super) fn entity_theirs(&self, address: &WvAddress) -> Entity {
        write_entity(address, |address| self.write_theirs(address))
    }

    /// On whose behalf we ask; a group is nobody's behalf (SSP reference §7).
    pub(super) fn meta(&self, by: &WvAddress, friendly_name: Option<&str>, via: &[Domain]) -> MetaInfo {
        if by.is_group() {
            return self.server_meta(via);
        }
        let mut user = User::new(self.write_ours(by));
        user.friendly_name = friendly_name.map(str::to_owned);
        let mut meta = MetaInfo::for_user(self.service(), user);
        meta.via = self.via(via);
        meta
    }

    /// On the server's own behalf.
    pub(super) fn server_meta(&self, via: &[Domain]) -> MetaInfo {
        let mut meta = MetaInfo::for_server(self.service());
        meta.via = self.via(via);
        meta
    }

    /// Our domain as a service.
    pub(super) fn service(&self) -> String {
        ["wv:@", self.own.as_str()].concat()
    }

    fn via(&self, via: &[Domain]) -> Vec<String> {
        // Only a request that came from elsewhere carries the chain, so that peers without the extension see none.
        if via.is_empty() {
            return Vec::new();
        }
        via.iter().map(ToString::to_string).collect()
    }

    fn write_any(&self, address: &WvAddress, side: &Domain) -> String {
        let is_with_domain = self.agreement.config.msisdn_form == MsisdnForm::WithDomain;
        if is_with_domain && address.domain().is_some() {
            return address.to_string();
        }
        self.write(address, side)
    }

    /// Somebody of this side; its domain replaces one that stands after his number, which may be that of an earlier operator.
    fn write(&self, address: &WvAddress, side: &Domain) -> String {
        let has_number = is_number(address);
        // In a home server's one session with us for all the world the session's domain is nobody's.
        let is_for_all = self.agreement.config.role == Role::Home && !self.agreement.presents_partners();
        if is_for_all && side == self.own && (has_number || address.domain().is_some()) {
            return address.to_string();
        }
        match (has_number, self.agreement.config.msisdn_form) {
            (true, MsisdnForm::Bare) => address.with_domain(None).to_string(),
            (true, MsisdnForm::WithDomain) => address.with_domain(Some(side.clone())).to_string(),
            (false, _) if address.domain().is_none() => address.with_domain(Some(side.clone())).to_string(),
            (false, _) => address.to_string(),
        }
    }
}

fn read(text: &str, side: &Domain) -> Result<WvAddress, Refusal> {
    let address: WvAddress = text.parse().map_err(|error| invalid(text, &error))?;
    // As text it is ours alone: on the wire a participant is an element.
    if address.screen_name().is_some() {
        return Err(invalid(text, &InvalidAddress::BadCharacter));
    }
    if address.domain().is_none() && !is_number(&address) {
        return Ok(address.with_domain(Some(side.clone())));
    }
    Ok(address)
}

/// The parameters between a number and its domain.
fn portability(text: &str) -> Option<&str> {
    let user = text.split('@').next().unwrap_or_default();
    user.split_once(';')
        .map(|(_, params)| params)
        .filter(|params| !params.is_empty())
}

fn read_entity(entity: &Entity, address: WvAddress) -> Result<WvAddress, Refusal> {
    match entity {
        Entity::User(_) | Entity::GroupId(_) => Ok(address),
        Entity::ScreenName(named) => address
            .participant(&named.name)
            .map_err(|error| invalid(&named.group_id, &error)),
    }
}

fn write_entity(address: &WvAddress, write: impl Fn(&WvAddress) -> String) -> Entity {
    match address.screen_name() {
        Some(name) => Entity::ScreenName(ScreenName {
            group_id: write(&address.without_screen_name()),
            name: name.to_owned(),
        }),
        None if address.is_group() => Entity::GroupId(write(address)),
        None => Entity::user(write(address)),
    }
}

/// A person by number, whose domain is only a form on the wire.
fn is_number(address: &WvAddress) -> bool {
    matches!(address.local(), LocalPart::Msisdn(_)) && !address.is_group()
}

fn invalid(text: &str, error: &InvalidAddress) -> Refusal {
    if matches!(error, InvalidAddress::Number(InvalidE164::Wildcard)) {
        return Refusal::Wildcard;
    }
    Refusal::InvalidAddress {
        address: text.chars().take(128).collect(),
        reason: error.to_string(),
    }
}
