//! TLS with peers: mutual by default, the reference identity is the service domain.
//!
//! The chain is checked against the configured authorities and revocations; which names count is decided here, because
//! peers show the service domain as a DNS name or as an SRV name (RFC 4985), and deployed ones show certificates that were
//! made for servers only. Certificates are replaced while running; connections that stand keep theirs.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "of a certificate's many parts, three matter"
)]

use std::{path::Path, sync::Arc};

use arc_swap::ArcSwapOption;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error as TlsError,
    RootCertStore, ServerConfig, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject,
    },
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use super::SspConfig;

/// Our certificate, its key, and whom we believe.
#[derive(Debug)]
pub struct TlsMaterial {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Arc<RootCertStore>,
    revocations: Vec<CertificateRevocationListDer<'static>>,
}

/// The material in force; replaced on reload.
pub type CurrentTls = Arc<ArcSwapOption<TlsMaterial>>;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// A file can't be read as PEM.
    #[error("{path} can't be read as PEM: {reason}")]
    File {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// rustls does not take the material.
    #[error("the certificate, key or authorities are not usable: {0}")]
    Unusable(String),
}

impl TlsMaterial {
    /// Reads the files that the configuration names; `None` when it names no certificate.
    ///
    /// # Errors
    /// [`TlsFault`] with the file.
    pub fn load(config: &SspConfig) -> Result<Option<Self>, TlsFault> {
        let (Some(certificate), Some(key), Some(authorities)) =
            (&config.certificate, &config.key, &config.authorities)
        else {
            return Ok(None);
        };
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| fault(key, &error))?;
        let mut roots = RootCertStore::empty();
        for authority in certificates(authorities)? {
            roots
                .add(authority)
                .map_err(|error| TlsFault::Unusable(error.to_string()))?;
        }
        let revocations = match &config.revocations {
            Some(path) => CertificateRevocationListDer::pem_file_iter(path)
                .and_then(Iterator::collect)
                .map_err(|error| fault(path, &error))?,
            None => Vec::new(),
        };
        let material = Self {
            chain,
            key,
            roots: Arc::new(roots),
            revocations,
        };
        material.server_config()?;
        Ok(Some(material))
    }

    /// For what peers open: client certificates are asked for and checked; whether one is needed is the agreement's to say.
    ///
    /// # Errors
    /// When rustls does not take the material.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, TlsFault> {
        let provider = Arc::new(ring::default_provider());
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&self.roots), Arc::clone(&provider))
                .with_crls(self.revocations.iter().cloned())
                .only_check_end_entity_revocation()
                .allow_unknown_revocation_status()
                .allow_unauthenticated()
                .build()
                .map_err(|error| TlsFault::Unusable(error.to_string()))?;
        let verifier = Arc::new(PeerClientVerifier {
            clients,
            servers: self.chain_verifier(&provider)?,
        });
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // A resumed session would skip the check of a certificate that was revoked meanwhile.
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// For what we open towards a peer who must be one of `names`: the service domain first.
    ///
    /// # Errors
    /// When rustls does not take the material.
    pub fn client_config(&self, names: Vec<String>, http2: bool) -> Result<Arc<ClientConfig>, TlsFault> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(PeerServerVerifier {
            names,
            chain: self.chain_verifier(&provider)?,
        });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            .map_err(unusable)?;
        config.resumption = rustls::client::Resumption::disabled();
        config.alpn_protocols = if http2 {
            vec![b"h2".to_vec(), b"http/1.1".to_vec()]
        } else {
            vec![b"http/1.1".to_vec()]
        };
        Ok(Arc::new(config))
    }

    /// Our certificate and what follows it, as peers see them.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// When our certificate ends, in seconds since the epoch; for the alarm.
    #[must_use]
    pub fn not_after(&self) -> Option<i64> {
        let (_, certificate) = X509Certificate::from_der(self.chain.first()?).ok()?;
        Some(certificate.validity().not_after.timestamp())
    }

    fn chain_verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, TlsFault> {
        WebPkiServerVerifier::builder_with_provider(Arc::clone(&self.roots), Arc::clone(provider))
            .with_crls(self.revocations.iter().cloned())
            .only_check_end_entity_revocation()
            .allow_unknown_revocation_status()
            .build()
            .map_err(|error| TlsFault::Unusable(error.to_string()))
    }
}

