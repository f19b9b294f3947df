//! What the admin API asks of gateways: peers with their sessions, certificates, and the levers of operators.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::{
    admin::{Board, CertificateState, LeverError, PeerState, SessionState},
    agreement::Agreements,
    gateways::ssp::{CertificateFacts, LinkView, SspGateway, certificates::Certificates},
    model::{Domain, PeerName},
    relay::Relay,
    routing::{HostAddress, Router},
    telemetry::Clock,
};

/// The SSP gateway's register of peers, as the admin API sees it.
pub(super) struct PeerBoard {
    pub(super) agreements: Arc<ArcSwap<Agreements>>,
    pub(super) gateway: Arc<SspGateway>,
    pub(super) router: Arc<Router>,
    /// Those of every listener.
    pub(super) certificates: Vec<Arc<Certificates>>,
    /// How fast each peer takes what goes to it.
    pub(super) relay: Arc<Relay>,
    pub(super) clock: Clock,
}

impl PeerBoard {
    /// A session counts as open only while a server of the peer can be reached.
    fn session(&self, link: &LinkView) -> SessionState {
        let health = self.router.health();
        let is_cut_off =
            !link.servers.is_empty() && link.servers.iter().all(|server| health.is_failing(server));
        let state = if link.session.is_some() && is_cut_off {
            "open, but no server of the peer can be reached".to_owned()
        } else {
            link.state.clone()
        };
        SessionState {
            own: link.own.clone(),
            theirs: link.peer.clone(),
            state,
            since: link.session.as_ref().map(|session| session.since),
            under_way: (link.documents + link.waiting + link.outstanding) as u64,
        }
    }

    fn domains_of(&self, peer: &PeerName) -> Result<Vec<Domain>, LeverError> {
        let agreements = self.agreements.load();
        let agreement = agreements
            .for_peer(peer)
            .ok_or_else(|| LeverError::Unknown(peer.clone()))?;
        Ok(agreement.config.domains.clone())
    }
}

#[async_trait::async_trait]
impl Board for PeerBoard {
    fn peers(&self) -> Vec<PeerState> {
        let links = self.gateway.board();
        let aside = self.router.health().set_aside(self.clock.now());
        let state = |agreement: &Arc<crate::agreement::InterconnectionAgreement>| {
            let links = links
                .iter()
                .filter(|link| agreement.config.domains.contains(&link.peer));
            let is_of_peer = |server: &HostAddress| {
                let named = server.to_string();
                links.clone().any(|link| link.servers.contains(server))
                    || agreement.config.servers.contains(&named)
            };
            PeerState {
                peer: agreement.peer().clone(),
                protocol: "ssp".into(),
                suspended: self.gateway.suspension(agreement.peer().as_str()),
                sessions: links.clone().map(|link| self.session(link)).collect(),
                pace: self.relay.pace(agreement.peer()),
                set_aside: aside
                    .iter()
                    .filter(|one| is_of_peer(&one.server))
                    .map(|one| {
                        let count = one.failures;
                        format!("{}, {count} failure(s), tried again at {}", one.server, one.until)
                    })
                    .collect(),
            }
        };
        self.agreements.load().all().iter().map(state).collect()
    }

    fn certificates(&self) -> Vec<CertificateState> {
        let now = self.clock.now();
        let state = |facts: CertificateFacts| CertificateState {
            days_left: facts.days_left(now),
            names: facts.dns_names.into_iter().chain(facts.srv_names).collect(),
            subject: facts.subject,
            issuer: facts.issuer,
            not_after: facts.not_after,
        };
        let chains: Vec<_> = self.certificates.iter().flat_map(|one| one.chains()).collect();
        let all = chains.iter().flatten();
        all.filter_map(CertificateFacts::of).map(state).collect()
    }

    async fn suspend(&self, peer: &PeerName, reason: &str) -> Result<(), LeverError> {
        self.domains_of(peer)?;
        self.gateway
            .suspend(peer.as_str(), reason)
            .await
            .map_err(|error| LeverError::Failed(error.to_string()))
    }

    async fn resume(&self, peer: &PeerName) -> Result<(), LeverError> {
        let domains = self.domains_of(peer)?;
        self.gateway
            .resume(peer.as_str())
            .await
            .map_err(|error| LeverError::Failed(error.to_string()))?;
        for domain in &domains {
            self.relay.peer_is_back(domain).await;
        }
        Ok(())
    }

    async fn reconnect(&self, peer: &PeerName) -> Result<(), LeverError> {
        for domain in self.domains_of(peer)? {
            self.gateway.reconnect(&domain);
        }
        Ok(())
    }
}
