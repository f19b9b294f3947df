//! A partner whose server is found by his own SRV record, of which the first server is down.

use std::time::Duration;

use impsgw::{
    lab::{Federation, Found},
    zone::{ZoneServer, ZoneSet},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::partner::{Sandbox, event, guest, status};

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_is_found_by_the_record_that_he_publishes() {
    let mut sandbox = Sandbox::start().await;
    let port = |socket: &TcpListener| socket.local_addr().unwrap().port();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (down, up) = (port(&nobody), port(&sandbox.socket));
    drop(nobody);
    let records = format!(
        "$TTL 60\n@ SOA ns hostmaster 1 3600 600 604800 30\n@ NS ns\nns A 127.0.0.1\n\
         _imps-server._tcp SRV 10 0 {down} one\n_imps-server._tcp SRV 20 0 {up} two\none A 127.0.0.1\ntwo A 127.0.0.1\n"
    );
    let zones = ZoneSet::parse(&records, &"charlie.example".parse().unwrap()).unwrap();
    let dns = ZoneServer::start(zones, ([127, 0, 0, 1], 0).into())
        .await
        .unwrap();
    let found = Found::BySrv(vec![dns.local_addr()]);
    let server = sandbox.socket.local_addr().unwrap();
    let guest = impsgw::lab::Guest {
        found,
        ..guest(sandbox.folder.path(), server)
    };
    sandbox.federation.shut_down().await;
    let folder = sandbox.folder.path().join("sandbox");
    sandbox.federation = Federation::start_for(&folder, guest).await.unwrap();
    let charlie = sandbox.house("charlie.example", sandbox.socket()).await;
    let mut cay = charlie.handset("+447700900601").await;
    let message = json!({ "to": ["+447700900101"], "text": "Where am I?", "report": true });
    assert_eq!(status(cay.call("POST", "/v1/messages", message).await).0, 200);
    let fits = |event: &Value| event.get("text") == Some(&json!("Where am I?"));
    let within = Duration::from_secs(30);
    event(&mut cay, ("message", "is the echo"), within, fits)
        .await
        .unwrap();
    charlie.app.shut_down().await;
    sandbox.federation.shut_down().await;
    dns.shutdown().await;
}
