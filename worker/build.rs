//! Compiles the catalogue in: rejects a malformed entry, and writes what the worker needs of all of them to `OUT_DIR/providers.json`.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The entries, a file each.
const PROVIDERS: &str = "../catalogue/providers";

fn main() {
    println!("cargo::rerun-if-changed={PROVIDERS}");
    let out: PathBuf = env::var_os("OUT_DIR").unwrap_or_default().into();
    match compiled(Path::new(PROVIDERS)) {
        Ok(text) => {
            if let Err(error) = fs::write(out.join("providers.json"), text) {
                println!("cargo::error=cannot write the catalogue: {error}");
            }
        }
        Err(fault) => println!("cargo::error=catalogue/providers/{fault}"),
    }
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
