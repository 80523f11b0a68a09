//! Compiles the catalogue in: rejects a malformed entry, and writes what the worker needs of all of them to `OUT_DIR/providers.json`.
//! Joins the connect page's modules into `OUT_DIR/app.js`, and leaves its stylesheet beside it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// What the page is made of, and what it is served as.
const PAGE: [(&str, &str); 2] = [
    ("page/script/main.js", "app.js"),
    ("page/style.css", "style.css"),
];

/// The entries, a file each.
const PROVIDERS: &str = "../catalogue/providers";

fn main() {
    println!("cargo::rerun-if-changed={PROVIDERS}");
    println!("cargo::rerun-if-changed=page");
    println!("cargo::rerun-if-env-changed=ESBUILD_BIN");
    let out: PathBuf = env::var_os("OUT_DIR").unwrap_or_default().into();
    match compiled(Path::new(PROVIDERS)) {
        Ok(text) => {
            if let Err(error) = fs::write(out.join("providers.json"), text) {
                println!("cargo::error=cannot write the catalogue: {error}");
            }
        }
        Err(fault) => println!("cargo::error=catalogue/providers/{fault}"),
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

fn compiled(folder: &Path) -> Result<String, String> {
    let mut files = Vec::new();
    for file in fs::read_dir(folder).map_err(|error| error.to_string())? {
        let file = file.map_err(|error| error.to_string())?;
        let name = file.file_name().to_string_lossy().into_owned();
        let text = fs::read_to_string(file.path()).map_err(|error| format!("{name}: {error}"))?;
        files.push((name, text));
    }
    catalogue::compile(files)
}
