//! Compiles the catalogue: reads every entry of `providers/` with the worker's own code, refuses a malformed one, and leaves what the
//! worker needs of them, without white space, in `OUT_DIR/providers.json`. Joins the connect page's modules into `OUT_DIR/app.js`, and leaves
//! its stylesheet beside it.

#[allow(dead_code, reason = "the check does not look at every field")]
#[path = "src/providers/check.rs"]
mod check;
#[path = "src/providers/check_fields.rs"]
mod check_fields;
#[allow(dead_code, reason = "the check does not look at every field")]
#[path = "src/providers/entry.rs"]
mod entry;
#[allow(dead_code, reason = "the check does not ask for everything")]
#[path = "src/providers/fields.rs"]
mod fields;
#[path = "src/providers/header.rs"]
mod header;
#[path = "../sealed/src/sensitive.rs"]
mod sensitive;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Supabase comes first on the page; the others follow by name.
const FIRST: &str = "supabase";

/// What the page is made of, and what it is served as.
const PAGE: [(&str, &str); 2] = [
    ("page/script/main.js", "app.js"),
    ("page/style.css", "style.css"),
];

fn main() {
    println!("cargo::rerun-if-changed=providers");
    println!("cargo::rerun-if-changed=../sealed/src/sensitive.rs");
    println!("cargo::rerun-if-changed=page");
    println!("cargo::rerun-if-env-changed=ESBUILD_BIN");
    let out: PathBuf = env::var_os("OUT_DIR").unwrap_or_default().into();
    match catalogue(Path::new("providers")) {
        Ok(text) => {
            if let Err(error) = fs::write(out.join("providers.json"), text) {
                println!("cargo::error=cannot write the catalogue: {error}");
            }
        }
        Err(fault) => println!("cargo::error={fault}"),
    }
    for (source, served) in PAGE {
        if let Err(fault) = join(source, &out.join(served)) {
            println!("cargo::error=worker/{source}: {fault}");
        }
    }
}

/// One small file of a module and all that it imports, so that a browser asks once. A build that nobody is served from (checks, unit tests)
/// does without esbuild and with an empty file.
fn join(source: &str, served: &Path) -> Result<(), String> {
    let Some(esbuild) = env::var_os("ESBUILD_BIN") else {
        let is = |name: &str, value: &str| env::var(name).is_ok_and(|set| set == value);
        if is("PROFILE", "release") && is("CARGO_CFG_TARGET_ARCH", "wasm32") {
            return Err("ESBUILD_BIN is not set: build with `cargo xtask build`".to_owned());
        }
        return fs::write(served, "").map_err(|error| error.to_string());
    };
    let ended = Command::new(&esbuild)
        .args([source, "--bundle", "--minify", "--charset=utf8"])
        .args(["--format=esm", "--log-level=warning"])
        .arg(format!("--outfile={}", served.display()))
        .output()
        .map_err(|error| format!("cannot run {}: {error}", esbuild.display()))?;
    if ended.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&ended.stderr).replace('\n', " "))
}

fn catalogue(folder: &Path) -> Result<String, String> {
    let told = |path: &Path| {
        let path = path.display().to_string();
        move |error: String| format!("worker/{path}: {}", error.replace('\n', " "))
    };
    let mut entries = Vec::new();
    for file in fs::read_dir(folder).map_err(|error| told(folder)(error.to_string()))? {
        let path = file
            .map_err(|error| told(folder)(error.to_string()))?
            .path();
        let text = fs::read_to_string(&path).map_err(|error| told(&path)(error.to_string()))?;
        let (entry, provider, _) =
            check::read(&text, sensitive::is_sensitive).map_err(told(&path))?;
        // One file a type, so that no type stands twice.
        if path.file_name() != Some(format!("{}.json", provider.kind).as_ref()) {
            return Err(told(&path)(format!(
                "its type is {}: call it so",
                provider.kind
            )));
        }
        entries.push((provider.kind, entry));
    }
    entries.sort_by(|(a, _), (b, _)| (a != FIRST, a).cmp(&(b != FIRST, b)));
    let entries: Vec<_> = entries.into_iter().map(|(_, entry)| entry).collect();
    serde_json::to_string(&entries).map_err(|error| error.to_string())
}
