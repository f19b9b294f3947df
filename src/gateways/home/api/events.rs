//! `GET /v1/events`: what happens, as it happens (server-sent events, WHATWG HTML §9.2).
//!
//! A device that names the last event it saw (`Last-Event-ID`) gets what came since. Any other gets its inbox and the
//! known presence of the people it watches. Then comes `ready`, then what happens. Events with an `inbox_id` wait until a
//! device acknowledges them, so after a broken connection some may come twice.

use std::{
    collections::{HashSet, VecDeque},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use axum::{
    extract::State,
    http::HeaderMap,
    response::sse::{self, KeepAlive, Sse},
};
use futures_util::{Stream, stream};
use serde::Serialize;

use super::{
    super::{
        HomeDomain,
        arrival::is_pushed,
        event::{Event, PresenceView},
        stream::{Joined, Kept, Missed, Streamed},
        subscriber::Subscriber,
    },
    caller::Caller,
    problem::Problem,
};

pub(crate) async fn events(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, Problem> {
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let most = home.config.limits.connections;
    let joined = caller.subscriber.state().streams.join(&caller.device, last, most);
    let Some(joined) = joined else {
        return Err(Problem::new(
            429,
            503,
            "too-many-streams",
            format!("at most {most} streams may be open at once"),
        ));
    };
    home.update_online(&caller.subscriber);
    let connection = Connection::new(home, caller, joined);
    let events = stream::unfold(connection, |mut connection| async move {
        let streamed = connection.next().await?;
        Some((Ok(to_sse(&streamed)), connection))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// One open stream; what is left of it when it is dropped is the time at which the device was last seen.
struct Connection {
    home: Arc<HomeDomain>,
    subscriber: Arc<Subscriber>,
    device: String,
    id: u64,
    phase: Phase,
    /// Events ready to be sent.
    ready: VecDeque<Streamed>,
    /// Sent from the inbox on the way to the present; the same ones may also come live.
    replayed: HashSet<u64>,
    /// The place that the order had reached at the beginning.
    reached: String,
    live: tokio::sync::mpsc::Receiver<Streamed>,
}

/// How far the device has been brought up to the present.
enum Phase {
    Missed(VecDeque<(String, Kept)>),
    /// The inbox, after this event.
    Inbox(Option<u64>),
    Live,
}

impl Connection {
    fn new(home: Arc<HomeDomain>, caller: Caller, joined: Joined) -> Self {
        let phase = match joined.missed {
            Missed::These(missed) => Phase::Missed(missed.into()),
            Missed::All => Phase::Inbox(None),
        };
        Self {
            home,
            subscriber: caller.subscriber,
            device: caller.device,
            id: joined.id,
            phase,
            ready: VecDeque::new(),
            replayed: HashSet::new(),
            reached: joined.now,
            live: joined.events,
        }
    }

    /// The next event; `None` ends the stream: the device was logged out or does not keep up, or the store failed.
    async fn next(&mut self) -> Option<Streamed> {
        loop {
            if let Some(streamed) = self.ready.pop_front() {
                return Some(streamed);
            }
            match &mut self.phase {
                Phase::Missed(missed) => match missed.pop_front() {
                    Some((place, kept)) => self.replay(place, kept).await?,
                    None => self.go_live(),
                },
                Phase::Inbox(after) => {
                    let after = *after;
                    self.read_inbox(after).await?;
                }
                Phase::Live => {
                    let streamed = self.live.recv().await?;
                    let was_replayed = streamed.inbox.is_some_and(|id| self.replayed.remove(&id));
                    if !was_replayed {
                        return Some(streamed);
                    }
                }
            }
        }
    }

    async fn replay(&mut self, place: String, kept: Kept) -> Option<()> {
        let (inbox, event) = match kept {
            Kept::Passing(event) => (None, event),
            Kept::Inbox(id) => match self.home.waiting_event(&self.subscriber, id).await.ok()? {
                Some(stored) => (Some(id), Arc::new(stored.event)),
                None => return Some(()),
            },
        };
        let place = Some(place);
        self.ready.push_back(Streamed { place, inbox, event });
        Some(())
    }

    async fn read_inbox(&mut self, after: Option<u64>) -> Option<()> {
        let page = self.home.waiting(&self.subscriber, after, PAGE).await.ok()?;
        let Some((last, _)) = page.last() else {
            self.read_presence();
            self.go_live();
            return Some(());
        };
        self.phase = Phase::Inbox(Some(*last));
        let state = self.subscriber.state();
        for (id, stored) in page {
            if !is_pushed(&state, &stored.event) {
                continue;
            }
            self.replayed.insert(id);
            self.ready.push_back(Streamed {
                place: None,
                inbox: Some(id),
                event: Arc::new(stored.event),
            });
        }
        Some(())
    }

    fn read_presence(&mut self) {
        let state = self.subscriber.state();
        let relations = &state.relations;
        for (person, presence) in &relations.known {
            let contact = relations.contacts.get(person).map(|contact| &contact.address);
            let address = contact.or_else(|| relations.watching.get(person).map(|one| &one.address));
            let Some(address) = address.cloned() else { continue };
            let presence = PresenceView::from(presence);
            self.ready.push_back(Streamed {
                place: None,
                inbox: None,
                event: Arc::new(Event::Presence { address, presence }),
            });
        }
    }

    fn go_live(&mut self) {
        self.phase = Phase::Live;
        self.ready.push_back(Streamed {
            place: Some(self.reached.clone()),
            inbox: None,
            event: Arc::new(Event::Ready {}),
        });
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let now = self.home.clock.now();
        let state = &mut *self.subscriber.state();
        state.streams.leave(self.id);
        if let Some(device) = state.devices.get_mut(&self.device) {
            device.last_seen = now;
        }
    }
}

fn to_sse(streamed: &Streamed) -> sse::Event {
    #[derive(Serialize)]
    struct Shown<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        inbox_id: Option<u64>,
        #[serde(flatten)]
        event: &'a Event,
    }
    let shown = Shown {
        inbox_id: streamed.inbox,
        event: &streamed.event,
    };
    let json = serde_json::to_string(&shown).unwrap_or_default();
    let event = sse::Event::default().event(streamed.event.name()).data(json);
    match &streamed.place {
        Some(place) => event.id(place),
        None => event,
    }
}

const KEEP_ALIVE: Duration = Duration::from_secs(15);
const PAGE: usize = 50;
