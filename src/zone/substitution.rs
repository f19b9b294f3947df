//! Values that are put in the place of those in the zone files when they are loaded, and after every reload.
//!
//! The files hold real values, so any name server can serve them; the lab and the home server's view need others.

use std::net::IpAddr;

use super::records::{Data, Entry};
use crate::wire::naptr::Name;

/// A value of the zone files that is replaced when they are loaded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Substitution {
    /// Every SRV record of this owner gets this port.
    SrvPort {
        /// For example `_imps-server._tcp.alpha.example`.
        owner: Name,
        /// Where the server really listens.
        port: u16,
    },
    /// The owner's addresses become this one.
    Address {
        /// A host that has address records already.
        owner: Name,
        /// The only address it has afterwards.
        address: IpAddr,
    },
    /// Every `_imps-server._tcp` SRV set is replaced by one record that names the gateway, so that a home server that
    /// dials partners itself reaches them through it.
    Gateway {
        /// The gateway's host name; it needs an address in one of the zones.
        host: Name,
        /// The gateway's SSP port.
        port: u16,
        /// Domains that keep their own records: those of the home server.
        except: Vec<Name>,
    },
}

impl Substitution {
    pub(super) fn apply(&self, entries: &mut Vec<Entry>) {
        match self {
            Self::SrvPort { owner, port: new } => {
                for entry in entries.iter_mut().filter(|entry| entry.owner == *owner) {
                    if let Data::Srv { port, .. } = &mut entry.data {
                        *port = *new;
                    }
                }
            }
            Self::Address { owner, address } => {
                let mut set = false;
                entries.retain_mut(|entry| {
                    let addressed = matches!(entry.data, Data::A(_) | Data::Aaaa(_)) && entry.owner == *owner;
                    if !addressed {
                        return true;
                    }
                    entry.data = match address {
                        IpAddr::V4(address) => Data::A(*address),
                        IpAddr::V6(address) => Data::Aaaa(*address),
                    };
                    !std::mem::replace(&mut set, true)
                });
            }
            Self::Gateway { host, port, except } => {
                let mut named: Vec<Name> = Vec::new();
                entries.retain_mut(|entry| {
                    let Some(domain) = ssp_domain(entry).filter(|domain| !except.contains(domain)) else {
                        return true;
                    };
                    entry.data = Data::Srv {
                        priority: 10,
                        weight: 0,
                        port: *port,
                        target: host.clone(),
                    };
                    let first = !named.contains(&domain);
                    named.push(domain);
                    first
                });
            }
        }
    }
}

/// The domain whose IMPS server an SRV record names.
fn ssp_domain(entry: &Entry) -> Option<Name> {
    if !matches!(entry.data, Data::Srv { .. }) {
        return None;
    }
    entry
        .owner
        .as_str()
        .strip_prefix("_imps-server._tcp.")?
        .parse()
        .ok()
}
