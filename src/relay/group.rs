//! Group primitives, passed between IMPS operators: to the group's server, and from it to members elsewhere.

use futures_util::future::join_all;

use super::{
    Ingress, Relay,
    forward::{TargetGroup, per_person},
};
use crate::{
    model::{Answer, GroupEvent, GroupRequest, Outcome, Refusal, Request},
    routing::RouteService,
};

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
        self.pass_on(ingress, &group, Request::Group(request)).await
    }

    /// Passes what happened in a group to the members named.
    pub(super) async fn group_event(&self, ingress: &Ingress, event: GroupEvent) -> Outcome {
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
}
