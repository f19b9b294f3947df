//! What a certificate says, for people: names, issuer, purpose, validity, fingerprint.
//!
//! `impsgw cert show`, `check`, `probe` and the console show it; nothing is decided here. What decides is in `tls/`.

use std::path::Path;

use rustls::pki_types::{CertificateDer, pem, pem::PemObject};
use serde::Serialize;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use super::certificates::BundleError;
use crate::model::Timestamp;

/// What a certificate says.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct CertificateFacts {
    /// Its holder, as a distinguished name.
    pub subject: String,
    /// Who signed it, as a distinguished name.
    pub issuer: String,
    /// Its DNS names.
    pub dns_names: Vec<String>,
    /// Its SRV names, such as `_imps-server.alpha.example` (RFC 4985).
    pub srv_names: Vec<String>,
    /// Whether it may sign others.
    pub is_authority: bool,
    /// What its key is for: `server`, `client`; empty when it does not say.
    pub purposes: Vec<&'static str>,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// SHA-256 over the certificate, in hexadecimal digits.
    pub sha256: String,
}

impl CertificateFacts {
    /// Reads a certificate; `None` when it is none.
    #[must_use]
    pub fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let seconds = |at: i64| Timestamp::from_seconds(u64::try_from(at).unwrap_or(0));
        let digest = ring::digest::digest(&ring::digest::SHA256, der);
        let mut facts = Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            dns_names: Vec::new(),
            srv_names: Vec::new(),
            is_authority: certificate.is_ca(),
            purposes: Vec::new(),
            not_before: seconds(certificate.validity().not_before.timestamp()),
            not_after: seconds(certificate.validity().not_after.timestamp()),
            sha256: digest
                .as_ref()
                .iter()
                .map(|octet| format!("{octet:02x}"))
                .collect(),
        };
        for extension in certificate.extensions() {
            let parsed = extension.parsed_extension();
            if let ParsedExtension::SubjectAlternativeName(names) = parsed {
                names.general_names.iter().for_each(|name| facts.take_name(name));
            } else if let ParsedExtension::ExtendedKeyUsage(usage) = parsed {
                let purposes = [
                    ("server", usage.server_auth),
                    ("client", usage.client_auth),
                    ("any", usage.any),
                ];
                facts.purposes = purposes
                    .into_iter()
                    .filter_map(|(name, is)| is.then_some(name))
                    .collect();
            }
        }
        Some(facts)
    }

    /// The certificates of a PEM file, in its order.
    ///
    /// # Errors
    /// When the file can't be read, or holds no certificate.
    pub fn of_file(path: &Path) -> Result<Vec<Self>, BundleError> {
        let file = |source: pem::Error| BundleError::File {
            path: path.to_owned(),
            expected: "certificate",
            source,
        };
        let all: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(file)?;
        if all.is_empty() {
            return Err(file(pem::Error::NoItemsFound));
        }
        let facts: Option<Vec<Self>> = all.iter().map(Self::of).collect();
        facts.ok_or_else(|| BundleError::Unreadable {
            path: path.to_owned(),
            reason: "a certificate in it is not X.509".into(),
        })
    }

    /// Whole days until it ends; negative when it has ended.
    #[must_use]
    pub fn days_left(&self, now: Timestamp) -> i64 {
        let days =
            |between: std::time::Duration| i64::try_from(between.as_secs() / 86_400).unwrap_or(i64::MAX);
        if now < self.not_after {
            days(now.until(self.not_after))
        } else {
            -1 - days(self.not_after.until(now))
        }
    }

    /// Whether a peer takes it for this service domain: as DNS name, or as SRV name.
    #[must_use]
    pub fn names(&self, domain: &str) -> bool {
        let srv = format!("_imps-server.{domain}");
        self.dns_names.iter().any(|name| name == domain) || self.srv_names.contains(&srv)
    }

    /// All its names in one line.
    #[must_use]
    pub fn names_line(&self) -> String {
        let names: Vec<&str> = self
            .dns_names
            .iter()
            .chain(&self.srv_names)
            .map(String::as_str)
            .collect();
        if names.is_empty() {
            "no names".into()
        } else {
            names.join(", ")
        }
    }

    fn take_name(&mut self, name: &GeneralName<'_>) {
        if let GeneralName::DNSName(name) = name {
            self.dns_names.push(name.to_ascii_lowercase());
        } else if let GeneralName::OtherName(oid, value) = name
            && oid.to_id_string() == SRV_NAME
            && let Some(text) = content(value).and_then(content)
        {
            self.srv_names
                .push(String::from_utf8_lossy(text).to_ascii_lowercase());
        }
    }
}

/// What a DER element holds, when its length is written in one to three octets.
fn content(der: &[u8]) -> Option<&[u8]> {
    match der {
        [_, 0x81, _, rest @ ..] | [_, 0x82, _, _, rest @ ..] => Some(rest),
        [_, length, rest @ ..] if *length < 0x80 => Some(rest),
        _ => None,
    }
}

/// id-on-dnsSRV (RFC 4985 §2).
const SRV_NAME: &str = "1.3.6.1.5.5.7.8.7";
