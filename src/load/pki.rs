//! The certificates of a load run, and TLS from them: mutual, TLS 1.3 or 1.2, one authority for all.
//!
//! The home server and the gateway show one for `load.example`, the partner one for `partner.example`, which the agreements
//! with its domains list.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use super::{HOME_DOMAIN, LoadError, PARTNER_NAME, node_name};
use crate::lab::certs::{Authority, CertificateOrder, write_file};

/// Makes the authority and the certificates below a folder.
///
/// # Errors
/// When one can't be made or written.
#[expect(clippy::disallowed_methods, reason = "certificates are made for now")]
pub(super) fn write_certificates(folder: &Path) -> Result<(), LoadError> {
    let now = std::time::SystemTime::now();
    let authority = Authority::new("impsgw load", now)?;
    write_file(&folder.join("ca.pem"), authority.certificate_pem(), 0o644)?;
    for name in [HOME_DOMAIN, PARTNER_NAME] {
        let mut order = CertificateOrder::for_domain(name, now);
        order.host_names.push(format!("gateway.{name}"));
        order.host_names.push("localhost".into());
        authority.issue(&order)?.write(folder, name)?;
    }
    Ok(())
}

/// Makes the authority of the nodes and their certificates below a folder.
///
/// # Errors
/// As [`write_certificates`].
#[expect(clippy::disallowed_methods, reason = "certificates are made for now")]
pub(super) fn write_node_certificates(folder: &Path, nodes: usize) -> Result<(), LoadError> {
    let now = std::time::SystemTime::now();
    let authority = Authority::new("impsgw load nodes", now)?;
    std::fs::create_dir_all(folder).map_err(LoadError::io(folder.display().to_string()))?;
    write_file(&folder.join("ca.pem"), authority.certificate_pem(), 0o644)?;
    for name in (0..nodes).map(node_name) {
        let order = CertificateOrder {
            has_srv_name: false,
            ..CertificateOrder::for_domain(&name, now)
        };
        authority.issue(&order)?.write(folder, &name)?;
    }
    Ok(())
}

/// Both roles of TLS with the certificate of this name.
///
/// # Errors
/// When the files can't be read or rustls does not take them.
pub(super) fn tls(folder: &Path, name: &str) -> Result<(Arc<ServerConfig>, Arc<ClientConfig>), LoadError> {
    let fault = |error: &dyn std::fmt::Display| LoadError::Tls(error.to_string());
    let read = |file: String| CertificateDer::from_pem_file(folder.join(file)).map_err(|error| fault(&error));
    let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key.pem")))
        .map_err(|error| fault(&error))?;
    let chain = vec![read(format!("{name}.pem"))?];
    let mut roots = RootCertStore::empty();
    roots.add(read("ca.pem".into())?).map_err(|error| fault(&error))?;
    let roots = Arc::new(roots);
    let clients = WebPkiClientVerifier::builder(Arc::clone(&roots))
        .build()
        .map_err(|error| fault(&error))?;
    let server = ServerConfig::builder()
        .with_client_cert_verifier(clients)
        .with_single_cert(chain.clone(), key.clone_key())
        .map_err(|error| fault(&error))?;
    let client = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|error| fault(&error))?;
    Ok((Arc::new(server), Arc::new(client)))
}
