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
    assert_eq!(played.held, steps_in_the_readme(), "{transcript}");
    federation.shut_down().await;
}

/// What the README says that the lab says at the end; 0 when it says nothing, which no lab comes to.
fn steps_in_the_readme() -> usize {
    let page = include_str!("../README.md");
    let line = page
        .lines()
        .find_map(|line| line.strip_suffix(" steps held, 0 failed"));
    line.and_then(|steps| steps.parse().ok()).unwrap_or(0)
}
