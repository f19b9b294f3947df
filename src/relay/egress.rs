//! What the relay asks of a gateway: deliver one request to one serving side.

use std::sync::Arc;

use crate::{
    agreement::InterconnectionAgreement,
    model::{Answer, Domain, Protocol, Refusal, Request, Timestamp, Trail},
    routing::Candidate,
};

/// A way out of the gateway: a protocol that can deliver requests. Gateways implement it; `app.rs` joins them.
#[async_trait::async_trait]
pub trait Egress: Send + Sync + std::fmt::Debug {
    /// Which protocol.
    fn protocol(&self) -> Protocol;

    /// Delivers a request and waits for the next hop's answer, at most until the delivery's deadline.
    ///
    /// # Errors
    /// [`Undelivered`] says whether the same request may be sent again.
    ///
    /// # Cancel safety
    /// The request may have reached the next hop when the future is dropped.
    async fn deliver(&self, delivery: Delivery) -> Result<Answer, Undelivered>;
}

/// One request on its way out, to people of one serving side.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The request; its addresses are in their canonical form, all recipients are of the serving side.
    pub request: Request,
    /// The domain in whose name it goes: of ours; to a home server that meets partners through us, of the sender.
    pub own: Domain,
    /// The serving domain.
    pub domain: Domain,
    /// Its servers; empty for the home domain.
    pub candidates: Arc<[Candidate]>,
    /// The agreement it goes under; none for the embedded home domain.
    pub agreement: Option<Arc<InterconnectionAgreement>>,
    /// Gateways that relayed the request, ourselves last (`MetaInfo/Via`); empty for requests of our own people.
    pub via: Vec<Domain>,
    /// When the answer is no longer waited for.
    pub deadline: Timestamp,
    /// Where each attempt is written down.
    pub trail: Arc<Trail>,
}

/// Why a delivery came to nothing, by whether it may be repeated.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Undelivered {
    /// The next hop answered: no.
    #[error("{0}")]
    Refused(Refusal),
    /// Nothing was taken; it may be sent again.
    #[error("{0}")]
    NotTaken(Refusal),
    /// The document was acknowledged and no answer came: the outcome is unknown, it must not be sent again at once.
    #[error("acknowledged, but not answered in time: {0}")]
    Unanswered(Refusal),
}
