//! Where a peer sends us instead: the servers that a `LoginResponse` with status 302 names (SSP extensions, "redirect").
//!
//! The peer's certificate rules hold at the new server as at the old one, the agreement's networks are checked when it is
//! connected to, and a connection in the clear is never taken in exchange for one over TLS. A chain ends after a few servers,
//! and no server is asked twice.

use super::servers::Server;
use crate::agreement::InterconnectionAgreement;

/// The redirects of one opening so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Redirect {
    /// What the last one named, in its order; none when there was none.
    pub(super) servers: Vec<Server>,
    seen: Vec<String>,
    count: usize,
}

impl Redirect {
    /// The next stage: the server at `from` answered with these URLs.
    ///
    /// # Errors
    /// Why none of them is followed.
    pub(super) fn follow(
        &self,
        from: Option<&str>,
        urls: &[String],
        agreement: &InterconnectionAgreement,
    ) -> Result<Self, String> {
        let count = self.count + 1;
        if count > MAX_REDIRECTS {
            return Err(format!("the peer redirected us more than {MAX_REDIRECTS} times"));
        }
        let mut seen = self.seen.clone();
        seen.extend(from.map(str::to_owned));
        let from_tls = from.is_some_and(|from| from.starts_with("https:"));
        let mut servers = Vec::new();
        let mut reason = "the peer redirected us to no server".to_owned();
        for url in urls.iter().take(MAX_SERVERS) {
            match Server::parse(url, agreement) {
                Ok(server) if from_tls && server.is_plain() => {
                    reason = format!("{url} is without TLS, and the redirect came over TLS");
                }
                Ok(server) if seen.contains(&server.url()) => {
                    reason = format!("the peer redirected us in a circle, to {url}");
                }
                Ok(server) => {
                    seen.push(server.url());
                    servers.push(server);
                }
                Err(refused) => reason = refused,
            }
        }
        if servers.is_empty() {
            return Err(reason);
        }
        Ok(Self { servers, seen, count })
    }

    /// Whether the peer sent us anywhere.
    pub(super) fn is_any(&self) -> bool {
        self.count > 0
    }

    /// The servers to post to, the one that took the first step before the others; `None` without a redirect.
    pub(super) fn order(&self, first: Option<&str>) -> Option<Vec<Server>> {
        if self.servers.is_empty() {
            return None;
        }
        let mut servers = self.servers.clone();
        servers.sort_by_key(|server| first != Some(server.url().as_str()));
        Some(servers)
    }
}

/// How many redirects in a row are followed.
const MAX_REDIRECTS: usize = 3;

/// How many servers of one redirect are tried.
const MAX_SERVERS: usize = 8;
