//! Turns for work beside the traffic: few at once, each name once in a while, and so many names in that while.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::plan::RouteService;
use crate::model::{Timestamp, WvAddress};

/// Who had a turn, and room for those who have one now.
#[derive(Debug)]
pub(super) struct Turns {
    room: Arc<Semaphore>,
    /// Until when a name has no other turn.
    had: Mutex<HashMap<(String, RouteService), Timestamp>>,
    pause: Duration,
    most: usize,
}

impl Turns {
    /// `at_once` turns at one time; a name once in `pause`, and in that time `most` names.
    pub(super) fn new(at_once: usize, pause: Duration, most: usize) -> Self {
        Self {
            room: Arc::new(Semaphore::new(at_once)),
            had: Mutex::new(HashMap::new()),
            pause,
            most,
        }
    }

    /// A turn, which lasts as long as it is held; `None` when there is none now.
    pub(super) fn take(
        &self,
        address: &WvAddress,
        service: RouteService,
        now: Timestamp,
    ) -> Option<OwnedSemaphorePermit> {
        let room = Arc::clone(&self.room).try_acquire_owned().ok()?;
        let key = (address.key(), service);
        let mut had = self.had.lock().unwrap_or_else(PoisonError::into_inner);
        if had.get(&key).is_some_and(|until| now < *until) {
            return None;
        }
        if had.len() >= self.most {
            had.retain(|_, until| now < *until);
        }
        if had.len() >= self.most {
            return None;
        }
        had.insert(key, now.plus(self.pause));
        Some(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_few_at_once_and_few_in_a_while() {
        let turns = Turns::new(2, Duration::from_secs(30), 3);
        let now = Timestamp::from_seconds(1000);
        let take = |name: &str, now| {
            let address = format!("wv:{name}@op.example").parse().unwrap();
            turns.take(&address, RouteService::Im, now)
        };
        let held = (take("a", now), take("b", now));
        assert!(held.0.is_some() && held.1.is_some());
        assert!(take("c", now).is_none(), "two at once");
        drop(held);
        assert!(take("a", now).is_none(), "once in a while");
        assert!(take("c", now).is_some());
        assert!(take("d", now).is_none(), "three names in a while");
        let later = now.plus(Duration::from_secs(30));
        assert!(take("d", later).is_some() && take("a", later).is_some());
    }
}
