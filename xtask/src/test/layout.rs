//! The rules of which code may know what: the SDK stays in each worker's host and entry.rs, and the crates depend one way.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::counts::Findings;
use crate::{failure::Failure, process::ask, project::Project};

/// The SDK's crates, by the name that code uses.
const SDK: [&str; 5] = [
    "worker",
    "web_sys",
    "js_sys",
    "wasm_bindgen",
    "wasm_bindgen_futures",
];

/// What a crate must not be built of, and why.
struct Rule {
    package: &'static str,
    /// As `cargo tree` takes it; none is this machine, which is all that a native tool is built for.
    target: Option<&'static str>,
    /// By the names in Cargo.toml.
    forbidden: &'static [&'static str],
    reason: &'static str,
}

/// What a pure crate must not be built of.
const EFFECTS: [&str; 9] = [
    "worker",
    "web-sys",
    "js-sys",
    "wasm-bindgen",
    "tokio",
    "getrandom",
    "edge",
    "keytool",
    "wasm-bindgen-futures",
];

const RULES: [Rule; 7] = [
    Rule {
        package: "sealed",
        target: Some("all"),
        forbidden: &EFFECTS,
        reason: "the format is pure: no host, no IO, randomness is an argument",
    },
    Rule {
        package: "catalogue",
        target: Some("all"),
        forbidden: &EFFECTS,
        reason: "entries are data and pure checks of it",
    },
    Rule {
        package: "checks",
        target: Some("all"),
        forbidden: &EFFECTS,
        reason: "a check is judged by its answers: no host, no IO, no clock",
    },
    Rule {
        package: "platform",
        target: Some("all"),
        forbidden: &EFFECTS,
        reason: "requests and settings are plain data: each worker has a host of its own",
    },
    Rule {
        package: "scanner",
        target: Some("all"),
        forbidden: &["edge", "catalogue", "keytool"],
        reason: "it asks with what is stored: it knows no client of a provider, and no route",
    },
    Rule {
        package: "edge",
        target: Some("all"),
        forbidden: &["keytool", "tokio-postgres"],
        reason: "the worker knows nothing of the operator's tool",
    },
    Rule {
        package: "keytool",
        target: None,
        forbidden: &["edge", "worker", "web-sys", "js-sys", "wasm-bindgen"],
        reason: "the native tool knows nothing of the worker",
    },
];

/// Every breach of the rules.
pub fn breaches(project: &Project) -> Result<Findings, Failure> {
    let mut findings = Findings::default();
    let mut files = files_of(&project.path("worker/src"), &["rs"])?;
    files.extend(files_of(&project.path("scanner/src"), &["rs"])?);
    for file in files {
        if may_use_the_sdk(&file, project) {
            continue;
        }
        findings.checked += 1;
        let text = fs::read_to_string(&file)
            .map_err(Failure::io(format!("cannot read {}", file.display())))?;
        let file = project.shown(&file);
        findings.faults.extend(sdk_uses(&text).map(|(line, name)| {
            format!(
                "{file}:{line}: `{name}` outside the host and entry.rs, which alone touch the SDK"
            )
        }));
    }
    for rule in &RULES {
        findings.checked += rule.forbidden.len();
        let tree = dependencies(project, rule)?;
        let broken = forbidden_in(&tree, rule.forbidden);
        let Rule {
            package, reason, ..
        } = rule;
        findings
            .faults
            .extend(broken.map(|name| format!("{package} depends on {name}: {reason}")));
    }
    Ok(findings)
}

/// Each worker's host, and its entry, whose functions the runtime calls.
fn may_use_the_sdk(file: &Path, project: &Project) -> bool {
    file.starts_with(project.path("worker/src/host"))
        || [
            "worker/src/entry.rs",
            "scanner/src/host.rs",
            "scanner/src/entry.rs",
        ]
        .iter()
        .any(|allowed| file == project.path(allowed))
}

