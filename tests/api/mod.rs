//! The admin API of a running gateway against its own description: every call, every answer's shape, every parameter.
//!
//! A key that the description does not know is a mistake here, although clients must live with new ones.

use impsgw::lab::{Federation, play};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_as_the_description_says() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let mut federation = Federation::start(folder.path()).await.unwrap();
    let played = play(&mut federation, &mut Vec::new()).await.unwrap();
    let token = std::fs::read_to_string(folder.path().join("alpha-data/admin-token")).unwrap();
    let api = Api {
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
        base: format!("http://{}", federation.alpha.app.admin.unwrap()),
        token: token.trim().to_owned(),
    };
    let description = api.send("get", "/api/v1/openapi.json", &Value::Null).await.1;
    let mut asked = Asked {
        api,
        description,
        calls: Vec::new(),
    };
    asked
        .call(
            "post",
            "/api/v1/peers/{peer}/suspend",
            "beta",
            "",
            json!({ "reason": "a test" }),
        )
        .await;
    // What can't go to a suspended peer waits.
    let ada = played.handsets.iter().find(|one| one.name == "Ada").unwrap();
    let message = json!({ "to": ["+447700900456"], "text": "waits" });
    ada.call("POST", "/v1/messages", message).await.unwrap();
    let items = asked
        .call(
            "get",
            "/api/v1/items",
            "",
            "?queue=beta.example&older_than=0s&limit=5&unmask=true",
            Value::Null,
        )
        .await;
    let item = items["items"][0]["id"].to_string();
    for path in [
        "status",
        "nodes",
        "peers",
        "agreements",
        "queues",
        "tokens",
        "openapi.json",
    ] {
        asked
            .call("get", &format!("/api/v1/{path}"), "", "", Value::Null)
            .await;
    }
    for (path, place, query) in [
        (
            "/api/v1/route",
            "",
            "?address=%2B447700900456&service=pres&unmask=true",
        ),
        (
            "/api/v1/cache",
            "",
            "?prefix=%2B44&state=fresh&limit=5&unmask=true",
        ),
        ("/api/v1/cache", "", "?kind=naptr"),
        ("/api/v1/trace", "", "?word=%2B447700900456&limit=20&unmask=true"),
        ("/api/v1/peers/{peer}", "beta", ""),
        ("/api/v1/agreements/{peer}", "beta", ""),
        ("/api/v1/items/{id}", &item, ""),
    ] {
        asked.call("get", path, place, query, Value::Null).await;
    }
    for (action, body) in [
        ("hold", json!({ "reason": "a test" })),
        ("release", json!({})),
        ("hold", json!({})),
        ("redirect", json!({ "to": "beta" })),
    ] {
        let path = format!("/api/v1/items/{{id}}/{action}");
        let answer = asked.call("post", &path, &item, "", body).await;
        assert_eq!(
            answer["item"].is_null(),
            action == "redirect",
            "{action}: {answer}"
        );
    }
    for (action, is_held) in [("hold", false), ("release", true)] {
        let path = format!("/api/v1/queues/{{queue}}/{action}");
        let answer = asked.call("post", &path, "beta.example", "", json!({})).await;
        assert_eq!(answer["was_held"] == true, is_held, "{answer}");
    }
    // The release has made it due: an attempt may have it for a moment.
    let holds = async {
        let hold = json!({ "action": "hold", "queue": "beta.example" });
        while asked
            .call("post", "/api/v1/items/settle", "", "", hold.clone())
            .await["done"]
            != 1
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let in_time = std::time::Duration::from_secs(20);
    tokio::time::timeout(in_time, holds).await.unwrap();
    let items = asked
        .call("get", "/api/v1/items", "", "?place=held", Value::Null)
        .await;
    let item = items["items"][0]["id"].to_string();
    let why = json!({ "reason": "a test" });
    let path = "/api/v1/items/{id}/discard";
    assert!(asked.call("post", path, &item, "", why).await["item"].is_null());
    let over = json!({ "number": "+4477009", "to_domain": "beta.example", "reason": "a test", "for": "1h" });
    for _ in 0..2 {
        asked
            .call("post", "/api/v1/overrides", "", "", over.clone())
            .await;
    }
    asked.call("get", "/api/v1/overrides", "", "", Value::Null).await;
    asked
        .call(
            "delete",
            "/api/v1/overrides",
            "",
            "?number=%2B4477009",
            Value::Null,
        )
        .await;
    asked
        .call(
            "post",
            "/api/v1/follow",
            "",
            "",
            json!({ "address": "+447700900456", "for": "10m" }),
        )
        .await;
    asked.call("get", "/api/v1/follow", "", "", Value::Null).await;
    asked
        .call("delete", "/api/v1/cache", "", "?all=true", Value::Null)
        .await;
    let made = asked
        .call(
            "post",
            "/api/v1/tokens",
            "",
            "",
            json!({ "name": "screen", "role": "read", "for": "30d" }),
        )
        .await;
    asked
        .call(
            "delete",
            "/api/v1/tokens/{id}",
            made["id"].as_str().unwrap(),
            "",
            Value::Null,
        )
        .await;
    accounts(&mut asked).await;
    asked
        .call("post", "/api/v1/peers/{peer}/resume", "beta", "", json!({}))
        .await;
    asked
        .call("post", "/api/v1/peers/{peer}/reconnect", "beta", "", json!({}))
        .await;
    asked.call("post", "/api/v1/reload", "", "", json!({})).await;
    asked
        .call("get", "/api/v1/audit", "", "?since=0&limit=50", Value::Null)
        .await;

    let described = asked.description["paths"].as_object().unwrap();
    for (path, methods) in described {
        for method in methods.as_object().unwrap().keys() {
            let call = format!("{method} {path}");
            // Only a dead item can be retried, and a peer that never answers takes longer than a test.
            let is_asked = asked.calls.contains(&call) || call == "post /api/v1/items/{id}/retry";
            assert!(is_asked, "nobody asked {call}");
        }
    }
    federation.shut_down().await;
}

