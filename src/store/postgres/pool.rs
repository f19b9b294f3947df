//! Connections to the database, and work that is tried again while that may help.
//!
//! Work runs in a task of its own: a caller that gives up can't leave a connection amid a transaction. What failed because
//! another transaction was in the way is done again; what failed because the connection went is done again on another one,
//! unless the database was committing.

use std::{future::Future, sync::Arc, time::Duration};

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts};
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::{
    sync::RwLock,
    time::{Instant, timeout},
};
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{PostgresConfig, error::Failed};
use crate::store::StoreError;

/// A pool of connections, all to the server that takes writes.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    pool: Pool,
    /// Read by all work, written by the end.
    ending: Arc<RwLock<()>>,
    patience: Duration,
    /// How long some work may take on one connection.
    longest: Duration,
}

impl Connections {
    /// A pool that connects when it is first asked.
    ///
    /// # Errors
    /// [`StoreError::Engine`] when the URL or the authorities can't be read.
    pub(super) fn new(config: &PostgresConfig) -> Result<Self, StoreError> {
        let (address, tls) = (address(config)?, tls(config)?);
        let recycling_method = RecyclingMethod::Fast;
        let manager_config = ManagerConfig { recycling_method };
        let manager = match tls {
            Some(tls) => Manager::from_config(address, MakeRustlsConnect::new(tls), manager_config),
            None => Manager::from_config(address, tokio_postgres::NoTls, manager_config),
        };
        let pool = Pool::builder(manager)
            .max_size(config.connections.max(2))
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(config.patience),
                create: Some(config.connect_timeout),
                recycle: Some(config.connect_timeout),
            })
            .build()
            .map_err(|error| engine(&error))?;
        Ok(Self {
            pool,
            ending: Arc::default(),
            patience: config.patience,
            longest: config.statement_timeout * STATEMENTS,
        })
    }

    /// Does some work on a connection; does it again as long as that may help and the patience lasts.
    ///
    /// # Errors
    /// [`StoreError::Away`] when the database stayed away, [`StoreError::Closed`] after [`Connections::close`]; else what the work
    /// says.
    ///
    /// # Cancel safety
    /// The work goes on when the future is dropped.
    pub(super) async fn run<T, F>(
        &self,
        work: impl Fn(Arc<Object>) -> F + Send + Sync + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failed>> + Send,
    {
        let this = self.clone();
        let open = Arc::clone(&self.ending).read_owned().await;
        let working = tokio::spawn(async move {
            let done = this.insist(work).await;
            drop(open);
            done
        });
        working.await.map_err(|error| engine(&error))?
    }

    async fn insist<T, F>(&self, work: impl Fn(Arc<Object>) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let failed = match self.attempt(&work).await {
                Ok(value) => return Ok(value),
                Err(failed @ (Failed::Again(_) | Failed::Lost(_))) => failed,
                Err(final_one @ (Failed::InDoubt(_) | Failed::Store(_))) => {
                    return Err(final_one.into_store_error());
                }
            };
            if began.elapsed() + pause >= self.patience {
                return Err(failed.into_store_error());
            }
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt<T, F>(&self, work: impl Fn(Arc<Object>) -> F) -> Result<T, Failed>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        let connection = Arc::new(self.pool.get().await?);
        // A server that hangs ends no statement, and keeps its connections.
        let done = timeout(self.longest, work(Arc::clone(&connection))).await;
        let silent = || Failed::InDoubt("it gave no answer in time".to_owned());
        let done = done.unwrap_or_else(|_| Err(silent()));
        let is_whole = match &done {
            Ok(_) => true,
            Err(Failed::Lost(_) | Failed::InDoubt(_)) => false,
            // Whatever was begun is undone before the next one has the connection.
            Err(Failed::Again(_) | Failed::Store(_)) => connection.batch_execute("ROLLBACK").await.is_ok(),
        };
        if !is_whole && let Some(connection) = Arc::into_inner(connection) {
            drop(Object::take(connection));
        }
        done
    }

    /// Waits for the work under way, takes no further, and closes all connections.
    pub(super) async fn close(&self) {
        let all = self.ending.write().await;
        self.pool.close();
        drop(all);
    }

    /// Whether [`Connections::close`] was called.
    pub(super) fn is_closed(&self) -> bool {
        self.pool.is_closed()
    }
}

/// Where the database is, and how it is to treat our sessions.
///
/// # Errors
/// [`StoreError::Engine`] when the URL can't be read.
pub(super) fn address(config: &PostgresConfig) -> Result<tokio_postgres::Config, StoreError> {
    let mut address: tokio_postgres::Config = config.url.parse().map_err(|error| engine(&error))?;
    if let Some(password) = &config.password {
        address.password(password);
    }
    let statement = config.statement_timeout.as_millis();
    let asked = address.get_options().unwrap_or_default().to_owned();
    address
        .application_name(format!("impsgw {}", config.node))
        .target_session_attrs(TargetSessionAttrs::ReadWrite)
        .connect_timeout(config.connect_timeout)
        .keepalives_idle(KEEPALIVE)
        .keepalives_interval(KEEPALIVE)
        .tcp_user_timeout(config.statement_timeout)
        // Whatever the database's defaults are: a stuck statement ends, and so does a transaction whose node went silent; locks are
        // taken where this engine takes them, and not by a stricter isolation. A plan that was made while a table was small would
        // go on to read all of it when it has grown, so that every plan goes by an index.
        .options(format!(
            "-c statement_timeout={statement} -c idle_in_transaction_session_timeout={statement} \
             -c default_transaction_isolation=read\\ committed -c enable_seqscan=off {asked}"
        ));
    if config.ca.is_none() {
        if address.get_ssl_mode() == SslMode::Require {
            return Err(StoreError::Engine {
                reason:
                    "sslmode=require needs `ca`, the authorities whose certificates the database may show"
                        .to_owned(),
            });
        }
        address.ssl_mode(SslMode::Disable);
    }
    Ok(address)
}

/// TLS with the authorities of the configuration; the database's certificate must name the host of the URL.
///
/// # Errors
/// [`StoreError::Engine`] when the authorities can't be read.
pub(super) fn tls(config: &PostgresConfig) -> Result<Option<rustls::ClientConfig>, StoreError> {
    let Some(ca) = &config.ca else {
        return Ok(None);
    };
    let unreadable = |error: &dyn std::fmt::Display| StoreError::Engine {
        reason: format!("{} can't be read: {error}", ca.display()),
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(|error| unreadable(&error))? {
        let certificate = certificate.map_err(|error| unreadable(&error))?;
        roots.add(certificate).map_err(|error| unreadable(&error))?;
    }
    if roots.is_empty() {
        return Err(unreadable(&"it holds no certificate"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| engine(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Some(config))
}

/// A failure that nobody but the programmer or the configuration can mend.
pub(super) fn engine(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Engine {
        reason: error.to_string(),
    }
}

/// Most work has fewer statements, and the database ends each in its time, unless it hangs.
const STATEMENTS: u32 = 4;
/// Before the second attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// Between later ones.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// How often a silent connection is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(5);
