//! PostgreSQL's errors by who must act, and by whether the same work may succeed when it is done again.

use tokio_postgres::error::SqlState;

use crate::store::StoreError;

/// Why an attempt at some work came to nothing.
#[derive(Debug)]
pub(super) enum Failed {
    /// Another transaction was in the way; nothing was changed, and the same work may succeed at once.
    Again(String),
    /// The connection is gone, or leads to a server that takes no writes now; nothing was changed.
    Lost(String),
    /// The connection went while the database was committing: nobody here knows whether it did.
    InDoubt(String),
    /// It won't get better by itself.
    Store(StoreError),
}

impl Failed {
    /// The same failure, when it came while a commit was under way.
    pub(super) fn while_committing(self) -> Self {
        match self {
            Self::Lost(reason) => Self::InDoubt(reason),
            other @ (Self::Again(_) | Self::InDoubt(_) | Self::Store(_)) => other,
        }
    }

    /// What the caller is told once no further attempt is made.
    pub(super) fn into_store_error(self) -> StoreError {
        match self {
            Self::Again(reason) | Self::Lost(reason) => StoreError::Away { reason },
            Self::InDoubt(reason) => StoreError::InDoubt { reason },
            Self::Store(error) => error,
        }
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        let reason = words(&error);
        let Some(code) = error.code() else {
            // What is neither the database's answer nor the connection's end is ours: a column that can't be read.
            return if error.is_closed() || std::error::Error::source(&error).is_some_and(is_io) {
                Self::Lost(reason)
            } else {
                Self::Store(StoreError::Damaged { reason })
            };
        };
        let class = code.code().get(..2).unwrap_or_default();
        if AGAIN.contains(code) {
            Self::Again(reason)
        } else if LOST.contains(code) || class == "08" {
            Self::Lost(reason)
        } else if class == "53" || class == "58" {
            Self::Store(StoreError::Disk { reason })
        } else if class == "XX" {
            Self::Store(StoreError::Damaged { reason })
        } else {
            Self::Store(StoreError::Engine { reason })
        }
    }
}

impl From<deadpool_postgres::PoolError> for Failed {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        use deadpool_postgres::PoolError;
        match error {
            PoolError::Backend(error) => {
                // A server that can't be reached has no words of its own; one that refuses us won't change its mind.
                if error.code().is_none() {
                    Self::Lost(words(&error))
                } else {
                    error.into()
                }
            }
            PoolError::Closed => Self::Store(StoreError::Closed),
            PoolError::Timeout(_) => Self::Lost("no connection became free in time".to_owned()),
            other @ (PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_)) => {
                Self::Store(StoreError::Engine {
                    reason: other.to_string(),
                })
            }
        }
    }
}

/// The database's own sentence with its code, or the chain of causes.
fn words(error: &tokio_postgres::Error) -> String {
    if let Some(answer) = error.as_db_error() {
        return format!("{} ({})", answer.message(), answer.code().code());
    }
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        words = format!("{words}: {inner}");
        cause = inner.source();
    }
    words
}

fn is_io(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<std::io::Error>()
}

/// Nothing was changed, and the same work may succeed.
const AGAIN: &[SqlState] = &[
    SqlState::T_R_SERIALIZATION_FAILURE,
    SqlState::T_R_DEADLOCK_DETECTED,
    SqlState::LOCK_NOT_AVAILABLE,
];

/// The server ends, starts, has become a standby, or has no room for the connection now; or the statement was prepared before
/// the tables were changed by a newer program.
const LOST: &[SqlState] = &[
    SqlState::ADMIN_SHUTDOWN,
    SqlState::CRASH_SHUTDOWN,
    SqlState::CANNOT_CONNECT_NOW,
    SqlState::READ_ONLY_SQL_TRANSACTION,
    SqlState::TOO_MANY_CONNECTIONS,
    SqlState::FEATURE_NOT_SUPPORTED,
    SqlState::QUERY_CANCELED,
    SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
];
