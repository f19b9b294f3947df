//! The event streams of one subscriber: who is connected, what they missed, where a device that comes back goes on.
//!
//! Every event gets a place in the stream's order. Of events in the inbox only the ID is remembered, their text lies in
//! the store; passing events are kept in a ring. A device that names the last place it saw goes on from there when the
//! ring still reaches back that far; otherwise it gets its whole inbox and is told to read the rest anew. A device that
//! does not keep up is disconnected, and comes back the same way.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::mpsc;

use super::event::Event;

/// An event on its way to a device.
#[derive(Clone, Debug)]
pub(crate) struct Streamed {
    /// Its place, as the stream's `id:` line shows it; absent for what is sent outside the order.
    pub(crate) place: Option<String>,
    /// The ID under which the device acknowledges it; absent for passing events.
    pub(crate) inbox: Option<u64>,
    pub(crate) event: Arc<Event>,
}

/// The streams of one subscriber.
#[derive(Debug)]
pub(crate) struct Streams {
    /// Differs at every start of the program: places of an earlier run mean nothing now.
    epoch: u64,
    /// The place of the next event.
    next: u64,
    ring: VecDeque<(u64, Kept)>,
    /// Every event after this place is in the ring.
    reach: u64,
    /// Nobody is online to come back: nothing is remembered.
    is_asleep: bool,
    listeners: Vec<Listener>,
    /// Connections so far; names them.
    joined: u64,
    /// Events that the ring holds at most.
    size: usize,
}

/// What the ring remembers of an event.
#[derive(Clone, Debug)]
pub(crate) enum Kept {
    /// It lies in the inbox, if it has not been acknowledged since.
    Inbox(u64),
    Passing(Arc<Event>),
}

#[derive(Debug)]
struct Listener {
    id: u64,
    device: String,
    sender: mpsc::Sender<Streamed>,
}

/// What a device that connects has missed.
#[derive(Debug)]
pub(crate) enum Missed {
    /// Exactly these.
    These(Vec<(String, Kept)>),
    /// More than is remembered: everything in the inbox, and the present state.
    All,
}

/// A connected device's end of its stream.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) id: u64,
    /// The place that the order has reached.
    pub(crate) now: String,
    pub(crate) missed: Missed,
    pub(crate) events: mpsc::Receiver<Streamed>,
}

impl Streams {
    pub(crate) fn new(epoch: u64, size: usize) -> Self {
        Self {
            epoch,
            next: 1,
            ring: VecDeque::new(),
            reach: 0,
            is_asleep: true,
            listeners: Vec::new(),
            joined: 0,
            size,
        }
    }

    /// Sends an event to every connected device and remembers it for those that come back.
    pub(crate) fn send(&mut self, inbox: Option<u64>, event: &Arc<Event>) {
        let place = self.next;
        self.next += 1;
        if self.is_asleep {
            self.reach = place;
            return;
        }
        let kept = inbox.map_or_else(|| Kept::Passing(Arc::clone(event)), Kept::Inbox);
        if self.ring.len() >= self.size
            && let Some((dropped, _)) = self.ring.pop_front()
        {
            self.reach = dropped;
        }
        self.ring.push_back((place, kept));
        let streamed = Streamed {
            place: Some(self.text(place)),
            inbox,
            event: Arc::clone(event),
        };
        // A full or closed channel ends the connection; the device comes back and names the last place it saw.
        self.listeners
            .retain(|listener| listener.sender.try_send(streamed.clone()).is_ok());
    }

    /// Connects a device that has seen everything up to `last`; `None` when `most` are connected already.
    pub(crate) fn join(&mut self, device: &str, last: Option<&str>, most: usize) -> Option<Joined> {
        self.listeners.retain(|listener| !listener.sender.is_closed());
        if self.listeners.len() >= most {
            return None;
        }
        let (sender, events) = mpsc::channel(CHANNEL);
        let missed = last
            .and_then(|last| self.missed(last))
            .map_or(Missed::All, Missed::These);
        self.is_asleep = false;
        self.joined += 1;
        let id = self.joined;
        self.listeners.push(Listener {
            id,
            device: device.to_owned(),
            sender,
        });
        let now = self.text(self.next.saturating_sub(1));
        Some(Joined {
            id,
            now,
            missed,
            events,
        })
    }

    /// Disconnects a stream.
    pub(crate) fn leave(&mut self, id: u64) {
        self.listeners.retain(|listener| listener.id != id);
    }

    /// Disconnects all streams of a device.
    pub(crate) fn leave_device(&mut self, device: &str) {
        self.listeners.retain(|listener| listener.device != device);
    }

    /// Disconnects all streams.
    pub(crate) fn leave_all(&mut self) {
        self.listeners.clear();
    }

    /// Whether the device is connected.
    pub(crate) fn has(&self, device: &str) -> bool {
        self.listeners
            .iter()
            .any(|listener| listener.device == device && !listener.sender.is_closed())
    }

    /// Forgets the ring: nobody is online, so nobody comes back to it.
    pub(crate) fn fall_asleep(&mut self) {
        self.ring.clear();
        self.reach = self.next.saturating_sub(1);
        self.is_asleep = true;
    }

    fn missed(&self, last: &str) -> Option<Vec<(String, Kept)>> {
        let (epoch, place) = last.split_once('-')?;
        let place: u64 = place.parse().ok()?;
        if epoch.parse() != Ok(self.epoch) || place >= self.next {
            return None;
        }
        if place < self.reach {
            return None;
        }
        let after = self.ring.iter().filter(|(at, _)| *at > place);
        Some(after.map(|(at, kept)| (self.text(*at), kept.clone())).collect())
    }

    fn text(&self, place: u64) -> String {
        format!("{}-{place}", self.epoch)
    }
}

/// Events that may wait for one slow device before it is disconnected.
const CHANNEL: usize = 128;
