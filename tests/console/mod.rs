//! The NOC console in a real browser, and what must never be in the files of our pages.
//!
//! Chromium shows the page of a running lab and prints the page as it then stands; absent, that test is a loud skip.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use impsgw::lab::{Federation, play};

#[test]
fn nothing_is_read_as_html_or_loaded_from_elsewhere() {
    let console = ["index.html", "console.css", "console.js"].map(|name| ("src/admin/console", name));
    let handsets = ["index.html", "handsets.css", "handsets.js"].map(|name| ("src/lab/pages", name));
    for (folder, name) in console.into_iter().chain(handsets) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(name);
        let text = std::fs::read_to_string(path).unwrap();
        for banned in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "https:",
            "//cdn",
            "@import",
            " style=",
            "onclick=",
        ] {
            assert!(!text.contains(banned), "{name} has {banned}");
        }
        // Links of explanations are the one use of an address, and they name this machine.
        assert!(
            !text.replace("http://www.w3.org/", "").contains("http://"),
            "{name} names a server"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_shows_peers_routes_and_trails_and_no_foreign_html() {
    let Some(chromium) = chromium() else {
        assert!(
            std::env::var_os("REQUIRE_PEERS").is_none_or(|set| set != "1"),
            "chromium is missing"
        );
        eprintln!("SKIPPED: chromium is missing, so no browser looks at the console");
        return;
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let mut federation = Federation::start(folder.path()).await.unwrap();
    play(&mut federation, &mut Vec::new()).await.unwrap();
    let admin = federation.alpha.app.admin.unwrap();
    let token = std::fs::read_to_string(folder.path().join("alpha-data/admin-token")).unwrap();
    let token = token.trim().to_owned();
    let suspended = reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .post(format!("http://{admin}/api/v1/peers/beta/suspend"))
        .bearer_auth(&token)
        .json(&serde_json::json!({ "reason": "<img src=x onerror=document.title='caught'>" }))
        .send()
        .await
        .unwrap();
    assert!(suspended.status().is_success());
    let url = format!("http://{admin}/#token={token}&route=%2B447700900456&trace=%2B447700900456");
    let profile = folder.path().join("browser");
    let page = tokio::task::spawn_blocking(move || shown(chromium, &profile, &url))
        .await
        .unwrap();
    for wanted in [
        "&lt;img src=x onerror=document.title='caught'&gt;",
        "alpha.example ↔ beta.example",
        "_imps-server._tcp.beta.example",
        "decision good",
        ">send-message</td>",
        "days",
    ] {
        assert!(page.contains(wanted), "{wanted:?} is not there:\n{page}");
    }
    assert!(!page.contains("<img"), "{page}");
    assert!(!page.contains(&token), "the token is in the page:\n{page}");
    federation.shut_down().await;
}

/// The page after its scripts have asked the API.
fn shown(chromium: &str, profile: &Path, url: &str) -> String {
    let output = Command::new("timeout")
        .args(["--kill-after=5", "60", chromium])
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--virtual-time-budget=8000",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(url)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn chromium() -> Option<&'static str> {
    let is_there = |name: &&str| {
        let asked = Command::new(name)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        asked.is_ok_and(|status| status.success())
    };
    ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(is_there)
}
