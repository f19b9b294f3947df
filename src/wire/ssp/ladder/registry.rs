//! All ladders of this process, and which of them an arriving step belongs to.
//!
//! Step 1 opens; step 2 carries an ID that we never saw, so the dialled domain and the state find it; the later steps are
//! found by the initiator's ID. IDs of different peers may be the same small numbers, so the caller also says for which
//! domains the connection may speak. Ladders that are over stay until their deadline, so that repeated steps are known.
//! Rates per source are the caller's; the number of ladders is bounded here, for each role apart, so that peers that open
//! never keep us from opening. Source: SSP reference §4.1, §4.6.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use thiserror::Error;

use super::{Input, Ladder, Output, Role, Settings, Token, Verdict, domain_of};
use crate::wire::ssp::digest::Secret;
use crate::wire::ssp::document::{Mode, TransactionId};
use crate::wire::ssp::setup::{LoginResponse, SendSecretToken, SetupPrimitive, SetupTransaction};

/// The ladders of all pairs of domains.
#[derive(Clone, Debug)]
pub struct Ladders {
    ladders: BTreeMap<LadderKey, Ladder>,
    next_key: u64,
    capacity_per_role: usize,
    ready: VecDeque<LadderKey>,
}

/// Names one ladder; never used again after it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LadderKey(u64);

/// What an arriving step belongs to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Match {
    /// Step 1 of a new ladder: ask the agreement and the rates, then `Ladders::respond`.
    Opening {
        /// The domain that the peer claims, in lower case.
        peer_domain: String,
    },
    /// A step of this ladder: `Ladders::handle`.
    Known(LadderKey),
    /// The connection may not speak for the domain that the step names.
    Foreign {
        /// The domain that the step names, in lower case.
        peer_domain: String,
    },
    /// No ladder waits for it; answer a status that is not 2xx.
    Unknown,
}

/// Why no ladder was made.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Busy {
    /// We are opening this pair already.
    #[error("a handshake of these two domains is under way")]
    InProgress(LadderKey),
    /// Another of our domains waits for this peer's secret, which does not say whom it is for; try again when it came.
    #[error("another of our domains is in a handshake with this peer")]
    PeerBusy(LadderKey),
    /// As many ladders of this role as we allow are under way.
    #[error("too many handshakes are under way")]
    Full,
}

impl Ladders {
    /// At most `capacity_per_role` ladders that we opened, and as many that peers opened.
    pub const fn new(capacity_per_role: usize) -> Self {
        Self {
            ladders: BTreeMap::new(),
            next_key: 0,
            capacity_per_role,
            ready: VecDeque::new(),
        }
    }

    /// Opens a session; see `Ladder::initiate`.
    ///
    /// # Errors
    ///
    /// `Busy` when a handshake is in the way.
    pub fn initiate(
        &mut self,
        own_domain: &str,
        peer_domain: &str,
        token: Token,
        now: Instant,
        settings: Settings,
    ) -> Result<LadderKey, Busy> {
        for (key, ladder) in self.live(Role::Initiator, peer_domain) {
            if ladder.own_domain().eq_ignore_ascii_case(own_domain) {
                return Err(Busy::InProgress(*key));
            }
            if ladder.awaits_secret() && !settings.tells_names_apart {
                return Err(Busy::PeerBusy(*key));
            }
        }
        self.make_room(Role::Initiator)?;
        Ok(self.insert(Ladder::initiate(own_domain, peer_domain, token, now, settings)))
    }

    /// Answers the step 1 that `find` called `Match::Opening`; see `Ladder::respond`. An older ladder that the same peer
    /// opened towards the same domain is superseded, because the peer has forgotten it, and its secret goes on.
    ///
    /// # Errors
    ///
    /// `Busy::Full`; then post a `failing_step` to the peer, so that it does not wait.
    pub fn respond(
        &mut self,
        own_domain: &str,
        peer_domain: &str,
        (id, secret): (TransactionId, &Secret),
        token: Token,
        now: Instant,
        settings: Settings,
    ) -> Result<LadderKey, Busy> {
        let older: Vec<_> = self
            .live(Role::Responder, peer_domain)
            .filter(|(_, ladder)| ladder.own_domain().eq_ignore_ascii_case(own_domain))
            .map(|(key, _)| *key)
            .collect();
        let mut earlier = None;
        for key in older {
            if let Some(ladder) = self.ladders.get_mut(&key) {
                earlier = ladder.supersede().or(earlier);
                self.ready.push_back(key);
            }
        }
        self.make_room(Role::Responder)?;
        Ok(self.insert(Ladder::respond_with(
            [own_domain, peer_domain],
            (id, secret),
            (token, earlier),
            now,
            settings,
        )))
    }

