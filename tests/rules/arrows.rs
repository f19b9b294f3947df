//! Arrows point down: one table says which room may use which. Nothing else is allowed.

use super::sources::{all, crate_paths, std_paths};

/// Who may use whom; everybody may use itself. `config`, `app`, `lab`, `load` and `cli` join the parts and may use all and one
/// another; nobody else uses them.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("wire", &[]),
    ("zone", &["wire::naptr"]),
    ("telemetry", &["model"]),
    ("agreement", &["model", "telemetry"]),
    ("store", &["model", "telemetry"]),
    ("charging", &["model", "telemetry", "store"]),
    ("cluster", &["model", "telemetry", "store"]),
    ("routing", &["model", "wire::naptr", "telemetry", "agreement"]),
    (
        "relay",
        &["model", "telemetry", "agreement", "charging", "store", "routing"],
    ),
    (
        "gateways",
        &[
            "model",
            "telemetry",
            "wire",
            "agreement",
            "store",
            "routing",
            "relay",
            "cluster",
        ],
    ),
    (
        "admin",
        &[
            "model",
            "telemetry",
            "agreement",
            "charging",
            "store",
            "routing",
            "relay",
            "cluster",
        ],
    ),
];

/// Rooms that join the parts.
const JOINERS: &[&str] = &["app", "cli", "config", "lab", "lib", "load", "main"];

#[test]
fn every_room_uses_only_what_is_below_it() {
    let mut broken = Vec::new();
    for source in all() {
        if JOINERS.contains(&source.room.as_str()) {
            continue;
        }
        let Some((_, allowed)) = MAY_USE.iter().find(|(room, _)| *room == source.room) else {
            broken.push(format!(
                "{}: the room {} is not in the table",
                source.path, source.room
            ));
            continue;
        };
        for path in crate_paths(&source.code) {
            let is_within = |room: &str| path == room || path.starts_with(&format!("{room}::"));
            if !is_within(&source.room) && !allowed.iter().any(|room| is_within(room)) {
                broken.push(format!("src/{} uses crate::{path}", source.path));
            }
        }
    }
    assert!(broken.is_empty(), "arrows that point up:\n{}", broken.join("\n"));
}

#[test]
fn gateways_never_know_one_another() {
    let mut broken = Vec::new();
    for source in all() {
        let mut folders = source.path.split('/');
        let (Some("gateways"), Some(own)) = (folders.next(), folders.next()) else {
            continue;
        };
        for path in crate_paths(&source.code) {
            let other = path
                .strip_prefix("gateways::")
                .and_then(|rest| rest.split("::").next());
            if other.is_some_and(|other| other != own) {
                broken.push(format!("src/{} uses crate::{path}", source.path));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn model_and_wire_know_no_sockets_no_runtime_and_no_clock() {
    let forbidden = ["tokio", "Instant::now", "SystemTime::now"];
    let mut broken = Vec::new();
    for source in all() {
        if source.room != "model" && source.room != "wire" {
            continue;
        }
        // An `Instant` can't be made from nothing, so unit tests begin with one.
        let is_test = source.path.ends_with("tests.rs");
        for word in forbidden {
            if source.code.contains(word) && !(is_test && word == "Instant::now") {
                broken.push(format!("src/{} has {word}", source.path));
            }
        }
        for path in std_paths(&source.code)
            .into_iter()
            .filter(|path| reaches_out(path))
        {
            broken.push(format!("src/{} uses std::{path}", source.path));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Whether a path of the standard library leads to sockets, files, processes or threads.
fn reaches_out(path: &str) -> bool {
    let first = path.split("::").next().unwrap_or_default();
    ["net", "fs", "process", "thread", "env"].contains(&first) || path == "*"
}

#[test]
fn sockets_are_found_however_they_are_named() {
    for code in [
        "let s = std::net::TcpStream::connect(a);",
        "use std::net::{IpAddr, TcpStream as Wire};",
        "use std::{fmt, net::{self}};",
        "use std::{\n    collections::HashMap,\n    net,\n};",
        "use ::std::net::UdpSocket;",
        "use std::*;",
    ] {
        assert!(std_paths(code).iter().any(|path| reaches_out(path)), "{code}");
    }
    let harmless = "use std::{fmt, time::Duration, str::FromStr};\nlet x = my_std::net::X;";
    assert!(!std_paths(harmless).iter().any(|path| reaches_out(path)));
}

#[test]
fn every_file_says_what_it_is_for() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let silent: Vec<String> = all()
        .into_iter()
        .map(|source| source.path)
        .filter(|path| !path.ends_with("tests.rs"))
        .filter(|path| {
            !std::fs::read_to_string(root.join(path))
                .unwrap()
                .starts_with("//!")
        })
        .collect();
    assert!(silent.is_empty(), "files without a first line //!: {silent:?}");
}
