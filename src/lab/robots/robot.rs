//! One logged-in device of a robot: reads its events, and does what its manners say.
//!
//! One event is dealt with at a time, and at most [`MOST_WAITING`] things wait for their time; until one of them is done
//! nothing more is read, and the home domain keeps what comes. So memory is bounded however much a partner sends.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use serde_json::{Value, json};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use super::{
    super::{
        Guest, HandsetError,
        handset::{Events, Login},
        play::clock,
    },
    cast::{MOOD, Manner, RobotAccount},
    manners::{Patience, SHOWN, Step, reaction},
};

/// A device.
pub(super) struct Robot {
    account: &'static RobotAccount,
    device: usize,
    /// The subscriber API of its operator, and its password.
    base: String,
    password: String,
    guest: Arc<Guest>,
    patience: Patience,
    /// What is done later.
    waiting: FuturesUnordered<BoxFuture<'static, Step>>,
    moods: Interval,
    mood: usize,
    line: Option<(Login, Events)>,
}

impl Robot {
    pub(super) fn new(
        account: &'static RobotAccount,
        device: usize,
        (base, password): (String, String),
        guest: Arc<Guest>,
    ) -> Self {
        let mut moods = interval(MOOD);
        moods.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            account,
            device,
            base,
            password,
            guest,
            patience: Patience::default(),
            waiting: FuturesUnordered::new(),
            moods,
            mood: 0,
            line: None,
        }
    }

    /// As [`Robot::log_in`], for a new one.
    pub(super) async fn logged_in(mut self) -> Result<Self, HandsetError> {
        self.log_in().await?;
        Ok(self)
    }

    /// Lives until it is dropped.
    pub(super) async fn live(mut self) {
        loop {
            if let Some((login, events)) = self.line.take() {
                self.listen(&login, events).await;
            }
            // The stream ended: it did not keep up, or its token is over. What waits for its time goes on waiting.
            sleep(AGAIN).await;
            if let Err(error) = self.log_in().await {
                tracing::warn!(robot = self.account.name, %error, "a robot can't log in; it tries again");
            }
        }
    }

    /// Logs in, says what others may see, and opens the stream.
    async fn log_in(&mut self) -> Result<(), HandsetError> {
        let login = Login::new(&self.base, self.account.number, &self.password).await?;
        let shown: &[&str] = if self.account.manner.is_public() {
            &SHOWN
        } else {
            &[]
        };
        let settings = json!({ "settings": { "public_attributes": shown, "watcher_notices": true } });
        login.call("PATCH", "/v1/me", settings).await?;
        if self.account.manner == Manner::Consents {
            // Who waited while nobody was here is served as if he had just come.
            let answer = login.call("GET", "/v1/watchers", Value::Null).await?;
            let watchers = answer.get("watchers").and_then(Value::as_array);
            for watcher in watchers.into_iter().flatten().take(MOST_WAITING / 2) {
                self.react(&login, "watcher", watcher).await;
            }
        }
        let events = login.events().await?;
        self.line = Some((login, events));
        Ok(())
    }

    async fn listen(&mut self, login: &Login, mut events: Events) {
        let is_moody = self.account.manner == Manner::ChangesMood;
        loop {
            tokio::select! {
                Some(step) = self.waiting.next(), if !self.waiting.is_empty() => act(self.account.name, login, step).await,
                _ = self.moods.tick(), if is_moody => self.change_mood(login).await,
                event = events.next(), if self.waiting.len() < MOST_WAITING => match event {
                    Some((kind, event)) => self.react(login, &kind, &event).await,
                    None => return,
                },
            }
        }
    }

    /// What follows from an event: at once, or later.
    async fn react(&mut self, login: &Login, kind: &str, event: &Value) {
        let (account, guest, patience) = (self.account, &self.guest, &mut self.patience);
        let is_met = |address: &str| {
            address.parse().is_ok_and(|address| guest.has(&address)) && patience.has_for(address, clock())
        };
        for step in reaction(account.manner, self.device, (kind, event), is_met) {
            if step.after.is_zero() {
                act(self.account.name, login, step).await;
            } else {
                self.waiting.push(Box::pin(async move {
                    sleep(step.after).await;
                    step
                }));
            }
        }
    }

    async fn change_mood(&mut self, login: &Login) {
        self.mood += 1;
        let mood = MOODS.get(self.mood % MOODS.len()).copied().unwrap_or_default();
        let text = format!("change {}", self.mood);
        let attributes = json!({ "attributes": { "StatusMood": mood, "StatusText": text } });
        let step = Step {
            after: Duration::ZERO,
            method: "PUT",
            path: "/v1/presence".into(),
            body: attributes,
        };
        act(self.account.name, login, step).await;
    }
}

async fn act(robot: &str, login: &Login, step: Step) {
    if let Err(error) = login.call(step.method, &step.path, step.body).await {
        // A partner who refuses an answer is a test like any other.
        tracing::info!(robot, %error, "a robot could not do what it wanted");
    }
}

/// Things that wait for their time on one device.
const MOST_WAITING: usize = 512;
/// Before a device whose stream ended logs in again.
const AGAIN: Duration = Duration::from_secs(1);
const MOODS: [&str; 4] = ["HAPPY", "SLEEPY", "EXCITED", "BORED"];
