//! One harmless HTTP request: an SSP server takes documents by POST only, so a GET is refused and shows that it is alive.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{
    Request, Response, StatusCode,
    client::conn::{http1, http2},
    header::HOST,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{super::finding::Findings, words};

/// Asks, and says what came back; `None` when nothing usable did.
pub(super) async fn greet<S>(
    stream: S,
    is_http2: bool,
    about: &str,
    patience: Duration,
    findings: &mut Findings,
) -> Option<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let version = if is_http2 { "HTTP/2" } else { "HTTP/1.1" };
    match tokio::time::timeout(patience, status(stream, is_http2, about)).await {
        Ok(Ok(status)) if status.is_server_error() => {
            let text = format!("{version} answers {status}");
            findings.warn(about, text, "the peer's server is up and unwell; ask the peer");
            Some(())
        }
        Ok(Ok(status)) => {
            let meaning = match status {
                StatusCode::METHOD_NOT_ALLOWED => "as an SSP server does to a GET",
                _ => "it is alive; whether it speaks SSP shows when a session opens",
            };
            findings.ok(about, format!("{version} answers {status}: {meaning}"));
            Some(())
        }
        Ok(Err(error)) => {
            let (text, advice) = words::exchange(&error);
            findings.fail(about, text, advice);
            None
        }
        Err(_) => {
            let text = format!("{version}: no answer in {} s", patience.as_secs());
            findings.fail(
                about,
                text,
                "the peer's server takes connections and does not answer; ask the peer",
            );
            None
        }
    }
}

async fn status<S>(stream: S, is_http2: bool, about: &str) -> Result<StatusCode, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut request = Request::new(Empty::<Bytes>::new());
    if is_http2 {
        if let Ok(uri) = format!("https://{about}/").parse() {
            *request.uri_mut() = uri;
        }
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        return exchanged(sender.send_request(request), connection).await;
    }
    if let Ok(host) = about.parse() {
        request.headers_mut().insert(HOST, host);
    }
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    exchanged(sender.send_request(request), connection).await
}

/// The answer's status. When the connection ended first, its own reason tells more than that the request was not sent.
async fn exchanged<B>(
    answer: impl Future<Output = Result<Response<B>, hyper::Error>>,
    connection: impl Future<Output = Result<(), hyper::Error>> + Send + 'static,
) -> Result<StatusCode, hyper::Error> {
    let connection = tokio::spawn(connection);
    match answer.await {
        Ok(response) => Ok(response.status()),
        Err(error) if error.is_canceled() || error.is_closed() => match connection.await {
            Ok(Err(reason)) => Err(reason),
            Ok(Ok(())) | Err(_) => Err(error),
        },
        Err(error) => Err(error),
    }
}
