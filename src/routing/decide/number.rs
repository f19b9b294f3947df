//! From a number to the domains that its ENUM records name, apex by apex.
//!
//! An apex is done when a record was accepted: wanted, matching, a usable URI, allowed by this apex. Portability data
//! of a private apex goes before its `im` records, which may be stale when the number was ported. "Not found" is final
//! only when no lookup failed on the way, so an outage is never told to a sender as "no such number".

use std::time::Duration;

use super::{answered, remark, user};
use crate::{
    model::{Domain, E164, FactSource, RouteStep, Timestamp, WvAddress},
    routing::{
        config::OnFailure,
        fact::{Fact, Finding, Kind, Question, Records, naptr_text},
        plan::RouteService,
        rules::{Apex, Rules, is_sibling},
    },
    wire::naptr::{Answer, Aus, Candidate, Evaluation, Name, RouteOn, Selected, Step, Target},
};

/// One number on its way through the apexes.
///
/// Call [`step`](Self::step); find what it asks and give it to [`answer`](Self::answer); repeat until it is done.
#[derive(Debug)]
pub(in crate::routing) struct NumberWalk<'r> {
    rules: &'r Rules,
    number: &'r E164,
    service: RouteService,
    now: Timestamp,
    /// Apexes not asked yet.
    rest: std::slice::Iter<'r, Apex>,
    current: Option<(&'r Apex, Evaluation)>,
    /// Steps of the current apex begin there.
    first_step: usize,
    /// Which names the steps of the current apex are about.
    asked: Vec<Name>,
    /// Leads of the sibling service, for when no apex has the wanted one.
    spare: Vec<Lead>,
    failures: Vec<String>,
    private_failed: bool,
    outcome: NumberOutcome,
}

/// What is needed next.
#[derive(Debug)]
pub(in crate::routing) enum NumberStep {
    /// A fact.
    Ask {
        /// Which.
        question: Question,
        /// Whether one past its time may do when DNS is down.
        stale: bool,
        /// The longest to wait for it.
        timeout: Option<Duration>,
    },
    /// Nothing. Given once.
    Done(NumberOutcome),
}

/// What a number's facts come to.
#[derive(Debug)]
pub(in crate::routing) struct NumberOutcome {
    pub(in crate::routing) verdict: NumberVerdict,
    /// When the shortest-lived fact dies; the end of time when none was used.
    pub(in crate::routing) dies: Timestamp,
    pub(in crate::routing) steps: Vec<RouteStep>,
}

/// Who serves a number, according to ENUM.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::routing) enum NumberVerdict {
    /// These, in the order of trying; at least one.
    Leads(Vec<Lead>),
    /// The number is not in use.
    Unallocated,
    /// No apex knows it.
    Absent,
    /// An apex could not be asked, and no other one answered.
    Temporary(String),
}

/// A domain that a number's records name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::routing) struct Lead {
    /// The name of the person there; `None` where it is the number.
    pub(in crate::routing) user: Option<WvAddress>,
    /// The domain.
    pub(in crate::routing) domain: Domain,
}

/// What one candidate record says.
enum Reading {
    Lead(Lead),
    Sibling(Lead),
    Ported(Lead),
    Unused,
    PassedOver(String),
}

impl<'r> NumberWalk<'r> {
    pub(in crate::routing) fn new(
        rules: &'r Rules,
        number: &'r E164,
        service: RouteService,
        now: Timestamp,
    ) -> Self {
        Self {
            rules,
            number,
            service,
            now,
            rest: rules.apexes.iter(),
            current: None,
            first_step: 0,
            asked: Vec::new(),
            spare: Vec::new(),
            failures: Vec::new(),
            private_failed: false,
            outcome: NumberOutcome {
                verdict: NumberVerdict::Absent,
                dies: Timestamp(u64::MAX),
                steps: Vec::new(),
            },
        }
    }

    pub(in crate::routing) fn step(&mut self) -> NumberStep {
        loop {
            let Some((apex, evaluation)) = &mut self.current else {
                match self.next_apex() {
                    Some(current) => self.current = Some(current),
                    None => return self.finish(),
                }
                continue;
            };
            match evaluation.step() {
                Step::Query(name) => {
                    return NumberStep::Ask {
                        question: Question {
                            view: apex.view,
                            kind: Kind::Naptr,
                            name,
                        },
                        stale: apex.config.stale_naptr,
                        timeout: apex.config.timeout,
                    };
                }
                Step::Done(selected) => {
                    let apex = *apex;
                    self.current = None;
                    if let Some(verdict) = self.conclude(apex, &selected) {
                        return self.done(verdict);
                    }
                }
            }
        }
    }

