//! Admin tokens: made once, shown once, kept as a salted hash, checked in constant time.
//!
//! A token is `impsgw_<id>_<secret>`; the id finds the row in `Space::Token`, so that a look-up leaks nothing about the
//! secret. The first start, when there is no token at all, writes one of role `admin` to a file of mode 0600.

use std::{
    fmt, io,
    io::Write,
    path::{Path, PathBuf},
    str::FromStr,
};

use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use serde::{Deserialize, Serialize};

use crate::{
    model::Timestamp,
    store::{Batch, Space, Store, StoreError},
};

/// What a token may do; each role may do what the one before it may.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Look, with people hidden unless asked for.
    Read,
    /// Look and act: peers, queues, caches, overrides, reload.
    Operate,
    /// Everything, tokens and the audit log included.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        })
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "read" => Ok(Self::Read),
            "operate" => Ok(Self::Operate),
            "admin" => Ok(Self::Admin),
            other => Err(format!("{other:?} is no role: read, operate or admin")),
        }
    }
}

/// A token as it is kept and listed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct TokenInfo {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) created: Timestamp,
    pub(super) expires: Option<Timestamp>,
}

#[derive(Deserialize, Serialize)]
struct TokenRow {
    name: String,
    role: Role,
    created: Timestamp,
    salt: String,
    hash: String,
}

/// Why tokens can't be made or read.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The store failed.
    #[error("tokens can't be kept")]
    Store(#[from] StoreError),
    /// The system gives no random octets.
    #[error("the system gives no random octets")]
    Random,
    /// The file of the first token can't be written.
    #[error(
        "the first admin token can't be written to {path}: {error}; make the folder writable or set [admin] token_file"
    )]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
}

/// Makes a token; returns it in full, which nobody can do later.
pub(super) async fn create(
    store: &dyn Store,
    name: &str,
    role: Role,
    expires: Option<Timestamp>,
    now: Timestamp,
) -> Result<(TokenInfo, String), TokenError> {
    let (id, secret, salt) = (random_hex(6)?, random_hex(32)?, random_hex(16)?);
    let row = TokenRow {
        name: name.to_owned(),
        role,
        created: now,
        hash: hex(hmac::sign(&key(&salt), secret.as_bytes()).as_ref()),
        salt,
    };
    let value = serde_json::to_vec(&row).unwrap_or_default();
    store
        .commit(Batch::new(now).put(Space::Token, &*id, value, expires))
        .await?;
    let token = format!("{PREFIX}{id}_{secret}");
    let info = TokenInfo {
        id,
        name: name.to_owned(),
        role,
        created: now,
        expires,
    };
    Ok((info, token))
}

/// Whose token it is; `None` when it is nobody's.
pub(super) async fn check(
    store: &dyn Store,
    token: &str,
    now: Timestamp,
) -> Result<Option<TokenInfo>, StoreError> {
    let Some((id, secret)) = token.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')) else {
        return Ok(None);
    };
    if id.len() != 12 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let Some(row) = store.row(Space::Token, id, now).await? else {
        return Ok(None);
    };
    let Some(kept) = read(&row.value) else {
        return Ok(None);
    };
    let hash = unhex(&kept.hash).unwrap_or_default();
    // ring compares in constant time.
    if hmac::verify(&key(&kept.salt), secret.as_bytes(), &hash).is_err() {
        return Ok(None);
    }
    Ok(Some(TokenInfo {
        id: id.to_owned(),
        name: kept.name,
        role: kept.role,
        created: kept.created,
        expires: row.expires,
    }))
}

/// All tokens, without their secrets.
pub(super) async fn list(store: &dyn Store, now: Timestamp) -> Result<Vec<TokenInfo>, StoreError> {
    let rows = store.rows(Space::Token, "", None, MAX_TOKENS, now).await?;
    let info = |row: crate::store::Row| {
        let kept = read(&row.value)?;
        Some(TokenInfo {
            id: row.key,
            name: kept.name,
            role: kept.role,
            created: kept.created,
            expires: row.expires,
        })
    };
    Ok(rows.into_iter().filter_map(info).collect())
}

/// Writes a first token to the file when there is none yet; returns the file when it did.
///
/// # Errors
/// [`TokenError`].
pub async fn first_token(
    store: &dyn Store,
    path: &Path,
    now: Timestamp,
) -> Result<Option<PathBuf>, TokenError> {
    if !list(store, now).await?.is_empty() {
        return Ok(None);
    }
    recovery_token(store, path, now).await.map(Some)
}

/// Writes a new admin token to the file, for an operator who has lost all others; those stay good until they are revoked.
///
/// # Errors
/// [`TokenError`].
pub async fn recovery_token(store: &dyn Store, path: &Path, now: Timestamp) -> Result<PathBuf, TokenError> {
    let (_, token) = create(store, "first", Role::Admin, None, now).await?;
    write_secret(path, &token).map_err(|error| TokenError::File {
        path: path.to_owned(),
        error,
    })?;
    Ok(path.to_owned())
}

/// A new file that only its owner may read; an old one is replaced, so that its mode can't be kept.
fn write_secret(path: &Path, token: &str) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    writeln!(file, "{token}")?;
    file.sync_all()
}

fn key(salt: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, salt.as_bytes())
}

fn read(value: &[u8]) -> Option<TokenRow> {
    serde_json::from_slice(value).ok()
}

fn random_hex(octets: usize) -> Result<String, TokenError> {
    let mut bytes = vec![0; octets];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| TokenError::Random)?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pair = |at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}

const PREFIX: &str = "impsgw_";
/// More are not listed.
pub(super) const MAX_TOKENS: usize = 1000;
