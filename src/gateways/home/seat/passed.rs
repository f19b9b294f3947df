//! What the relay delivers to the home domain, from the node that has it to the node that has the home domain.
//!
//! A repeat has the same identity, so what may or may not have arrived is delivered again; what finds nobody stays with the
//! relay, which stores what may wait.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::time::{Instant, timeout_at};

use super::{ForHolder, HomeSeat, Opened, nobody};
use crate::{
    cluster::{Cluster, ClusterError, MAX_BODY, Member, Refused, Topic},
    model::{Answer, Protocol, Refusal, Request},
    relay::{Delivery, Egress, Undelivered},
};

/// What a delivery came to, as nodes tell one another.
#[derive(Debug, Deserialize, Serialize)]
enum Brought {
    Answered(Answer),
    Refused(Refusal),
    NotTaken(Refusal),
    Unanswered(Refusal),
}

#[async_trait::async_trait]
impl Egress for HomeSeat {
    fn protocol(&self) -> Protocol {
        Protocol::Home
    }

    async fn deliver(&self, delivery: Delivery) -> Result<Answer, Undelivered> {
        // What its own subscribers have asked comes to its end here.
        if let Some(opened) = self.opened().filter(|opened| opened.home.is_ours()) {
            let brought = self.bring_here(&opened, delivery.request).await;
            return brought.map_or_else(|| Err(Undelivered::NotTaken(nobody())), Into::into);
        }
        let left = self.clock.now().until(delivery.deadline);
        let until = Instant::now() + left.min(Self::PATIENCE);
        let request = Bytes::from(serde_json::to_vec(&delivery.request).unwrap_or_default());
        while let Ok(holder) = self.holder(until).await {
            match holder {
                ForHolder::Here(_) => {
                    let brought = self.serve_delivery(delivery.request).await;
                    return brought.map_or_else(|| Err(Undelivered::NotTaken(nobody())), Into::into);
                }
                ForHolder::There(member) => {
                    if let Some(brought) = self.bring_there(&member, request.clone(), until).await {
                        return brought.into();
                    }
                }
            }
        }
        Err(Undelivered::NotTaken(nobody()))
    }
}

impl HomeSeat {
    /// What this node answers to others, for the cluster to enter.
    #[must_use]
    pub fn topics(self: &Arc<Self>) -> Vec<(&'static str, Arc<dyn Topic>)> {
        let topic = |name| Arc::new(NodeTopic(Arc::downgrade(self), name)) as Arc<dyn Topic>;
        [DELIVER, NEWS].map(|name| (name, topic(name))).into()
    }

    /// Tells the other nodes of a change; who does not hear it finds it out by itself.
    pub(super) async fn tell(&self, cluster: &Cluster, news: &'static str) {
        for (node, error) in cluster.tell_all(NEWS, Bytes::from_static(news.as_bytes())).await {
            tracing::debug!(node, %error, news, "a node was not told of the home domain");
        }
    }

    /// Brings a request to the home domain here; `None` when another node could have had it before the end.
    async fn bring_here(&self, opened: &Opened, request: Request) -> Option<Brought> {
        let _underway = self.underway.begin();
        let brought = opened.home.bring(request).await;
        opened.home.is_ours().then(|| brought.into())
    }

    /// As [`HomeSeat::bring_here`], for what others ask.
    async fn serve_delivery(&self, request: Request) -> Option<Brought> {
        let _underway = self.underway.begin();
        let opened = self.serving()?;
        self.bring_here(&opened, request).await
    }

    /// Brings a request to the home domain there; `None` when it is not there, and has to be looked for again.
    async fn bring_there(&self, member: &Member, request: Bytes, until: Instant) -> Option<Brought> {
        let cluster = self.cluster.as_ref()?;
        let asked = timeout_at(until, cluster.ask(&member.node, DELIVER, request)).await;
        match asked {
            Ok(Ok(answer)) => Some(read(&answer).unwrap_or_else(|_| Brought::NotTaken(nobody()))),
            Ok(Err(ClusterError::TooLarge { octets })) => Some(Brought::Refused(Refusal::TooLarge {
                size: octets as u64,
                limit: MAX_BODY as u64,
            })),
            Ok(Err(error)) if error.was_not_done() => {
                tracing::debug!(%error, "the home domain is looked for again");
                self.was_not_at(member).await;
                None
            }
            Ok(Err(error)) => {
                tracing::info!(%error, "a delivery to the home domain is done again");
                Some(Brought::NotTaken(nobody()))
            }
            Err(_) => Some(Brought::NotTaken(nobody())),
        }
    }

    async fn hear(&self, news: &[u8]) -> Result<(), Refused> {
        if news == ACCOUNTS_CHANGED.as_bytes() {
            let learnt = self.learn_accounts().await;
            return learnt.map_err(|error| Refused::Not(error.to_string()));
        }
        self.nudge.notify_one();
        Ok(())
    }
}

impl From<Result<Answer, Undelivered>> for Brought {
    fn from(brought: Result<Answer, Undelivered>) -> Self {
        match brought {
            Ok(answer) => Self::Answered(answer),
            Err(Undelivered::Refused(refusal)) => Self::Refused(refusal),
            Err(Undelivered::NotTaken(refusal)) => Self::NotTaken(refusal),
            Err(Undelivered::Unanswered(refusal)) => Self::Unanswered(refusal),
        }
    }
}

impl From<Brought> for Result<Answer, Undelivered> {
    fn from(brought: Brought) -> Self {
        match brought {
            Brought::Answered(answer) => Ok(answer),
            Brought::Refused(refusal) => Err(Undelivered::Refused(refusal)),
            Brought::NotTaken(refusal) => Err(Undelivered::NotTaken(refusal)),
            Brought::Unanswered(refusal) => Err(Undelivered::Unanswered(refusal)),
        }
    }
}

/// A request of another node.
struct NodeTopic(Weak<HomeSeat>, &'static str);

#[async_trait::async_trait]
impl Topic for NodeTopic {
    async fn answer(&self, _from: &str, request: Bytes) -> Result<Bytes, Refused> {
        let gone = || Refused::Not("the home domain is not open here".to_owned());
        let seat = self.0.upgrade().ok_or_else(gone)?;
        if self.1 == NEWS {
            seat.hear(&request).await?;
            return Ok(Bytes::new());
        }
        let request = read(&request).map_err(|_| Refused::Unreadable)?;
        let brought = seat.serve_delivery(request).await.ok_or_else(gone)?;
        let answer = serde_json::to_vec(&brought).map_err(|error| Refused::Not(error.to_string()))?;
        Ok(answer.into())
    }
}

fn read<T: DeserializeOwned>(octets: &Bytes) -> Result<T, serde_json::Error> {
    serde_json::from_slice(octets)
}

/// The home domain was opened or closed somewhere.
pub(super) const MOVED: &str = "moved";
/// Accounts have come, gone, been closed or been opened.
pub(super) const ACCOUNTS_CHANGED: &str = "accounts";
const DELIVER: &str = "home/deliver";
const NEWS: &str = "home/news";
