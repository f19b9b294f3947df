//! The settings of many nodes.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::model::duration;

/// Several nodes on one store that are one gateway; without this section a node is alone. Each node has a name of its own
/// (`[gateway] node`), and all share the database, the domains, the agreements and the authority below.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterConfig {
    /// Where this node listens to the others; a network between the nodes alone.
    pub listen: Option<SocketAddr>,
    /// The `host:port` under which the others reach it, when it is not the address above.
    pub advertise: Option<String>,
    /// The authority that signs the certificates of nodes and of nobody else, PEM. Whoever has a certificate of it is a node.
    pub ca: Option<PathBuf>,
    /// The certificate of this node, PEM; its DNS name is the node's name. `impsgw cert node` makes one.
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
    /// How often a node says in the store that it lives, and looks who else does.
    #[serde(with = "duration")]
    pub heartbeat: Duration,
    /// A node that has said nothing for this long is dead, and the others take over what it held. Longer than three heartbeats, so
    /// that a database which fails over does not make nodes dead.
    #[serde(with = "duration")]
    pub lease: Duration,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            listen: None,
            advertise: None,
            ca: None,
            certificate: None,
            key: None,
            heartbeat: Duration::from_secs(2),
            lease: Duration::from_secs(10),
        }
    }
}

impl ClusterConfig {
    /// What is missing or does not fit together, as key and complaint.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.listen.is_none() {
            let text = "listen is not set, so the other nodes can't reach this one";
            problems.push(("listen", text.to_owned()));
        }
        for (key, path) in [
            ("ca", &self.ca),
            ("certificate", &self.certificate),
            ("key", &self.key),
        ] {
            match path {
                None => problems.push((key, format!("{key} is not set; nodes speak over TLS alone"))),
                Some(path) if !path.is_file() => {
                    problems.push((key, format!("{key} = {}: no such file", path.display())));
                }
                Some(_) => {}
            }
        }
        match (&self.advertise, self.listen) {
            (Some(address), _) if !is_address(address) => {
                problems.push(("advertise", format!("advertise = {address:?} is no host:port")));
            }
            (None, Some(listen)) if listen.ip().is_unspecified() => {
                let text =
                    "listen takes every address, so advertise must name the one that the other nodes use";
                problems.push(("advertise", text.to_owned()));
            }
            (Some(_) | None, _) => {}
        }
        if self.lease < self.heartbeat * 3 {
            let text = "lease is shorter than three heartbeats, so one that is late would make the node dead";
            problems.push(("lease", text.to_owned()));
        }
        problems
    }
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let is_port = port.parse::<u16>().is_ok_and(|port| port != 0);
        !host.is_empty() && !host.contains(['/', ' ']) && is_port
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(config: &ClusterConfig) -> Vec<&'static str> {
        config.problems().into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn section_without_its_files_is_refused() {
        assert_eq!(
            keys(&ClusterConfig::default()),
            ["listen", "ca", "certificate", "key"]
        );
        let missing = ClusterConfig {
            ca: Some("/no/such/file".into()),
            ..complete()
        };
        assert_eq!(keys(&missing), ["ca"]);
    }

    #[test]
    fn address_for_the_others_is_one_that_they_can_use() {
        assert_eq!(keys(&complete()), [""; 0]);
        let with = |listen: &str, advertise: Option<&str>| ClusterConfig {
            listen: Some(listen.parse().unwrap()),
            advertise: advertise.map(str::to_owned),
            ..complete()
        };
        assert_eq!(keys(&with("0.0.0.0:7000", None)), ["advertise"]);
        for bad in ["n1", "n1:", ":7000", "n1:0", "n1:70000", "https://n1:7000"] {
            assert_eq!(keys(&with("0.0.0.0:7000", Some(bad))), ["advertise"], "{bad}");
        }
        for good in ["n1:7000", "[2001:db8::1]:7000", "192.0.2.1:7000"] {
            assert_eq!(keys(&with("0.0.0.0:7000", Some(good))), [""; 0], "{good}");
        }
    }

    #[test]
    fn lease_outlives_late_heartbeats() {
        let hasty = ClusterConfig {
            heartbeat: Duration::from_secs(4),
            ..complete()
        };
        assert_eq!(keys(&hasty), ["lease"]);
    }

    fn complete() -> ClusterConfig {
        let file: PathBuf = file!().into();
        ClusterConfig {
            listen: Some("127.0.0.1:7000".parse().unwrap()),
            ca: Some(file.clone()),
            certificate: Some(file.clone()),
            key: Some(file),
            ..ClusterConfig::default()
        }
    }
}
