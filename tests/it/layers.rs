//! Layers point downward only: every `crate::` path in `src` is read and held against the order.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers, lowest first; those of one row may not use each other.
const LAYERS: &[&[&str]] = &[
    &["util"],
    &["ds"],
    &["resp"],
    &["spec"],
    &["value"],
    &["keyspace"],
    &["acl", "config", "persist", "script", "stats"],
    &["server"],
    &["commands"],
    &["net"],
    &["checks", "daemon", "options"],
];

fn rank(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

/// The modules that a source names by `crate::module`.
fn uses(text: &str) -> impl Iterator<Item = &str> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split("crate::").skip(1)).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

#[test]
fn modules_use_lower_layers_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut wrong = Vec::new();
    let mut checked = 0;
    for file in files {
        let inside = file.strip_prefix(&src).expect("a path below src");
        let module = inside.iter().next().and_then(|part| part.to_str()).unwrap_or_default();
        let module = module.trim_end_matches(".rs");
        if module == "lib" || module == "main" {
            continue;
        }
        let own = rank(module).unwrap_or_else(|| panic!("module {module} has no layer"));
        for used in uses(&fs::read_to_string(&file).expect("a readable source")) {
            checked += 1;
            match rank(used) {
                Some(rank) if rank < own || used == module => {}
                _ => wrong.push(format!("{} uses {used}", inside.display())),
            }
        }
    }
    assert!(checked > 100, "the search for uses is broken: {checked} found");
    assert!(wrong.is_empty(), "upward or sideways: {wrong:#?}");
}
