//! Who lives: nodes that come, go, die, and bear the name of another one.

use super::{Table, cluster, sees};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_see_who_comes_goes_and_dies() {
    let table = Table::new().await;
    let (n1, n2) = (table.node("n1").await, table.node("n2").await);
    let n3 = table.node("n3").await;
    for app in [&n1, &n2, &n3] {
        sees(app, &["n1", "n2", "n3"]).await;
    }
    n2.shut_down().await;
    for app in [&n1, &n3] {
        sees(app, &["n1", "n3"]).await;
    }
    // It is gone without a word.
    drop(n3);
    sees(&n1, &["n1"]).await;
    let again = table.node("n3").await;
    sees(&n1, &["n1", "n3"]).await;
    again.shut_down().await;
    n1.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_process_of_a_name_can_not_start() {
    let table = Table::new().await;
    let n1 = table.node("n1").await;
    let refused = table.start("n1").await.unwrap_err().to_string();
    assert!(
        refused.contains("another living process is the node n1"),
        "{refused}"
    );
    assert!(refused.contains("[gateway] node"), "{refused}");
    sees(&n1, &["n1"]).await;
    n1.shut_down().await;
    table.node("n1").await.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_follows_one_of_its_name_that_died() {
    let table = Table::new().await;
    let n2 = table.node("n2").await;
    let before = table.node("n1").await;
    sees(&n2, &["n1", "n2"]).await;
    let died = cluster(&before).me().incarnation.clone();
    drop(before);
    let after = table.node("n1").await;
    sees(&n2, &["n1", "n2"]).await;
    assert_ne!(cluster(&n2).member("n1").unwrap().incarnation, died);
    assert!(cluster(&n2).process(&died).is_none());
    after.shut_down().await;
    n2.shut_down().await;
}
