//! The description of the API and its routes are the same.

use std::collections::BTreeSet;

use super::super::api::OPENAPI;

fn described() -> BTreeSet<(String, String)> {
    let document: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
    let mut all = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            all.insert((path.clone(), method.clone()));
        }
    }
    all
}

/// The routes as `api/mod.rs` spells them.
fn routed() -> BTreeSet<(String, String)> {
    let source = include_str!("../api/mod.rs").replace(char::is_whitespace, "");
    let mut all = BTreeSet::new();
    for route in source.split(".route(").skip(1) {
        let path = route.split('"').nth(1).unwrap();
        let handlers = route.split_once("\",").unwrap().1;
        for method in ["get(", "post(", "put(", "patch(", "delete("] {
            let handlers = handlers.split(".fallback(").next().unwrap();
            if handlers.starts_with(method) || handlers.contains(&format!(").{method}")) {
                all.insert((path.to_owned(), method.trim_end_matches('(').to_owned()));
            }
        }
    }
    all
}

#[test]
fn every_route_is_described_and_every_description_is_routed() {
    assert_eq!(described(), routed());
    assert!(described().len() > 30);
}

#[test]
fn every_reference_leads_somewhere() {
    let document: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
    for part in OPENAPI.split("\"$ref\": \"#").skip(1) {
        let pointer = part.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}