/// The accounts of the home domain: made, listed, closed, opened, given a password, forgotten; secrets in no audit entry.
async fn accounts(asked: &mut Asked) {
    let number = "+447700900125";
    let amy =
        json!({ "number": number, "user": "amy", "friendly_name": "Amy", "password": "amy's own secret" });
    let ann =
        json!({ "number": "+447700900126", "user": "ann", "domain": "alpha.example", "language": "en" });
    let both = json!({ "accounts": [amy, ann] });
    let made = asked.call("post", "/api/v1/accounts", "", "", both.clone()).await;
    assert!(made["accounts"][0]["password"].is_null(), "{made}");
    assert_eq!(made["accounts"][1]["password"].as_str().unwrap().len(), 22);
    let (status, refused) = asked.api.send("post", "/api/v1/accounts", &both).await;
    assert_eq!((status, &refused["error"]["code"]), (400, &json!("bad-rows")));
    let text = refused["error"]["message"].as_str().unwrap();
    assert!(
        text.contains("\nline 1: ") && text.contains("\nline 2: "),
        "{text}"
    );
    let query = "?prefix=%2B4477009001&limit=2&unmask=true";
    let listed = asked
        .call("get", "/api/v1/accounts", "", query, Value::Null)
        .await;
    assert_eq!(listed["next"], "+447700900125", "{listed}");
    for (method, action) in [("get", ""), ("post", "/close"), ("post", "/open")] {
        let path = format!("/api/v1/accounts/{{number}}{action}");
        let body = if action.is_empty() { Value::Null } else { json!({}) };
        let account = asked.call(method, &path, number, "", body).await;
        assert_eq!(account["is_active"], action != "/close", "{account}");
    }
    let path = "/api/v1/accounts/{number}/password";
    let body = json!({ "password": "another secret of amy's" });
    asked.call("post", path, number, "", body).await;
    let path = "/api/v1/accounts/{number}";
    asked.call("delete", path, number, "", Value::Null).await;
    let (status, _) = asked
        .api
        .send("get", &path.replace("{number}", number), &Value::Null)
        .await;
    assert_eq!(status, 404);
    let (_, audit) = asked.api.send("get", "/api/v1/audit?since=0", &Value::Null).await;
    assert!(!audit.to_string().contains("secret"), "{audit}");
}

