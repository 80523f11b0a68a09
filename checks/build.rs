//! Compiles the entries in: reads every file of `entries/` with the crate's own code, refuses a malformed one, and leaves them without
//! white space in `OUT_DIR/entries.json`.

#[allow(dead_code, reason = "the rules do not look at every field")]
#[path = "src/condition.rs"]
mod condition;
#[allow(dead_code, reason = "the rules do not look at every field")]
#[path = "src/entry.rs"]
mod entry;
#[path = "src/rules/mod.rs"]
mod rules;
#[allow(dead_code, reason = "the rules compare no severities")]
#[path = "src/severity.rs"]
mod severity;
#[allow(dead_code, reason = "the rules fill nothing in")]
#[path = "src/template.rs"]
mod template;
#[path = "src/unique.rs"]
mod unique;

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=entries");
    let out: PathBuf = env::var_os("OUT_DIR").unwrap_or_default().into();
    let written = entries(Path::new("entries")).and_then(|text| {
        fs::write(out.join("entries.json"), text).map_err(|error| error.to_string())
    });
    if let Err(fault) = written {
        println!("cargo::error={}", fault.replace('\n', " "));
    }
}

fn entries(folder: &Path) -> Result<String, String> {
    let mut files = Vec::new();
    for file in fs::read_dir(folder).map_err(|error| error.to_string())? {
        files.push(file.map_err(|error| error.to_string())?.path());
    }
    files.sort();
    let mut entries = Vec::new();
    for path in files {
        let told = |fault: String| format!("checks/{}: {fault}", path.display());
        let text = fs::read_to_string(&path).map_err(|error| told(error.to_string()))?;
        let entry = rules::parse(&text, sealed::is_sensitive).map_err(told)?;
        if path.file_name() != Some(format!("{}.json", entry.kind).as_ref()) {
            return Err(told(format!("its type is {}: call it so", entry.kind)));
        }
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| told(error.to_string()))?;
        entries.push(value);
    }
    serde_json::to_string(&entries).map_err(|error| error.to_string())
}
