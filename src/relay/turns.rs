//! Turns: what was said first in a conversation is stored first, and the newest presence is told last.
//!
//! A request takes its turns when it is admitted, before it is known whether it goes at once or waits, and gives them back
//! when what became of it is committed. Messages don't wait for their turn on the way out; only what must be stored waits
//! until everything before it has ended. Notifications wait for theirs, because only the newest of them counts.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

/// The turns of all conversations.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    /// The number of the last turn taken.
    last: u64,
    open: HashMap<Arc<str>, Line>,
}

#[derive(Debug, Default)]
struct Line {
    /// Turns taken and not given back, oldest first.
    open: VecDeque<u64>,
    /// Wakes those who wait when a turn is given back; there once somebody has waited.
    given_back: Option<Arc<Notify>>,
}

impl Turns {
    /// Takes the next turn of each conversation, of all at the same moment, so that two requests never wait for one
    /// another; one turn where a conversation is named twice.
    pub(super) fn take(&self, conversations: impl IntoIterator<Item = String>) -> Vec<Turn<'_>> {
        self.with(|lines| {
            let before = lines.last;
            let mut taken = Vec::new();
            for conversation in conversations {
                let conversation: Arc<str> = conversation.into();
                let line = lines.open.entry(Arc::clone(&conversation)).or_default();
                if line.open.back().is_some_and(|last| *last > before) {
                    continue;
                }
                lines.last += 1;
                line.open.push_back(lines.last);
                taken.push(Turn {
                    turns: self,
                    conversation,
                    number: lines.last,
                });
            }
            taken
        })
    }

    /// How many turns of a conversation are out.
    #[cfg(test)]
    pub(super) fn out(&self, conversation: &str) -> usize {
        self.with(|lines| lines.open.get(conversation).map_or(0, |line| line.open.len()))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Lines) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A turn in one conversation; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    conversation: Arc<str>,
    number: u64,
}

impl Turn<'_> {
    /// Which conversation.
    pub(super) fn conversation(&self) -> &str {
        &self.conversation
    }

    /// Waits until every earlier turn of the conversation was given back.
    ///
    /// # Cancel safety
    /// Cancel safe: the turn stays taken until it is dropped.
    pub(super) async fn comes(&self) {
        while let Some(given_back) = self.waits_for() {
            // It hears of everything from here on, so nothing falls between the look and the wait.
            let next = given_back.notified();
            if self.waits_for().is_none() {
                return;
            }
            next.await;
        }
    }

    /// Whether nobody took a turn of the conversation later.
    pub(super) fn is_newest(&self) -> bool {
        self.turns.with(|lines| {
            let line = lines.open.get(&self.conversation);
            line.and_then(|line| line.open.back()) == Some(&self.number)
        })
    }

    /// What wakes this turn; `None` when it is the first.
    fn waits_for(&self) -> Option<Arc<Notify>> {
        self.turns.with(|lines| {
            let line = lines.open.get_mut(&self.conversation)?;
            if line.open.front() == Some(&self.number) {
                return None;
            }
            Some(Arc::clone(line.given_back.get_or_insert_default()))
        })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.with(|lines| {
            let Some(line) = lines.open.get_mut(&self.conversation) else {
                return;
            };
            line.open.retain(|number| *number != self.number);
            if line.open.is_empty() {
                lines.open.remove(&self.conversation);
            } else if let Some(given_back) = &line.given_back {
                given_back.notify_waiters();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn turn_comes_when_every_earlier_one_was_given_back() {
        let turns = Turns::default();
        let take = || turns.take(["a>b".to_owned()]).remove(0);
        let (first, second, third) = (take(), take(), take());
        let mut comes = Box::pin(third.comes());
        assert_eq!(first.comes().now_or_never(), Some(()));
        assert_eq!(comes.as_mut().now_or_never(), None);
        drop(second);
        assert_eq!(comes.as_mut().now_or_never(), None, "the first is still out");
        drop(first);
        assert_eq!(comes.as_mut().now_or_never(), Some(()));
    }

    #[test]
    fn only_the_last_turn_of_a_conversation_is_the_newest() {
        let turns = Turns::default();
        let first = turns.take(["a>b".to_owned(), "a>c".to_owned()]);
        let second = turns.take(["a>b".to_owned()]);
        let newest: Vec<bool> = first.iter().chain(&second).map(Turn::is_newest).collect();
        assert_eq!(newest, [false, true, true]);
    }

    #[test]
    fn conversation_named_twice_does_not_wait_for_itself() {
        let turns = Turns::default();
        let taken = turns.take(["a>b".to_owned(), "a>b".to_owned()]);
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].comes().now_or_never(), Some(()));
    }

    #[test]
    fn nothing_is_left_of_turns_that_were_given_back() {
        let turns = Turns::default();
        drop(turns.take(["a>b".to_owned(), "a>c".to_owned()]));
        assert!(turns.with(|lines| lines.open.is_empty()));
    }
}
