//! Failures of TCP, TLS and HTTP in an operator's words: what happened, and who has to do what about it.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "of the many faults of TLS and sockets, these are the ones with an advice of their own"
)]

use std::{error::Error, io, net::SocketAddr};

use rustls::{AlertDescription, CertificateError, Error as TlsError};

use crate::gateways::ssp::CertificateFacts;

/// What happened, and what to do.
type Words = (String, String);

/// Why a connection did not come up.
pub(super) fn connect(at: SocketAddr, error: &io::Error) -> Words {
    let advice = match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "nobody listens there: is the peer's gateway up, is the port of its SRV record the right one?"
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "there is no way to it: look at our own routes and at the interconnect"
        }
        io::ErrorKind::ConnectionReset => "something between us and the peer ends connections: a firewall?",
        _ => "look at our own network first",
    };
    (format!("TCP to {at}: {error}"), advice.into())
}

/// Why a TLS handshake failed; `shown` is the certificate that the server shows to anybody.
pub(super) fn handshake(error: &io::Error, shown: Option<&CertificateFacts>, names: &[String]) -> Words {
    let fault = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
    let Some(fault) = fault else {
        let advice = match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                "the server ends TLS connections at once: does it speak TLS on this port at all?"
            }
            _ => "ask the peer to look at its log of this moment",
        };
        return (format!("TLS: {error}"), advice.into());
    };
    match fault {
        TlsError::InvalidCertificate(fault) => certificate(fault, shown, names),
        TlsError::AlertReceived(alert) => refused(*alert),
        TlsError::InvalidMessage(_) => (
            "what answers there is no TLS".into(),
            "does the peer serve plain HTTP on this port? its SRV record has to name the TLS port".into(),
        ),
        other => (
            format!("TLS: {other}"),
            "ask the peer to look at its log of this moment".into(),
        ),
    }
}

/// Why an HTTP exchange failed; a refused client certificate shows only here with TLS 1.3.
pub(super) fn exchange(error: &hyper::Error) -> Words {
    let mut source: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(cause) = source {
        let fault = cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .and_then(|inner| inner.downcast_ref::<TlsError>());
        if let Some(TlsError::AlertReceived(alert)) = fault {
            return refused(*alert);
        }
        source = cause.source();
    }
    let cause = error
        .source()
        .map(|cause| format!(": {cause}"))
        .unwrap_or_default();
    (
        format!("HTTP: {error}{cause}"),
        "the server ended the connection; with TLS 1.3 that may be its way to refuse our certificate".into(),
    )
}

fn certificate(fault: &CertificateError, shown: Option<&CertificateFacts>, names: &[String]) -> Words {
    let issuer = shown.map_or("its issuer", |facts| facts.issuer.as_str());
    match fault {
        CertificateError::UnknownIssuer => (
            format!("we don't know the authority that signed its certificate: {issuer}"),
            "get that authority's certificate from the peer, add it to the file of [ssp] authorities, reload".into(),
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            format!(
                "its certificate is for {}, not for {}",
                shown.map_or("others".into(), CertificateFacts::names_line),
                names.join(" or ")
            ),
            "the peer needs a certificate with its service domain; or, if you trust that name, list it in tls.names".into(),
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            format!("its certificate ended on {}", shown.map_or("some day".into(), |facts| facts.not_after.to_string())),
            "the peer has to renew it; if it looks valid, look at this machine's clock".into(),
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            format!("its certificate begins on {}", shown.map_or("some day".into(), |facts| facts.not_before.to_string())),
            "is this machine's clock right?".into(),
        ),
        CertificateError::Revoked => (
            "its certificate is revoked".into(),
            "the peer has to get a new one; don't work around it".into(),
        ),
        other => (format!("its certificate can't be used: {other}"), "send the peer this line".into()),
    }
}

fn refused(alert: AlertDescription) -> Words {
    let advice = match alert {
        AlertDescription::UnknownCA => {
            "the peer has to add the authority that signed our certificate to its own list"
        }
        AlertDescription::CertificateExpired => "renew our certificate: `impsgw cert show` says when it ends",
        AlertDescription::CertificateRequired => "the peer wants a client certificate and got none",
        AlertDescription::UnrecognisedName => {
            "its server knows no such name: is the domain spelt as the peer does?"
        }
        AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion => {
            "no common TLS version or cipher; the peer needs TLS 1.2 or 1.3"
        }
        _ => {
            "the peer's log of this moment says why; most often it does not know our authority or our domain"
        }
    };
    (
        format!("the peer refuses our certificate or TLS: {alert:?}"),
        advice.into(),
    )
}
