//! Our certificates, the authorities that we trust and their revocation lists, replaceable while running.
//!
//! `Bundle::read` takes PEM files, `Certificates` holds what they say. `replace` puts a new bundle in place at once, for the
//! next connection of every listener and client; listeners also let go of connections that were made before, so that a
//! revoked peer has to come in again. Which certificate is shown depends on the domain that we speak for. Nothing watches
//! the files here, and no alarm is raised: `expiries` says what there is to be alarmed about.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::watch;
use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_parser::prelude::{
    CertificateRevocationList as ParsedRevocationList, FromDer as _, X509Certificate,
};

use super::tls::{self, CertificateNames, HttpVersions};

/// Where the PEM files are.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CertificateFiles {
    /// One pair of files for each set of domains that we speak for; the first serves where none fits.
    pub identities: Vec<IdentityFiles>,
    /// Certificates of the authorities that peers' certificates must lead to.
    pub authorities: Vec<PathBuf>,
    /// Revocation lists of those authorities. An authority without one has revoked nothing that we know of.
    pub revocation_lists: Vec<PathBuf>,
}

/// A further certificate of ours, for other domains that we speak as: those of partners, towards a home server that meets them
/// through us, or a home domain with an authority of its own. Where several name a domain, the one that comes first is shown.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityFiles {
    /// The certificate, followed by the intermediate ones, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// Everything that the files say, checked as far as that goes without a peer.
#[derive(Debug)]
pub struct Bundle {
    pub(super) identities: Vec<Identity>,
    pub(super) trust: Arc<Trust>,
    expiries: Vec<Expiry>,
}

/// The bundle in force.
#[derive(Debug)]
pub struct Certificates {
    current: ArcSwap<Generation>,
    changes: watch::Sender<u64>,
}

/// Something that ends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Expiry {
    /// Which it is.
    pub what: Expiring,
    /// The subject of a certificate, the issuer of a revocation list.
    pub name: String,
    /// When it ends.
    pub at: SystemTime,
}

/// The kinds of things that end.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Expiring {
    /// A certificate that we show; peers refuse us afterwards.
    Identity,
    /// An authority; we refuse its peers afterwards.
    Authority,
    /// A revocation list; it is still used afterwards, but newer revocations are missed.
    RevocationList,
}

/// Why certificates can't be used.
#[derive(Debug, Error)]
pub enum BundleError {
    /// A file can't be read, or is not PEM of the right kind.
    #[error("{} holds no usable {expected} in PEM form", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// What the reader said.
        source: pem::Error,
    },
    /// A certificate and a key don't belong together, or the key's kind is not supported.
    #[error("the certificate {} can't be used with its key", path.display())]
    Key {
        /// The certificate's file.
        path: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// A certificate or a revocation list can't be understood.
    #[error("{} can't be understood: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No identity is named.
    #[error("no certificate of ours is named")]
    NoIdentity,
    /// No authority is named, so nobody could be trusted.
    #[error("no authority to trust is named")]
    NoAuthority,
}

#[derive(Debug)]
pub(super) struct Generation {
    pub(super) number: u64,
    pub(super) bundle: Bundle,
}

#[derive(Debug)]
pub(super) struct Identity {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) names: CertificateNames,
}

/// Whom we believe; shared by all verifiers of a bundle, because revocation lists may be large.
pub(super) struct Trust {
    pub(super) roots: Arc<RootCertStore>,
    pub(super) revocation_lists: Vec<CertRevocationList<'static>>,
}

impl CertificateFiles {
    /// Every file that is named.
    pub fn all(&self) -> impl Iterator<Item = &Path> {
        let identities = self
            .identities
            .iter()
            .flat_map(|identity| [&identity.certificate, &identity.key]);
        let others = self.authorities.iter().chain(&self.revocation_lists);
        identities.chain(others).map(PathBuf::as_path)
    }
}

impl Certificates {
    /// Puts a first bundle in force.
    pub fn new(bundle: Bundle) -> Arc<Self> {
        let current = ArcSwap::from_pointee(Generation { number: 0, bundle });
        Arc::new(Self {
            current,
            changes: watch::Sender::new(0),
        })
    }

