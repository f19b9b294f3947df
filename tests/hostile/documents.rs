//! Documents that are no documents: malformed, oversize, deep, and with every trick that entities and encodings know.
//!
//! Each is posted to a gateway on a connection of its own; HTTP 400 says that it was not read, and the log says why.

use super::{
    peer::{Peer, in_session, post, request},
    stage::{Setting, Stage},
};

#[tokio::test]
async fn malformed_documents_are_refused_with_their_reason() {
    let beta = Peer::new("beta").await;
    let stage = Stage::new(&[&beta]).await;
    assert_eq!(post(stage.ssp(), b"").await, 400);
    stage
        .logged(&["a connection was turned away", "not a document (400)"])
        .await;
    let cases = malformed();
    for (what, body, reason) in &cases {
        assert_eq!(post(stage.ssp(), body).await, 400, "{what}");
        stage.logged(&["a document can't be read", reason]).await;
    }
    assert_eq!(stage.count_logged("a document can't be read"), cases.len());
    stage.end().await;
}

#[tokio::test]
async fn documents_past_a_bound_are_refused_with_the_bound() {
    let beta = Peer::new("beta").await;
    let ssp = "max_document = \"2 MiB\"";
    let stage = Stage::with(
        &[&beta],
        &Setting {
            ssp,
            ..Setting::default()
        },
    )
    .await;
    let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
    let wide = "<a/>".repeat(20_001);
    let attributes: String = (0..33).map(|index| format!(" a{index}=\"\"")).collect();
    let text = "x".repeat((1 << 20) + 1);
    for (inner, reason) in [
        (deep, "more than 32"),
        (wide, "more than 20000 elements"),
        (format!("<a{attributes}/>"), "more than 32 attributes"),
        (format!("<a>{text}</a>"), "more than 1048576"),
        (format!("<a b=\"{text}\"/>"), "more than 1048576"),
    ] {
        let body = in_session("1@beta.example", &request("t", &inner));
        assert_eq!(post(stage.ssp(), &body).await, 400, "{reason}");
        stage.logged(&["a document can't be read", reason]).await;
    }
    stage.end().await;
}

#[tokio::test]
async fn oversize_documents_are_refused_before_they_are_read() {
    let beta = Peer::new("beta").await;
    let ssp = "max_document = \"16 KiB\"";
    let stage = Stage::with(
        &[&beta],
        &Setting {
            ssp,
            ..Setting::default()
        },
    )
    .await;
    let body = in_session("1@beta.example", &request("t", &"<a/>".repeat(5_000)));
    assert_eq!(post(stage.ssp(), &body).await, 413);
    stage.logged(&["larger than ssp.max_document"]).await;
    stage.end().await;
}

/// A bad body inside a good session costs the sender its document and nobody the session.
#[tokio::test]
async fn session_outlives_malformed_documents() {
    let mut beta = Peer::new("beta").await;
    let stage = Stage::new(&[&beta]).await;
    let session = beta.open(stage.ssp()).await;
    for (what, body, _) in malformed() {
        let body = String::from_utf8(body).map_or_else(
            |error| error.into_bytes(),
            |text| text.replace("1@beta.example", &session.id).into_bytes(),
        );
        assert_eq!(post(stage.ssp(), &body).await, 400, "{what}");
    }
    let (status, _) = beta.ask(stage.ssp(), &session, "<FlyToTheMoonRequest/>").await;
    assert_eq!(status.0, 405);
    stage.end().await;
}

/// What a careful reader takes: a byte order mark, CDATA, comments, references, another prefix, trailing white space.
#[tokio::test]
async fn odd_but_whole_documents_are_read() {
    let mut beta = Peer::new("beta").await;
    let stage = Stage::new(&[&beta]).await;
    let session = beta.open(stage.ssp()).await;
    let plain = String::from_utf8(in_session(&session.id, &request("t-1", "<KeepAliveRequest/>"))).unwrap();
    for (what, body) in [
        ("byte order mark", format!("\u{feff}{plain}")),
        ("white space behind", format!("{plain}\n\t \r\n")),
        (
            "comments",
            plain.replace("<KeepAlive", "<!-- & <b> --><KeepAlive"),
        ),
        ("references", plain.replace("t-1", "&#116;&#x2d;1")),
        ("no declaration", plain.split_once("?>").unwrap().1.to_owned()),
        ("single quotes", plain.replace('"', "'")),
    ] {
        assert_eq!(post(stage.ssp(), body.as_bytes()).await, 200, "{what}");
        let answer = beta.answer().await;
        assert_eq!(answer.id.as_str(), "t-1", "{what}");
    }
    stage.end().await;
}

