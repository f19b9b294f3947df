//! Subscriptions asserted anew: after a session was opened anew, because the peer may have lost them with it, and daily,
//! because a peer may lose them without a word. In between, those whose numbers have moved follow them.
//!
//! Each goes to whoever serves the person today, so that a number that was ported is watched at its new operator. A
//! subscription ends when that side says that there is nobody to watch, or that he does not allow it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;

use super::{
    Ingress, Relay, Undelivered,
    forward::domain_of,
    send::{damaged, refused_by_store},
    subscribe::KeptSubscription,
};
use crate::{
    model::{Domain, Protocol, Refusal, Request, StepEvent, Stop, Subscribe, Timestamp, Trail, TrailId},
    routing::RouteService,
    store::{Batch, Expected, Row, RowWrite, Space},
};

impl Relay {
    /// Subscribes anew to everybody who is watched at one serving domain; called when a session with it was opened.
    ///
    /// # Errors
    /// The store's words, when it can't be read.
    pub async fn reassert_subscriptions(&self, serving: &Domain) -> Result<u64, Refusal> {
        self.reassert(Which::All, |kept| kept.serving == *serving).await
    }

    /// As [`Relay::reassert_subscriptions`], when a session in the name of `own` was opened: where it is one of several with a home
    /// server that meets partners through us, for those who watch in that name.
    ///
    /// # Errors
    /// As [`Relay::reassert_subscriptions`].
    pub async fn reassert_in_session(&self, own: &Domain, serving: &Domain) -> Result<u64, Refusal> {
        let agreement = self.agreements.load().for_domain(serving).cloned();
        if !agreement.is_some_and(|one| one.presents_partners()) {
            return self.reassert_subscriptions(serving).await;
        }
        let watches = |kept: &KeptSubscription| domain_of(&kept.watcher, kept.side.domain()) == own;
        self.reassert(Which::All, |kept| kept.serving == *serving && watches(kept))
            .await
    }

    /// Subscribes anew to everybody who is watched anywhere, when that was last done a day ago; called every minute or so.
    ///
    /// # Errors
    /// The store's words, when it can't be read or written.
    pub async fn reassert_daily(&self) -> Result<u64, Refusal> {
        let due = self.begin_round(LAST_ROUND, DAY).await?;
        if due != Due::NotYet {
            self.count_watched().await?;
        }
        match due {
            Due::Again => self.reassert(Which::All, |_| true).await,
            Due::First | Due::NotYet => Ok(0),
        }
    }

    /// Subscribes at their new operator to those whose numbers are served by another one than when they were subscribed to,
    /// when that was last looked at long enough ago; called every minute or so. One whom the new operator does not know yet is
    /// looked at again in the next round.
    ///
    /// # Errors
    /// The store's words, when it can't be read or written.
    pub async fn follow_moved(&self) -> Result<u64, Refusal> {
        match self.begin_round(LAST_LOOK, self.config.follow_moved).await? {
            Due::Again => {
                self.reassert(Which::Moved, |kept| kept.presentity.number().is_some())
                    .await
            }
            Due::First | Due::NotYet => Ok(0),
        }
    }

    /// Notes that a round begins, unless the last one began less than so long ago.
    async fn begin_round(&self, name: &str, every: Duration) -> Result<Due, Refusal> {
        let now = self.now();
        let last = self.store.row(Space::Meta, name, now).await;
        let last = last.map_err(refused_by_store)?;
        let last = last.and_then(|row| String::from_utf8_lossy(&row.value).parse().ok());
        if last.is_some_and(|last| now < Timestamp(last).plus(every)) {
            return Ok(Due::NotYet);
        }
        let round = now.0.to_string().into_bytes();
        let batch = Batch::new(now).put(Space::Meta, name, round, None);
        self.store.commit(batch).await.map_err(refused_by_store)?;
        // Before the first round nothing is old.
        Ok(last.map_or(Due::First, |_| Due::Again))
    }

    async fn reassert(
        &self,
        which: Which,
        is_wanted: impl Fn(&KeptSubscription) -> bool,
    ) -> Result<u64, Refusal> {
        let mut after: Option<String> = None;
        let mut round = Round::default();
        loop {
            let rows = self
                .store
                .rows(Space::Subscription, "", after.as_deref(), AT_ONCE, self.now())
                .await
                .map_err(refused_by_store)?;
            let Some(last) = rows.last() else {
                return Ok(round.asserted);
            };
            after = Some(last.key.clone());
            let mut wanted = Vec::with_capacity(rows.len());
            for row in rows {
                let kept: KeptSubscription = serde_json::from_slice(&row.value).map_err(damaged)?;
                if is_wanted(&kept) && !round.silent.contains(&kept.serving) {
                    wanted.push((row, kept));
                }
            }
            if which == Which::Moved {
                wanted = self.moved(wanted).await;
            }
            let came = join_all(wanted.iter().map(|(_, kept)| self.subscribe_anew(kept))).await;
            let mut batch = Batch::new(self.now());
            for ((row, mut kept), came) in wanted.into_iter().zip(came) {
                match came {
                    Anew::Asserted { serving } => {
                        round.asserted += 1;
                        if kept.serving != serving {
                            kept.serving = serving;
                            let value = serde_json::to_vec(&kept).map_err(damaged)?;
                            batch.writes.push(change(row, Some(value.into())));
                        }
                    }
                    // The old operator has let him go, and the new one has not taken him yet.
                    Anew::Ended if which == Which::Moved => {}
                    Anew::Ended => {
                        self.count_off(&kept);
                        batch.writes.push(change(row, None));
                    }
                    // The others who are watched there would only wait for the same.
                    Anew::Silent => drop(round.silent.insert(kept.serving)),
                    Anew::Left => {}
                }
            }
            if !batch.is_empty() {
                // A watcher who changed his subscription meanwhile is right; the next round sees to the rest.
                self.store.commit(batch).await.map_err(refused_by_store)?;
            }
        }
    }

