//! An HTTP/1.1 connection, which one exchange has for itself.
//!
//! The exchange drives the connection in its own task: a task of the connection would have to be woken for each request and
//! would wake the exchange for each answer. Between two exchanges nobody looks after it; that the server closed it meanwhile
//! turns out before the next request is written.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};

/// The two halves of a connection.
pub(super) struct Exclusive {
    sender: http1::SendRequest<Full<Bytes>>,
    /// What reads and writes; `None` once it has ended.
    driver: Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>,
}

impl Exclusive {
    /// Of hyper's two halves.
    pub(super) fn new<T>(
        sender: http1::SendRequest<Full<Bytes>>,
        connection: http1::Connection<hyper_util::rt::TokioIo<T>, Full<Bytes>>,
    ) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Self {
            sender,
            driver: Some(Box::pin(connection)),
        }
    }

    /// Waits until a request can be written; `false` when the connection has ended.
    pub(super) async fn is_ready(&mut self) -> bool {
        let Self { sender, driver } = self;
        driven(driver, sender.ready()).await.is_ok()
    }

    /// Sends one request and waits for the header of its answer.
    ///
    /// # Errors
    /// As [`http1::SendRequest::try_send_request`].
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>> {
        let sent = self.sender.try_send_request(request);
        driven(&mut self.driver, sent).await
    }

    /// Does something with the body of an answer, which comes only as long as the connection is driven.
    pub(super) async fn with<T>(&mut self, work: impl Future<Output = T>) -> T {
        driven(&mut self.driver, work).await
    }
}

impl fmt::Debug for Exclusive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exclusive")
            .field("has_ended", &self.driver.is_none())
            .finish_non_exhaustive()
    }
}

/// Drives the connection until the work is done. How the connection ends, the work hears from its other half.
async fn driven<T>(
    driver: &mut Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(done);
        }
        let Some(connection) = driver else {
            return Poll::Pending;
        };
        if connection.as_mut().poll(context).is_ready() {
            *driver = None;
        }
        // What the connection has for the work needs no other turn.
        work.as_mut().poll(context)
    })
    .await
}