fn malformed() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = String::from_utf8(in_session("1@beta.example", &request("t", "<LogoutRequest/>"))).unwrap();
    let (_, bare) = good.split_once("?>").unwrap();
    let dtd = |dtd: &str, text: &str| {
        let inner = in_session("1@beta.example", &request(text, "<LogoutRequest/>"));
        let inner = String::from_utf8(inner).unwrap();
        format!("{dtd}{}", inner.split_once("?>").unwrap().1).into_bytes()
    };
    let with_id = |id: &str| good.replace("\"t\"", &format!("\"{id}\"")).into_bytes();
    let octets = |odd: &[u8]| {
        let (before, behind) = good.split_once("<LogoutRequest/>").unwrap();
        [before.as_bytes(), b"<A>", odd, b"</A>", behind.as_bytes()].concat()
    };
    let utf16 = |big: bool| {
        let units = std::iter::once(0xfeff).chain(bare.encode_utf16());
        let octets = units.map(|unit: u16| {
            if big {
                unit.to_be_bytes()
            } else {
                unit.to_le_bytes()
            }
        });
        octets.flatten().collect::<Vec<u8>>()
    };
    let declared = |encoding: &str| {
        good.replace("UTF-8", encoding)
            .replace("\"t\"", "\"\u{e9}\"")
            .into_bytes()
    };
    let laughs: String = (1..10)
        .map(|level| {
            format!(
                "<!ENTITY l{level} \"{}\">",
                format!("&l{};", level - 1).repeat(10)
            )
        })
        .collect();
    let dtd_refused = "a document type declaration is not allowed";
    vec![
        ("white space", b" \r\n ".to_vec(), "no element"),
        ("no XML", b"hello".to_vec(), "at octet"),
        ("JSON", br#"{"session": "1@beta.example"}"#.to_vec(), "at octet"),
        ("HTML", b"<html><body></body></html>".to_vec(), "the root is html"),
        ("cut off", good.as_bytes()[..good.len() - 20].to_vec(), ""),
        ("two roots", format!("{good}{bare}").into_bytes(), "at octet"),
        ("text behind", format!("{good}x").into_bytes(), "at octet"),
        ("tags that cross", octets(b"<B><C></B></C>"), "at octet"),
        ("empty DTD", dtd("<!DOCTYPE a>", "t"), dtd_refused),
        (
            "billion laughs",
            dtd(&format!("<!DOCTYPE a [<!ENTITY l0 \"ha\">{laughs}]>"), "&l9;"),
            dtd_refused,
        ),
        (
            "external entity",
            dtd("<!DOCTYPE a [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>", "&e;"),
            dtd_refused,
        ),
        (
            "external subset",
            dtd("<!DOCTYPE a SYSTEM \"http://127.0.0.1:9/a.dtd\">", "t"),
            dtd_refused,
        ),
        (
            "parameter entity",
            dtd(
                "<!DOCTYPE a [<!ENTITY % p SYSTEM \"http://127.0.0.1:9/p\"> %p;]>",
                "t",
            ),
            dtd_refused,
        ),
        ("undeclared entity", with_id("&nbsp;"), "at octet"),
        ("half an entity", with_id("&amp"), "at octet"),
        ("bare ampersand", with_id("a & b"), "at octet"),
        ("reference to NUL", with_id("&#0;"), "at octet"),
        ("reference to a control", with_id("&#x8;"), "at octet"),
        ("reference to a surrogate", with_id("&#xD800;"), "at octet"),
        ("reference to no character", with_id("&#xFFFF;"), "at octet"),
        ("reference past Unicode", with_id("&#x110000;"), "at octet"),
        (
            "reference past 64 bits",
            with_id("&#99999999999999999999999;"),
            "at octet",
        ),
        ("negative reference", with_id("&#-1;"), "at octet"),
        ("NUL", octets(b"\0"), "at octet"),
        ("control", octets(b"\x1b[31m"), "at octet"),
        ("overlong slash", octets(b"\xc0\xaf"), "not UTF-8"),
        ("overlong NUL", octets(b"\xc0\x80"), "not UTF-8"),
        ("surrogate in UTF-8", octets(b"\xed\xa0\x80"), "not UTF-8"),
        ("half a character", octets(b"\xe2\x82"), "not UTF-8"),
        ("past Unicode", octets(b"\xf4\x90\x80\x80"), "not UTF-8"),
        ("Latin 1", octets(b"caf\xe9"), "not UTF-8"),
        ("UTF-16, little end first", utf16(false), "not UTF-8"),
        ("UTF-16, big end first", utf16(true), "not UTF-8"),
        (
            "UTF-32",
            bare.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect(),
            "",
        ),
        ("declared as UTF-16", declared("UTF-16"), "not UTF-8"),
        ("declared as Latin 1", declared("ISO-8859-1"), "not UTF-8"),
        ("declared as UTF-7", declared("UTF-7"), "not UTF-8"),
        (
            "a processing instruction",
            octets(b"<?php exit ?>"),
            "processing instruction",
        ),
        (
            "two byte order marks",
            format!("\u{feff}\u{feff}{good}").into_bytes(),
            "",
        ),
        ("an attribute twice", octets(b"<B c='' c=''/>"), "at octet"),
        ("an undeclared prefix", octets(b"<x:B/>"), "at octet"),
        ("a less-than in a value", with_id("<"), ""),
        ("an open comment", octets(b"<!-- "), "at octet"),
        ("a comment with --", octets(b"<!-- a -- b -->"), "at octet"),
        ("an open CDATA", octets(b"<![CDATA[ ]]"), "at octet"),
        ("]]> in text", octets(b"]]>"), "at octet"),
        (
            "a second declaration",
            octets(b"<?xml version='1.0'?>"),
            "at octet",
        ),
        ("gzip", vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], ""),
        (
            "no session ID",
            good.replace("sessionID", "session").into_bytes(),
            "has no ID",
        ),
        (
            "no transaction",
            in_session("1@beta.example", ""),
            "neither a setup transaction nor",
        ),
        (
            "nothing in the root",
            b"<WV-SSP-Message/>".to_vec(),
            "neither a setup transaction nor",
        ),
    ]
}
