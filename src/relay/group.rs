//! Group primitives, passed between IMPS operators: to the group's server, and from it to members elsewhere.
//!
//! Who joined what is kept, because a group's server that puts a member out names only the group (SSP reference §12.12).

use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::{
    Ingress, Relay,
    forward::{TargetGroup, per_person},
    send::{damaged, refused_by_store},
};
use crate::{
    model::{
        Answer, Domain, GroupAction, GroupAnswer, GroupEvent, GroupRefusal, GroupRequest, Outcome, Refusal,
        Request, StepEvent, Stop, WvAddress,
    },
    routing::RouteService,
    store::{Batch, Space},
};

/// Somebody who joined a group elsewhere through us, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Membership {
    /// Who, in the form he asked in; he is told in the same one.
    member: WvAddress,
}

impl Membership {
    fn prefix(serving: &Domain, group: &WvAddress) -> String {
        format!("member {serving} {} ", group.key())
    }

    fn row_key(serving: &Domain, group: &WvAddress, member: &WvAddress) -> String {
        format!("{}{}", Self::prefix(serving, group), member.key())
    }
}

impl Relay {
    /// Passes a member's request to the group's server.
    pub(super) async fn group(&self, ingress: &Ingress, request: GroupRequest) -> Outcome {
        let group = request.group.clone();
        if !group.is_group() {
            return Err(Refusal::InvalidAddress {
                address: group.to_string(),
                reason: "it names no group".into(),
            });
        }
        let deadline = ingress.trail.started().plus(self.config.query_timeout);
        let target = self.target(ingress, &group, RouteService::Im).await?;
        let asked = Request::Group(request.clone());
        let forwarded = self.forward(ingress, &target, asked, deadline).await;
        let outcome = match forwarded {
            Ok(answer) => match answer.for_recipient(&group) {
                Some(Err(refusal)) => Err(refusal.clone()),
                Some(Ok(_)) | None => Ok(answer),
            },
            Err(undelivered) => Err(undelivered.into()),
        };
        self.remember_membership(&target.domain, &request, &outcome).await;
        outcome
    }

    /// Passes what happened in a group to the members named; a removal that names nobody goes to those who joined.
    pub(super) async fn group_event(&self, ingress: &Ingress, mut event: GroupEvent) -> Outcome {
        if event.removed.is_some() && event.to.is_empty() {
            event.to = self.leave_memberships(ingress, &event.group).await?;
            if event.to.is_empty() {
                let text = "nobody is known to have joined the group through us".into();
                ingress
                    .trail
                    .add(self.now(), Stop::Route, StepEvent::Note { text });
                return Ok(Answer::Done);
            }
        }
        let deadline = ingress.trail.started().plus(self.config.query_timeout);
        let split = self.split(ingress, &event.to, RouteService::Im).await;
        let forward = |part: &TargetGroup| {
            let request = Request::GroupEvent(GroupEvent {
                to: part.people.clone(),
                ..event.clone()
            });
            let (target, people) = (part.target.clone(), part.people.clone());
            async move {
                let answer = self
                    .forward(ingress, &target, request, deadline)
                    .await
                    .map_err(Into::into);
                per_person(&people, &answer)
            }
        };
        let answers = join_all(split.groups.iter().map(forward)).await;
        Ok(Answer::Recipients(
            split
                .refused
                .into_iter()
                .chain(answers.into_iter().flatten())
                .collect(),
        ))
    }

    /// A member who joined is kept; one who left is not, nor one of whom the group's server says that he is not in it. What can't be written only costs the notice of a removal.
    async fn remember_membership(&self, serving: &Domain, request: &GroupRequest, outcome: &Outcome) {
        let now = self.now();
        let key = Membership::row_key(serving, &request.group, &request.by);
        let is_out = match outcome {
            Ok(_) => matches!(request.action, GroupAction::Leave | GroupAction::Delete),
            Err(refusal) => matches!(
                refusal.of_group(),
                Some(GroupRefusal::NotJoined | GroupRefusal::Unknown)
            ),
        };
        let batch = match (&request.action, outcome) {
            _ if is_out => Batch::new(now).remove(Space::Reference, key),
            (
                GroupAction::Join { .. },
                Ok(Answer::Done | Answer::Group(GroupAnswer::Joined { .. } | GroupAnswer::Done)),
            ) => {
                let kept = Membership {
                    member: request.by.clone(),
                };
                let Ok(value) = serde_json::to_vec(&kept) else {
                    return;
                };
                Batch::new(now).put(Space::Reference, key, value, Some(now.plus(MEMBERSHIP)))
            }
            _ => return,
        };
        if let Err(error) = self.store.commit(batch).await {
            tracing::error!(%error, "who joined a group could not be kept; its member may not be told of a removal");
        }
    }

    /// Who joined a group of this side through us. The one who did is a member no more; of several, the document does not
    /// say which one is meant, so all their sides are told and all stay known.
    async fn leave_memberships(
        &self,
        ingress: &Ingress,
        group: &WvAddress,
    ) -> Result<Vec<WvAddress>, Refusal> {
        let prefix = Membership::prefix(ingress.side.domain(), group);
        let now = self.now();
        let rows = self
            .store
            .rows(Space::Reference, &prefix, None, MAX_MEMBERS, now)
            .await
            .map_err(refused_by_store)?;
        if let [only] = rows.as_slice() {
            let batch = Batch::new(now).remove(Space::Reference, only.key.clone());
            self.store.commit(batch).await.map_err(refused_by_store)?;
        }
        let member = |value: &[u8]| serde_json::from_slice(value).map(|kept: Membership| kept.member);
        let members = rows.iter().map(|row| member(&row.value).map_err(damaged));
        members.collect()
    }
}

/// How long a membership is known that nobody ends.
const MEMBERSHIP: Duration = Duration::from_secs(30 * 86_400);
/// Members of one group through this gateway who are told of a removal that names nobody.
const MAX_MEMBERS: usize = 100;
