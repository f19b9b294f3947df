//! The view of `impsgw zone serve` in which every partner's IMPS server is the gateway: who the partners are, and where it is.

use std::net::{IpAddr, SocketAddr};

use super::ServeArgs;
use crate::agreement::Role;
use crate::config::Config;
use crate::wire::naptr::Name;
use crate::zone::{GatewayView, Partners, ZoneServer, ZoneSet};

/// Where the gateway is, as the operator says it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Host {
    /// By its address.
    Address(IpAddr),
    /// By a name, which is looked up at the start.
    Name(Name),
}

/// The zones as the home server sees them.
pub(super) async fn gateway_view(args: &ServeArgs, zones: ZoneSet) -> Result<ZoneSet, String> {
    let config = match &args.config {
        Some(file) => Some(Config::load(file).map_err(|mistakes| mistakes.to_string())?),
        None => None,
    };
    let (addresses, port) = match (&args.gateway, &config) {
        (Some((Host::Address(address), port)), _) => (vec![*address], *port),
        (Some((Host::Name(name), port)), _) => (addresses_of(name, &zones).await?, *port),
        (None, Some(config)) => {
            let listener = listener(config)
                .ok_or("[ssp] listens on every address; say with --gateway where partners reach it")?;
            (vec![listener.ip()], listener.port())
        }
        (None, None) => return Err("name the gateway with --gateway HOST:PORT, or its --config".into()),
    };
    let of_config = config.iter().flat_map(partners);
    let named: Vec<Name> = args.partner.iter().cloned().chain(of_config).collect();
    let partners = if named.is_empty() && config.is_none() {
        Partners::AllBut(args.home_domain.clone())
    } else {
        Partners::Named(named)
    };
    let view = GatewayView {
        addresses,
        port,
        partners,
    };
    zones.seen_through(view).map_err(|errors| errors.to_string())
}

/// The partners may be others by now; a configuration with mistakes changes nothing.
pub(super) async fn take_up_agreements(args: &ServeArgs, view: &ZoneServer) {
    if args.config.is_none() {
        return;
    }
    let Ok(fresh) = ZoneSet::load_dir(&args.zones) else {
        return;
    };
    match gateway_view(args, fresh).await {
        Ok(fresh) => view.replace(fresh).await,
        Err(reason) => {
            tracing::warn!(%reason, "the gateway view stays as it was");
        }
    }
}

pub(super) fn host_and_port(text: &str) -> Result<(Host, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("write HOST:PORT")?;
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    let host = match bare.parse() {
        Ok(address) => Host::Address(address),
        Err(_) => Host::Name(host.parse().map_err(|fault| format!("{fault}"))?),
    };
    let port = port.parse().map_err(|_| format!("{port:?} is not a port"))?;
    Ok((host, port))
}

/// Everybody whom a home server may meet through the gateway.
fn partners(config: &Config) -> Vec<Name> {
    let of_role = config.agreements.iter().filter(|one| one.role == Role::Partner);
    let domains = of_role.flat_map(|one| one.domains.iter().chain(&one.speaks_for.domains));
    domains
        .filter_map(|domain| domain.as_str().parse().ok())
        .collect()
}

/// Where peers reach the gateway, when the configuration says it.
fn listener(config: &Config) -> Option<SocketAddr> {
    let listeners = [config.ssp.listen, config.ssp.listen_plain];
    listeners
        .into_iter()
        .flatten()
        .find(|address| !address.ip().is_unspecified())
}

async fn addresses_of(name: &Name, zones: &ZoneSet) -> Result<Vec<IpAddr>, String> {
    let known = zones.addresses_of(name);
    if !known.is_empty() {
        return Ok(known);
    }
    let text = name.as_str().trim_end_matches('.').to_owned();
    let found = tokio::net::lookup_host((text.as_str(), 0)).await;
    match found.map(|all| all.map(|one| one.ip()).collect::<Vec<_>>()) {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(_) => Err(format!(
            "the gateway {text} has no address in the zones, nor does this machine's resolver know one; write its address"
        )),
    }
}
