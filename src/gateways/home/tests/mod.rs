//! Tests of the home domain: a store in memory, a clock that stands still, and a line that records what goes out.

mod api;
mod contacts;
mod events;
mod groups;
mod import;
mod invitations;
mod joined;
mod limits;
mod messages;
mod openapi;
mod presence;
mod restart;
mod search;
mod session;
mod texts;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use super::{HomeConfig, HomeDomain, HomeDomainConfig, NewAccount, subscriber::Subscriber};
use crate::{
    model::{
        Answer, ByteSize, DeliveryReport, Domain, Found, Outcome, Presence, PresenceNotification, Refusal,
        Request, Timestamp, Trail, TrailId, WvAddress,
    },
    relay::{Delivery, Egress, Undelivered},
    store::{Store, sqlite::SqliteStore},
    telemetry::{Clock, ClockHand},
};

/// Ada `+447700900123` and Ben `+447700900124` of alpha, Cleo `+447700900223` of another home domain in the same process.
pub(super) struct Fixture {
    pub(super) home: Arc<HomeDomain>,
    pub(super) hand: ClockHand,
    pub(super) clock: Clock,
    pub(super) store: Arc<dyn Store>,
    pub(super) config: HomeConfig,
    pub(super) line: Recorder,
}

/// What goes out, and what comes back: scripted outcomes in order, then success.
#[derive(Clone, Default)]
pub(super) struct Recorder {
    pub(super) sent: Arc<Mutex<Vec<Request>>>,
    script: Arc<Mutex<VecDeque<Outcome>>>,
}

impl Recorder {
    /// The next outcome of a request whose name begins so is this one.
    pub(super) fn answer(&self, outcome: Outcome) {
        self.script.lock().unwrap().push_back(outcome);
    }

    /// Everything that went out since the last time.
    pub(super) fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.sent.lock().unwrap())
    }

    pub(super) fn names(&self) -> Vec<&'static str> {
        self.take().iter().map(Request::name).collect()
    }

    pub(super) fn notifications(&self) -> Vec<PresenceNotification> {
        let notify = |request| {
            let Request::Notify(notification) = request else {
                return None;
            };
            Some(notification)
        };
        self.take().into_iter().filter_map(notify).collect()
    }

    pub(super) fn reports(&self) -> Vec<DeliveryReport> {
        let report = |request| {
            let Request::Report(report) = request else {
                return None;
            };
            Some(report)
        };
        self.take().into_iter().filter_map(report).collect()
    }

    fn connect(&self, home: &HomeDomain) {
        let recorder = self.clone();
        home.line.connect_to(Box::new(move |_ingress, request| {
            let recorder = recorder.clone();
            Box::pin(async move {
                let fallback = success(&request);
                recorder.sent.lock().unwrap().push(request);
                recorder.script.lock().unwrap().pop_front().unwrap_or(fallback)
            })
        }));
    }
}

