//! A node that ends takes nothing new, and refuses nothing: what a peer begins at it meanwhile goes to a node that stays.
//!
//! Peers find out by themselves that a server is gone, each at its own time, and until then none of their documents should be lost
//! on them. Where no other node takes a document, the peer is told that there is no room here and tries another server.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{gateway::SspGateway, nodes::written, server::Answer as Reply};
use crate::{
    agreement::InterconnectionAgreement,
    cluster::{Member, Refused},
    model::Domain,
};

/// A document that another node has read from its peer.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct ForwardedDocument {
    document: String,
    /// The name that its connection asked for.
    spoken_to: Option<Domain>,
    /// Where it came from.
    source: String,
    /// For which domains its connection is authenticated.
    speaks_for: Vec<Domain>,
}

/// What the other node has told the peer.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
enum Told {
    Taken,
    Forbidden,
}

impl SspGateway {
    /// Has another node take a document; what the peer is told.
    pub(super) async fn pass_document_on(
        &self,
        document: &Bytes,
        (spoken_to, source): (Option<&Domain>, &str),
        may_speak_for: impl Fn(&Domain, &InterconnectionAgreement) -> bool,
    ) -> Reply {
        let Some(cluster) = self.cluster() else {
            return Reply::Overloaded;
        };
        let request = written(&ForwardedDocument {
            document: STANDARD.encode(document),
            spoken_to: spoken_to.cloned(),
            source: source.to_owned(),
            speaks_for: self.spoken_for(may_speak_for),
        });
        let me = cluster.me();
        let stays = |member: &&Member| member.node != me.node && !member.is_draining;
        let mut staying: Vec<Member> = cluster.members().iter().filter(stays).cloned().collect();
        fastrand::shuffle(&mut staying);
        for member in staying {
            match cluster.ask(&member.node, DOCUMENT, request.clone()).await {
                Ok(answer) => return reply(&answer),
                Err(error) => {
                    tracing::info!(%error, "a document was not passed on");
                    // It may be worked on there, and two nodes would not know of each other's.
                    if !error.was_not_done() {
                        break;
                    }
                }
            }
        }
        Reply::Overloaded
    }

    /// Takes a document that a node which ends has read.
    ///
    /// # Errors
    /// When this node has not taken it, and another one may.
    pub(super) async fn take_passed_document(
        self: &Arc<Self>,
        forwarded: ForwardedDocument,
    ) -> Result<Bytes, Refused> {
        if self.is_ending() {
            return Err(Refused::Not("this node ends as well".to_owned()));
        }
        let document = self.document(&forwarded.document, &self.reading_profile())?;
        let from = (forwarded.spoken_to.as_ref(), forwarded.source.as_str());
        let speaks = |domain: &Domain, _: &InterconnectionAgreement| forwarded.speaks_for.contains(domain);
        let told = match self.take_document(document, from, speaks).await {
            Reply::Taken => Told::Taken,
            Reply::Forbidden => Told::Forbidden,
            reply @ (Reply::Malformed | Reply::UnknownSession | Reply::TooMany | Reply::Overloaded) => {
                return Err(Refused::Not(format!("the document was not taken: {reply:?}")));
            }
        };
        Ok(written(&told))
    }
}

fn reply(answer: &Bytes) -> Reply {
    match serde_json::from_slice(answer) {
        Ok(Told::Taken) => Reply::Taken,
        Ok(Told::Forbidden) => Reply::Forbidden,
        Err(_) => Reply::Overloaded,
    }
}

/// The topic of documents that a node which ends passes on.
pub(super) const DOCUMENT: &str = "ssp/document";
