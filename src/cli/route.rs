//! `impsgw route`: where a number or address goes now, and why; asked of the running gateway, or offline with the
//! configuration alone.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::{
    client::Remote,
    output::{Done, Failure, print, print_json},
};
use crate::{
    config::Config,
    model::{Domain, WvAddress},
    routing::{Explain, Explanation, HomeDirectory, RouteService, Router, typed_address},
    telemetry::Clock,
};

/// The arguments of `impsgw route`.
#[derive(Args, Clone, Debug)]
pub struct RouteArgs {
    /// A number such as +447700900123, with separators if you like, or an address such as wv:bea@beta.example.
    address: String,
    /// What the person is wanted for.
    #[arg(long, value_enum, default_value_t = Wanted::Im)]
    service: Wanted,
    /// Ask DNS from here with the configuration, not the running gateway; knows no overrides and no accounts.
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    remote: Remote,
}

/// What a person is wanted for.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Wanted {
    /// Messages, searches, invitations.
    Im,
    /// Presence.
    Pres,
    /// Multimedia messages.
    Mms,
}

pub(super) async fn run(args: RouteArgs) -> Done {
    if args.offline {
        return Box::pin(offline(&args)).await;
    }
    let service = match args.service {
        Wanted::Im => "im",
        Wanted::Pres => "pres",
        Wanted::Mms => "mms",
    };
    let query = [
        ("address", Some(args.address.clone())),
        ("service", Some(service.to_owned())),
    ];
    let answer = args.remote.client()?.get("route", &query).await?;
    if args.remote.json {
        print_json(&answer);
    } else {
        print(answer.get("text").and_then(Value::as_str).unwrap_or_default());
    }
    found(answer.get("found").and_then(Value::as_bool) == Some(true))
}

async fn offline(args: &RouteArgs) -> Done {
    let config = Config::load(&args.remote.config).map_err(|mistakes| Failure::Bad(mistakes.to_string()))?;
    let address = typed_address(&args.address).map_err(|error| Failure::Usage(error.to_string()))?;
    let service = match args.service {
        Wanted::Im => RouteService::Im,
        Wanted::Pres => RouteService::Pres,
        Wanted::Mms => RouteService::Mms,
    };
    let clock = Clock::system();
    let router = Router::new(
        config.routing,
        Arc::new(NoAccounts),
        config.gateway.domains,
        clock.clone(),
    );
    let now = clock.now();
    let routed = router.route(&address, service, now, Explain::Yes).await;
    let explanation = Explanation {
        address: &address,
        routed: &routed,
    };
    if args.remote.json {
        print_json(&explanation.json(service, now));
    } else {
        print(&explanation.to_string());
    }
    found(routed.plan.is_ok())
}

fn found(is_found: bool) -> Done {
    if is_found {
        Ok(())
    } else {
        Err(Failure::Bad(String::new()))
    }
}

/// Offline, nobody is known to be ours by account.
#[derive(Debug)]
struct NoAccounts;

impl HomeDirectory for NoAccounts {
    fn account(&self, _: &WvAddress) -> Option<Domain> {
        None
    }
}
