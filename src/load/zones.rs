//! The zones of a load run: one ENUM wildcard a peer, whatever the count of numbers, and one SRV record a peer.
//!
//! Numbers are `+999PPPPNNNNNN`: country code 999 is not assigned (ITU-T E.164 list), then the peer, then the subscriber.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr},
};

use super::{LoadError, peer_domain};
use crate::zone::{ZoneServer, ZoneSet};

/// The number with this index among `numbers` that are spread over `peers`.
pub(super) fn number(index: usize, peers: usize) -> String {
    let peers = peers.max(1);
    format!("+999{:04}{:06}", index % peers, index / peers)
}

/// Serves the zones of so many peers, whose servers all listen on one port.
///
/// # Errors
/// When the zones can't be read or served.
pub(super) async fn serve(peers: usize, port: u16) -> Result<ZoneServer, LoadError> {
    let mut numbers = String::from(HEAD);
    let mut domains = String::from(HEAD);
    for index in 0..peers {
        let domain = peer_domain(index);
        let labels: Vec<String> = format!("999{index:04}").chars().rev().map(String::from).collect();
        let _ = writeln!(
            numbers,
            "*.{} IN NAPTR 100 10 \"u\" \"E2U+im\" \"!^(.*)$!im:\\\\1@{domain}!\" .",
            labels.join(".")
        );
        let label = domain.split('.').next().unwrap_or_default();
        let _ = writeln!(domains, "_imps-server._tcp.{label} IN SRV 0 0 {port} {domain}.");
        let _ = writeln!(domains, "{label} IN A 127.0.0.1");
    }
    let fault = |error: &dyn std::fmt::Debug| LoadError::Zones(format!("{error:?}"));
    let mut zones = ZoneSet::default();
    for (origin, text) in [("e164enum.net", numbers), ("peers.example", domains)] {
        let origin = origin.parse().map_err(|error| fault(&error))?;
        zones = zones.with_zone(&text, &origin).map_err(|error| fault(&error))?;
    }
    ZoneServer::start(zones, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .await
        .map_err(|error| fault(&error))
}

const HEAD: &str = "$TTL 3600
@ IN SOA ns hostmaster ( 1 3600 600 604800 60 )
@ IN NS ns
ns IN A 127.0.0.1
";
