//! Turns: what a peer asks in one conversation is worked on in the order in which it arrived, whatever documents it came in.
//!
//! A turn is taken when its document arrives, before that is acknowledged, and is over when it is dropped. All turns of one
//! request are taken at once, so two requests never wait for one another.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Semaphore;

/// The last turn taken in each conversation that has one.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<String, Arc<Semaphore>>>);

/// One request's place in its conversations.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    conversations: Vec<String>,
    /// Closed when this turn is over.
    over: Arc<Semaphore>,
    before: Vec<Arc<Semaphore>>,
}

impl Turns {
    /// The next turn in these conversations.
    pub(super) fn take(self: &Arc<Self>, conversations: Vec<String>) -> Turn {
        let over = Arc::new(Semaphore::new(0));
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = Vec::new();
        for conversation in &conversations {
            let earlier = last.insert(conversation.clone(), Arc::clone(&over));
            // A conversation that is named twice is one.
            before.extend(earlier.filter(|earlier| !Arc::ptr_eq(earlier, &over)));
        }
        Turn {
            turns: Arc::clone(self),
            conversations,
            over,
            before,
        }
    }
}

impl Turn {
    /// Waits until all turns that were taken before are over.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub(super) async fn comes(&self) {
        for earlier in &self.before {
            // Nobody adds a permit: this ends when the semaphore is closed.
            let _ = earlier.acquire().await;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut last = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        for conversation in &self.conversations {
            let is_last = last
                .get(conversation)
                .is_some_and(|last| Arc::ptr_eq(last, &self.over));
            if is_last {
                last.remove(conversation);
            }
        }
        self.over.close();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn turns_come_in_order_and_conversations_apart() {
        let turns = Arc::new(Turns::default());
        let first = turns.take(vec!["ada bea".into(), "ada bea".into()]);
        let both = turns.take(vec!["ada gil".into(), "ada bea".into()]);
        let last = turns.take(vec!["ada gil".into()]);
        let other = turns.take(vec!["bea ada".into()]);
        assert!(first.comes().now_or_never().is_some());
        assert!(other.comes().now_or_never().is_some());
        assert!(both.comes().now_or_never().is_none());
        drop(first);
        assert!(both.comes().now_or_never().is_some());
        assert!(last.comes().now_or_never().is_none());
        drop(both);
        assert!(last.comes().now_or_never().is_some());
    }

    #[test]
    fn turns_that_are_over_are_forgotten() {
        let turns = Arc::new(Turns::default());
        let (first, second) = (turns.take(vec!["a".into()]), turns.take(vec!["a".into()]));
        drop(second);
        drop(first);
        assert!(turns.0.lock().unwrap().is_empty());
    }
}