    /// Tells what the question of the last step holds.
    pub(in crate::routing) fn answer(&mut self, question: &Question, fact: &Fact, source: FactSource) {
        let Some((apex, evaluation)) = &mut self.current else {
            return;
        };
        let is_unproven = apex.config.dnssec_required && !fact.secure && !fact.is_failure();
        self.outcome.dies = self.outcome.dies.min(fact.dies);
        self.outcome
            .steps
            .push(answered(question, fact, source, self.now));
        self.asked.push(question.name.clone());
        evaluation.answer(match &fact.finding {
            // An absence that is not proven says as little: anybody could have said so.
            _ if is_unproven => Answer::Failed("the answer is not proven by DNSSEC".into()),
            Finding::Found(Records::Naptr(records)) => Answer::Records(records.to_vec()),
            Finding::Found(Records::Srv(_) | Records::Addresses(_)) | Finding::Absent(_) => Answer::Absent,
            Finding::Failed(failure) => Answer::Failed(failure.to_string()),
        });
    }

    fn next_apex(&mut self) -> Option<(&'r Apex, Evaluation)> {
        loop {
            let apex = self.rest.next()?;
            if !apex.covers(self.number) {
                continue;
            }
            if self.private_failed && !apex.is_private() {
                self.remark(
                    apex,
                    "not asked: a private apex failed, and a public one may lead elsewhere",
                );
                continue;
            }
            let name = Aus::new(self.number.digits())
                .ok()
                .and_then(|aus| Some((apex.enum_name(&aus)?, aus)));
            let Some((name, aus)) = name else {
                self.remark(apex, "not asked: the number makes no name below it");
                continue;
            };
            self.first_step = self.outcome.steps.len();
            self.asked.clear();
            let wanted = apex.wanted(self.service, self.rules.config.presence_from_im);
            return Some((apex, Evaluation::new(aus, name, wanted, apex.policy())));
        }
    }

    /// What an apex comes to; `None` sends the walk to the next one.
    fn conclude(&mut self, apex: &Apex, selected: &Selected) -> Option<NumberVerdict> {
        for passed in &selected.passed_over {
            let record = passed
                .record
                .as_ref()
                .map_or_else(|| "records".into(), naptr_text);
            self.pass_over(&passed.owner, format!("{record}: {}", passed.reason));
        }
        let mut ported = None;
        let mut leads: Vec<(usize, Lead)> = Vec::new();
        let mut siblings: Vec<(usize, Lead)> = Vec::new();
        for (place, candidate) in selected.candidates.iter().enumerate() {
            for warning in &candidate.warnings {
                self.note(candidate, &warning.to_string());
            }
            match self.read(apex, candidate) {
                Reading::Lead(lead) => leads.push((place, lead)),
                Reading::Sibling(lead) => siblings.push((place, lead)),
                Reading::Ported(lead) => ported = ported.or(Some(lead)),
                Reading::Unused if leads.is_empty() && ported.is_none() => {
                    return Some(NumberVerdict::Unallocated);
                }
                Reading::Unused => self.note(candidate, "the number has other records"),
                Reading::PassedOver(reason) => self.note(candidate, &reason),
            }
        }
        if let Some(lead) = ported {
            return Some(NumberVerdict::Leads(vec![lead]));
        }
        if !leads.is_empty() {
            return Some(NumberVerdict::Leads(self.within_order(apex, selected, leads)));
        }
        if self.spare.is_empty() && !siblings.is_empty() {
            self.spare = self.within_order(apex, selected, siblings);
        }
        self.fail(apex, selected)
    }

    fn fail(&mut self, apex: &Apex, selected: &Selected) -> Option<NumberVerdict> {
        let failure = selected.failures.first()?;
        self.failures.push(format!("{}: {}", failure.name, failure.cause));
        self.private_failed |= apex.is_private() && apex.on_failure().is_none();
        (apex.on_failure() == Some(OnFailure::Stop)).then(|| self.temporary())
    }

