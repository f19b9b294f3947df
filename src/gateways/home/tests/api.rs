//! The subscriber API over real HTTP on loopback: what is let in, what is refused and how.

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{BEA, Fixture, PASSWORD};
use crate::model::{Answer, Content, Found, Refusal, Request, SendMessage};

/// A served home domain and a client.
pub(super) struct Served {
    pub(super) fixture: Fixture,
    pub(super) base: String,
    pub(super) client: reqwest::Client,
    server: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Served {
    pub(super) async fn new(fixture: Fixture) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = fixture.home.api();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            fixture,
            base,
            client,
            server,
        }
    }

    pub(super) async fn token(&self, user: &str) -> String {
        let body = json!({"user": user, "password": PASSWORD, "device": "phone"});
        let (status, answer) = self.call("POST", "/v1/login", None, Some(body)).await;
        assert_eq!(status, 200, "{answer}");
        self.fixture.home.underway().idle().await;
        self.fixture.line.take();
        answer["token"].as_str().unwrap().to_owned()
    }

    pub(super) async fn call(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> (u16, Value) {
        let mut request = self
            .client
            .request(method.parse().unwrap(), format!("{}{path}", self.base));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.bytes().await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }
}

#[tokio::test]
async fn nothing_is_open_without_a_token() {
    let served = Served::new(Fixture::new().await).await;
    let document: Value = serde_json::from_str(super::super::api::OPENAPI).unwrap();
    let mut tried = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if operation.get("security").is_some() {
                continue;
            }
            let path = path
                .replace("{address}", "%2B46701234567")
                .replace("{group}", "wv%3Aada%2Fwalkers%40alpha.example")
                .replace("{device}", "d")
                .replace("{id}", "1");
            for token in [None, Some("nonsense"), Some("a.b")] {
                let (status, answer) = served.call(&method.to_uppercase(), &path, token, None).await;
                assert_eq!(status, 401, "{method} {path} {answer}");
                assert!(
                    matches!(answer["error"]["status"].as_u64(), Some(401 | 604)),
                    "{answer}"
                );
            }
            tried += 1;
        }
    }
    assert!(tried > 30);
}

#[tokio::test]
async fn wrong_logins_are_refused_alike() {
    let served = Served::new(Fixture::with(|config| config.limits.login_attempts = 2).await).await;
    let login = |user: &str, password: &str| json!({"user": user, "password": password});
    let wrong = served
        .call(
            "POST",
            "/v1/login",
            None,
            Some(login("ada@alpha.example", "wrong")),
        )
        .await;
    let nobody = served
        .call(
            "POST",
            "/v1/login",
            None,
            Some(login("eve@alpha.example", "wrong")),
        )
        .await;
    assert_eq!(wrong, nobody);
    assert_eq!((wrong.0, wrong.1["error"]["status"].as_u64()), (401, Some(409)));
    served
        .call(
            "POST",
            "/v1/login",
            None,
            Some(login("ada@alpha.example", "wrong")),
        )
        .await;
    let (status, answer) = served
        .call(
            "POST",
            "/v1/login",
            None,
            Some(login("ada@alpha.example", PASSWORD)),
        )
        .await;
    assert_eq!(
        (status, answer["error"]["code"].as_str()),
        (429, Some("too-fast"))
    );
}

