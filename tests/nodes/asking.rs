//! Requests from node to node: answered, refused, lost; and which of them may have been done.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use impsgw::cluster::{ClusterError, MAX_BODY, Refused, Topic};

use super::{Echo, Table, cluster, sees};

/// Never answers.
struct Deaf;

#[async_trait::async_trait]
impl Topic for Deaf {
    async fn answer(&self, _: &str, _: Bytes) -> Result<Bytes, Refused> {
        std::future::pending().await
    }
}

/// Answers with more than nodes take.
struct Talkative;

#[async_trait::async_trait]
impl Topic for Talkative {
    async fn answer(&self, _: &str, _: Bytes) -> Result<Bytes, Refused> {
        Ok(vec![b'x'; MAX_BODY + 1].into())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_answers_what_it_knows_and_refuses_the_rest() {
    let table = Table::new().await;
    let (n1, n2) = (table.node("n1").await, table.node("n2").await);
    cluster(&n2).answer("echo", Arc::new(Echo));
    cluster(&n2).answer("talk", Arc::new(Talkative));
    sees(&n1, &["n1", "n2"]).await;
    let ask = |topic, body: Bytes| cluster(&n1).ask("n2", topic, body);

    assert_eq!(ask("echo", "hello".into()).await.unwrap(), "n1 said hello");
    let large = vec![b'x'; MAX_BODY - 100];
    assert_eq!(
        ask("echo", large.into()).await.unwrap().len(),
        MAX_BODY - 100 + "n1 said ".len()
    );
    let too_large = ask("echo", vec![0; MAX_BODY + 1].into()).await.unwrap_err();
    assert_eq!(too_large, ClusterError::TooLarge { octets: MAX_BODY + 1 });
    let unknown = ask("nothing", Bytes::new()).await.unwrap_err();
    assert!(matches!(unknown, ClusterError::Refused { .. }), "{unknown}");
    assert!(unknown.was_not_done());
    let talked = ask("talk", Bytes::new()).await.unwrap_err();
    assert!(matches!(talked, ClusterError::Silent { .. }), "{talked}");
    let nobody = cluster(&n1).ask("n9", "echo", Bytes::new()).await.unwrap_err();
    assert_eq!(nobody, ClusterError::Unknown { node: "n9".into() });
    // After all that it still answers.
    assert_eq!(ask("echo", "bye".into()).await.unwrap(), "n1 said bye");
    n1.shut_down().await;
    n2.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_node_holds_nothing_else_up() {
    let table = Table::new().await;
    let (n1, n2) = (table.node("n1").await, table.node("n2").await);
    cluster(&n2).answer("deaf", Arc::new(Deaf));
    cluster(&n2).answer("echo", Arc::new(Echo));
    sees(&n1, &["n1", "n2"]).await;
    let deaf = tokio::spawn({
        let cluster = Arc::clone(cluster(&n1));
        async move { cluster.ask("n2", "deaf", Bytes::new()).await }
    });
    let echoes = (0..100).map(|n: u32| cluster(&n1).ask("n2", "echo", n.to_string().into()));
    let echoes = futures_util::future::join_all(echoes);
    let echoes = tokio::time::timeout(Duration::from_secs(4), echoes)
        .await
        .unwrap();
    for (n, echo) in echoes.into_iter().enumerate() {
        assert_eq!(echo.unwrap(), format!("n1 said {n}"));
    }
    assert!(!deaf.is_finished());
    let refused = deaf.await.unwrap().unwrap_err();
    assert!(refused.to_string().contains("took longer than 5s"), "{refused}");
    n1.shut_down().await;
    n2.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_are_told_and_who_did_not_hear_is_known() {
    let table = Table::new().await;
    let (n1, n2, n3) = (
        table.node("n1").await,
        table.node("n2").await,
        table.node("n3").await,
    );
    cluster(&n1).answer("echo", Arc::new(Echo));
    cluster(&n2).answer("echo", Arc::new(Echo));
    sees(&n1, &["n1", "n2", "n3"]).await;
    let told = cluster(&n1).tell_all("echo", "news".into()).await;
    let deaf: Vec<_> = told
        .iter()
        .map(|(node, error)| (node.as_str(), error.was_not_done()))
        .collect();
    assert_eq!(deaf, [("n3", true)]);
    cluster(&n3).answer("echo", Arc::new(Echo));
    assert_eq!(cluster(&n1).tell_all("echo", "news".into()).await, []);
    drop(n3);
    // Its lease has not ended: it is among the living, and can't be reached.
    let told = cluster(&n1).tell_all("echo", "news".into()).await;
    assert!(told.iter().all(|(node, _)| node == "n3"), "{told:?}");
    sees(&n1, &["n1", "n2"]).await;
    assert_eq!(cluster(&n1).tell_all("echo", "news".into()).await, []);
    n1.shut_down().await;
    n2.shut_down().await;
}

/// The node at the address of another one has a certificate that names itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_under_the_address_of_another_one_is_asked_nothing() {
    let table = Table::new().await;
    let (n1, n3) = (table.node("n1").await, table.node("n3").await);
    cluster(&n3).answer("echo", Arc::new(Echo));
    let address = cluster(&n3).me().address.clone();
    let n2 = table.start_at("n2", Some(&address)).await.unwrap();
    sees(&n1, &["n1", "n2", "n3"]).await;
    let refused = cluster(&n1).ask("n2", "echo", Bytes::new()).await.unwrap_err();
    assert!(matches!(refused, ClusterError::Unreachable { .. }), "{refused}");
    for app in [n1, n2, n3] {
        app.shut_down().await;
    }
}
