//! Counts what is under way, so that an orderly end can wait for it.
//!
//! Nothing is held up here: whoever ends the program first sees to it that nothing new begins.

use std::sync::Arc;

use tokio::sync::watch;

/// A count of things under way, shared by its clones.
#[derive(Clone, Debug)]
pub struct Underway(Arc<watch::Sender<usize>>);

impl Default for Underway {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Underway {
    /// Counts one thing until what is returned is dropped, however it ended.
    #[must_use]
    pub fn begin(&self) -> Begun {
        self.0.send_modify(|count| *count += 1);
        Begun(Arc::clone(&self.0))
    }

    /// Whether nothing is under way now.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        *self.0.borrow() == 0
    }

    /// Waits until nothing is under way.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn idle(&self) {
        let mut count = self.0.subscribe();
        let _ = count.wait_for(|count| *count == 0).await;
    }
}

/// One thing under way.
#[derive(Debug)]
pub struct Begun(Arc<watch::Sender<usize>>);

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}
