//! Where everything of a federation is, and its DNS: the bundled zones with the ports and addresses of this run.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{
    Guest, LabError,
    federation::{OPERATORS, loopback},
};
use crate::{
    wire::naptr::Name,
    zone::{self, Substitution, ZoneServer, ZoneSet},
};

/// Where everything is in this run.
pub(super) struct Place {
    /// Each operator's port for peers.
    pub(super) ports: Vec<(&'static str, u16)>,
    pub(super) dns: SocketAddr,
    pub(super) guest: Option<Arc<Guest>>,
}

impl Place {
    pub(super) async fn serve_dns(&self) -> Result<ZoneServer, LabError> {
        let zones = self.zones("")?;
        let Some(guest) = &self.guest else {
            let started = ZoneServer::start(zones, loopback()).await;
            return started.map_err(|error| LabError::Zones(error.to_string()));
        };
        let address = SocketAddr::new(guest.listen, DNS_PORT);
        let started = ZoneServer::start(zones, address).await;
        started.map_err(|zone::StartError::Listen { address, source }| LabError::Port {
            address,
            purpose: "DNS".into(),
            source,
        })
    }

    /// The networks that operators reach one another in.
    pub(super) fn networks(&self) -> String {
        match self.guest.as_deref().map(|guest| guest.listen) {
            Some(address) if !address.is_loopback() => format!("[\"127.0.0.0/8\", \"{address}\"]"),
            Some(_) | None => "[\"127.0.0.0/8\", \"::1\"]".into(),
        }
    }

    /// The bundled zones, with the ports and addresses of this run, and with more records in ENUM.
    pub(super) fn zones(&self, records: &str) -> Result<ZoneSet, LabError> {
        let fault = |error: &dyn std::fmt::Debug| LabError::Zones(format!("{error:?}"));
        let mut zones = ZoneSet::default();
        let guest = self.guest.as_deref();
        let theirs = guest.map(Guest::enum_records).unwrap_or_default();
        for (origin, text) in ZONES {
            let origin: Name = origin.parse().map_err(|error| fault(&error))?;
            let text = if origin.as_str().trim_end_matches('.') == ENUM_APEX {
                format!("{text}\n$ORIGIN {ENUM_APEX}.\n{records}{theirs}")
            } else {
                (*text).to_owned()
            };
            zones = zones.with_zone(&text, &origin).map_err(|error| fault(&error))?;
        }
        if let Some(guest) = guest {
            if let Some(text) = guest.zone() {
                let origin: Name = guest.domain.as_str().parse().map_err(|error| fault(&error))?;
                zones = zones.with_zone(&text, &origin).map_err(|error| fault(&error))?;
            }
            zones = self.at(zones, guest.listen)?;
        }
        for (name, port) in &self.ports {
            let owner = format!("_imps-server._tcp.{name}.example");
            let owner: Name = owner.parse().map_err(|error| fault(&error))?;
            zones = zones
                .with_srv_port(&owner, *port)
                .map_err(|error| fault(&error))?;
        }
        Ok(zones)
    }

    /// The zones with every host of the lab's at one address.
    fn at(&self, mut zones: ZoneSet, address: IpAddr) -> Result<ZoneSet, LabError> {
        let fault = |error: &dyn std::fmt::Debug| LabError::Zones(format!("{error:?}"));
        let operators = OPERATORS.map(|name| format!("{name}.example"));
        let servers = operators.iter().map(|domain| format!("ssp.{domain}"));
        let names = operators
            .iter()
            .map(String::as_str)
            .chain([ENUM_APEX, "e164.arpa"]);
        for host in servers.chain(names.map(|domain| format!("ns.{domain}"))) {
            let owner: Name = host.parse().map_err(|error| fault(&error))?;
            let substitution = Substitution::Address { owner, address };
            zones = zones.with(substitution).map_err(|error| fault(&error))?;
        }
        Ok(zones)
    }
}

/// Where the lab's DNS is for a guest.
const DNS_PORT: u16 = 5300;
const ENUM_APEX: &str = "e164enum.net";
const ZONES: [(&str, &str); 7] = [
    (ENUM_APEX, include_str!("../../zones/e164enum.net.zone")),
    (
        "7.0.0.9.0.0.7.7.4.4.e164enum.net",
        include_str!("../../zones/7.0.0.9.0.0.7.7.4.4.e164enum.net.zone"),
    ),
    ("e164.arpa", include_str!("../../zones/e164.arpa.zone")),
    ("alpha.example", include_str!("../../zones/alpha.example.zone")),
    ("beta.example", include_str!("../../zones/beta.example.zone")),
    ("hub.example", include_str!("../../zones/hub.example.zone")),
    ("isle.example", include_str!("../../zones/isle.example.zone")),
];