struct Api {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Api {
    async fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let method = method.to_uppercase().parse().unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        request = request.bearer_auth(&self.token);
        if !body.is_null() {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

struct Asked {
    api: Api,
    description: Value,
    calls: Vec<String>,
}

impl Asked {
    /// Asks, and compares the answer and the query with the description.
    async fn call(&mut self, method: &str, path: &str, place: &str, query: &str, body: Value) -> Value {
        let call = &self.description["paths"][path][method];
        assert!(call.is_object(), "{method} {path} is not described");
        let names: Vec<&str> = call["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one["name"].as_str())
            .collect();
        for pair in query
            .trim_start_matches('?')
            .split('&')
            .filter(|pair| !pair.is_empty())
        {
            let name = pair.split('=').next().unwrap();
            assert!(names.contains(&name), "{method} {path}: {name} is not described");
        }
        let at = path
            .replace("{peer}", place)
            .replace("{id}", place)
            .replace("{queue}", place)
            .replace("{number}", place)
            + query;
        // A release makes an item due, and an attempt may have it for a moment.
        let answered = async {
            loop {
                match self.api.send(method, &at, &body).await {
                    (409, _) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                    answered => return answered,
                }
            }
        };
        let in_time = std::time::Duration::from_secs(20);
        let (status, answer) = tokio::time::timeout(in_time, answered).await.unwrap();
        assert_eq!(status, 200, "{method} {at}: {answer}");
        let schema = &call["responses"]["200"]["content"]["application/json"]["schema"];
        if let Err(why) = fits(&answer, schema, &self.description, "") {
            panic!("{method} {at}: {why}\n{answer:#}");
        }
        self.calls.push(format!("{method} {path}"));
        answer
    }
}

/// Whether a value is as a schema says; of JSON Schema only what the description uses.
fn fits(value: &Value, schema: &Value, description: &Value, at: &str) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let named = description.pointer(reference.trim_start_matches('#'));
        return fits(
            value,
            named.ok_or(format!("{reference} is nowhere"))?,
            description,
            at,
        );
    }
    if let Some(kinds) = schema["oneOf"].as_array() {
        let faults = kinds
            .iter()
            .filter_map(|kind| fits(value, kind, description, at).err());
        let faults: Vec<String> = faults.collect();
        return if faults.len() + 1 == kinds.len() {
            Ok(())
        } else {
            Err(faults.join("; "))
        };
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is_kind = schema["type"] == kind
        || schema["type"]
            .as_array()
            .is_some_and(|all| all.contains(&kind.into()));
    if !is_kind {
        return Err(format!("{at} is {kind}, not {}", schema["type"]));
    }
    if schema["enum"].as_array().is_some_and(|all| !all.contains(value)) {
        return Err(format!("{at} is {value}, not one of {}", schema["enum"]));
    }
    for (place, one) in value.as_array().into_iter().flatten().enumerate() {
        fits(one, &schema["items"], description, &format!("{at}/{place}"))?;
    }
    let (Some(object), Some(known)) = (value.as_object(), schema["properties"].as_object()) else {
        return Ok(());
    };
    for name in schema["required"].as_array().into_iter().flatten() {
        if !object.contains_key(name.as_str().unwrap_or_default()) {
            return Err(format!("{at} has no {name}"));
        }
    }
    for (name, one) in object {
        let schema = known.get(name).ok_or(format!("{at}/{name} is not described"))?;
        fits(one, schema, description, &format!("{at}/{name}"))?;
    }
    Ok(())
}