    fn read(&self, apex: &Apex, candidate: &Candidate) -> Reading {
        if candidate.service.kind() == "unused" {
            return Reading::Unused;
        }
        if candidate.service.kind() == "pstn" {
            return self.read_portability(apex, candidate);
        }
        let lead = match &candidate.target {
            Target::Mailbox(mailbox) => user::of_mailbox(mailbox, self.number),
            Target::Opaque => user::domain_of(&candidate.uri).map(|domain| (None, domain)),
            Target::Telephone(_) => None,
        };
        let Some((user, domain)) = lead else {
            return Reading::PassedOver("its URI names no domain that could serve a person".into());
        };
        if !apex.allows(&domain) {
            return Reading::PassedOver(format!("this apex may not lead to {domain}"));
        }
        let lead = Lead { user, domain };
        if is_sibling(&candidate.service, self.service) {
            Reading::Sibling(lead)
        } else {
            Reading::Lead(lead)
        }
    }

    fn read_portability(&self, apex: &Apex, candidate: &Candidate) -> Reading {
        let Target::Telephone(telephone) = &candidate.target else {
            return Reading::PassedOver("its URI has no number".into());
        };
        if !apex.is_private() {
            return Reading::PassedOver("portability data is taken from private apexes only".into());
        }
        let numbers = [&telephone.params.cic, &telephone.params.rn];
        if telephone.params.route_on() == RouteOn::Number {
            return Reading::PassedOver("the number is not ported".into());
        }
        let known = numbers
            .into_iter()
            .flatten()
            .find_map(|routing| self.rules.routing_number(&routing.number));
        match known {
            Some((_, domain)) => Reading::Ported(Lead {
                user: None,
                domain: domain.clone(),
            }),
            None => Reading::PassedOver("its routing number is in no entry of routing_numbers".into()),
        }
    }

    /// The leads that may be tried one after the other: those of the first one's ORDER, each domain once.
    fn within_order(&self, apex: &Apex, selected: &Selected, leads: Vec<(usize, Lead)>) -> Vec<Lead> {
        let first = leads.first().map_or(0, |(place, _)| *place);
        let alternatives = selected.alternatives(first);
        let may = |place: usize| {
            apex.config.cross_order
                || selected
                    .candidates
                    .get(place)
                    .is_some_and(|one| alternatives.iter().any(|other| std::ptr::eq(*other, one)))
        };
        let mut kept: Vec<Lead> = Vec::new();
        for (place, lead) in leads {
            if may(place) && kept.len() < MAX_LEADS && kept.iter().all(|one| one.domain != lead.domain) {
                kept.push(lead);
            }
        }
        kept
    }

    fn finish(&mut self) -> NumberStep {
        let verdict = if !self.spare.is_empty() {
            NumberVerdict::Leads(std::mem::take(&mut self.spare))
        } else if self.failures.is_empty() {
            NumberVerdict::Absent
        } else {
            self.temporary()
        };
        self.done(verdict)
    }

    fn temporary(&self) -> NumberVerdict {
        NumberVerdict::Temporary(format!("ENUM can't be asked now: {}", self.failures.join("; ")))
    }

    fn done(&mut self, verdict: NumberVerdict) -> NumberStep {
        NumberStep::Done(NumberOutcome {
            verdict,
            dies: self.outcome.dies,
            steps: std::mem::take(&mut self.outcome.steps),
        })
    }

    fn remark(&mut self, apex: &Apex, text: &str) {
        let step = remark(format!("apex {}", apex.name), FactSource::Config, text);
        self.outcome.steps.push(step);
    }

    fn note(&mut self, candidate: &Candidate, text: &str) {
        let line = format!("{} {}: {text}", candidate.service, candidate.uri);
        if let Some(owner) = candidate.owner() {
            self.pass_over(owner, line);
        }
    }

    /// Writes a line into the step of the RRset that it is about.
    fn pass_over(&mut self, owner: &Name, line: String) {
        let place = self.asked.iter().position(|name| name == owner).unwrap_or(0);
        if let Some(step) = self.outcome.steps.get_mut(self.first_step + place) {
            step.passed_over.push(line);
        }
    }
}

/// Domains that one number may be tried at.
const MAX_LEADS: usize = 4;
