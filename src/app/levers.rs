//! Puts a changed configuration in force while the gateway runs.
//!
//! Agreements, routing and certificates are exchanged; everything else keeps what the gateway was started with, and a
//! difference there is told, because the operator who made it waits for its effect.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{LoadConfig, StartError, home_certificates, read_certificates, routing};
use crate::{
    admin::Reload,
    agreement::Agreements,
    config::{Config, node_bundle},
    gateways::ssp::{SspGateway, certificates::Certificates},
    relay::Relay,
    routing::Router,
};

/// The parts that a changed configuration reaches.
pub(super) struct Levers {
    /// The configuration of the start.
    pub(super) start: Arc<Config>,
    pub(super) agreements: Arc<ArcSwap<Agreements>>,
    pub(super) relay: Arc<Relay>,
    pub(super) router: Arc<Router>,
    pub(super) gateway: Arc<SspGateway>,
    pub(super) certificates: Arc<Certificates>,
    pub(super) home_certificates: Option<Arc<Certificates>>,
    pub(super) node_certificates: Option<Arc<Certificates>>,
}

impl Levers {
    /// Exchanges what can be exchanged, and names the settings that wait for the next start.
    ///
    /// # Errors
    /// When the certificates can't be read; then nothing is changed.
    pub(super) fn put_in_force(&self, config: Config) -> Result<Vec<String>, StartError> {
        let bundle = read_certificates(&config.ssp)?;
        let home = home_certificates(config.home.as_ref())?;
        let node = config.cluster.as_ref().map(node_bundle).transpose()?;
        let kept = self.start.differences_at_start(&config);
        self.certificates.replace(bundle);
        if let (Some(certificates), Some(bundle)) = (&self.home_certificates, home) {
            certificates.replace(bundle);
        }
        if let (Some(certificates), Some(bundle)) = (&self.node_certificates, node) {
            certificates.replace(bundle);
        }
        self.agreements
            .store(Arc::new(Agreements::new(config.agreements.clone())));
        self.relay.agreements_changed();
        self.router
            .reload(routing(&config), self.start.gateway.domains.clone());
        self.gateway.reload();
        tracing::info!("the configuration was taken up");
        if !kept.is_empty() {
            tracing::warn!(
                settings = kept.join(", "),
                "some changed settings take effect with the next start only"
            );
        }
        Ok(kept)
    }
}

/// What the admin API needs to reload.
pub(super) struct Reloading {
    pub(super) levers: Levers,
    /// Reads the configuration again; `None` where there is no file.
    pub(super) load: Option<LoadConfig>,
}

impl Reloading {
    /// As the admin API calls it.
    pub(super) fn into_reload(self) -> Reload {
        Arc::new(move || self.reload())
    }

    fn reload(&self) -> Result<String, Vec<String>> {
        let no_file = || vec!["this gateway was started without a file".to_owned()];
        let load = self.load.as_ref().ok_or_else(no_file)?;
        let config =
            load().map_err(|mistakes| mistakes.0.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let count = config.agreements.len();
        let kept = self
            .levers
            .put_in_force(config)
            .map_err(|error| vec![error.to_string()])?;
        let mut said = format!("the configuration was taken up; {count} agreement(s) are in force");
        if !kept.is_empty() {
            said.push_str("; with the next start only: ");
            said.push_str(&kept.join(", "));
        }
        Ok(said)
    }
}
