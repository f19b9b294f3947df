//! The event stream: order, going on after a break, two devices, bounds.

use std::time::Duration;

use serde_json::Value;

use super::{
    super::{
        event::Event,
        stream::{Missed, Streams},
    },
    ADA, BEA, Fixture, address,
    api::Served,
};
use crate::model::{
    AttributeName, AttributeValue, Content, Presence, PresenceNotification, Request, SendMessage,
};

/// A stream as a device reads it.
struct Stream {
    response: reqwest::Response,
    text: String,
}

#[derive(Debug)]
struct Read {
    name: String,
    id: Option<String>,
    json: Value,
}

impl Stream {
    async fn open(served: &Served, token: &str, last: Option<&str>) -> Self {
        let mut request = served
            .client
            .get(format!("{}/v1/events", served.base))
            .bearer_auth(token);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        Self {
            response,
            text: String::new(),
        }
    }

    /// The next event; fails when none comes.
    async fn next(&mut self) -> Read {
        let read = async {
            loop {
                if let Some((event, rest)) = self.text.split_once("\n\n") {
                    let field = |name: &str| {
                        let prefix = format!("{name}: ");
                        event
                            .lines()
                            .find_map(|line| line.strip_prefix(&prefix))
                            .map(str::to_owned)
                    };
                    let read = field("event").map(|name| Read {
                        name,
                        id: field("id"),
                        json: serde_json::from_str(&field("data").unwrap()).unwrap(),
                    });
                    self.text = rest.to_owned();
                    if let Some(read) = read {
                        return read;
                    }
                    continue;
                }
                let chunk = self.response.chunk().await.unwrap().expect("the stream goes on");
                self.text.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        };
        tokio::time::timeout(Duration::from_secs(10), read)
            .await
            .expect("an event comes")
    }

    /// Whether the server has ended the stream.
    async fn wait_for_end(mut self) -> bool {
        let read = async { while self.response.chunk().await.is_ok_and(|chunk| chunk.is_some()) {} };
        tokio::time::timeout(Duration::from_secs(10), read).await.is_ok()
    }
}

fn message(id: &str) -> Request {
    Request::Send(SendMessage {
        sender: address(BEA),
        recipients: vec![address(ADA)],
        id: Some(id.parse().unwrap()),
        report_wanted: false,
        validity: None,
        sent_at: None,
        content: Content::text(id),
        conversation: None,
    })
}

fn presence(text: &str) -> Request {
    let mut presence = Presence::default();
    presence.set(AttributeName::StatusText, Some(AttributeValue::Text(text.into())));
    Request::Notify(PresenceNotification {
        watchers: vec![address(ADA)],
        values: vec![(address(BEA), presence)],
    })
}

#[tokio::test]
async fn what_waited_comes_first_then_ready_then_what_happens() {
    let served = Served::new(Fixture::new().await).await;
    let token = served.token(ADA).await;
    served
        .fixture
        .home
        .watch_person(&served.fixture.ada(), &address(BEA))
        .await
        .unwrap();
    served.fixture.deliver(message("m1")).await.unwrap();
    served.fixture.deliver(presence("before")).await.unwrap();
    let mut stream = Stream::open(&served, &token, None).await;
    let first = stream.next().await;
    assert_eq!(
        (first.name.as_str(), &first.json["text"]),
        ("message", &Value::from("m1"))
    );
    assert!(first.json["inbox_id"].is_u64());
    assert_eq!(stream.next().await.json["attributes"][0]["value"], "before");
    assert_eq!(stream.next().await.name, "ready");
    served.fixture.deliver(presence("after")).await.unwrap();
    let live = stream.next().await;
    assert_eq!(
        (live.name.as_str(), &live.json["attributes"][0]["value"]),
        ("presence", &Value::from("after"))
    );
}

#[tokio::test]
async fn device_that_comes_back_gets_exactly_what_it_missed() {
    let served = Served::new(Fixture::new().await).await;
    let token = served.token(ADA).await;
    served
        .fixture
        .home
        .watch_person(&served.fixture.ada(), &address(BEA))
        .await
        .unwrap();
    let mut stream = Stream::open(&served, &token, None).await;
    assert_eq!(stream.next().await.name, "ready");
    served.fixture.deliver(message("m1")).await.unwrap();
    let last = stream.next().await.id.unwrap();
    drop(stream);
    served.fixture.deliver(message("m2")).await.unwrap();
    served.fixture.deliver(presence("away")).await.unwrap();
    let mut stream = Stream::open(&served, &token, Some(&last)).await;
    let names = [stream.next().await, stream.next().await, stream.next().await];
    assert_eq!(
        names.each_ref().map(|one| one.name.as_str()),
        ["message", "presence", "ready"]
    );
    assert_eq!(names[0].json["text"], "m2");
    // What an unknown place names is everything.
    let mut stream = Stream::open(&served, &token, Some("1-99999")).await;
    assert_eq!(stream.next().await.json["text"], "m1");
}

#[tokio::test]
async fn both_devices_get_a_message_and_one_acknowledges() {
    let served = Served::new(Fixture::new().await).await;
    let (one, two) = (served.token(ADA).await, served.token(ADA).await);
    let mut streams = [
        Stream::open(&served, &one, None).await,
        Stream::open(&served, &two, None).await,
    ];
    for stream in &mut streams {
        assert_eq!(stream.next().await.name, "ready");
    }
    served.fixture.deliver(message("m1")).await.unwrap();
    for stream in &mut streams {
        let read = stream.next().await;
        let ack = format!("/v1/inbox/{}/ack", read.json["inbox_id"]);
        assert_eq!(served.call("POST", &ack, Some(&one), None).await.0, 204);
    }
    let (_, inbox) = served.call("GET", "/v1/inbox", Some(&two), None).await;
    assert_eq!(inbox["events"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn streams_are_bounded_and_end_with_the_login() {
    let served = Served::new(Fixture::with(|config| config.limits.connections = 1).await).await;
    let token = served.token(ADA).await;
    let stream = Stream::open(&served, &token, None).await;
    let (status, answer) = served.call("GET", "/v1/events", Some(&token), None).await;
    assert_eq!(
        (status, answer["error"]["code"].as_str()),
        (429, Some("too-many-streams"))
    );
    assert_eq!(served.call("POST", "/v1/logout", Some(&token), None).await.0, 204);
    assert!(stream.wait_for_end().await);
}

#[test]
fn ring_goes_back_as_far_as_it_says() {
    let event = std::sync::Arc::new(Event::Ready {});
    let mut streams = Streams::new(7, 2);
    let joined = streams.join("d", None, 8).unwrap();
    assert_eq!(joined.now, "7-0");
    for _ in 0..3 {
        streams.send(None, &event);
    }
    let missed = |streams: &mut Streams, last: &str| match streams.join("d", Some(last), 8).unwrap().missed {
        Missed::These(these) => Some(these.len()),
        Missed::All => None,
    };
    assert_eq!(missed(&mut streams, "7-0"), None);
    assert_eq!(missed(&mut streams, "7-1"), Some(2));
    assert_eq!(missed(&mut streams, "7-3"), Some(0));
    for unknown in ["7-4", "6-1", "7", "", "7-x", "x-1"] {
        assert_eq!(missed(&mut streams, unknown), None, "{unknown}");
    }
    streams.fall_asleep();
    streams.send(None, &event);
    assert_eq!(missed(&mut streams, "7-3"), None);
    assert_eq!(missed(&mut streams, "7-4"), Some(0));
}

#[test]
fn device_that_does_not_keep_up_is_disconnected() {
    let event = std::sync::Arc::new(Event::Ready {});
    let mut streams = Streams::new(1, 8);
    let mut joined = streams.join("d", None, 8).unwrap();
    for _ in 0..200 {
        streams.send(None, &event);
    }
    assert!(!streams.has("d"));
    let mut count = 0;
    while joined.events.try_recv().is_ok() {
        count += 1;
    }
    assert_eq!(count, 128);
}
