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
    login: Login,
    events: mpsc::UnboundedReceiver<(String, Value)>,
    unread: Vec<(String, Value)>,
}

/// What a device has after its login: calls, and a stream of events.
#[derive(Debug)]
pub(super) struct Login {
    base: String,
    http: reqwest::Client,
    token: String,
    address: String,
}

/// The events of a device, in the order in which they come.
#[derive(Debug)]
pub(super) struct Events {
    stream: reqwest::Response,
    buffer: Vec<u8>,
    kind: String,
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
        let login = Login::new(base, user, password).await?;
        let me = login.call("GET", "/v1/me", Value::Null).await?;
        let name = me.get("friendly_name").and_then(Value::as_str);
        let name = name.unwrap_or(user).to_owned();
        let mut stream = login.events().await?;
        let (sender, events) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(event) = stream.next().await {
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            name,
            address: login.address.clone(),
            token: login.token.clone(),
            login,
            events,
            unread: Vec::new(),
        })
    }

    /// One call; `Value::Null` sends no body.
    ///
    /// # Errors
    /// [`HandsetError`].
    pub async fn call(&self, method: &str, path: &str, body: Value) -> Result<Value, HandsetError> {
        self.login.call(method, path, body).await
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
}

impl Login {
    /// Logs in.
    pub(super) async fn new(base: &str, user: &str, password: &str) -> Result<Self, HandsetError> {
        let mut login = Self {
            base: base.to_owned(),
            http: reqwest::Client::builder().no_proxy().build()?,
            token: String::new(),
            address: String::new(),
        };
        let asked = json!({ "user": user, "password": password });
        let answer = login.call("POST", "/v1/login", asked).await?;
        let text = |key: &str| {
            let text = answer.get(key).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        (login.token, login.address) = (text("token"), text("address"));
        Ok(login)
    }

    /// One call; `Value::Null` sends no body.
    pub(super) async fn call(&self, method: &str, path: &str, body: Value) -> Result<Value, HandsetError> {
        let mut request = self.request(method, path);
        if !body.is_null() {
            request = request.json(&body);
        }
        answered(request.send().await?, || format!("{method} {path}"))
            .await?
            .json()
            .await
            .or(Ok(Value::Null))
    }

    /// Everything that waits, and what happens from now on.
    pub(super) async fn events(&self) -> Result<Events, HandsetError> {
        let request = self.request("GET", "/v1/events");
        let response = request.header("accept", "text/event-stream").send().await?;
        Ok(Events {
            stream: answered(response, || "GET /v1/events".to_owned()).await?,
            buffer: Vec::new(),
            kind: String::new(),
        })
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().unwrap_or(reqwest::Method::GET);
        self.http
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.token)
    }
}

impl Events {
    /// The next event, by its name and body; `None` when the stream has ended.
    ///
    /// # Cancel safety
    /// Nothing is lost: what was read stays for the next call.
    pub(super) async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                let line = line.trim_end();
                if let Some(name) = line.strip_prefix("event:") {
                    name.trim().clone_into(&mut self.kind);
                } else if let Some(data) = line.strip_prefix("data:") {
                    let body = serde_json::from_str(data.trim()).unwrap_or(Value::Null);
                    return Some((self.kind.clone(), body));
                }
            }
            let chunk = self.stream.chunk().await.ok().flatten()?;
            self.buffer.extend_from_slice(&chunk);
        }
    }
}

/// A response that says yes.
async fn answered(
    response: reqwest::Response,
    call: impl FnOnce() -> String,
) -> Result<reqwest::Response, HandsetError> {
    if response.status().is_success() {
        return Ok(response);
    }
    let answer = response.json().await.unwrap_or(Value::Null);
    Err(HandsetError::Refused { call: call(), answer })
}