    /// Puts another bundle in force, for all connections from now on.
    pub fn replace(&self, bundle: Bundle) {
        self.changes.send_modify(|number| {
            *number += 1;
            self.current.store(Arc::new(Generation {
                number: *number,
                bundle,
            }));
        });
    }

    /// Everything that ends, soonest first.
    pub fn expiries(&self) -> Vec<Expiry> {
        let mut expiries = self.current.load().bundle.expiries.clone();
        expiries.sort_by_key(|expiry| expiry.at);
        expiries
    }

    /// Whether we have no certificate at all, so that TLS with anybody is out of the question.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.current.load().bundle.identities.is_empty()
    }

    /// Our certificates, each followed by those that lead to its authority, as peers see them.
    #[must_use]
    pub fn chains(&self) -> Vec<Vec<CertificateDer<'static>>> {
        let generation = self.current.load();
        let identities = generation.bundle.identities.iter();
        identities.map(|identity| identity.key.cert.clone()).collect()
    }

    /// What a client shows and asks who speaks as `own_domain` to a server that must cover one of the `references`: as the
    /// gateway's own client does, for whoever wants to try a peer.
    ///
    /// # Errors
    /// What rustls says of the ring provider's versions; does not happen with the versions built in.
    pub fn dialling(
        &self,
        own_domain: &str,
        references: Vec<String>,
        versions: HttpVersions,
    ) -> Result<Arc<ClientConfig>, rustls::Error> {
        tls::client_config(&self.current(), own_domain, references, versions).map(Arc::new)
    }

    pub(super) fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// Grows with each bundle.
    pub(super) fn number(&self) -> u64 {
        self.current.load().number
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl Bundle {
    /// No certificate, nobody to trust: for a gateway on a closed segment, without TLS.
    #[must_use]
    pub fn none() -> Self {
        let trust = Trust {
            roots: Arc::new(RootCertStore::empty()),
            revocation_lists: Vec::new(),
        };
        Self {
            identities: Vec::new(),
            trust: Arc::new(trust),
            expiries: Vec::new(),
        }
    }

    /// Reads and checks all files. Blocks; the files are small.
    ///
    /// # Errors
    ///
    /// `BundleError` for the first file that can't be used.
    pub fn read(files: &CertificateFiles) -> Result<Self, BundleError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut expiries = Vec::new();
        let identities = files
            .identities
            .iter()
            .map(|files| Identity::read(files, &provider, &mut expiries));
        let identities: Vec<_> = identities.collect::<Result<_, _>>()?;
        if identities.is_empty() {
            return Err(BundleError::NoIdentity);
        }
        let trust = Arc::new(Trust::read(
            &files.authorities,
            &files.revocation_lists,
            &mut expiries,
        )?);
        Ok(Self {
            identities,
            trust,
            expiries,
        })
    }

    /// Reads one certificate of ours for a listener that asks its clients for none, so that nobody is to be trusted.
    ///
    /// # Errors
    ///
    /// `BundleError` for the first file that can't be used.
    pub fn shown(files: &IdentityFiles) -> Result<Self, BundleError> {
        let provider = rustls::crypto::ring::default_provider();
        let mut bundle = Self::none();
        let identity = Identity::read(files, &provider, &mut bundle.expiries)?;
        bundle.identities.push(identity);
        Ok(bundle)
    }

    /// The identity that names the domain, or the nearest one above it, because a client may ask for a server inside of the domain;
    /// else the first.
    pub(super) fn identity_for(&self, domain: Option<&str>) -> Option<&Identity> {
        let names = std::iter::successors(domain, |name| name.split_once('.').map(|(_, above)| above));
        let naming = |name: &str| self.identities.iter().find(|identity| identity.names.cover(name));
        let fitting = names.filter_map(naming).next();
        fitting.or_else(|| self.identities.first())
    }
}

impl Expiring {
    /// As in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Authority => "authority",
            Self::RevocationList => "revocation-list",
        }
    }
}

impl Expiry {
    /// Whole days that are left at `now`; 0 on the last day and afterwards.
    pub fn days_left(&self, now: SystemTime) -> u64 {
        self.at.duration_since(now).unwrap_or_default().as_secs() / 86_400
    }

