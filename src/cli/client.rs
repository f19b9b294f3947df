//! The client of the admin API that most commands are.

use std::path::PathBuf;

use clap::Args;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::Value;

use super::output::Failure;
use crate::config::Config;

/// Where the admin API is, and how the answer is printed.
#[derive(Args, Clone, Debug)]
pub(super) struct Remote {
    /// Print JSON, as the admin API answers.
    #[arg(long)]
    pub(super) json: bool,
    /// The gateway's configuration, which says where its admin API and its first token are.
    #[arg(long, value_name = "FILE", env = "IMPSGW_CONFIG", default_value = DEFAULT_CONFIG)]
    pub(super) config: PathBuf,
    /// The admin API that is asked, in place of the configuration's, such as http://127.0.0.1:7080.
    #[arg(long, value_name = "URL", env = "IMPSGW_ADMIN", value_parser = address)]
    pub(super) admin: Option<String>,
    /// A file that holds a token of the admin API, in place of the configuration's.
    #[arg(long, value_name = "FILE", env = "IMPSGW_TOKEN_FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// Show people in full to a token of role read; the audit log says so.
    #[arg(long)]
    unmask: bool,
}

/// The configuration that commands read when none is named.
pub(super) const DEFAULT_CONFIG: &str = "config/impsgw.toml";

/// A connection to the admin API.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
    token_file: PathBuf,
    unmask: bool,
}

impl Remote {
    /// A client with the token of the file.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let (base, token_file) = self.place()?;
        let token = std::fs::read_to_string(&token_file).map_err(|error| {
            let file = token_file.display();
            let hint = if error.kind() == std::io::ErrorKind::PermissionDenied {
                "only the gateway's own user may read it;"
            } else if self.token_file.is_none() && !self.config.exists() {
                "there is no config/impsgw.toml here either, so nothing says which gateway is meant;"
            } else {
                "the gateway writes it at its first start: is it running, and is this its folder?"
            };
            Failure::Usage(format!(
                "the token file {file} can't be read: {error}; {hint} else name one with --token-file or --config"
            ))
        })?;
        // A proxy has no business between an operator and his gateway.
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(std::time::Duration::from_secs(60))
            .build()
            .map_err(|error| Failure::Bad(format!("no HTTP client: {error}")))?;
        Ok(Client {
            http,
            base: base.trim_end_matches('/').to_owned(),
            token: token.trim().to_owned(),
            token_file,
            unmask: self.unmask,
        })
    }

    /// Where the admin API and the token are: as named, else as the configuration says.
    fn place(&self) -> Result<(String, PathBuf), Failure> {
        if let (Some(admin), Some(token)) = (&self.admin, &self.token_file) {
            return Ok((admin.clone(), token.clone()));
        }
        let (listen, token) = match Config::admin_of(&self.config) {
            Some(known) => known,
            None if self.config.as_os_str() == DEFAULT_CONFIG => (None, "data/admin-token".into()),
            None => {
                let file = self.config.display();
                return Err(Failure::Usage(format!(
                    "the configuration {file} can't be read; `impsgw check --offline --config {file}` says why"
                )));
            }
        };
        let base = self.admin.clone().unwrap_or_else(|| match listen {
            Some(at) if at.ip().is_unspecified() => format!("http://127.0.0.1:{}", at.port()),
            Some(at) => format!("http://{at}"),
            None => "http://127.0.0.1:7080".into(),
        });
        Ok((base, self.token_file.clone().unwrap_or(token)))
    }
}

impl Client {
    /// `GET`, with the conditions that are set.
    pub(super) async fn get(&self, path: &str, query: &[(&str, Option<String>)]) -> Result<Value, Failure> {
        self.call(Method::GET, path, query, None).await
    }

    /// `POST`.
    pub(super) async fn post(&self, path: &str, body: Value) -> Result<Value, Failure> {
        self.call(Method::POST, path, &[], Some(body)).await
    }

    /// `DELETE`.
    pub(super) async fn delete(
        &self,
        path: &str,
        query: &[(&str, Option<String>)],
    ) -> Result<Value, Failure> {
        self.call(Method::DELETE, path, query, None).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, Option<String>)],
        body: Option<Value>,
    ) -> Result<Value, Failure> {
        let mut pairs: Vec<String> = query
            .iter()
            .filter_map(|(key, value)| Some(format!("{key}={}", escaped(value.as_ref()?))))
            .collect();
        if self.unmask && method == Method::GET && HIDING.iter().any(|one| path.starts_with(one)) {
            pairs.push("unmask=true".into());
        }
        let mut url = format!("{}/api/v1/{path}", self.base);
        if !pairs.is_empty() {
            url = format!("{url}?{}", pairs.join("&"));
        }
        let mut request = self.http.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let answer: Value = response.json().await.map_err(|_| {
            Failure::Bad(format!(
                "{} answered {status} without JSON; is it the admin API?",
                self.base
            ))
        })?;
        if status.is_success() {
            return Ok(answer);
        }
        let error = answer.get("error");
        let text = |key| {
            error
                .and_then(|error| error.get(key))
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        Err(match text("code") {
            "bad-token" => Failure::Bad(format!(
                "{}; it was read from {}. Somebody with the role admin makes another, or on the gateway's machine \
                 `impsgw token recover`",
                text("message"),
                self.token_file.display()
            )),
            "bad-request" => Failure::Usage(text("message").to_owned()),
            _ => Failure::Bad(text("message").to_owned()),
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            text = inner.to_string();
            source = inner.source();
        }
        Failure::Bad(format!(
            "the admin API at {} can't be asked: {text}; is the gateway running, and is [admin] listen that address?",
            self.base
        ))
    }
}

/// An address of an admin API.
fn address(text: &str) -> Result<String, String> {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    match rest {
        Some(host) if !host.is_empty() => Ok(text.to_owned()),
        Some(_) | None => Err("write it as http://127.0.0.1:7080".into()),
    }
}

/// A segment of a path.
pub(super) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');
/// Calls that show people and take `unmask`.
const HIDING: [&str; 6] = ["accounts", "route", "cache", "trace", "items", "audit"];
