//! Deciding, without I/O: facts go in, questions and at last a decision come out.
//!
//! `number` walks the apexes of a number, `ladder` the protocols of a domain. Each says what it needs to know, is told,
//! and writes down a step for every question, so a decision can be replayed from the same facts and explained.

mod ladder;
mod number;
mod sip;
mod user;

#[cfg(test)]
mod tests;

pub(super) use ladder::{DomainOutcome, Ladder, LadderStep};
pub(super) use number::{Lead, NumberOutcome, NumberStep, NumberVerdict, NumberWalk};

use super::fact::{Fact, Question};
use crate::model::{FactSource, RouteStep, Timestamp};

/// The step of a question that was answered.
fn answered(question: &Question, fact: &Fact, source: FactSource, now: Timestamp) -> RouteStep {
    let mut answer: Vec<String> = fact
        .aliases
        .iter()
        .map(|alias| format!("alias {alias}"))
        .collect();
    answer.extend(fact.lines());
    RouteStep {
        question: question.to_string(),
        source,
        ttl: Some(fact.ttl(now)),
        answer,
        passed_over: Vec::new(),
    }
}

/// A step that needed no question.
pub(super) fn remark(
    question: impl Into<String>,
    source: FactSource,
    answer: impl Into<String>,
) -> RouteStep {
    RouteStep {
        question: question.into(),
        source,
        ttl: None,
        answer: vec![answer.into()],
        passed_over: Vec::new(),
    }
}