/// Who a certificate says that its holder is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TlsIdentity {
    names: Vec<String>,
    is_for_servers_only: bool,
}

impl TlsIdentity {
    /// Reads the names of a certificate whose chain was checked; nothing when it can't be read.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
            return Self::default();
        };
        let mut identity = Self::default();
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    identity
                        .names
                        .extend(names.general_names.iter().filter_map(domain_of));
                }
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    identity.is_for_servers_only = usage.server_auth && !usage.client_auth && !usage.any;
                }
                _ => {}
            }
        }
        identity
    }

    /// The service domains that it may speak for: DNS names, and the domains of `_imps-server` SRV names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Whether the certificate was made for servers only (`serverAuth`).
    #[must_use]
    pub fn is_for_servers_only(&self) -> bool {
        self.is_for_servers_only
    }
}

/// Takes client certificates, and those that were made for servers only; the agreement decides on the latter.
#[derive(Debug)]
struct PeerClientVerifier {
    clients: Arc<dyn ClientCertVerifier>,
    servers: Arc<WebPkiServerVerifier>,
}

impl ClientCertVerifier for PeerClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.clients.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        let error = match self.clients.verify_client_cert(end_entity, intermediates, now) {
            Ok(verified) => return Ok(verified),
            Err(error) => error,
        };
        if !TlsIdentity::of(end_entity).is_for_servers_only() {
            return Err(error);
        }
        verify_chain(&self.servers, end_entity, intermediates, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.clients
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.clients
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.clients.supported_verify_schemes()
    }
}

/// Takes a server whose certificate carries one of the names, as DNS name or SRV name.
#[derive(Debug)]
struct PeerServerVerifier {
    names: Vec<String>,
    chain: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for PeerServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        verify_chain(&self.chain, end_entity, intermediates, now)?;
        let identity = TlsIdentity::of(end_entity);
        let is_named = identity
            .names()
            .any(|name| self.names.iter().any(|wanted| wanted == name));
        if !is_named {
            return Err(TlsError::InvalidCertificate(CertificateError::NotValidForName));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Checks chain, validity, purpose and revocation. The name is the caller's: the certificate is checked for a name of its own.
fn verify_chain(
    verifier: &WebPkiServerVerifier,
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<(), TlsError> {
    let own = dns_name_of(end_entity);
    let own = own.as_deref().and_then(|name| ServerName::try_from(name).ok());
    // A certificate with SRV names only is checked for a name that it lacks; then only that fault is left.
    let placeholder =
        || ServerName::try_from("invalid.invalid").map_err(|_| TlsError::General("no name".into()));
    match own {
        Some(name) => verifier
            .verify_server_cert(end_entity, intermediates, &name, &[], now)
            .map(|_| ()),
        None => match verifier.verify_server_cert(end_entity, intermediates, &placeholder()?, &[], now) {
            Ok(_)
            | Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(()),
            Err(error) => Err(error),
        },
    }
}

fn dns_name_of(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    names.value.general_names.iter().find_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.trim_start_matches("*.").to_ascii_lowercase()),
        _ => None,
    })
}

/// A DNS name, or the domain of an SRV name for our service; wildcards don't count.
fn domain_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) if !name.contains('*') => Some(name.to_ascii_lowercase()),
        GeneralName::OtherName(oid, value) if oid.to_id_string() == SRV_NAME => {
            // [0] EXPLICIT IA5String: the text is what follows the two headers.
            let text = std::str::from_utf8(value.get(4..).or_else(|| value.get(2..))?).ok()?;
            let domain = text.to_ascii_lowercase();
            domain.strip_prefix("_imps-server.").map(str::to_owned)
        }
        _ => None,
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let all: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| fault(path, &error))?;
    if all.is_empty() {
        return Err(TlsFault::File {
            path: path.display().to_string(),
            reason: "it holds no certificate".into(),
        });
    }
    Ok(all)
}

fn fault(path: &Path, error: &dyn std::fmt::Display) -> TlsFault {
    TlsFault::File {
        path: path.display().to_string(),
        reason: error.to_string(),
    }
}

fn unusable(error: TlsError) -> TlsFault {
    TlsFault::Unusable(error.to_string())
}

/// id-on-dnsSRV (RFC 4985 §2).
const SRV_NAME: &str = "1.3.6.1.5.5.7.8.7";
