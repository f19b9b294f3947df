//! The lab, as CI sees it: two gateways over real sockets, DNS and TLS play every use case.

use impsgw::lab::{Federation, play};

#[tokio::test(flavor = "multi_thread")]
async fn every_step_of_the_use_cases_holds() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let mut federation = Federation::start(folder.path()).await.unwrap();
    let mut transcript = Vec::new();
    let played = play(&mut federation, &mut transcript).await.unwrap();
    let transcript = String::from_utf8(transcript).unwrap();
    assert_eq!(played.failed, Vec::<String>::new(), "{transcript}");
    assert_eq!(played.held, 18, "{transcript}");
    federation.shut_down().await;
}