impl Fixture {
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut HomeConfig)) -> Self {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::in_memory().unwrap());
        let (clock, hand) = Clock::standing(Timestamp::from_seconds(1_800_000_000));
        let mut config = config();
        change(&mut config);
        let home = HomeDomain::new(config.clone(), Arc::clone(&store), clock.clone())
            .await
            .unwrap();
        let line = Recorder::default();
        line.connect(&home);
        for (number, user, domain) in PEOPLE {
            home.add_account(account(number, user, domain)).await.unwrap();
        }
        Self {
            home,
            hand,
            clock,
            store,
            config,
            line,
        }
    }

    /// The same store under a new home domain, as after a restart.
    pub(super) async fn restart(self) -> Self {
        let Self {
            home,
            hand,
            clock,
            store,
            config,
            ..
        } = self;
        home.underway().idle().await;
        drop(home);
        let home = HomeDomain::new(config.clone(), Arc::clone(&store), clock.clone())
            .await
            .unwrap();
        let line = Recorder::default();
        line.connect(&home);
        Self {
            home,
            hand,
            clock,
            store,
            config,
            line,
        }
    }

    pub(super) fn ada(&self) -> Arc<Subscriber> {
        self.home.subscriber(&address(ADA)).unwrap()
    }

    pub(super) fn ben(&self) -> Arc<Subscriber> {
        self.home.subscriber(&address(BEN)).unwrap()
    }

    /// Delivers a request as the relay does.
    pub(super) async fn deliver(&self, request: Request) -> Result<Answer, Undelivered> {
        let now = self.clock.now();
        let answer = self
            .home
            .deliver(Delivery {
                request,
                own: domain("alpha.example"),
                domain: domain("alpha.example"),
                candidates: Arc::new([]),
                agreement: None,
                via: Vec::new(),
                deadline: now,
                trail: Arc::new(Trail::new(TrailId(1), now)),
            })
            .await;
        self.home.underway().idle().await;
        answer
    }

    /// Logs a device of Ada's in; what that sends out is forgotten.
    pub(super) async fn log_in(&self, user: &str) -> super::outgoing::LoggedIn {
        let logged_in = self.home.log_in(user, PASSWORD, "phone").await.unwrap().unwrap();
        self.home.underway().idle().await;
        self.line.take();
        logged_in
    }
}

/// What a side answers that takes everything and knows nothing.
fn success(request: &Request) -> Outcome {
    if let Request::Search(_) = request {
        return Ok(Answer::Found(Found::default()));
    }
    if let Request::GetPresence(get) = request {
        let empty = |one: &WvAddress| (one.clone(), Presence::default());
        return Ok(Answer::Presence(get.presentities.iter().map(empty).collect()));
    }
    if let Request::Send(message) = request {
        let (id, recipients) = (message.id.clone(), Vec::new());
        return Ok(Answer::Sent { id, recipients });
    }
    Ok(Answer::Done)
}

pub(super) fn config() -> HomeConfig {
    let domain = |name: &str, prefix: &str| HomeDomainConfig {
        name: domain(name),
        numbers: vec![prefix.to_owned()],
    };
    let mut config = HomeConfig {
        domains: vec![
            domain("alpha.example", "+4477009001"),
            domain("second.example", "+4477009002"),
        ],
        ..HomeConfig::default()
    };
    config.limits.password_memory = ByteSize::kib(16);
    config.limits.password_passes = 1;
    config
}

pub(super) fn account(number: &str, user: &str, home: &str) -> NewAccount {
    NewAccount {
        number: number.parse().unwrap(),
        user: user.to_owned(),
        domain: Some(domain(home)),
        friendly_name: user.to_uppercase(),
        password: PASSWORD.to_owned(),
        language: None,
    }
}

pub(super) fn domain(text: &str) -> Domain {
    text.parse().unwrap()
}

pub(super) fn address(text: &str) -> WvAddress {
    text.parse().unwrap()
}

/// The refusal of the only recipient, or of the request.
pub(super) fn refusal(answer: Result<Answer, Undelivered>) -> Option<Refusal> {
    match answer {
        Err(
            Undelivered::Refused(refusal) | Undelivered::NotTaken(refusal) | Undelivered::Unanswered(refusal),
        ) => Some(refusal),
        Ok(Answer::Recipients(recipients) | Answer::Sent { recipients, .. }) => {
            recipients.into_iter().find_map(|one| one.outcome.err())
        }
        Ok(_) => None,
    }
}

pub(super) const ADA: &str = "wv:+447700900123";
pub(super) const BEN: &str = "wv:+447700900124";
pub(super) const CLEO: &str = "wv:+447700900223";
/// Somebody of another operator.
pub(super) const BEA: &str = "wv:+46701234567";
pub(super) const PASSWORD: &str = "correct horse";
const PEOPLE: [(&str, &str, &str); 3] = [
    ("+447700900123", "ada", "alpha.example"),
    ("+447700900124", "ben", "alpha.example"),
    ("+447700900223", "cleo", "second.example"),
];
