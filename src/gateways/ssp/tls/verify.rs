//! The two certificate verifiers: chain, dates, revocation and purpose by webpki, names by our own rule.
//!
//! Revocation lists are searched for the whole chain; a certificate whose authority gave us no list counts as not revoked,
//! and a list that has ended is still used, because both are alarmed and neither should cut a partner off.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage, RevocationOptionsBuilder, UnknownStatusPolicy};

use super::{ClientAuthentication, PeerIdentity};
use crate::gateways::ssp::certificates::Trust;

/// Lets in clients whose certificate leads to an authority that we trust.
pub(super) struct ClientVerifier {
    trust: Arc<Trust>,
    algorithms: WebPkiSupportedAlgorithms,
    asking: ClientAuthentication,
    authorities: Vec<DistinguishedName>,
}

/// Accepts servers whose certificate leads to an authority that we trust and covers one of the reference names.
pub(super) struct ServerVerifier {
    trust: Arc<Trust>,
    algorithms: WebPkiSupportedAlgorithms,
    references: Vec<String>,
}

impl ClientVerifier {
    pub(super) fn new(trust: Arc<Trust>, provider: &CryptoProvider, asking: ClientAuthentication) -> Self {
        let algorithms = provider.signature_verification_algorithms;
        let authorities = trust.roots.subjects();
        Self {
            trust,
            algorithms,
            asking,
            authorities,
        }
    }
}

impl ServerVerifier {
    pub(super) fn new(trust: Arc<Trust>, provider: &CryptoProvider, references: Vec<String>) -> Self {
        Self {
            trust,
            algorithms: provider.signature_verification_algorithms,
            references,
        }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.authorities
    }

    fn client_auth_mandatory(&self) -> bool {
        self.asking != ClientAuthentication::Requested
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verify = |usage| {
            verify_chain(
                &self.trust,
                &self.algorithms,
                end_entity,
                intermediates,
                now,
                usage,
            )
        };
        match verify(KeyUsage::client_auth()) {
            Err(Error::InvalidCertificate(CertificateError::InvalidPurpose))
                if self.asking != ClientAuthentication::Required =>
            {
                verify(KeyUsage::server_auth())?;
            }
            other => other?,
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        verify_chain(
            &self.trust,
            &self.algorithms,
            end_entity,
            intermediates,
            now,
            KeyUsage::server_auth(),
        )?;
        let identity = PeerIdentity::of(end_entity)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        if self
            .references
            .iter()
            .any(|reference| identity.names.cover(reference))
        {
            return Ok(ServerCertVerified::assertion());
        }
        let presented = identity.names.iter().map(str::to_owned).collect();
        let expected = server_name.to_owned();
        Err(Error::InvalidCertificate(
            CertificateError::NotValidForNameContext { expected, presented },
        ))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl fmt::Debug for ClientVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientVerifier")
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerVerifier")
            .field("references", &self.references)
            .finish_non_exhaustive()
    }
}

fn verify_chain(
    trust: &Trust,
    algorithms: &WebPkiSupportedAlgorithms,
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
    usage: KeyUsage,
) -> Result<(), Error> {
    let lists: Vec<_> = trust.revocation_lists.iter().collect();
    let revocation = RevocationOptionsBuilder::new(&lists)
        .ok()
        .map(|options| options.with_status_policy(UnknownStatusPolicy::Allow).build());
    let certificate = EndEntityCert::try_from(end_entity).map_err(in_terms_of_rustls)?;
    certificate
        .verify_for_usage(
            algorithms.all,
            &trust.roots.roots,
            intermediates,
            now,
            usage,
            revocation,
            None,
        )
        .map_err(in_terms_of_rustls)?;
    Ok(())
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "webpki marks the enum non-exhaustive; its text is the reason"
)]
fn in_terms_of_rustls(error: webpki::Error) -> Error {
    Error::InvalidCertificate(match error {
        webpki::Error::BadDer | webpki::Error::BadDerTime => CertificateError::BadEncoding,
        webpki::Error::CertExpired { time, not_after } => {
            CertificateError::ExpiredContext { time, not_after }
        }
        webpki::Error::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }
        }
        webpki::Error::CertRevoked => CertificateError::Revoked,
        // A bad signature is an authority of the same name with another key; the peer's alert should say so.
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
            CertificateError::UnknownIssuer
        }
        webpki::Error::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    })
}
