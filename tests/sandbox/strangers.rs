//! Robots addressed by a stranger: a house without an agreement, even with a certificate that the sandbox trusts.

use impsgw::lab::{Federation, Handset};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::partner::{Sandbox, guest, status};

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_reaches_no_robot() {
    let sandbox = Sandbox::start().await;
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mallory = sandbox.house("mallory.example", socket).await;
    let mut mal = mallory.handset("+447700900601").await;
    for number in ["+447700900101", "+447700900108", "+447700900109", "+447700900111"] {
        let message = json!({ "to": [number], "text": "Hello", "report": true });
        // His own gateway keeps what it could not bring.
        let _ = status(mal.call("POST", "/v1/messages", message).await);
        for (path, body) in [
            (
                "/v1/search",
                json!({ "pairs": [{ "element": "USER_MOBILE_NUMBER", "text": number }] }),
            ),
            ("/v1/invitations", json!({ "to": number })),
        ] {
            let (status, answer) = status(mal.call("POST", path, body).await);
            assert!(status >= 400, "{path} for {number}: {answer}");
        }
    }
    nothing_comes(&mut mal).await;
    mallory.app.shut_down().await;
    sandbox.federation.shut_down().await;
}

/// Ada is a subscriber of the sandbox's own: her message is taken, and nothing comes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_robot_answers_nobody_but_the_partners_people() {
    let sandbox = Sandbox::start().await;
    let base = sandbox.federation.alpha.subscribers.clone();
    let mut ada = Handset::log_in(&base, "+447700900123", "ada-on-the-lab")
        .await
        .unwrap();
    for number in ["+447700900101", "+447700900108"] {
        let message = json!({ "to": [number], "text": "Hello" });
        assert_eq!(status(ada.call("POST", "/v1/messages", message).await).0, 200);
    }
    for path in ["/v1/invitations", "/v1/contacts"] {
        let body = if path.ends_with("contacts") {
            json!({ "number": "+447700900111" })
        } else {
            json!({ "to": "+447700900109" })
        };
        assert_eq!(status(ada.call("POST", path, body).await).0, 200);
    }
    nothing_comes(&mut ada).await;
    sandbox.federation.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_comes_again_is_trusted_as_before() {
    let Sandbox {
        folder,
        federation,
        socket,
        ..
    } = Sandbox::start().await;
    let inside = folder.path().join("sandbox");
    let authority = std::fs::read_to_string(inside.join("ca.pem")).unwrap();
    federation.shut_down().await;
    let again = guest(folder.path(), socket.local_addr().unwrap());
    let federation = Federation::start_for(&inside, again.clone()).await.unwrap();
    assert_eq!(std::fs::read_to_string(inside.join("ca.pem")).unwrap(), authority);
    let other = Federation::start_for(&folder.path().join("other"), again).await;
    let error = other.err().unwrap().to_string();
    assert!(error.contains(":17101") && error.contains("--listen"), "{error}");
    federation.shut_down().await;
}

#[tokio::test]
async fn a_partner_who_can_not_be_served_is_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let good = guest(folder.path(), ([127, 0, 0, 1], 7443).into());
    let mut wrong = vec![("--ca", good.clone())];
    let authority =
        impsgw::lab::certs::Authority::new("Charlie's own", std::time::SystemTime::UNIX_EPOCH).unwrap();
    std::fs::write(&good.authorities, authority.certificate_pem()).unwrap();
    assert!(good.check().is_ok());
    wrong[0].1.authorities = folder.path().join("nowhere.pem");
    for domain in ["alpha.example", "isle.example", "e164enum.net"] {
        let mut guest = good.clone();
        guest.domain = domain.parse().unwrap();
        wrong.push(("--partner", guest));
    }
    for listen in ["0.0.0.0", "::", "224.0.0.1"] {
        let mut guest = good.clone();
        guest.listen = listen.parse().unwrap();
        wrong.push(("--listen", guest));
    }
    for numbers in [
        "",
        "4477009001",
        "44770090060",
        "44",
        "0123",
        "46x",
        "1234567890123456",
        "+46",
    ] {
        let mut guest = good.clone();
        guest.numbers = numbers.to_owned();
        wrong.push(("--partner-numbers", guest));
    }
    for (option, guest) in wrong {
        let error = guest.check().err().map(|error| error.to_string());
        assert!(
            error.as_deref().is_some_and(|text| text.contains(option)),
            "{option}: {error:?}"
        );
    }
}

/// No message, notice, report, answer or watcher within the time in which a robot would long have spoken.
async fn nothing_comes(handset: &mut Handset) {
    let message = handset.event("message", "nobody expects", |_: &Value| true).await;
    assert!(message.is_err(), "{message:?}");
    for (path, list) in [("/v1/inbox", "events"), ("/v1/watchers", "watchers")] {
        let (_, answer) = status(handset.call("GET", path, Value::Null).await);
        assert_eq!(answer.get(list), Some(&json!([])), "{path}");
    }
}
