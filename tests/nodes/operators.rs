//! What an operator orders at one node holds at all.

use serde_json::json;

use super::{Table, sees, until};
use crate::hostile::peer::Peer;

#[tokio::test]
async fn suspension_at_one_node_holds_at_all() {
    let beta = Peer::new("beta").await;
    let table = Table::with(&[&beta]).await;
    let (n1, n2) = (
        table.gateway("n1", &[&beta]).await,
        table.gateway("n2", &[&beta]).await,
    );
    sees(&n1, &["n1", "n2"]).await;
    n1.gateway.suspend("beta", "by the test").await.unwrap();
    assert_eq!(n2.gateway.suspension("beta").as_deref(), Some("by the test"));
    n2.gateway.resume("beta").await.unwrap();
    assert_eq!(n1.gateway.suspension("beta"), None);
    // A node that was away reads it when it comes back.
    n2.shut_down().await;
    n1.gateway.suspend("beta", "again").await.unwrap();
    let n2 = table.gateway("n2", &[&beta]).await;
    assert_eq!(n2.gateway.suspension("beta").as_deref(), Some("again"));
    n1.shut_down().await;
    n2.shut_down().await;
}

#[tokio::test]
async fn overrides_and_flushes_at_one_node_hold_at_all() {
    let beta = Peer::new("beta").await;
    let table = Table::with(&[&beta]).await;
    let (n1, n2) = (
        table.gateway("n1", &[&beta]).await,
        table.gateway("n2", &[&beta]).await,
    );
    sees(&n1, &["n1", "n2"]).await;
    let admin = table.admin(&n1);
    let wanted = json!({"number": "+447700900777", "to_domain": "beta.example", "reason": "test"});
    admin
        .call(reqwest::Method::POST, "/overrides", Some(&wanted))
        .await;
    assert_eq!(n2.router.overrides().len(), 1);
    admin
        .call(reqwest::Method::DELETE, "/overrides?number=%2B447700900777", None)
        .await;
    assert_eq!(n2.router.overrides().len(), 0);
    let flushed = admin.call(reqwest::Method::DELETE, "/cache?all=true", None).await;
    assert!(flushed.get("unreached_nodes").is_none(), "{flushed}");
    drop(n2);
    let flushed = admin.call(reqwest::Method::DELETE, "/cache?all=true", None).await;
    let told = flushed.get("unreached_nodes");
    assert!(told.is_none() || told == Some(&json!(["n2"])), "{flushed}");
    until(|| super::names(&n1) == ["n1"]).await;
    n1.shut_down().await;
}

/// Nothing reaches it: it follows by the store alone.
#[tokio::test]
async fn node_that_is_cut_off_follows_what_is_ordered_elsewhere() {
    let beta = Peer::new("beta").await;
    let table = Table::with(&[&beta]).await;
    let n1 = table.gateway("n1", &[&beta]).await;
    let n2 = table.cut_off("n2", &[&beta]).await;
    sees(&n1, &["n1", "n2"]).await;
    let admin = table.admin(&n1);
    let post = reqwest::Method::POST;
    admin
        .call(
            post.clone(),
            "/peers/beta/suspend",
            Some(&json!({"reason": "a test"})),
        )
        .await;
    admin
        .call(
            post.clone(),
            "/queues/beta.example/hold",
            Some(&json!({"reason": "a test"})),
        )
        .await;
    let wanted = json!({"number": "+447700900777", "to_domain": "beta.example", "reason": "test"});
    admin.call(post.clone(), "/overrides", Some(&wanted)).await;
    until(|| n2.gateway.suspension("beta").is_some()).await;
    until(|| n2.relay.held_queues().len() == 1 && n2.router.overrides().len() == 1).await;
    admin.call(post.clone(), "/peers/beta/resume", None).await;
    admin.call(post, "/queues/beta.example/release", None).await;
    admin
        .call(reqwest::Method::DELETE, "/overrides?number=%2B447700900777", None)
        .await;
    until(|| n2.gateway.suspension("beta").is_none()).await;
    until(|| n2.relay.held_queues().is_empty() && n2.router.overrides().is_empty()).await;
    n1.shut_down().await;
    n2.shut_down().await;
}

#[tokio::test]
async fn node_that_is_cut_off_forgets_what_is_flushed_elsewhere() {
    let beta = Peer::new("beta").await;
    let table = Table::with(&[&beta]).await;
    let n1 = table.gateway("n1", &[&beta]).await;
    let n2 = table.cut_off("n2", &[&beta]).await;
    sees(&n1, &["n1", "n2"]).await;
    let (first, second) = (table.admin(&n1), table.admin(&n2));
    let route = "/route?address=wv%3Abea%40beta.example";
    for admin in [&first, &second] {
        admin.get(route).await;
        assert_ne!(entries(admin).await, 0);
    }
    let flushed = first
        .call(reqwest::Method::DELETE, "/cache?domain=other.example", None)
        .await;
    assert_eq!(flushed["unreached_nodes"], json!(["n2"]), "{flushed}");
    let flushed = first
        .call(reqwest::Method::DELETE, "/cache?domain=beta.example", None)
        .await;
    assert_eq!(flushed["unreached_nodes"], json!(["n2"]), "{flushed}");
    super::until_async(async || entries(&second).await == 0).await;
    n1.shut_down().await;
    n2.shut_down().await;
}

async fn entries(admin: &super::Admin) -> usize {
    let cached = admin.get("/cache?domain=beta.example").await;
    cached["entries"].as_array().unwrap().len()
}