    /// Which ladder the step belongs to. `may_speak_for` says whether the connection that it came on may speak for a domain
    /// (lower case): by its certificate, or by the agreement on a plain connection.
    pub fn find(&self, step: &SetupTransaction, may_speak_for: impl Fn(&str) -> bool) -> Match {
        self.find_among(step, may_speak_for, |_| true)
    }

    /// As [`Ladders::find`], among the ladders that the step can be meant for: those in the name that its connection asks for.
    pub fn find_among(
        &self,
        step: &SetupTransaction,
        may_speak_for: impl Fn(&str) -> bool,
        is_meant: impl Fn(&Ladder) -> bool,
    ) -> Match {
        let role = match step.mode {
            Mode::Request => Role::Responder,
            Mode::Response => Role::Initiator,
        };
        let named = match &step.primitive {
            SetupPrimitive::SendSecretToken(token) => domain_of(&token.service_id),
            SetupPrimitive::LoginRequest(request) => domain_of(&request.service_id),
            SetupPrimitive::LoginResponse(response) => {
                return self.find_by_id(role, step, Some(response), may_speak_for, is_meant);
            }
            SetupPrimitive::Malformed { .. } => {
                return self.find_by_id(role, step, None, may_speak_for, is_meant);
            }
            SetupPrimitive::Unknown { .. } => None,
        };
        let Some(peer_domain) = named.map(str::to_ascii_lowercase) else {
            return Match::Unknown;
        };
        if !may_speak_for(&peer_domain) {
            return Match::Foreign { peer_domain };
        }
        let found = match (&step.primitive, role) {
            (SetupPrimitive::SendSecretToken(token), Role::Responder) => {
                return self.find_opening(peer_domain, &step.id, token, is_meant);
            }
            (SetupPrimitive::SendSecretToken(token), Role::Initiator) => {
                self.find_dialled(&peer_domain, &step.id, token, is_meant)
            }
            _ => self.best(|ladder| {
                ladder.role() == role
                    && ladder.peer_domain() == peer_domain
                    && *ladder.id() == step.id
                    && is_meant(ladder)
            }),
        };
        found.map_or(Match::Unknown, Match::Known)
    }

    /// Hands an input to a ladder; then `poll`. A ladder that is gone refuses.
    pub fn handle(&mut self, key: LadderKey, input: Input, now: Instant) -> Verdict {
        let Some(ladder) = self.ladders.get_mut(&key) else {
            return Verdict::Refused;
        };
        let verdict = ladder.handle(input, now);
        self.ready.push_back(key);
        verdict
    }

    /// Wakes every ladder whose time has come and forgets those whose deadline passed.
    pub fn tick(&mut self, now: Instant) {
        for (key, ladder) in &mut self.ladders {
            if ladder.wakes_at().is_some_and(|wakes_at| wakes_at <= now) {
                ladder.handle(Input::Tick, now);
                self.ready.push_back(*key);
            }
        }
        self.ladders
            .retain(|_, ladder| !ladder.is_spent() || ladder.deadline() > now);
    }

    /// The next thing to do. `Output::WakeAt` never comes out here: `next_wake` tells it for all ladders.
    pub fn poll(&mut self) -> Option<(LadderKey, Output)> {
        loop {
            let key = *self.ready.front()?;
            match self.ladders.get_mut(&key).and_then(Ladder::poll) {
                Some(Output::WakeAt(_)) => {}
                Some(output) => return Some((key, output)),
                None => {
                    self.ready.pop_front();
                }
            }
        }
    }

    /// When `tick` is wanted, `None` when no ladder is under way.
    pub fn next_wake(&self) -> Option<Instant> {
        self.ladders.values().filter_map(Ladder::wakes_at).min()
    }

    /// The ladder, while it is known.
    pub fn ladder(&self, key: LadderKey) -> Option<&Ladder> {
        self.ladders.get(&key)
    }

