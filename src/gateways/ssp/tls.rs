//! TLS between gateways: who a certificate speaks for, how chains are verified, and why a handshake failed.
//!
//! A certificate speaks for a service domain when it names it, as DNS name or as SRV name (`_imps-server.<domain>`), letter
//! by letter: wildcards and common names don't count. Certificates made for servers only are met in the field as client
//! certificates; they are let in when configured, and marked, so that the agreement decides. Protocols are offered
//! explicitly (h2, http/1.1). Source: RFC 6125 §6, RFC 4985, RFC 5280 §4.2.1.12; rustls with ring.

mod failure;
mod verify;

use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ServerConfig, SignatureScheme};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::certificates::{Generation, system_time};
use verify::{ClientVerifier, ServerVerifier};

pub use failure::TlsFailure;

/// Whom the verified certificate of a peer speaks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerIdentity {
    /// Its names.
    pub names: CertificateNames,
    /// What it was made for; a server's certificate as client certificate needs the agreement's consent.
    pub made_for: MadeFor,
    /// The subject, for people.
    pub subject: String,
    /// The serial number in hexadecimal, for revocation lists and people.
    pub serial: String,
    /// When it ends.
    pub not_after: SystemTime,
}

/// The names in a certificate that can stand for a service domain, in lower case.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CertificateNames {
    dns: Vec<Box<str>>,
    srv: Vec<Box<str>>,
}

/// What a client certificate was made for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MadeFor {
    /// Clients, or everything.
    Clients,
    /// Servers only (`serverAuth` without `clientAuth`).
    ServersOnly,
}

/// What a listener asks of its clients.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientAuthentication {
    /// A certificate, made for clients.
    Required,
    /// A certificate; one made for servers only will do, and is marked.
    RequiredFromServersToo,
    /// As before, but a client may come without one: for a listener that peers with and without certificates share, where
    /// the agreement says who needs one.
    Requested,
    /// Nothing; peers are told apart by other means.
    Off,
}

/// Which HTTP versions are offered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum HttpVersions {
    /// HTTP/2, else HTTP/1.1, by ALPN; without TLS HTTP/1.1.
    #[default]
    Both,
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 alone; without TLS by prior knowledge.
    Http2,
}

impl PeerIdentity {
    /// Reads a certificate that was verified.
    ///
    /// # Errors
    ///
    /// `TlsFailure::Other` when the certificate can't be parsed, which verification should have noticed.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, TlsFailure> {
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|error| TlsFailure::Other(error.to_string()))?;
        let usage = parsed.extended_key_usage().ok().flatten();
        let for_clients = usage.is_none_or(|usage| usage.value.client_auth || usage.value.any);
        Ok(Self {
            names: CertificateNames::of(&parsed),
            made_for: if for_clients {
                MadeFor::Clients
            } else {
                MadeFor::ServersOnly
            },
            subject: parsed.subject().to_string(),
            serial: parsed.raw_serial_as_string(),
            not_after: system_time(parsed.validity().not_after.timestamp()),
        })
    }

    /// Whether the certificate speaks for this service domain.
    pub fn speaks_for(&self, domain: &str) -> bool {
        self.names.cover(domain)
    }
}

impl CertificateNames {
    pub(super) fn of(certificate: &X509Certificate<'_>) -> Self {
        let mut names = Self::default();
        let Ok(Some(extension)) = certificate.subject_alternative_name() else {
            return names;
        };
        for name in &extension.value.general_names {
            if let GeneralName::DNSName(name) = name {
                names.dns.push(name.to_ascii_lowercase().into());
            } else if let GeneralName::OtherName(kind, value) = name
                && kind.to_id_string() == ID_ON_DNS_SRV
            {
                names
                    .srv
                    .extend(string_in(value).map(|name| name.to_ascii_lowercase().into()));
            }
        }
        names
    }

    /// Whether the service domain is one of the DNS names, or `_imps-server.<domain>` one of the SRV names.
    pub fn cover(&self, domain: &str) -> bool {
        let srv = |name: &str| {
            name.strip_prefix(SRV_PREFIX)
                .is_some_and(|name| name.eq_ignore_ascii_case(domain))
        };
        self.dns.iter().any(|name| name.eq_ignore_ascii_case(domain)) || self.srv.iter().any(|name| srv(name))
    }

    /// Whether there is no name at all.
    pub fn is_empty(&self) -> bool {
        self.dns.is_empty() && self.srv.is_empty()
    }

    /// All names, the DNS names first.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.dns.iter().chain(&self.srv).map(AsRef::as_ref)
    }
}