/// The files of a folder, and of those in it, whose names end so.
pub fn files_of(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    let cannot = || Failure::io(format!("cannot list {}", folder.display()));
    for entry in fs::read_dir(folder).map_err(cannot())? {
        let path = entry.map_err(cannot())?.path();
        if path.is_dir() {
            files.extend(files_of(&path, extensions)?);
        } else if path
            .extension()
            .is_some_and(|extension| extensions.iter().any(|one| extension == *one))
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The lines (from 1) that name a crate of the SDK in code, and the name.
fn sdk_uses(text: &str) -> impl Iterator<Item = (usize, &'static str)> {
    text.lines().enumerate().flat_map(|(index, line)| {
        let code = line.split("//").next().unwrap_or_default();
        SDK.into_iter()
            .filter(|name| names_crate(code, name))
            .map(move |name| (index + 1, name))
    })
}

/// Whether the code has `name` as the first segment of a path, or imports it whole.
fn names_crate(code: &str, name: &str) -> bool {
    let is_identifier = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(name).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + name.len()..]);
        let starts = !before.ends_with(is_identifier);
        let is_path = starts && after.starts_with("::") && !is_deeper(before);
        let is_import = matches!(
            before.trim(),
            "use" | "pub use" | "extern crate" | "pub(crate) use"
        ) && (after.starts_with(';') || after.starts_with(" as "));
        is_path || is_import
    })
}

/// Whether what precedes makes the name a later segment: `crate::worker::` is ours, `::worker::` is the crate.
fn is_deeper(before: &str) -> bool {
    before.strip_suffix("::").is_some_and(|before| {
        before.ends_with(|character: char| character.is_alphanumeric() || character == '_')
    })
}

/// All that the crate is built of: a name and a version a line.
fn dependencies(project: &Project, rule: &Rule) -> Result<String, Failure> {
    let mut arguments = vec!["tree", "--locked", "--package", rule.package];
    arguments.extend(["--edges", "normal,build", "--prefix", "none"]);
    arguments.extend(
        rule.target
            .into_iter()
            .flat_map(|target| ["--target", target]),
    );
    ask(project.cargo().args(&arguments)).ok_or_else(|| {
        Failure::with_hint(
            format!("cargo cannot tell what {} depends on", rule.package),
            format!("`cargo {}` says why", arguments.join(" ")),
        )
    })
}

fn forbidden_in<'a>(tree: &'a str, forbidden: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let has = |name: &str| {
        tree.lines()
            .any(|line| line.split(' ').next() == Some(name))
    };
    forbidden.iter().copied().filter(move |name| has(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, &'static str)> {
        sdk_uses(text).collect()
    }

    #[test]
    fn finds_the_sdk_in_code() {
        assert_eq!(
            found("use std::fmt;\nuse worker::{Env, Request};"),
            [(2, "worker")]
        );
        assert_eq!(
            found("fn f(value: &::wasm_bindgen::JsValue)"),
            [(1, "wasm_bindgen")]
        );
        assert_eq!(
            found("let now = js_sys::Date::now(); web_sys::x()"),
            [(1, "web_sys"), (1, "js_sys")]
        );
        assert_eq!(found("    use worker as sdk;"), [(1, "worker")]);
        assert_eq!(
            found("use wasm_bindgen_futures::JsFuture;"),
            [(1, "wasm_bindgen_futures")]
        );
    }

    #[test]
    fn leaves_what_only_looks_like_it() {
        assert!(found("// worker::Request is the host's").is_empty());
        assert!(
            found("use crate::worker::Thing; service_worker::x(); wasm_bindgen_test::f()")
                .is_empty()
        );
        assert!(found("let worker = 1; // js_sys::").is_empty());
    }

    #[test]
    fn finds_a_forbidden_dependency_by_its_whole_name() {
        let tree = "sealed v0.1.0 (/somewhere/sealed)\naes-gcm v0.11.0\ngetrandom v0.4.3\nworker-sys v0.8.7";
        assert_eq!(
            forbidden_in(tree, &["worker", "getrandom"]).collect::<Vec<_>>(),
            ["getrandom"]
        );
    }
}
