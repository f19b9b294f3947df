//! The three primitives that establish a session.
//!
//! The mode tells the role of the sender in the whole ladder, not the kind of primitive: a `LoginRequest` in Response mode
//! is normal. Source: SSP reference §4.

use std::time::Duration;

use super::digest::{PasswordDigest, Secret};
use super::document::{Mode, SessionId, TransactionId};
use super::flaw::Flaw;
use super::status::Status;
use super::xml::{Element, Wire, Writer};

/// One step of the ladder.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SetupTransaction {
    /// Request from the side that opened the ladder, Response from the other.
    pub mode: Mode,
    /// See SSP reference §4.3 for which side's ID stands in which step.
    pub id: TransactionId,
    /// What the step says.
    pub primitive: SetupPrimitive,
}

/// What a setup transaction holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SetupPrimitive {
    /// Steps 1 and 2.
    SendSecretToken(SendSecretToken),
    /// Steps 3 and 4.
    LoginRequest(LoginRequest),
    /// Steps 5 and 6, and how a handshake is failed.
    LoginResponse(Box<LoginResponse>),
    /// Not a setup primitive that this codec knows.
    Unknown {
        /// The element's name as written, without a prefix.
        name: String,
    },
    /// A setup primitive that can't be taken; the handshake fails. Never written.
    Malformed {
        /// The element's name as written; empty when there is no element.
        name: String,
        /// What is wrong with it.
        reason: Flaw,
    },
}

/// Hands a secret to the other side.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SendSecretToken {
    /// `wv:@domain` of the sender, as written.
    pub service_id: String,
    /// The version of SSP, `1.3`; two spellings of the attribute are read, and its absence is forgiven.
    pub protocol_version: Option<String>,
    /// The secret that the other side must prove to have received.
    pub secret: Secret,
}

/// Proves that the other side's secret was received.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LoginRequest {
    /// `wv:@domain` of the sender, as written.
    pub service_id: String,
    /// How long the sender wants the session to live, in whole seconds.
    pub time_to_live: Option<Duration>,
    /// Of the secret received from the other side.
    pub digest: PasswordDigest,
}

/// Announces the sender's session ID, or fails the handshake.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LoginResponse {
    /// The ID that the sender issues; absent when the handshake failed.
    pub session_id: Option<SessionId>,
    /// How long the sender wants the session to live, in whole seconds.
    pub time_to_live: Option<Duration>,
    /// Any 2xx is success.
    pub status: Status,
    /// URLs to try instead, in order, with `StatusCode::REDIRECT`; ours.
    pub redirects: Vec<String>,
}

impl SendSecretToken {
    /// The version of SSP that this codec speaks.
    pub const PROTOCOL_VERSION: &'static str = "1.3";

    /// Step 1 or 2 of the server `service_id` (`wv:@domain`).
    pub fn new(service_id: impl Into<String>, secret: Secret) -> Self {
        Self {
            service_id: service_id.into(),
            protocol_version: Some(Self::PROTOCOL_VERSION.to_owned()),
            secret,
        }
    }
}

impl SetupPrimitive {
    /// The element's name.
    pub fn name(&self) -> &str {
        match self {
            Self::SendSecretToken(_) => SendSecretToken::NAME,
            Self::LoginRequest(_) => LoginRequest::NAME,
            Self::LoginResponse(_) => LoginResponse::NAME,
            Self::Unknown { name } | Self::Malformed { name, .. } => name,
        }
    }

    pub(super) fn read(element: Element<'_, '_>) -> Self {
        let known = if element.is(SendSecretToken::NAME) {
            SendSecretToken::read(element).map(Self::SendSecretToken)
        } else if element.is(LoginRequest::NAME) {
            LoginRequest::read(element).map(Self::LoginRequest)
        } else if element.is(LoginResponse::NAME) {
            LoginResponse::read(element).map(|response| Self::LoginResponse(Box::new(response)))
        } else {
            return Self::Unknown {
                name: element.name().to_owned(),
            };
        };
        known.unwrap_or_else(|reason| Self::Malformed {
            name: element.name().to_owned(),
            reason,
        })
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        match self {
            Self::SendSecretToken(primitive) => writer.wire(primitive),
            Self::LoginRequest(primitive) => writer.wire(primitive),
            Self::LoginResponse(primitive) => writer.wire(&**primitive),
            Self::Unknown { name } => writer.empty_named(name),
            Self::Malformed { .. } => {}
        }
    }
}

