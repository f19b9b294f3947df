//! Zone files that change under a running server, and the values that the lab puts into them.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use hickory_proto::rr::RecordType as Type;
use impsgw::wire::naptr;
use impsgw::zone::{Substitution, ZoneServer, ZoneSet};
use tokio::time::timeout;

use super::client::{HEAD, ask, loopback, name};

/// A directory with one zone file, and the address that its host has.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.0.path().join(file), text).unwrap();
    }

    fn host(&self, last: u8) {
        self.write("op.example.zone", &format!("{HEAD}host A 192.0.2.{last}\n"));
    }

    async fn serve(&self) -> ZoneServer {
        ZoneServer::start(ZoneSet::load_dir(self.0.path()).unwrap(), loopback())
            .await
            .unwrap()
    }
}

async fn host(server: &ZoneServer) -> Option<naptr::Data> {
    let response = ask(server, &name("host.op.example"), Type::A).await;
    response.answers.first().map(|record| record.data.clone())
}

#[tokio::test]
async fn reload_takes_effect_and_a_bad_file_keeps_the_old_zone() {
    let files = Files::new();
    files.host(1);
    let server = files.serve().await;
    assert_eq!(host(&server).await, Some(naptr::Data::A([192, 0, 2, 1])));
    files.host(2);
    assert!(server.reload().await.kept.is_empty());
    assert_eq!(host(&server).await, Some(naptr::Data::A([192, 0, 2, 2])));
    for bad in [
        "",
        "host A 192.0.2.3\n",
        &format!("{HEAD}host A nonsense\n"),
        "\u{1}\u{2}(",
    ] {
        files.write("op.example.zone", bad);
        let report = server.reload().await;
        assert_eq!(
            (report.changed.len(), report.kept.is_empty()),
            (0, false),
            "{bad:?}"
        );
        assert_eq!(
            host(&server).await,
            Some(naptr::Data::A([192, 0, 2, 2])),
            "{bad:?}"
        );
    }
    assert!(
        server.reload().await.kept[0].file.ends_with("op.example.zone"),
        "told again to who asks again"
    );
    files.host(4);
    server.reload().await;
    assert_eq!(host(&server).await, Some(naptr::Data::A([192, 0, 2, 4])));
    server.shutdown().await;
}

#[tokio::test]
async fn new_files_are_served_and_removed_ones_are_not() {
    let files = Files::new();
    files.host(1);
    let server = files.serve().await;
    files.write("new.example.zone", &format!("{HEAD}host A 192.0.2.9\n"));
    server.reload().await;
    let new = ask(&server, &name("host.new.example"), Type::A).await;
    assert_eq!(new.answers.len(), 1);
    files.write("twice.zone", &format!("$ORIGIN op.example.\n{HEAD}"));
    assert_eq!(server.reload().await.kept.len(), 1, "two files for one zone");
    std::fs::remove_file(files.0.path().join("twice.zone")).unwrap();
    std::fs::remove_file(files.0.path().join("new.example.zone")).unwrap();
    server.reload().await;
    let gone = ask(&server, &name("host.new.example"), Type::A).await;
    assert!(
        gone.answers.is_empty() && !gone.authoritative,
        "not our zone any more"
    );
    assert_eq!(host(&server).await, Some(naptr::Data::A([192, 0, 2, 1])));
    server.shutdown().await;
}

#[tokio::test]
async fn changed_files_are_noticed_without_being_told() {
    let files = Files::new();
    files.host(1);
    let server = files.serve().await;
    let mut reloads = server.reloads();
    files.write(
        "op.example.zone",
        &format!("{HEAD}; longer by this\nhost A 192.0.2.77\n"),
    );
    let noticed = async {
        while host(&server).await != Some(naptr::Data::A([192, 0, 2, 77])) {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), noticed)
        .await
        .expect("noticed within seconds");
    let report = timeout(Duration::from_secs(20), reloads.recv()).await;
    let report = report.expect("told within seconds").unwrap();
    assert_eq!(report.changed, [name("op.example")]);
    server.shutdown().await;
}

