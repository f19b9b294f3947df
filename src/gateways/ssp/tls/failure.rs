//! Why a TLS handshake failed, in words that tell an operator who must act.

use std::error::Error as StdError;
use std::io;

use rustls::{AlertDescription, CertificateError};
use thiserror::Error;

/// Why a TLS handshake failed, as far as it can be told from this side.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum TlsFailure {
    /// The peer's certificate has ended.
    #[error("the peer's certificate has expired")]
    Expired,
    /// The peer's certificate is not valid yet; one of the clocks may be wrong.
    #[error("the peer's certificate is not valid yet")]
    NotYetValid,
    /// The peer's certificate was taken back by its authority.
    #[error("the peer's certificate is revoked")]
    Revoked,
    /// No authority that we trust signed the peer's certificate.
    #[error("the peer's certificate is not signed by an authority that we trust")]
    UnknownAuthority,
    /// The peer's certificate names somebody else.
    #[error("the peer's certificate is not for {expected}, it names {}", presented.join(", "))]
    WrongName {
        /// The service domain.
        expected: String,
        /// The names in the certificate.
        presented: Vec<String>,
    },
    /// The peer's certificate was made for another purpose.
    #[error("the peer's certificate was not made for this purpose (extended key usage)")]
    WrongPurpose,
    /// The peer showed no certificate.
    #[error("the peer showed no certificate")]
    NoCertificate,
    /// The peer ended the handshake with an alert; `bad_certificate`, `unknown_ca` and the like are about our certificate.
    #[error("{}", alert_text(.0))]
    Alert(String),
    /// What came back is not TLS, or the connection was closed in the middle of the handshake.
    #[error("the peer does not speak TLS on this port")]
    NotTls,
    /// The handshake took too long.
    #[error("the TLS handshake took too long")]
    TimedOut,
    /// Something else.
    #[error("{0}")]
    Other(String),
}

impl TlsFailure {
    /// Finds the reason in an error of the socket or of HTTP; `None` when TLS is not the reason.
    pub fn within(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<rustls::Error>() {
                return Some(Self::from(error));
            }
            // An I/O error names the error inside as itself, not as its source.
            if let Some(error) = error.downcast_ref::<io::Error>() {
                if let Some(error) = error
                    .get_ref()
                    .and_then(|inner| inner.downcast_ref::<rustls::Error>())
                {
                    return Some(Self::from(error));
                }
                if let Some(alert) = alert_in(error) {
                    return Some(alert);
                }
            }
            next = error.source();
        }
        None
    }

    /// Why a handshake ended with this error.
    pub fn of_handshake(error: &io::Error) -> Self {
        match Self::within(error) {
            Some(failure) => failure,
            None if is_close(error.kind()) => Self::NotTls,
            None => Self::Other(error.to_string()),
        }
    }

    /// Whether the peer refuses us. With TLS 1.3 it says so after we thought the handshake was over, but before it takes
    /// any document.
    pub fn is_refusal_of_our_certificate(&self) -> bool {
        matches!(self, Self::Alert(name) if REFUSING_ALERTS.contains(&name.as_str()))
    }

    /// Whether it looks as if the peer spoke plain HTTP on this port, so that plain HTTP may be tried where that is allowed.
    /// Never true for a certificate that was refused.
    pub fn is_not_tls(&self) -> bool {
        matches!(self, Self::NotTls)
    }
}

impl From<&rustls::Error> for TlsFailure {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "rustls marks the enum non-exhaustive; its text is the reason"
    )]
    fn from(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::from(error),
            rustls::Error::NoCertificatesPresented => Self::NoCertificate,
            rustls::Error::AlertReceived(alert) => Self::Alert(alert_name(*alert)),
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<&CertificateError> for TlsFailure {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "rustls marks the enum non-exhaustive; its text is the reason"
    )]
    fn from(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::Revoked => Self::Revoked,
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownAuthority,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::WrongPurpose
            }
            CertificateError::NotValidForNameContext { expected, presented } => Self::WrongName {
                expected: expected.to_str().into_owned(),
                presented: presented.clone(),
            },
            other => Self::Other(rustls::Error::InvalidCertificate(other.clone()).to_string()),
        }
    }
}

fn alert_text(name: &str) -> String {
    // A failed handshake may have other reasons.
    if name != "HandshakeFailure" && REFUSING_ALERTS.contains(&name) {
        format!("the peer refuses our certificate (alert {name})")
    } else {
        format!("the peer ended the handshake with the alert {name}")
    }
}

fn is_close(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        kind,
        UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe
    )
}

fn alert_name(alert: AlertDescription) -> String {
    alert.as_str().map_or_else(|| format!("{alert:?}"), str::to_owned)
}

/// HTTP/2 keeps only the text of an error of the socket.
fn alert_in(error: &io::Error) -> Option<TlsFailure> {
    let text = (error.kind() == io::ErrorKind::InvalidData).then(|| error.to_string())?;
    text.strip_prefix("received fatal alert: ")
        .map(|name| TlsFailure::Alert(name.to_owned()))
}

/// The alerts that end a handshake because of the client's certificate (RFC 8446 §6.2), by rustls' names.
const REFUSING_ALERTS: [&str; 10] = [
    "AccessDenied",
    "BadCertificate",
    "CertificateExpired",
    "CertificateRequired",
    "CertificateRevoked",
    "CertificateUnknown",
    "DecryptError",
    "HandshakeFailure",
    "UnknownCA",
    "UnsupportedCertificate",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_of_our_certificate_is_told_as_such() {
        for name in ["CertificateRequired", "UnknownCA", "CertificateExpired"] {
            let failure = TlsFailure::Alert(name.to_owned());
            assert!(failure.is_refusal_of_our_certificate());
            assert_eq!(
                failure.to_string(),
                format!("the peer refuses our certificate (alert {name})")
            );
        }
        let other = TlsFailure::Alert("HandshakeFailure".to_owned());
        assert_eq!(
            other.to_string(),
            "the peer ended the handshake with the alert HandshakeFailure"
        );
        assert!(!TlsFailure::Alert("InternalError".to_owned()).is_refusal_of_our_certificate());
    }
}