    /// Whether it has ended at `now`.
    pub fn is_over(&self, now: SystemTime) -> bool {
        self.at <= now
    }
}

impl Identity {
    fn read(
        files: &IdentityFiles,
        provider: &CryptoProvider,
        expiries: &mut Vec<Expiry>,
    ) -> Result<Self, BundleError> {
        let chain = read_all::<CertificateDer<'static>>(&files.certificate, "certificate")?;
        let leaf = chain.first().ok_or(BundleError::NoIdentity)?;
        let parsed = parse(leaf, &files.certificate)?;
        expiries.push(certificate_expiry(Expiring::Identity, &parsed));
        let names = CertificateNames::of(&parsed);
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|source| BundleError::File {
            path: files.key.clone(),
            expected: "private key",
            source,
        })?;
        let key = CertifiedKey::from_der(chain, key, provider).map_err(|source| BundleError::Key {
            path: files.certificate.clone(),
            source,
        })?;
        Ok(Self {
            key: Arc::new(key),
            names,
        })
    }
}

impl Trust {
    fn read(
        authorities: &[PathBuf],
        revocation_lists: &[PathBuf],
        expiries: &mut Vec<Expiry>,
    ) -> Result<Self, BundleError> {
        let mut roots = RootCertStore::empty();
        for path in authorities {
            for certificate in read_all::<CertificateDer<'static>>(path, "certificate")? {
                expiries.push(certificate_expiry(
                    Expiring::Authority,
                    &parse(&certificate, path)?,
                ));
                roots.add(certificate).map_err(|error| unreadable(path, &error))?;
            }
        }
        if roots.is_empty() {
            return Err(BundleError::NoAuthority);
        }
        let mut lists = Vec::new();
        for path in revocation_lists {
            for list in read_all::<CertificateRevocationListDer<'static>>(path, "revocation list")? {
                expiries.extend(list_expiry(&list));
                let list =
                    OwnedCertRevocationList::from_der(&list).map_err(|error| unreadable(path, &error))?;
                lists.push(list.into());
            }
        }
        Ok(Self {
            roots: Arc::new(roots),
            revocation_lists: lists,
        })
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = self.revocation_lists.len();
        f.debug_struct("Trust")
            .field("roots", &self.roots.len())
            .field("revocation_lists", &lists)
            .finish()
    }
}

fn read_all<T: PemObject>(path: &Path, expected: &'static str) -> Result<Vec<T>, BundleError> {
    let failed = |source| BundleError::File {
        path: path.to_owned(),
        expected,
        source,
    };
    let objects: Vec<T> = T::pem_file_iter(path)
        .map_err(failed)?
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    if objects.is_empty() {
        Err(failed(pem::Error::NoItemsFound))
    } else {
        Ok(objects)
    }
}

fn parse<'a>(certificate: &'a CertificateDer<'_>, path: &Path) -> Result<X509Certificate<'a>, BundleError> {
    let parsed = X509Certificate::from_der(certificate).map_err(|error| unreadable(path, &error))?;
    Ok(parsed.1)
}

fn certificate_expiry(what: Expiring, certificate: &X509Certificate<'_>) -> Expiry {
    let at = system_time(certificate.validity().not_after.timestamp());
    Expiry {
        what,
        name: certificate.subject().to_string(),
        at,
    }
}

fn list_expiry(list: &[u8]) -> Option<Expiry> {
    let (_, list) = ParsedRevocationList::from_der(list).ok()?;
    let at = system_time(list.next_update()?.timestamp());
    Some(Expiry {
        what: Expiring::RevocationList,
        name: list.issuer().to_string(),
        at,
    })
}

pub(super) fn system_time(unix_seconds: i64) -> SystemTime {
    let seconds = Duration::from_secs(unix_seconds.unsigned_abs());
    let epoch = SystemTime::UNIX_EPOCH;
    let time = if unix_seconds < 0 {
        epoch.checked_sub(seconds)
    } else {
        epoch.checked_add(seconds)
    };
    time.unwrap_or(epoch)
}

fn unreadable(path: &Path, error: &dyn fmt::Display) -> BundleError {
    BundleError::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}