    /// How many ladders are under way.
    pub fn under_way(&self) -> usize {
        self.ladders.values().filter(|ladder| !ladder.is_over()).count()
    }

    fn find_opening(
        &self,
        peer_domain: String,
        id: &TransactionId,
        token: &SendSecretToken,
        is_meant: impl Fn(&Ladder) -> bool,
    ) -> Match {
        let repeated = self.best(|ladder| {
            ladder.role() == Role::Responder
                && ladder.peer_domain() == peer_domain
                && ladder.id() == id
                && ladder.knows_secret(&token.secret)
                && is_meant(ladder)
        });
        repeated.map_or(Match::Opening { peer_domain }, Match::Known)
    }

    /// A late repetition is the old ladder's, also when another one waits; the same secret under another ID is not a
    /// repetition, because a responder may hand it to the ladder that takes an older one's place.
    fn find_dialled(
        &self,
        peer_domain: &str,
        id: &TransactionId,
        token: &SendSecretToken,
        is_meant: impl Fn(&Ladder) -> bool,
    ) -> Option<LadderKey> {
        let dialled = |ladder: &Ladder| {
            ladder.role() == Role::Initiator && ladder.peer_domain() == peer_domain && is_meant(ladder)
        };
        self.best(|ladder| dialled(ladder) && ladder.took(id, &token.secret))
            .or_else(|| self.best(|ladder| dialled(ladder) && ladder.awaits_secret()))
            .or_else(|| self.best(|ladder| dialled(ladder) && ladder.knows_secret(&token.secret)))
    }

    /// A `LoginResponse` names no domain but in its session ID, which is absent from a failing one.
    fn find_by_id(
        &self,
        role: Role,
        step: &SetupTransaction,
        response: Option<&LoginResponse>,
        may_speak_for: impl Fn(&str) -> bool,
        is_meant: impl Fn(&Ladder) -> bool,
    ) -> Match {
        let named = response
            .and_then(|response| response.session_id.as_ref())
            .and_then(|id| id.domain());
        let fits = |ladder: &Ladder| {
            ladder.role() == role
                && *ladder.id() == step.id
                && may_speak_for(ladder.peer_domain())
                && is_meant(ladder)
        };
        let named_key = named.and_then(|domain| {
            self.best(|ladder| fits(ladder) && ladder.peer_domain().eq_ignore_ascii_case(domain))
        });
        if let Some(key) = named_key {
            return Match::Known(key);
        }
        let mut live = self
            .ladders
            .iter()
            .filter(|(_, ladder)| fits(ladder) && !ladder.is_over());
        match (live.next(), live.next()) {
            (Some((key, _)), None) => Match::Known(*key),
            (Some(_), Some(_)) => Match::Unknown,
            (None, _) => self.best(fits).map_or(Match::Unknown, Match::Known),
        }
    }

    /// The newest that fits; one that is under way comes before those that are over.
    fn best(&self, fits: impl Fn(&Ladder) -> bool) -> Option<LadderKey> {
        let fitting = self.ladders.iter().filter(|(_, ladder)| fits(ladder));
        fitting
            .max_by_key(|(key, ladder)| (!ladder.is_over(), **key))
            .map(|(key, _)| *key)
    }

    fn live<'a>(&'a self, role: Role, peer: &'a str) -> impl Iterator<Item = (&'a LadderKey, &'a Ladder)> {
        self.ladders.iter().filter(move |(_, ladder)| {
            ladder.role() == role && !ladder.is_over() && ladder.peer_domain().eq_ignore_ascii_case(peer)
        })
    }

    fn make_room(&mut self, role: Role) -> Result<(), Busy> {
        let of_role = self
            .ladders
            .values()
            .filter(|ladder| ladder.role() == role)
            .count();
        if of_role < self.capacity_per_role {
            return Ok(());
        }
        let spent = self
            .ladders
            .iter()
            .find(|(_, ladder)| ladder.role() == role && ladder.is_spent());
        let key = spent.map(|(key, _)| *key).ok_or(Busy::Full)?;
        self.ladders.remove(&key);
        Ok(())
    }

    fn insert(&mut self, ladder: Ladder) -> LadderKey {
        let key = LadderKey(self.next_key);
        self.next_key += 1;
        self.ladders.insert(key, ladder);
        self.ready.push_back(key);
        key
    }
}
