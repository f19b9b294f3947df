//! Passes on to another node what somebody else has asked of this one, and its answer as it is made: streams of events too.
//!
//! A stream may stay open for days and its reader may be slow, so these requests have connections of their own: each carries so
//! many streams at most that all of them together, unread, leave it room, and there are as many connections as that takes.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Body, Frame, Incoming, SizeHint},
    header::{HOST, HeaderValue},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Cluster, ClusterError, DialTls, FROM, Member,
    client::{Fault, Sender, Windows, dial},
};

/// Connections on which requests are passed on.
pub(super) struct Passing {
    me: String,
    tls: DialTls,
    lines: Mutex<HashMap<String, Arc<Lines>>>,
}

/// The connections to one process; locked while one is made.
type Lines = tokio::sync::Mutex<Vec<Line>>;

struct Line {
    sender: Sender,
    /// For streams that it may yet carry.
    room: Arc<Semaphore>,
}

/// An answer, as the other node makes it.
#[derive(Debug)]
pub struct PassedBody {
    body: Incoming,
    _room: OwnedSemaphorePermit,
}

impl Cluster {
    /// Passes a request on and waits for the head of its answer, for as long as the caller does. The path says for whom it is.
    ///
    /// # Errors
    /// [`ClusterError`]; ask it `was_not_done`.
    ///
    /// # Cancel safety
    /// When dropped half-way, the other node may or may not do what was asked.
    pub async fn pass_on(
        &self,
        to: &Member,
        topic: &'static str,
        request: Request<Bytes>,
    ) -> Result<Response<PassedBody>, ClusterError> {
        let (node, address) = (to.node.clone(), to.address.clone());
        self.passing()
            .exchange(to, request)
            .await
            .map_err(|fault| match fault {
                Fault::NotSent(reason) => ClusterError::Unreachable {
                    node,
                    address,
                    reason,
                },
                Fault::Lost(reason) => ClusterError::Silent { node, topic, reason },
                Fault::Refused(reason) => ClusterError::Refused { node, topic, reason },
            })
    }
}

impl Passing {
    pub(super) fn new(me: String, tls: DialTls) -> Self {
        let lines = Mutex::default();
        Self { me, tls, lines }
    }

    /// Closes the connections to processes that are not among these, once nothing comes over them.
    pub(super) fn keep_only(&self, members: &[Member]) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|incarnation, _| members.iter().any(|member| member.incarnation == *incarnation));
    }

    async fn exchange(&self, to: &Member, request: Request<Bytes>) -> Result<Response<PassedBody>, Fault> {
        loop {
            let (mut sender, room, is_fresh) = self.line(to).await?;
            if let Err(error) = sender.ready().await {
                if is_fresh {
                    return Err(Fault::NotSent(error.to_string()));
                }
                continue;
            }
            let answer = match sender.try_send_request(self.addressed(to, &request)?).await {
                Ok(answer) => answer,
                // It was closed while nobody looked: another one, once.
                Err(failed) if failed.message().is_some() && !is_fresh => continue,
                Err(failed) => return Err(Fault::of(failed)),
            };
            return Ok(answer.map(|body| PassedBody { body, _room: room }));
        }
    }

    fn addressed(&self, to: &Member, request: &Request<Bytes>) -> Result<Request<Full<Bytes>>, Fault> {
        let not_sent = |error: &dyn std::fmt::Display| Fault::NotSent(error.to_string());
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let mut addressed = Request::builder()
            .method(request.method())
            .uri(format!("https://{}{path}", to.node))
            .body(Full::new(request.body().clone()))
            .map_err(|error| not_sent(&error))?;
        let me = HeaderValue::from_str(&self.me).map_err(|error| not_sent(&error))?;
        let headers = addressed.headers_mut();
        headers.clone_from(request.headers());
        headers.remove(HOST);
        headers.insert(FROM, me);
        Ok(addressed)
    }

    /// A connection with room for one more stream, and whether it was made just now.
    async fn line(&self, to: &Member) -> Result<(Sender, OwnedSemaphorePermit, bool), Fault> {
        let lines = self.lines_to(to);
        let mut lines = lines.lock().await;
        lines.retain(|line| !line.sender.is_closed());
        for line in lines.iter() {
            if let Ok(room) = Arc::clone(&line.room).try_acquire_owned() {
                return Ok((line.sender.clone(), room, false));
            }
        }
        if lines.len() >= LINES {
            return Err(Fault::NotSent("as much is passed on to it as may be".to_owned()));
        }
        let sender = dial(to, &self.tls, &WINDOWS).await?;
        let room = Arc::new(Semaphore::new(STREAMS));
        let first = Arc::clone(&room).try_acquire_owned();
        let first = first.map_err(|error| Fault::NotSent(error.to_string()))?;
        lines.push(Line {
            sender: sender.clone(),
            room,
        });
        Ok((sender, first, true))
    }

    fn lines_to(&self, to: &Member) -> Arc<Lines> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lines.entry(to.incarnation.clone()).or_default())
    }
}

impl Body for PassedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Streams on one connection; the listener of nodes takes a few more.
const STREAMS: usize = 240;
/// Connections to one process; the listener of nodes takes a few more from one source.
const LINES: usize = 60;
/// All streams of a connection, unread, leave it room.
const WINDOWS: Windows = Windows {
    stream: 64 * 1024,
    connection: 16 * 1024 * 1024,
};