/// What a listener shows and asks; made anew for each bundle, so that sessions of an older one can't be resumed.
///
/// # Errors
///
/// What rustls says of the ring provider's versions; does not happen with the versions built in.
pub(super) fn server_config(
    generation: &Arc<Generation>,
    authentication: ClientAuthentication,
    versions: HttpVersions,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let trust = generation.bundle.trust.clone();
    let builder = if authentication == ClientAuthentication::Off {
        builder.with_no_client_auth()
    } else {
        builder.with_client_cert_verifier(Arc::new(ClientVerifier::new(trust, &provider, authentication)))
    };
    let mut config = builder.with_cert_resolver(Arc::new(OwnCertificates(generation.clone())));
    config.alpn_protocols = versions.protocols();
    // A resumed session would skip the check of the certificate's dates and revocation.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// What a client shows and asks. `references` are the names of which the server's certificate must cover one.
///
/// # Errors
///
/// As `server_config`.
pub(super) fn client_config(
    generation: &Arc<Generation>,
    own_domain: &str,
    references: Vec<String>,
    versions: HttpVersions,
) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = ServerVerifier::new(generation.bundle.trust.clone(), &provider, references);
    let own = generation
        .bundle
        .identity_for(Some(own_domain))
        .map(|identity| identity.key.clone());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(OwnCertificate(own)));
    config.alpn_protocols = versions.protocols();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

impl HttpVersions {
    fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Self::Both => vec![H2.to_vec(), HTTP_1_1.to_vec()],
            Self::Http1 => vec![HTTP_1_1.to_vec()],
            Self::Http2 => vec![H2.to_vec()],
        }
    }
}

/// Shows the certificate of the domain that the client asks for.
#[derive(Debug)]
struct OwnCertificates(Arc<Generation>);

impl ResolvesServerCert for OwnCertificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0
            .bundle
            .identity_for(hello.server_name())
            .map(|identity| identity.key.clone())
    }
}

/// Shows the certificate of the domain that we speak for, whatever authorities the server hints at.
#[derive(Debug)]
struct OwnCertificate(Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for OwnCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

/// The string in a DER element of one of the string types; RFC 4985 §2 says IA5String, UTF8String is met as well.
fn string_in(der: &[u8]) -> Option<&str> {
    let inner = match der {
        [EXPLICIT, ..] => element(der)?.1,
        _ => der,
    };
    match element(inner)? {
        (IA5_STRING | UTF8_STRING, text) => std::str::from_utf8(text).ok(),
        _ => None,
    }
}

fn element(der: &[u8]) -> Option<(u8, &[u8])> {
    match der {
        [tag, length @ 0..=0x7f, rest @ ..] => Some((*tag, rest.get(..usize::from(*length))?)),
        [tag, 0x81, length, rest @ ..] => Some((*tag, rest.get(..usize::from(*length))?)),
        _ => None,
    }
}

/// Of the SRV names that stand for an IMPS server.
const SRV_PREFIX: &str = "_imps-server.";
const ID_ON_DNS_SRV: &str = "1.3.6.1.5.5.7.8.7";
const EXPLICIT: u8 = 0xa0;
const IA5_STRING: u8 = 0x16;
const UTF8_STRING: u8 = 0x0c;
const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn srv_name_is_read_from_either_string_type_and_never_past_its_end() {
        assert_eq!(string_in(b"\xa0\x05\x16\x03abc"), Some("abc"));
        assert_eq!(string_in(b"\x0c\x03abc"), Some("abc"));
        let mut long = vec![IA5_STRING, 0x81, 200];
        long.extend([b'a'; 200]);
        assert_eq!(string_in(&long).map(str::len), Some(200));
        for broken in [
            &b""[..],
            b"\xa0",
            b"\x16\x04abc",
            b"\x16\x80abc",
            b"\x04\x03abc",
            b"\x0c\x01\xff",
            b"\x16\x81",
        ] {
            assert_eq!(string_in(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn names_cover_letter_by_letter() {
        let names = CertificateNames {
            dns: vec!["*.example".into(), "ssp1.bravo.example".into()],
            srv: vec![
                "_imps-server.bravo.example".into(),
                "_xmpp-server.alpha.example".into(),
            ],
        };
        assert!(
            names.cover("bravo.example") && names.cover("Bravo.Example") && names.cover("ssp1.bravo.example")
        );
        for other in [
            "alpha.example",
            "example",
            "",
            "o.example",
            "_imps-server.bravo.example",
            "ssp2.bravo.example",
        ] {
            assert!(!names.cover(other), "{other}");
        }
    }
}
