//! What the interconnection agreement with a peer lets through: services, addresses, rates, content, transport.
//!
//! The default is to refuse. Agreements are files in the operator's hands and are replaced while running; a request
//! keeps the one it was admitted under.

mod config;

pub use config::{
    Accept, AgreementConfig, AtclFallback, Degraded, DeliveryPolicy, Disclosure, Limits, MsisdnForm,
    NetworkList, PeerTls, Presents, ProfileName, Role, Services, SpeaksFor,
};

use std::{collections::HashMap, sync::Arc};

use crate::model::{Direction, Domain, PeerName, Service, WvAddress};

/// An agreement with one peer, as it is in force.
#[derive(Debug)]
pub struct InterconnectionAgreement {
    /// What the operators agreed on.
    pub config: AgreementConfig,
}

impl InterconnectionAgreement {
    /// The peer's name.
    #[must_use]
    pub fn peer(&self) -> &PeerName {
        &self.config.peer
    }

    /// Whether the service may go this way.
    #[must_use]
    pub fn allows(&self, service: Service, direction: Direction) -> bool {
        match direction {
            Direction::In => self.config.services.inbound.contains(&service),
            Direction::Out => self.config.services.outbound.contains(&service),
        }
    }

    /// Whether the peer may send in this address's name: its own domains, or what it `speaks_for`.
    ///
    /// A number without a domain belongs to the session's domain and is let through; whether it is really the peer's is
    /// for number ranges in `speaks_for` to say.
    #[must_use]
    pub fn may_speak_for(&self, sender: &WvAddress, session: &Domain) -> bool {
        let Some(domain) = sender.domain() else {
            return sender.number().is_some();
        };
        if domain == session || self.config.domains.contains(domain) {
            return true;
        }
        let speaks_for = &self.config.speaks_for;
        speaks_for.domains.iter().any(|one| domain.is_within(one))
            || sender.number().is_some_and(|number| {
                speaks_for
                    .numbers
                    .iter()
                    .any(|prefix| number.has_prefix(prefix.trim_start_matches('+')))
            })
    }

    /// Whether this is a home server that we meet in the name of each partner.
    #[must_use]
    pub fn presents_partners(&self) -> bool {
        self.config.role == Role::Home && self.config.presents == Presents::PartnerDomains
    }

    /// Whether the peer may send through us to third operators.
    #[must_use]
    pub fn has_transit(&self) -> bool {
        self.config.transit
    }
}

/// All agreements in force; replaced as a whole on reload.
#[derive(Debug, Default)]
pub struct Agreements {
    all: Vec<Arc<InterconnectionAgreement>>,
    by_domain: HashMap<Domain, Arc<InterconnectionAgreement>>,
    by_peer: HashMap<PeerName, Arc<InterconnectionAgreement>>,
    has_ill_formed: bool,
}

impl Agreements {
    /// Puts agreements in force. Names and domains occur once; the configuration reader has checked that.
    #[must_use]
    pub fn new(configs: Vec<AgreementConfig>) -> Self {
        let all: Vec<_> = configs
            .into_iter()
            .map(|config| Arc::new(InterconnectionAgreement { config }))
            .collect();
        let domains = |one: &Arc<InterconnectionAgreement>| {
            let one = Arc::clone(one);
            one.config
                .domains
                .clone()
                .into_iter()
                .map(move |domain| (domain, Arc::clone(&one)))
        };
        let by_domain = all.iter().flat_map(domains).collect();
        let by_peer = all
            .iter()
            .map(|one| (one.peer().clone(), Arc::clone(one)))
            .collect();
        let has_ill_formed = all.iter().any(|one| one.config.profile == ProfileName::Observed);
        Self {
            all,
            by_domain,
            by_peer,
            has_ill_formed,
        }
    }

    /// Whether any peer is known to send ill-formed documents.
    #[must_use]
    pub fn has_ill_formed(&self) -> bool {
        self.has_ill_formed
    }

    /// The agreement that covers a domain.
    #[must_use]
    pub fn for_domain(&self, domain: &Domain) -> Option<&Arc<InterconnectionAgreement>> {
        self.by_domain.get(domain)
    }

    /// The agreement with a peer, by its name.
    #[must_use]
    pub fn for_peer(&self, peer: &PeerName) -> Option<&Arc<InterconnectionAgreement>> {
        self.by_peer.get(peer)
    }

    /// Whether a domain is somebody's whom a home server may meet through us: another side's, or one that a transit peer speaks
    /// for by name.
    #[must_use]
    pub fn is_presented_to(&self, domain: &Domain, home: &InterconnectionAgreement) -> bool {
        let is_other = |one: &InterconnectionAgreement| one.peer() != home.peer();
        self.for_domain(domain).is_some_and(|one| is_other(one))
            || self
                .all
                .iter()
                .any(|one| is_other(one) && one.config.speaks_for.domains.contains(domain))
    }

    /// All of them, in the order of the configuration.
    #[must_use]
    pub fn all(&self) -> &[Arc<InterconnectionAgreement>] {
        &self.all
    }
}