#[test]
fn zone_serve_prints_reloads_that_nobody_asked_for() {
    let files = Files::new();
    files.host(1);
    let mut serving = Command::new(env!("CARGO_BIN_EXE_impsgw"))
        .args(["zone", "serve", "--json", "--listen", "127.0.0.1:0", "--zones"])
        .arg(files.0.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (tell, told) = mpsc::channel();
    let out = BufReader::new(serving.stdout.take().unwrap());
    std::thread::spawn(move || {
        out.lines()
            .map_while(Result::ok)
            .try_for_each(|line| tell.send(line))
    });
    let line = || -> Option<serde_json::Value> {
        let line = told.recv_timeout(Duration::from_secs(20)).ok()?;
        serde_json::from_str(&line).ok()
    };
    let started = line();
    files.write(
        "op.example.zone",
        &format!("{HEAD}; longer by this\nhost A 192.0.2.77\n"),
    );
    let reloaded = line();
    serving.kill().unwrap();
    serving.wait().unwrap();
    assert_eq!(started.unwrap()["view"], "zones");
    assert_eq!(reloaded.unwrap()["changed"], serde_json::json!(["op.example."]));
}

#[tokio::test]
async fn substitutions_put_the_labs_values_in_and_survive_a_reload() {
    let files = Files::new();
    let text = format!("{HEAD}_imps-server._tcp SRV 10 0 17101 ssp\nssp A 127.0.0.1\n");
    files.write("op.example.zone", &text);
    let owner = name("_imps-server._tcp.op.example");
    let zones = ZoneSet::load_dir(files.0.path()).unwrap();
    let zones = zones.with_srv_port(&owner, 40_001).unwrap();
    let address = Substitution::Address {
        owner: name("ssp.op.example"),
        address: [127, 0, 0, 9].into(),
    };
    let server = ZoneServer::start(zones.with(address).unwrap(), loopback())
        .await
        .unwrap();
    for _ in 0..2 {
        let srv = ask(&server, &owner, Type::SRV).await;
        let Some(naptr::Data::Srv(found)) = srv.answers.first().map(|record| &record.data) else {
            panic!("{srv:?}");
        };
        assert_eq!((found.port, found.target.as_str()), (40_001, "ssp.op.example."));
        assert_eq!(srv.additional[0].data, naptr::Data::A([127, 0, 0, 9]));
        files.write("op.example.zone", &text.replace("10 0", "20 0"));
        server.reload().await;
    }
    server.shutdown().await;
}

#[test]
fn a_refresh_says_what_it_did() {
    let files = Files::new();
    files.host(1);
    let zones = ZoneSet::load_dir(files.0.path()).unwrap();
    assert!(zones.refreshed(true).1.is_empty(), "nothing changed");
    files.host(2);
    files.write("new.example.zone", HEAD);
    let (zones, report) = zones.refreshed(true);
    assert_eq!(report.changed, [name("new.example"), name("op.example")]);
    files.write("new.example.zone", "nothing of a zone");
    std::fs::remove_file(files.0.path().join("op.example.zone")).unwrap();
    let (zones, report) = zones.refreshed(true);
    assert_eq!((report.removed, report.kept.len()), (vec![name("op.example")], 1));
    assert_eq!(zones.zones().count(), 1, "the bad file's zone stays");
    assert_eq!(zones.refreshed(true).1.kept.len(), 1, "told again to who asks");
    assert!(
        zones.refreshed(false).1.is_empty(),
        "not told again by looking at times"
    );
    std::fs::remove_dir_all(files.0.path()).unwrap();
    let (zones, report) = zones.refreshed(true);
    assert_eq!(
        (zones.zones().count(), report.kept.len()),
        (1, 1),
        "a directory that is gone changes nothing"
    );
}
