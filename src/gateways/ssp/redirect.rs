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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::Agreements;

    #[test]
    fn no_server_is_asked_twice_and_a_chain_ends() {
        let agreement = agreement();
        let go = |redirect: &Redirect, from: &str, to: &str| {
            redirect.follow(Some(from), &[to.to_owned()], &agreement)
        };
        let one = go(&Redirect::default(), "http://a:1", "http://b:1").unwrap();
        assert!(one.is_any());
        assert!(
            go(&one, "http://b:1", "http://a:1")
                .unwrap_err()
                .contains("circle")
        );
        let two = go(&one, "http://b:1", "http://c:1").unwrap();
        let three = go(&two, "http://c:1", "http://d:1").unwrap();
        assert!(
            go(&three, "http://d:1", "http://e:1")
                .unwrap_err()
                .contains("more than")
        );
    }

    #[test]
    fn way_from_tls_never_leads_to_plain_http() {
        let agreement = agreement();
        let go = |from: &str| Redirect::default().follow(Some(from), &["http://b:1".into()], &agreement);
        assert!(go("https://a:1").unwrap_err().contains("without TLS"));
        assert!(go("http://a:1").is_ok());
    }

    #[test]
    fn some_servers_are_tried_in_their_order_and_no_more() {
        let agreement = agreement();
        let urls: Vec<String> = (1..=20).map(|port| format!("http://b:{port}")).collect();
        let redirect = Redirect::default().follow(None, &urls, &agreement).unwrap();
        assert_eq!(redirect.servers.len(), MAX_SERVERS);
        let order = redirect.order(Some("http://b:3")).unwrap();
        let order: Vec<_> = order.iter().take(2).map(Server::url).collect();
        assert_eq!(order, ["http://b:3", "http://b:1"]);
        assert!(Redirect::default().order(None).is_none());
        assert!(Redirect::default().follow(None, &[], &agreement).is_err());
    }

    fn agreement() -> std::sync::Arc<InterconnectionAgreement> {
        let text = "peer = \"b\"\ndomains = [\"b.example\"]\ntls = { required = false, mutual = false }";
        let agreements = Agreements::new(vec![toml::from_str(text).unwrap()]);
        agreements.all().first().unwrap().clone()
    }
}
