//! Keeping and ending an established session. The shapes are ours; deployed peers answer 405.
//!
//! Source: `ssp-extensions.md`, SSP reference §5.

use std::time::Duration;

use super::flaw::Flaw;
use super::status::Status;
use super::xml::{Element, Wire, Writer};

/// Keep the session.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KeepAliveRequest {
    /// How much longer the sender wants it to live, in whole seconds.
    pub time_to_live: Option<Duration>,
}

/// Whether the session is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeepAliveResponse {
    /// How long the answering side keeps it; the smaller of both values holds.
    pub time_to_live: Option<Duration>,
    /// Read as 200 when absent.
    pub status: Status,
}

/// End the session; both session IDs are dead once it is answered or sent twice.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LogoutRequest;

impl Wire for KeepAliveRequest {
    const NAME: &'static str = "KeepAliveRequest";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self {
            time_to_live: element.seconds("timeToLive"),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.some_seconds("timeToLive", self.time_to_live);
    }
}

impl Wire for KeepAliveResponse {
    const NAME: &'static str = "KeepAliveResponse";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self {
            time_to_live: element.seconds("timeToLive"),
            status: Status::read_or_success(element),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.some_seconds("timeToLive", self.time_to_live);
        writer.wire(&self.status);
    }
}

impl Wire for LogoutRequest {
    const NAME: &'static str = "LogoutRequest";

    fn read(_: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self)
    }

    fn write(&self, _: &mut Writer) {}
}
