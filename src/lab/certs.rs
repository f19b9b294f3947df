//! Certificates for the lab, for `impsgw cert` and for the tests: an authority, operators' certificates, revocation lists.
//!
//! An operator's certificate names the service domain twice: as DNS name and as SRV name (`_imps-server.<domain>`), because
//! peers ask for either. Keys are ECDSA P-256. Nothing here is for a production authority: there is no policy, no log and
//! no protection of the authority's key but the file mode. Source: RFC 5280 §4.2.1.6, RFC 4985 §2, RFC 6125 §6.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason,
    RevokedCertParams, SerialNumber,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use thiserror::Error;

/// A certificate authority that signs operators' certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

/// What an operator's certificate says.
#[derive(Clone, Debug)]
pub struct CertificateOrder {
    /// The service domain, in A-labels; also the common name.
    pub domain: String,
    /// Further DNS names, for instance SRV targets.
    pub host_names: Vec<String>,
    /// Whether the service domain stands there as DNS name.
    pub has_dns_name: bool,
    /// Whether the service domain stands there as SRV name.
    pub has_srv_name: bool,
    /// What the key may be used for.
    pub usage: Usage,
    /// From when it is valid.
    pub not_before: SystemTime,
    /// Until when it is valid.
    pub not_after: SystemTime,
}

/// The extended key usages of a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Usage {
    /// `serverAuth` and `clientAuth`: what a gateway needs.
    ServerAndClient,
    /// `serverAuth` alone, as many deployed servers have.
    ServerOnly,
    /// `clientAuth` alone.
    ClientOnly,
}

/// A certificate with its key, as PEM text.
pub struct IssuedCertificate {
    /// The certificate and nothing else; the authority's own is its `certificate_pem`.
    pub certificate_pem: String,
    /// The private key, PKCS #8.
    pub key_pem: String,
    /// Names the certificate in a revocation list.
    pub serial: Serial,
}

/// A certificate's serial number: 127 random bits, so that it is positive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Serial([u8; 16]);

/// Why no certificate was made.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// The names, the dates or the authority don't fit.
    #[error("the certificate can't be made")]
    Unmakeable(#[from] rcgen::Error),
    /// A name is longer than a certificate can hold, or not ASCII.
    #[error("{name:?} is not a domain name in A-labels")]
    BadName {
        /// The name as ordered.
        name: String,
    },
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    NoRandomness,
    /// A file can't be written.
    #[error("{} can't be written", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Authority {
    /// A new authority with a key of its own, valid for ten years around `now`.
    ///
    /// # Errors
    ///
    /// `CertificateError` when the key or the certificate can't be made.
    pub fn new(name: &str, now: SystemTime) -> Result<Self, CertificateError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(Serial::random()?.as_rcgen());
        params.not_before = (now - DAY).into();
        params.not_after = (now + 3652 * DAY).into();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate_pem,
        })
    }

    /// The authority whose certificate and key were kept from an earlier run.
    ///
    /// # Errors
    ///
    /// `CertificateError::Unmakeable` when the texts are not a certificate and its PKCS #8 key.
    pub fn load(certificate_pem: &str, key_pem: &str) -> Result<Self, CertificateError> {
        let issuer = Issuer::from_ca_cert_pem(certificate_pem, KeyPair::from_pem(key_pem)?)?;
        Ok(Self {
            issuer,
            certificate_pem: certificate_pem.to_owned(),
        })
    }

    /// Makes a key and signs its certificate.
    ///
    /// # Errors
    ///
    /// `CertificateError` when a name is unusable or the certificate can't be made.
    pub fn issue(&self, order: &CertificateOrder) -> Result<IssuedCertificate, CertificateError> {
        let serial = Serial::random()?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, order.domain.as_str());
        params.serial_number = Some(serial.as_rcgen());
        params.not_before = order.not_before.into();
        params.not_after = order.not_after.into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = order.usage.purposes();
        params.use_authority_key_identifier_extension = true;
        params.custom_extensions = vec![order.subject_alternative_name()?];
        let certificate_pem = params.signed_by(&key, &self.issuer)?.pem();
        Ok(IssuedCertificate {
            certificate_pem,
            key_pem: key.serialize_pem(),
            serial,
        })
    }

    /// A revocation list, as PEM text, that takes these certificates back.
    ///
    /// # Errors
    ///
    /// `CertificateError::Unmakeable` when `next_update` is not after `now`.
    pub fn revocation_list(
        &self,
        revoked: &[Serial],
        now: SystemTime,
        next_update: SystemTime,
    ) -> Result<String, CertificateError> {
        let seconds = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let revoked = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: serial.as_rcgen(),
            revocation_time: now.into(),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: now.into(),
            next_update: next_update.into(),
            crl_number: SerialNumber::from(seconds),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.pem()?)
    }

    /// What others need to trust this authority.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The authority's key, to be kept with `Authority::load` in mind; whoever has it can speak for every operator.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }
}

