//! The NOC console: one static page on the admin API, without a build step and without anything from elsewhere.
//!
//! The page holds no data; its script asks the API with the token that the person types, kept for the tab only.

use axum::{
    http::header,
    response::{Html, IntoResponse},
};

pub(super) async fn page() -> Html<&'static str> {
    Html(include_str!("index.html"))
}

pub(super) async fn script() -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (kind, include_str!("console.js"))
}

pub(super) async fn style() -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    (kind, include_str!("console.css"))
}

pub(super) async fn icon() -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "image/svg+xml")];
    (kind, include_str!("icon.svg"))
}