    async fn subscribe_anew(&self, kept: &KeptSubscription) -> Anew {
        let now = self.now();
        let trail = Arc::new(Trail::new(TrailId(fastrand::u64(..)), now));
        let anew = self.ask_anew(kept, &trail).await;
        let outcome = match &anew {
            Anew::Asserted { serving } => format!("asserted at {serving}"),
            Anew::Ended => "ended: there is nothing to watch any more".into(),
            Anew::Silent => "nobody answers there; asked again when a session opens".into(),
            Anew::Left => "left as it is".into(),
        };
        trail.add(self.now(), Stop::Answer, StepEvent::Answered { outcome });
        (self.trails)(trail.record());
        anew
    }

    /// Those that are served by another domain than the one they are kept at.
    async fn moved(&self, wanted: Vec<(Row, KeptSubscription)>) -> Vec<(Row, KeptSubscription)> {
        let look = |kept: &KeptSubscription| {
            let trail = Arc::new(Trail::new(TrailId(0), self.now()));
            let ingress = self.as_asked_by(kept, &trail);
            let (presentity, serving) = (kept.presentity.clone(), kept.serving.clone());
            async move {
                let target = self.target(&ingress?, &presentity, RouteService::Pres).await;
                target.ok().filter(|target| target.domain != serving).map(drop)
            }
        };
        let moved = join_all(wanted.iter().map(|(_, kept)| look(kept))).await;
        let moved = wanted.into_iter().zip(moved);
        moved.filter_map(|(one, moved)| moved.map(|()| one)).collect()
    }

    /// The request's way in, as when it came from the watcher's side; `None` when that has no agreement any more.
    fn as_asked_by(&self, kept: &KeptSubscription, trail: &Arc<Trail>) -> Option<Ingress> {
        Some(Ingress {
            side: kept.side.to_side(&self.agreements.load())?,
            protocol: Protocol::Ssp,
            key: None,
            via: Vec::new(),
            trail: Arc::clone(trail),
        })
    }

    async fn ask_anew(&self, kept: &KeptSubscription, trail: &Arc<Trail>) -> Anew {
        let now = trail.started();
        let Some(ingress) = self.as_asked_by(kept, trail) else {
            return Anew::Ended;
        };
        let request = Request::Subscribe(Subscribe {
            watcher: kept.watcher.clone(),
            presentities: vec![kept.presentity.clone()],
            attributes: kept.attributes.clone(),
        });
        let received = StepEvent::Received {
            request: request.name().into(),
            service: request.service(),
            from: "gateway".into(),
            protocol: ingress.protocol.name().into(),
            sender: request.sender().cloned(),
            recipients: request.concerns(),
        };
        trail.add(now, Stop::Listen, received);
        let target = match self.target(&ingress, &kept.presentity, RouteService::Pres).await {
            Ok(target) => target,
            Err(refusal) => return Anew::refused(&refusal),
        };
        // The embedded home domain loses nothing.
        if target.protocol == Protocol::Home && target.domain == kept.serving {
            return Anew::Left;
        }
        let deadline = now.plus(self.config.query_timeout);
        let asking = self.forward_or_else(&ingress, &target, deadline, |_| request.clone());
        let (asked, answer) = asking.await;
        let serving = asked.domain;
        match answer {
            Ok(answer) => match answer.for_recipient(&kept.presentity) {
                Some(Err(refusal)) => Anew::refused(refusal),
                Some(Ok(_)) | None => Anew::Asserted { serving },
            },
            Err(Undelivered::Refused(refusal)) => Anew::refused(&refusal),
            Err(Undelivered::NotTaken(_) | Undelivered::Unanswered(_)) => Anew::Silent,
        }
    }
}

/// Which of the subscriptions that are looked at are asserted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Which {
    All,
    /// Those whose presentity is served by another domain now.
    Moved,
}

/// Whether a round begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Due {
    /// The last one is too young.
    NotYet,
    /// It is the first one of this store.
    First,
    Again,
}

/// What has come of a round so far.
#[derive(Debug, Default)]
struct Round {
    asserted: u64,
    /// Serving domains that can't be asked now; they are asked again when a session with them opens.
    silent: BTreeSet<Domain>,
}

/// What became of one subscription.
enum Anew {
    /// It stands, at this domain.
    Asserted { serving: Domain },
    /// There is nothing to watch any more.
    Ended,
    /// Nobody answers there.
    Silent,
    /// It stays as it is.
    Left,
}

impl Anew {
    /// A person who is gone, or doesn't allow it any more, is not watched any more; all else may pass.
    fn refused(refusal: &Refusal) -> Self {
        let is_end = matches!(
            refusal,
            Refusal::UnknownUser { .. } | Refusal::NotAuthorised { .. } | Refusal::Blocked { .. }
        );
        if is_end { Self::Ended } else { Self::Left }
    }
}

fn change(row: Row, value: Option<Bytes>) -> RowWrite {
    RowWrite {
        space: Space::Subscription,
        key: row.key,
        value,
        expires: row.expires,
        expected: Expected::Version(row.version),
    }
}

/// When the last daily round began, in milliseconds since 1970; shared by all nodes of a store.
const LAST_ROUND: &str = "subscriptions asserted";
/// When it was last looked at which numbers have moved, likewise.
const LAST_LOOK: &str = "subscriptions followed";
const DAY: Duration = Duration::from_secs(86_400);
/// Subscriptions that are asserted at the same time, so that a session's documents carry many of them.
const AT_ONCE: usize = 32;