#[tokio::test]
async fn garbage_is_answered_in_json() {
    let served = Served::new(Fixture::new().await).await;
    let token = served.token("ada@alpha.example").await;
    let url = format!("{}/v1/messages", served.base);
    let post = || served.client.post(&url).bearer_auth(&token);
    let json = "application/json";
    for (request, status, imps) in [
        (post().body("{").header("content-type", json), 400, 400),
        (post().body("\u{0}\u{1}").header("content-type", json), 400, 400),
        (post().body("{}").header("content-type", "text/plain"), 415, 415),
        (
            post()
                .body(r#"{"to":[],"text":"x","colour":1}"#)
                .header("content-type", json),
            400,
            400,
        ),
        (
            post()
                .body(r#"{"to":["wv:a b"],"text":"x"}"#)
                .header("content-type", json),
            400,
            427,
        ),
        (
            post()
                .body(r#"{"to":["+44*"],"text":"x"}"#)
                .header("content-type", json),
            400,
            402,
        ),
        (
            post()
                .body(r#"{"to":["+46701234567"]}"#)
                .header("content-type", json),
            400,
            400,
        ),
        (
            post()
                .body(r#"{"to":["+46701234567"],"base64":"!"}"#)
                .header("content-type", json),
            400,
            400,
        ),
        (
            post().body(vec![b' '; 200 * 1024]).header("content-type", json),
            413,
            538,
        ),
        (served.client.get(format!("{}/v1/nowhere", served.base)), 404, 404),
        (served.client.delete(&url), 405, 405),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["error"]["status"], imps, "{answer}");
        assert!(answer["error"]["text"].is_string() && answer["error"]["code"].is_string());
    }
    assert!(served.fixture.line.take().is_empty());
}

#[tokio::test]
async fn too_many_requests_say_when_to_come_back() {
    let served = Served::new(Fixture::with(|config| config.limits.requests_per_minute = 1).await).await;
    let token = served.token("ada@alpha.example").await;
    assert_eq!(served.call("GET", "/v1/me", Some(&token), None).await.0, 200);
    let response = served
        .client
        .get(format!("{}/v1/me", served.base))
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    assert_eq!(
        (
            response.status().as_u16(),
            response.headers()["retry-after"].to_str().unwrap()
        ),
        (429, "60")
    );
}

#[tokio::test]
async fn use_case_5_20_is_one_call() {
    let served = Served::new(Fixture::new().await).await;
    let token = served.token("ada@alpha.example").await;
    served.fixture.line.answer(Ok(Answer::Found(Found {
        users: vec![(super::address(BEA), Some("Bea".into()))],
        total: 1,
        ..Found::default()
    })));
    let (status, added) = served
        .call(
            "POST",
            "/v1/contacts",
            Some(&token),
            Some(json!({"number": "+46 70 123 45 67"})),
        )
        .await;
    assert_eq!(status, 201, "{added}");
    assert_eq!(
        (
            added["contact"]["address"].as_str(),
            added["contact"]["nickname"].as_str()
        ),
        (Some(BEA), Some("Bea"))
    );
    assert_eq!(
        (
            added["notice"]["accepted"].as_str(),
            added["search"]["is_found"].as_bool()
        ),
        (Some("taken"), Some(true))
    );
    let (_, list) = served.call("GET", "/v1/contacts", Some(&token), None).await;
    assert_eq!(list["contacts"].as_array().unwrap().len(), 1);
    let path = "/v1/contacts/%2B46701234567";
    let (_, renamed) = served
        .call("PATCH", path, Some(&token), Some(json!({"nickname": "Boss"})))
        .await;
    assert_eq!(renamed["nickname"], "Boss");
    assert_eq!(served.call("DELETE", path, Some(&token), None).await.0, 204);
    assert_eq!(served.call("DELETE", path, Some(&token), None).await.0, 404);
}

#[tokio::test]
async fn contact_list_comes_in_pages() {
    let served = Served::new(Fixture::new().await).await;
    let token = served.token("ada@alpha.example").await;
    for last in 0..5 {
        let body = json!({"address": format!("+4670123456{last}")});
        assert_eq!(
            served
                .call("POST", "/v1/contacts", Some(&token), Some(body))
                .await
                .0,
            201
        );
    }
    let (_, first) = served
        .call("GET", "/v1/contacts?limit=3", Some(&token), None)
        .await;
    let next = first["next"].as_str().unwrap().replace('+', "%2B");
    let (_, second) = served
        .call(
            "GET",
            &format!("/v1/contacts?limit=3&after={next}"),
            Some(&token),
            None,
        )
        .await;
    let count = |page: &Value| page["contacts"].as_array().unwrap().len();
    assert_eq!((count(&first), count(&second), second.get("next")), (3, 2, None));
}

#[tokio::test]
async fn another_subscribers_things_are_out_of_reach() {
    let served = Served::new(Fixture::new().await).await;
    let (ada, ben) = (
        served.token("ada@alpha.example").await,
        served.token("ben@alpha.example").await,
    );
    let message = SendMessage {
        sender: super::address(BEA),
        recipients: vec![super::address(super::ADA)],
        id: Some("m1".parse().unwrap()),
        report_wanted: true,
        validity: None,
        sent_at: None,
        content: Content::text("for Ada"),
        conversation: None,
    };
    served.fixture.deliver(Request::Send(message)).await.unwrap();
    let (_, inbox) = served.call("GET", "/v1/inbox", Some(&ada), None).await;
    assert_eq!(inbox["events"][0]["text"], "for Ada");
    let ack = format!("/v1/inbox/{}/ack", inbox["events"][0]["inbox_id"]);
    let (_, empty) = served.call("GET", "/v1/inbox", Some(&ben), None).await;
    assert_eq!(empty["events"].as_array().unwrap().len(), 0);
    assert_eq!(served.call("POST", &ack, Some(&ben), None).await.0, 204);
    let (_, still) = served.call("GET", "/v1/inbox", Some(&ada), None).await;
    assert_eq!(still["events"].as_array().unwrap().len(), 1);
    let (_, devices) = served.call("GET", "/v1/devices", Some(&ada), None).await;
    let device = format!(
        "/v1/devices/{}",
        devices["devices"][0]["device"].as_str().unwrap()
    );
    assert_eq!(served.call("DELETE", &device, Some(&ben), None).await.0, 404);
    assert_eq!(served.call("POST", &ack, Some(&ada), None).await.0, 204);
    served.fixture.home.underway().idle().await;
    assert_eq!(served.fixture.line.reports().len(), 1);
}

#[tokio::test]
async fn refusals_are_told_in_the_subscribers_words() {
    let served = Served::new(Fixture::new().await).await;
    let token = served.token("ada@alpha.example").await;
    let body = json!({"to": ["bea@beta.example"], "text": "x", "report": true});
    for (refusal, http, imps) in [
        (
            Refusal::Blocked {
                recipient: super::address(BEA),
            },
            403,
            532,
        ),
        (
            Refusal::UnknownUser {
                recipient: super::address(BEA),
            },
            404,
            531,
        ),
        (
            Refusal::NoAgreement {
                domain: super::domain("beta.example"),
            },
            403,
            506,
        ),
    ] {
        served.fixture.line.answer(Err(refusal));
        let (status, answer) = served
            .call("POST", "/v1/messages", Some(&token), Some(body.clone()))
            .await;
        assert_eq!((status, answer["error"]["status"].as_u64()), (http, Some(imps)));
        assert!(!answer.to_string().contains("configuration"), "{answer}");
    }
}

#[tokio::test]
async fn settings_rights_and_presence_go_round() {
    let served = Served::new(Fixture::new().await).await;
    let token = served.token("ada@alpha.example").await;
    let token = Some(token.as_str());
    let change = json!({"friendly_name": "Ada\u{0} L.", "language": "sv", "settings": {"delivery": "fetch", "public_attributes": []}});
    let (status, me) = served.call("PATCH", "/v1/me", token, Some(change)).await;
    assert_eq!(
        (
            status,
            me["friendly_name"].as_str(),
            me["settings"]["delivery"].as_str()
        ),
        (200, Some("Ada L."), Some("fetch"))
    );
    assert_eq!(me["settings"]["notices"], true);
    assert_eq!(
        served
            .call("PATCH", "/v1/me", token, Some(json!({"language": "!"})))
            .await
            .0,
        400
    );
    let rights = json!({"attributes": ["OnlineStatus"]});
    assert_eq!(
        served
            .call("PUT", "/v1/grants/bea@beta.example", token, Some(rights))
            .await
            .0,
        204
    );
    assert_eq!(
        served
            .call("PUT", "/v1/blocks/pest@beta.example", token, None)
            .await
            .0,
        204
    );
    assert_eq!(
        served
            .call("PUT", "/v1/subscriptions/bob@beta.example", token, None)
            .await
            .0,
        204
    );
    let (_, blocks) = served.call("GET", "/v1/blocks", token, None).await;
    assert_eq!(blocks["blocks"][0]["address"], "wv:pest@beta.example");
    let (_, grants) = served.call("GET", "/v1/grants", token, None).await;
    assert_eq!(grants["grants"][0]["attributes"][0], "OnlineStatus");
    let (_, subscriptions) = served.call("GET", "/v1/subscriptions", token, None).await;
    assert_eq!(
        subscriptions["subscriptions"][0]["address"],
        "wv:bob@beta.example"
    );
    let set = json!({"attributes": {"StatusText": "Here", "UserAvailability": "AVAILABLE", "Alias": null}});
    assert_eq!(served.call("PUT", "/v1/presence", token, Some(set)).await.0, 204);
    let (_, own) = served.call("GET", "/v1/presence", token, None).await;
    assert_eq!(own["own"]["online"], true);
    let (status, look) = served
        .call(
            "GET",
            "/v1/presence/bea@beta.example?attributes=StatusText",
            token,
            None,
        )
        .await;
    assert_eq!((status, look["online"].is_null()), (200, true));
    assert_eq!(
        served
            .call(
                "GET",
                "/v1/presence/bea@beta.example?attributes=Colour",
                token,
                None
            )
            .await
            .0,
        400
    );
    for path in [
        "/v1/grants/bea@beta.example",
        "/v1/blocks/pest@beta.example",
        "/v1/subscriptions/bob@beta.example",
    ] {
        assert_eq!(served.call("DELETE", path, token, None).await.0, 204);
    }
    assert_eq!(served.call("POST", "/v1/logout", token, None).await.0, 204);
    assert_eq!(served.call("GET", "/v1/me", token, None).await.0, 401);
}
