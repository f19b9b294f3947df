//! Values that are put in the place of those in the zone files when they are loaded, and after every reload.
//!
//! The files hold real values, so any name server can serve them; the lab and the home server's view need others.

use std::net::IpAddr;

use super::records::{Data, Entry};
use super::view::GatewayView;
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
    /// Partners are found at the gateway.
    Gateway(GatewayView),
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
            Self::Gateway(view) => view.apply(entries),
        }
    }
}
