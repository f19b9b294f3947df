//! What a call of the admin API can be refused with, always as JSON: `{"error": {"code", "message"}}`.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::{AccountsError, LeverError, Role};
use crate::store::StoreError;

/// Why a call was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("the Host header does not name this server; add the name to [admin] hosts")]
    WrongHost,
    #[error("a token is needed: Authorization: Bearer …; `impsgw token create` makes one")]
    NoToken,
    #[error("the token is not known, or was revoked")]
    BadToken,
    #[error("the role {needed} is needed, this token has {has}")]
    WrongRole { needed: Role, has: Role },
    #[error("{0}")]
    BadRequest(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Conflict(String),
    #[error("{method} is not for this path")]
    WrongMethod { method: String },
    #[error("the body is larger than {max} octets")]
    TooLarge { max: usize },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Failed(String),
    #[error(transparent)]
    Accounts(AccountsError),
    #[error(transparent)]
    Lever(#[from] LeverError),
}

impl From<AccountsError> for ApiError {
    fn from(error: AccountsError) -> Self {
        Self::Accounts(error)
    }
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::WrongHost => StatusCode::MISDIRECTED_REQUEST,
            Self::NoToken | Self::BadToken => StatusCode::UNAUTHORIZED,
            Self::WrongRole { .. } => StatusCode::FORBIDDEN,
            Self::BadRequest(_) | Self::Accounts(AccountsError::Rows(_) | AccountsError::Refused(_)) => {
                StatusCode::BAD_REQUEST
            }
            Self::NotFound(_)
            | Self::Accounts(AccountsError::Unknown(_))
            | Self::Lever(LeverError::Unknown(_)) => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Store(_)
            | Self::Accounts(AccountsError::Store(_) | AccountsError::NotNow(_))
            | Self::Failed(_)
            | Self::Lever(LeverError::Failed(_)) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::WrongHost => "wrong-host",
            Self::NoToken => "no-token",
            Self::BadToken => "bad-token",
            Self::WrongRole { .. } => "wrong-role",
            Self::BadRequest(_) | Self::Accounts(AccountsError::Refused(_)) => "bad-request",
            Self::Accounts(AccountsError::Rows(_)) => "bad-rows",
            Self::NotFound(_)
            | Self::Accounts(AccountsError::Unknown(_))
            | Self::Lever(LeverError::Unknown(_)) => "not-found",
            Self::Conflict(_) => "conflict",
            Self::WrongMethod { .. } => "wrong-method",
            Self::TooLarge { .. } => "too-large",
            Self::Store(_) | Self::Accounts(AccountsError::Store(_)) => "store",
            Self::Failed(_)
            | Self::Accounts(AccountsError::NotNow(_))
            | Self::Lever(LeverError::Failed(_)) => "failed",
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "error": { "code": self.code(), "message": self.to_string() } });
        let mut response = (self.status(), Json(body)).into_response();
        if self.status() == StatusCode::UNAUTHORIZED {
            let value = axum::http::HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(axum::http::header::WWW_AUTHENTICATE, value);
        }
        response
    }
}
