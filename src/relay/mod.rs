//! The use cases, one file each: every request, from every side, is admitted, routed, delivered and answered here, once.

mod egress;
mod ingress;

pub use egress::{Delivery, Egress, Undelivered};
pub use ingress::{Ingress, RequestKey, Side};

use crate::model::{Outcome, Refusal, Request};

/// Carries requests from the side they come from to the side that serves the people they name.
#[derive(Debug)]
pub struct Relay {}

impl Relay {
    /// Admits, routes, delivers and answers one request.
    ///
    /// # Errors
    /// The outcome's refusal, with who must act.
    ///
    /// # Cancel safety
    /// Not cancel safe: what was accepted is recorded before the answer, so the caller must wait for it.
    pub async fn handle(&self, ingress: Ingress, request: Request) -> Outcome {
        let _ = (ingress, request);
        Err(Refusal::Internal {
            reason: "the relay is not joined yet".into(),
        })
    }
}
