//! A handset: a subscriber's client of the home domain's API, with its stream of events.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

/// A logged-in subscriber's device.
#[derive(Debug)]
pub struct Handset {
    /// Whose, for people.
    pub name: String,
    /// The address that others know him by.
    pub address: String,
    /// His token, to try calls by hand.
    pub token: String,
    base: String,
    http: reqwest::Client,
    events: mpsc::UnboundedReceiver<(String, Value)>,
    unread: Vec<(String, Value)>,
}

/// Why a call or a wait came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum HandsetError {
    /// The API can't be reached.
    #[error("the subscriber API can't be reached: {0}")]
    Http(#[from] reqwest::Error),
    /// The API refused.
    #[error("{call} was refused: {answer}")]
    Refused {
        /// Method and path.
        call: String,
        /// What it said.
        answer: Value,
    },
    /// An event did not come in time.
    #[error("no {event} event that {wanted} came within {waited:?}")]
    NoEvent {
        /// Its kind.
        event: String,
        /// What it should say.
        wanted: String,
        /// How long.
        waited: Duration,
    },
}

impl Handset {
    /// Logs in and listens.
    ///
    /// # Errors
    /// [`HandsetError`].
    pub async fn log_in(base: &str, user: &str, password: &str) -> Result<Self, HandsetError> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let (sender, events) = mpsc::unbounded_channel();
        let mut handset = Self {
            name: user.to_owned(),
            address: String::new(),
            token: String::new(),
            base: base.to_owned(),
            http,
            events,
            unread: Vec::new(),
        };
        let answer = handset
            .call("POST", "/v1/login", json!({ "user": user, "password": password }))
            .await?;
        let text = |key: &str| {
            answer
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        (handset.token, handset.address) = (text("token"), text("address"));
        let me = handset.call("GET", "/v1/me", Value::Null).await?;
        if let Some(name) = me.get("friendly_name").and_then(Value::as_str) {
            name.clone_into(&mut handset.name);
        }
        let stream = handset
            .request("GET", "/v1/events")
            .header("accept", "text/event-stream")
            .send()
            .await?;
        tokio::spawn(read_events(stream, sender));
        Ok(handset)
    }

    /// One call; `Value::Null` sends no body.
    ///
    /// # Errors
    /// [`HandsetError`].
    pub async fn call(&self, method: &str, path: &str, body: Value) -> Result<Value, HandsetError> {
        let mut request = self.request(method, path);
        if !body.is_null() {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let is_good = response.status().is_success();
        let answer: Value = response.json().await.unwrap_or(Value::Null);
        if is_good {
            Ok(answer)
        } else {
            Err(HandsetError::Refused {
                call: format!("{method} {path}"),
                answer,
            })
        }
    }

    /// Waits for an event that fits; others are kept for later waits.
    ///
    /// # Errors
    /// [`HandsetError::NoEvent`] after five seconds.
    pub async fn event(
        &mut self,
        kind: &str,
        wanted: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> Result<Value, HandsetError> {
        if let Some(index) = self
            .unread
            .iter()
            .position(|(one, body)| one == kind && fits(body))
        {
            return Ok(self.unread.remove(index).1);
        }
        let waited = Duration::from_secs(5);
        let search = async {
            while let Some((one, body)) = self.events.recv().await {
                if one == kind && fits(&body) {
                    return Some(body);
                }
                self.unread.push((one, body));
            }
            None
        };
        let none = || HandsetError::NoEvent {
            event: kind.to_owned(),
            wanted: wanted.to_owned(),
            waited,
        };
        tokio::time::timeout(waited, search)
            .await
            .ok()
            .flatten()
            .ok_or_else(none)
    }

    /// Takes an event out of the inbox, when it came from there, so that no other device shows it again.
    pub async fn acknowledge<E>(&self, event: &Result<Value, E>) {
        let id = event
            .as_ref()
            .ok()
            .and_then(|event| event.get("inbox_id")?.as_u64());
        if let Some(id) = id {
            let path = format!("/v1/inbox/{id}/ack");
            if let Err(error) = self.call("POST", &path, Value::Null).await {
                tracing::info!(%error, "an event could not be acknowledged");
            }
        }
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().unwrap_or(reqwest::Method::GET);
        self.http
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.token)
    }
}

/// Reads `event:` and `data:` lines until the stream ends.
async fn read_events(mut stream: reqwest::Response, sender: mpsc::UnboundedSender<(String, Value)>) {
    let mut buffer = Vec::new();
    let mut kind = String::new();
    while let Ok(Some(chunk)) = stream.chunk().await {
        buffer.extend_from_slice(&chunk);
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end();
            if let Some(name) = line.strip_prefix("event:") {
                name.trim().clone_into(&mut kind);
            } else if let Some(data) = line.strip_prefix("data:") {
                let body = serde_json::from_str(data.trim()).unwrap_or(Value::Null);
                if sender.send((kind.clone(), body)).is_err() {
                    return;
                }
            }
        }
    }
}