impl CertificateOrder {
    /// A gateway's certificate for one service domain: both usages, both forms of the name, 90 days from an hour ago.
    pub fn for_domain(domain: &str, now: SystemTime) -> Self {
        Self {
            domain: domain.to_ascii_lowercase(),
            host_names: Vec::new(),
            has_dns_name: true,
            has_srv_name: true,
            usage: Usage::ServerAndClient,
            not_before: now - Duration::from_secs(3600),
            not_after: now + 90 * DAY,
        }
    }

    /// rcgen writes other names as UTF-8 strings only, and an SRV name is an IA5 string; so the whole extension is made here.
    fn subject_alternative_name(&self) -> Result<CustomExtension, CertificateError> {
        let mut names = Vec::new();
        for host in self
            .has_dns_name
            .then_some(&self.domain)
            .into_iter()
            .chain(&self.host_names)
        {
            names.extend(tagged(DNS_NAME, ascii(host)?)?);
        }
        if self.has_srv_name {
            let srv_name = format!("_imps-server.{}", self.domain);
            let value = tagged(EXPLICIT, &tagged(IA5_STRING, ascii(&srv_name)?)?)?;
            names.extend(tagged(OTHER_NAME, &[ID_ON_DNS_SRV, &value].concat())?);
        }
        Ok(CustomExtension::from_oid_content(
            SUBJECT_ALTERNATIVE_NAME,
            tagged(SEQUENCE, &names)?,
        ))
    }
}

impl Usage {
    fn purposes(self) -> Vec<ExtendedKeyUsagePurpose> {
        match self {
            Self::ServerAndClient => {
                vec![
                    ExtendedKeyUsagePurpose::ServerAuth,
                    ExtendedKeyUsagePurpose::ClientAuth,
                ]
            }
            Self::ServerOnly => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Self::ClientOnly => vec![ExtendedKeyUsagePurpose::ClientAuth],
        }
    }
}

impl IssuedCertificate {
    /// Writes `<name>.pem` and, readable by nobody else, `<name>.key.pem`; returns both paths.
    ///
    /// # Errors
    ///
    /// `CertificateError::Unwritable` for the first file that can't be written.
    pub fn write(&self, folder: &Path, name: &str) -> Result<(PathBuf, PathBuf), CertificateError> {
        let (certificate, key) = (
            folder.join(format!("{name}.pem")),
            folder.join(format!("{name}.key.pem")),
        );
        write_file(&certificate, &self.certificate_pem, 0o644)?;
        write_file(&key, &self.key_pem, 0o600)?;
        Ok((certificate, key))
    }
}

impl Serial {
    fn random() -> Result<Self, CertificateError> {
        let mut bytes = [0; 16];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| CertificateError::NoRandomness)?;
        // Neither negative nor with a leading zero, so that every reader sees the same bytes.
        bytes[0] = bytes[0] & 0x7f | 0x40;
        Ok(Self(bytes))
    }

    fn as_rcgen(self) -> SerialNumber {
        SerialNumber::from_slice(&self.0)
    }
}

/// Writes text to a file that has this mode from the start; an existing file keeps its content until the new one is whole.
///
/// # Errors
///
/// `CertificateError::Unwritable` with what the system said.
pub fn write_file(path: &Path, text: &str, mode: u32) -> Result<(), CertificateError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let unwritable = |source| CertificateError::Unwritable {
        path: path.to_owned(),
        source,
    };
    let partial = path.with_extension("partial");
    let _ = std::fs::remove_file(&partial);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&partial)
        .map_err(unwritable)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(unwritable)?;
    std::fs::rename(&partial, path).map_err(unwritable)
}

fn ascii(name: &str) -> Result<&[u8], CertificateError> {
    let usable = !name.is_empty() && name.len() <= 253 && name.bytes().all(|byte| byte.is_ascii_graphic());
    usable
        .then_some(name.as_bytes())
        .ok_or_else(|| CertificateError::BadName {
            name: name.to_owned(),
        })
}

/// One DER element; lengths up to 65,535 octets.
fn tagged(tag: u8, content: &[u8]) -> Result<Vec<u8>, CertificateError> {
    let too_long = |_| CertificateError::BadName {
        name: format!("{} octets of names", content.len()),
    };
    let [high, low] = u16::try_from(content.len()).map_err(too_long)?.to_be_bytes();
    let mut der = vec![tag];
    match (high, low) {
        (0, 0..=0x7f) => der.push(low),
        (0, _) => der.extend([0x81, low]),
        _ => der.extend([0x82, high, low]),
    }
    der.extend_from_slice(content);
    Ok(der)
}

const DAY: Duration = Duration::from_secs(86_400);
const SUBJECT_ALTERNATIVE_NAME: &[u64] = &[2, 5, 29, 17];
/// id-on-dnsSRV, 1.3.6.1.5.5.7.8.7, as a DER object identifier.
const ID_ON_DNS_SRV: &[u8] = &[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x08, 0x07];
const SEQUENCE: u8 = 0x30;
const IA5_STRING: u8 = 0x16;
const DNS_NAME: u8 = 0x82;
const OTHER_NAME: u8 = 0xa0;
const EXPLICIT: u8 = 0xa0;
