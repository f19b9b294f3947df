//! Gateways without `[cluster]` on a database that others use: whoever comes second is told at its start, and by `impsgw check`.

use std::{process::Command, time::Duration};

use impsgw::app::{App, Sockets, StartError};

use super::Table;

impl Table {
    /// The configuration of a gateway that knows of no others.
    fn alone_text(&self, node: &str) -> String {
        let folder = self.folder.path().join(node);
        std::fs::create_dir_all(&folder).unwrap();
        let url = &self.database.as_ref().unwrap().url;
        format!(
            "[gateway]\nstop_grace = \"1s\"\nnode = \"{node}\"\ndomains = [\"alpha.example\"]\ndata_dir = \"{}\"\n\
             [store]\nengine = \"postgres\"\npostgres.url = {url:?}\n",
            folder.display()
        )
    }

    async fn start_alone(&self, node: &str) -> Result<App, StartError> {
        let config = impsgw::config::Config::parse(&self.alone_text(node), "test").unwrap();
        App::start(config, Sockets::default()).await
    }

    /// `impsgw check`, the finding about other users of the database.
    async fn checked(&self, node: &str) -> String {
        let file = self.folder.path().join(format!("{node}.toml"));
        std::fs::write(&file, self.alone_text(node)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_impsgw"));
        command.args(["check", "--config"]).arg(file);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await;
        let text = String::from_utf8_lossy(&output.unwrap().stdout).into_owned();
        let mut lines = text.lines().skip_while(|line| !line.contains("[cluster]"));
        let line: String = lines.by_ref().take(3).collect();
        assert!(!line.is_empty(), "{text}");
        line
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_gateway_without_a_cluster_is_refused() {
    let table = Table::new().await;
    if table.database.is_none() {
        return;
    }
    assert!(table.checked("one").await.contains("nobody uses the database"));
    let one = table.start_alone("one").await.unwrap();
    let found = table.checked("one").await;
    assert!(found.contains("this gateway, which runs"), "{found}");
    let found = table.checked("two").await;
    assert!(found.contains("uses the database: one at"), "{found}");
    // The same name somewhere else is no better.
    let refused = table.start_alone("two").await.unwrap_err().to_string();
    assert!(
        refused.contains("another gateway uses this database (one at"),
        "{refused}"
    );
    let refused = table.start("n1").await.unwrap_err().to_string();
    assert!(
        refused.contains("a gateway without [cluster] uses this database"),
        "{refused}"
    );
    // One that was killed comes back to its place, one that has left frees it.
    drop(one);
    let again = async {
        loop {
            match table.start_alone("one").await {
                Ok(app) => break app,
                // Its files are still being closed.
                Err(StartError::Store(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let patience = Duration::from_secs(60);
    let one = tokio::time::timeout(patience, again).await.unwrap();
    one.shut_down().await;
    let two = table.start_alone("two").await.unwrap();
    two.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateway_without_a_cluster_is_refused_beside_nodes() {
    let table = Table::new().await;
    if table.database.is_none() {
        return;
    }
    let n1 = table.node("n1").await;
    let found = table.checked("one").await;
    assert!(
        found.contains("nodes of a cluster use the database: n1"),
        "{found}"
    );
    let refused = table.start_alone("one").await.unwrap_err().to_string();
    assert!(
        refused.contains("nodes of a cluster use this database (n1)"),
        "{refused}"
    );
    n1.shut_down().await;
    let one = table.start_alone("one").await.unwrap();
    one.shut_down().await;
    let n1 = table.node("n1").await;
    n1.shut_down().await;
}

/// What one node does for all, it gives up when it ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_sweeps_for_all() {
    let table = Table::new().await;
    let (n1, n2) = (table.node("n1").await, table.node("n2").await);
    let holders = async || {
        let leases = table
            .store
            .leases("s", impsgw::model::Timestamp(0))
            .await
            .unwrap();
        let by = |one: &impsgw::store::HeldLease| (one.name.clone(), one.holder.clone());
        leases.iter().map(by).collect::<Vec<_>>()
    };
    let me = super::cluster(&n1).me().worker();
    let all = [
        ("subscriptions".to_owned(), me.clone()),
        ("sweeps".to_owned(), me),
    ];
    super::until_async(async || holders().await == all).await;
    n1.shut_down().await;
    // The other one may have taken them since.
    assert!(holders().await.iter().all(|(_, by)| *by != all[0].1));
    n2.shut_down().await;
}
