//! The gateway behind the transport: what it answers, and a reload while peers are connected.

use std::path::PathBuf;

use impsgw::app::{App, Sockets};
use impsgw::config::Config;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn reload_shows_the_new_certificate_and_lets_connections_go() {
    let pki = Pki::new();
    let (config, app) = alpha(&pki).await;
    let client = bravo(&pki, &app);
    let before = client.shake_hands().await.expect("a handshake").peer;
    assert_eq!(
        post(&client, "no document").await.expect("an answer"),
        400,
        "a connection is kept"
    );

    pki.issue_for("alpha.example")
        .write(pki.folder.path(), "alpha")
        .expect("written");
    let load = || Config::load(&config);
    app.reload(load().expect("good")).expect("taken up");
    let after = client.shake_hands().await.expect("a handshake").peer;
    assert_ne!(before, after);
    assert_eq!(post(&client, "no document").await.expect("an answer"), 400);

    let broken = load().expect("good");
    std::fs::write(pki.folder.path().join("alpha.pem"), "no certificate").expect("written");
    let mistakes = load().expect_err("the certificate is looked at").to_string();
    assert!(
        mistakes.contains("alpha.pem holds no usable certificate"),
        "{mistakes}"
    );
    app.reload(broken).expect_err("it is read again");
    let kept = client.shake_hands().await.expect("a handshake").peer;
    assert_eq!(kept, after, "the old one stays");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_session_is_forbidden() {
    let pki = Pki::new();
    let (_, app) = alpha(&pki).await;
    let client = bravo(&pki, &app);
    let answer = post(&client, UNKNOWN_SESSION).await.expect("an answer");
    assert_eq!(answer, 403);
    app.shut_down().await;
}

/// A gateway for alpha.example that has an agreement with bravo.example.
async fn alpha(pki: &Pki) -> (PathBuf, App) {
    let folder = pki.folder.path();
    pki.issue_for("alpha.example")
        .write(folder, "alpha")
        .expect("written");
    let authorities = pki.file("authority", pki.authority.certificate_pem());
    let text = format!(
        r#"
[gateway]
node = "alpha"
domains = ["alpha.example"]
data_dir = "{folder}"

[ssp]
listen = "127.0.0.1:0"
certificate = "{folder}/alpha.pem"
key = "{folder}/alpha.key.pem"
authorities = "{authorities}"

[admin]
listen = "127.0.0.1:0"

[[agreement]]
peer = "bravo"
domains = ["bravo.example"]
servers = ["127.0.0.1:9"]
allowed_networks = ["127.0.0.0/8"]
"#,
        folder = folder.display(),
        authorities = authorities.display(),
    );
    let path = pki.file("config.toml", &text);
    let config = Config::load(&path).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let app = App::start(config, Sockets::default()).await.expect("it starts");
    (path, app)
}

fn bravo(pki: &Pki, app: &App) -> SspClient {
    let address = *app.ssp.first().expect("a listener");
    client_of(Target {
        own_domain: "bravo.example".to_owned(),
        service_domain: "alpha.example".to_owned(),
        other_names: Vec::new(),
        host: "ssp.alpha.example".into(),
        addresses: Arc::new([address.ip()]),
        port: address.port(),
        scheme: Scheme::Https(pki.certificates(&pki.issue_for("bravo.example"))),
        versions: HttpVersions::Http1,
        networks: loopback(),
    })
}

const UNKNOWN_SESSION: &str = r#"<WV-SSP-Message xmlns="http://www.openmobilealliance.org/DTD/WV-SSP1.3"><Session sessionID="1@bravo.example"><Transaction mode="Request" transactionID="1"><KeepAliveRequest/></Transaction></Session></WV-SSP-Message>"#;