impl Wire for SendSecretToken {
    const NAME: &'static str = "SendSecretToken";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        let token = element.child("SecretToken").ok_or(Flaw::MissingElement {
            element: Self::NAME,
            child: "SecretToken",
        })?;
        let secret = match token.attribute("encoding") {
            Some(encoding) if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("none") => {
                token.base64("SecretToken")?
            }
            Some(_) | None => token.text().as_bytes().to_vec(),
        };
        if secret.is_empty() {
            return Err(Flaw::BadValue {
                element: "SecretToken",
                reason: "the secret is empty",
            });
        }
        let version = element
            .scalar("protocolVersion")
            .or_else(|| element.scalar(ODD_PROTOCOL_VERSION));
        Ok(Self {
            service_id: element.required_attribute(Self::NAME, "serviceID")?,
            protocol_version: version.map(str::to_owned),
            secret: Secret::new(secret),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.attribute("serviceID", &self.service_id);
        writer.attribute("protocol", "WV-SSP");
        writer.some_attribute("protocolVersion", self.protocol_version.as_deref());
        if writer.emits_odd_names() {
            writer.some_attribute(ODD_PROTOCOL_VERSION, self.protocol_version.as_deref());
        }
        writer.element("SecretToken", |writer| match self.secret.as_plain_text() {
            Some(text) => writer.text(text),
            None => {
                writer.attribute("encoding", "BASE64");
                writer.base64(self.secret.as_bytes());
            }
        });
    }
}

impl Wire for LoginRequest {
    const NAME: &'static str = "LoginRequest";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        let digest = element.child("PasswordDigest").ok_or(Flaw::MissingElement {
            element: Self::NAME,
            child: "PasswordDigest",
        })?;
        let digest = <[u8; 16]>::try_from(digest.base64("PasswordDigest")?).map_err(|_| Flaw::BadValue {
            element: "PasswordDigest",
            reason: "the digest is not 16 octets",
        })?;
        Ok(Self {
            service_id: element.required_attribute(Self::NAME, "serviceID")?,
            time_to_live: element.seconds("timeToLive"),
            digest: PasswordDigest::new(digest),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.attribute("serviceID", &self.service_id);
        writer.some_seconds("timeToLive", self.time_to_live);
        writer.element("PasswordDigest", |writer| {
            writer.attribute("encoding", "BASE64");
            writer.base64(self.digest.as_bytes());
        });
    }
}

impl Wire for LoginResponse {
    const NAME: &'static str = "LoginResponse";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        let redirects = element
            .children_named("RedirectList")
            .flat_map(|list| list.children_named("Redirect"));
        Ok(Self {
            session_id: element.scalar("sessionID").map(SessionId::new),
            time_to_live: element.seconds("timeToLive"),
            status: Status::read_required(element, Self::NAME)?,
            redirects: redirects
                .filter_map(|redirect| redirect.scalar("url"))
                .map(str::to_owned)
                .collect(),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.some_attribute("sessionID", self.session_id.as_ref().map(SessionId::as_str));
        writer.some_seconds("timeToLive", self.time_to_live);
        writer.wire(&self.status);
        if !self.redirects.is_empty() {
            writer.element("RedirectList", |writer| {
                for url in &self.redirects {
                    writer.element("Redirect", |writer| writer.attribute("url", url));
                }
            });
        }
    }
}

/// The deployed peer's misspelling (SSP reference §14 item 3).
const ODD_PROTOCOL_VERSION: &str = "procotolVersion";
