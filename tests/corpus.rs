//! Every input that the fuzz targets start from, and every one that once crashed a parser, kept as tests.
//!
//! The inputs are `fuzz/corpus/<target>/`; the SSP vectors and the zones serve as inputs as well, as in `fuzz/run.sh`.

#![expect(clippy::unwrap_used, reason = "a corpus that can't be read fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/checks/mod.rs"]
#[expect(
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a check that panics is what finds the fault"
)]
mod checks;

#[test]
fn ssp_inputs_keep_the_promises() {
    replay(&["fuzz/corpus/ssp", "tests/vectors/ssp"], checks::ssp);
}

#[test]
fn dns_response_inputs_keep_the_promises() {
    replay(&["fuzz/corpus/dns_response"], checks::dns_response);
}

#[test]
fn naptr_inputs_keep_the_promises() {
    replay(&["fuzz/corpus/naptr"], checks::naptr);
}

#[test]
fn ere_inputs_keep_the_promises() {
    replay(&["fuzz/corpus/ere"], checks::ere);
}

#[test]
fn regexp_inputs_keep_the_promises() {
    replay(&["fuzz/corpus/regexp"], checks::regexp);
}

#[test]
fn number_inputs_keep_the_promises() {
    replay(&["fuzz/corpus/number"], checks::number);
}

#[test]
fn uri_inputs_keep_the_promises() {
    replay(&["fuzz/corpus/uri"], checks::uri);
}

#[test]
fn services_inputs_keep_the_promises() {
    replay(&["fuzz/corpus/services"], checks::services);
}

#[test]
fn zone_inputs_keep_the_promises() {
    replay(&["fuzz/corpus/zone", "tests/vectors/zone", "zones"], checks::zone);
}

#[test]
fn wv_address_inputs_keep_the_promises() {
    replay(&["fuzz/corpus/wv_address"], checks::wv_address);
}

#[test]
fn config_inputs_keep_the_promises() {
    replay(&["fuzz/corpus/config", "config"], checks::config);
}

#[test]
fn maps_inputs_keep_the_promises() {
    replay(&["fuzz/corpus/maps", "tests/vectors/ssp"], checks::maps);
}

#[test]
fn server_url_inputs_keep_the_promises() {
    replay(&["fuzz/corpus/server_url"], checks::server_url);
}

#[test]
fn certificate_inputs_keep_the_promises() {
    replay(&["fuzz/corpus/certificate"], checks::certificate);
}

#[test]
fn command_line_inputs_keep_the_promises() {
    replay(&["fuzz/corpus/command_line"], checks::command_line);
}

#[test]
fn summary_inputs_keep_the_promises() {
    replay(&["fuzz/corpus/summary"], checks::summary);
}

#[test]
fn domain_inputs_keep_the_promises() {
    replay(&["fuzz/corpus/domain"], checks::domain);
}

#[test]
fn media_type_inputs_keep_the_promises() {
    replay(&["fuzz/corpus/media_type"], checks::media_type);
}

#[test]
fn words_inputs_keep_the_promises() {
    replay(&["fuzz/corpus/words"], checks::words);
}

#[test]
fn every_target_has_its_seeds_and_its_replay() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let this = include_str!("corpus.rs");
    let manifest = fs::read_to_string(here.join("fuzz/Cargo.toml")).unwrap();
    for target in fs::read_dir(here.join("fuzz/fuzz_targets")).unwrap() {
        let name = target.unwrap().file_name().into_string().unwrap();
        let name = name.strip_suffix(".rs").unwrap();
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "{name} is not built"
        );
        assert!(
            this.contains(&format!("checks::{name});")),
            "{name} is not replayed"
        );
    }
}

#[test]
fn ladder_inputs_keep_the_promises() {
    replay(&["fuzz/corpus/ladder"], checks::ladder);
}

fn replay(folders: &[&str], check: fn(&[u8])) {
    let mut files = Vec::new();
    for folder in folders {
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut files);
    }
    assert!(!files.is_empty(), "{folders:?} hold no input");
    for file in files {
        let input = fs::read(&file).unwrap();
        if std::panic::catch_unwind(|| check(&input)).is_err() {
            panic!("{} breaks a promise of its parser", file.display());
        }
    }
}

/// A folder without an input is not in the repository, and that is no mistake.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}
