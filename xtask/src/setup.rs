//! What a fresh machine lacks: the wasm target, npm's packages, and the tools that cargo builds.
//!
//! Nothing is downloaded but from the registries: release pages are often blocked, so cargo builds what writes the workers' bindings, and
//! wasm-opt and esbuild come from npm.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
    thread,
};

use crate::{failure::Failure, lockfile, process, process::ask, progress, project::Project};

const WASM_TARGET: &str = "wasm32-unknown-unknown";
/// What npm itself writes last: which package-lock.json the folder holds.
const NPM_STAMP: &str = "node_modules/.package-lock.json";
const OLDEST_NODE: u32 = 20;
const BINDINGS: &str = "xtask/bindings";

/// What a command needs beyond cargo.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// npm's packages, the pinned Node among them.
    Npm,
    WasmTarget,
    /// wasm-bindgen-test-runner.
    WasmBindgen,
    /// xtask/bindings, which writes a worker's JavaScript.
    Bindings,
    /// cargo-deny, which judges the dependencies.
    CargoDeny,
    /// cargo-about, which collects their licences.
    CargoAbout,
    /// mdbook, which makes the documentation a book.
    MdBook,
}

impl Need {
    /// What building the worker takes.
    pub const BUILD: [Self; 3] = [Self::Npm, Self::WasmTarget, Self::Bindings];
}

/// Sets up what is needed and not there yet; npm's packages come while cargo builds.
pub fn ensure(project: &Project, needs: &[Need]) -> Result<(), Failure> {
    let missing = missing(project, needs)?;
    if missing.is_empty() {
        return Ok(());
    }
    // Two commands at once: the second waits, then finds everything done.
    let _lock = lock(project, "setup.lock", "another cargo xtask, which sets up")?;
    let missing = self::missing(project, needs)?;
    thread::scope(|scope| {
        let npm = missing
            .contains(&Need::Npm)
            .then(|| scope.spawn(|| npm_ci(project)));
        let rest = missing.iter().try_for_each(|need| match need {
            Need::Npm => Ok(()),
            Need::WasmTarget => add_target(project),
            Need::WasmBindgen => install(project, &wasm_bindgen(project)?),
            Need::Bindings => install(project, &bindings(project)?),
            Need::CargoDeny => install(project, &cargo_deny()),
            Need::CargoAbout => install(project, &cargo_about()),
            Need::MdBook => install(project, &mdbook()),
        });
        let npm = npm.map_or(Ok(()), |thread| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        rest.and(npm)
    })?;
    // A gigabyte that only the next version of a tool could use.
    let _ = fs::remove_dir_all(project.path(".dev/tools/target"));
    Ok(())
}

/// Holds a lock until the file is dropped, saying whom it waits for.
pub fn lock(project: &Project, name: &str, holder: &str) -> Result<File, Failure> {
    let path = project.dev_file(name)?;
    let cannot = || Failure::io(format!("cannot lock {}", path.display()));
    let file = File::create(&path).map_err(cannot())?;
    if file.try_lock().is_err() {
        let _step = progress::begin(format!("waiting for {holder}"));
        file.lock().map_err(cannot())?;
    }
    Ok(file)
}

fn missing(project: &Project, needs: &[Need]) -> Result<Vec<Need>, Failure> {
    let mut missing = Vec::new();
    for need in needs {
        if missing.contains(need) {
            continue;
        }
        let there = match need {
            Need::Npm => npm_is_current(project),
            Need::WasmTarget => has_target(project),
            Need::WasmBindgen => wasm_bindgen(project)?.is_installed(project),
            Need::Bindings => bindings(project)?.is_installed(project),
            Need::CargoDeny => cargo_deny().is_installed(project),
            Need::CargoAbout => cargo_about().is_installed(project),
            Need::MdBook => mdbook().is_installed(project),
        };
        if !there {
            missing.push(*need);
        }
    }
    Ok(missing)
}

// npm

fn npm_is_current(project: &Project) -> bool {
    let modified = |path: &str| {
        fs::metadata(project.path(path))
            .and_then(|data| data.modified())
            .ok()
    };
    match (modified(NPM_STAMP), modified("package-lock.json")) {
        (Some(stamp), Some(lockfile)) => stamp >= lockfile,
        _ => false,
    }
}

fn npm_ci(project: &Project) -> Result<(), Failure> {
    require_node()?;
    let step = progress::begin("npm ci: the stack's and the tests' packages");
    let log = project.log("npm")?;
    let status = process::run_into(
        &log,
        Command::new("npm").arg("ci").current_dir(project.root()),
    )?;
    if !status.success() {
        return Err(failed(
            project,
            "npm ci",
            &log,
            "the log says why; `npm ci` by hand repeats it",
        ));
    }
    step.done("npm ci");
    Ok(())
}

fn require_node() -> Result<(), Failure> {
    let hint = format!(
        "install Node.js {OLDEST_NODE} or later, with npm, from your system's packages or nodejs.org"
    );
    let version = ask(Command::new("node").arg("--version"))
        .ok_or_else(|| Failure::with_hint("there is no node in PATH", &hint))?;
    if major(&version).is_none_or(|major| major < OLDEST_NODE) {
        return Err(Failure::with_hint(
            format!("node is {version}, which is too old"),
            hint,
        ));
    }
    if ask(Command::new("npm").arg("--version")).is_none() {
        return Err(Failure::with_hint("there is no npm in PATH", hint));
    }
    Ok(())
}

fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

// rustup

fn has_target(project: &Project) -> bool {
    ask(project
        .command("rustc")
        .args(["--print", "target-libdir", "--target", WASM_TARGET]))
    .is_some_and(|libraries| Path::new(&libraries).is_dir())
}

fn add_target(project: &Project) -> Result<(), Failure> {
    let hint = format!(
        "install the target {WASM_TARGET} of your Rust toolchain; with rustup: `rustup target add {WASM_TARGET}`"
    );
    if ask(Command::new("rustup").arg("--version")).is_none() {
        return Err(Failure::with_hint(
            format!("rustc cannot compile for {WASM_TARGET}, and there is no rustup to add it"),
            hint,
        ));
    }
    let step = progress::begin(format!("rustup target add {WASM_TARGET}"));
    let log = project.log("rustup")?;
    let status = process::run_into(
        &log,
        project
            .command("rustup")
            .args(["target", "add", WASM_TARGET]),
    )?;
    if !status.success() {
        return Err(failed(project, "rustup", &log, &hint));
    }
    step.done(&format!("the target {WASM_TARGET}"));
    Ok(())
}

// cargo's tools

/// A tool of one exact version, which `cargo install` builds.
struct Tool {
    package: &'static str,
    version: String,
    /// Its folder, if it is ours.
    source: Option<&'static str>,
    arguments: &'static [&'static str],
    /// Unoptimized, a tool takes half the time to build. For what runs longer than a second, this is false.
    debug: bool,
    expected: &'static str,
}

/// The glue it writes belongs to one exact version of the crate.
fn wasm_bindgen(project: &Project) -> Result<Tool, Failure> {
    Ok(Tool {
        package: "wasm-bindgen-cli",
        version: locked(project, "wasm-bindgen")?,
        source: None,
        // No TLS: it talks to a browser's driver on this machine at most.
        arguments: &["--no-default-features", "--bin", "wasm-bindgen-test-runner"],
        debug: true,
        expected: "once, about a minute",
    })
}

fn bindings(project: &Project) -> Result<Tool, Failure> {
    Ok(Tool {
        package: "bindings",
        version: locked(project, "wasm-bindgen")?,
        source: Some(BINDINGS),
        arguments: &["--locked"],
        debug: true,
        expected: "once, half a minute",
    })
}

fn cargo_deny() -> Tool {
    Tool {
        package: "cargo-deny",
        version: "0.20.2".to_owned(),
        source: None,
        arguments: &["--locked"],
        debug: true,
        expected: "once, about a minute",
    }
}

fn cargo_about() -> Tool {
    Tool {
        package: "cargo-about",
        version: "0.9.3".to_owned(),
        source: None,
        arguments: &["--locked", "--features", "cli"],
        debug: false,
        expected: "once, some minutes",
    }
}

fn mdbook() -> Tool {
    Tool {
        package: "mdbook",
        version: "0.5.4".to_owned(),
        source: None,
        // Without its server and its watcher.
        arguments: &["--locked", "--no-default-features", "--features", "search"],
        debug: true,
        expected: "once, a minute or two",
    }
}

fn locked(project: &Project, package: &str) -> Result<String, Failure> {
    let path = project.path("Cargo.lock");
    lockfile::version(
        &fs::read_to_string(&path).map_err(Failure::io("cannot read Cargo.lock"))?,
        package,
    )
}

impl Tool {
    /// Whether cargo's own record of the folder names this very version.
    fn is_installed(&self, project: &Project) -> bool {
        let record =
            fs::read_to_string(project.path(".dev/tools/.crates.toml")).unwrap_or_default();
        records(&record, self.package, &self.version)
    }
}

fn records(record: &str, package: &str, version: &str) -> bool {
    let entry = format!("\"{package} {version} (");
    record.lines().any(|line| line.starts_with(&entry))
}

fn install(project: &Project, tool: &Tool) -> Result<(), Failure> {
    let Tool {
        package, version, ..
    } = tool;
    let step = progress::begin(format!("building {package} {version} ({})", tool.expected));
    let log = project.log(package)?;
    let mut command = project.cargo();
    command.args(["install", "--root", ".dev/tools"]);
    match tool.source {
        Some(folder) => command.args(["--path", folder]),
        None => command.args([*package, "--version", version]),
    };
    // One target folder: the tools share crates.
    command
        .args(tool.arguments)
        .args(tool.debug.then_some("--debug"))
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_TARGET_DIR", project.path(".dev/tools/target"));
    if !process::run_into(&log, &mut command)?.success() {
        return Err(failed(
            project,
            &format!("cargo install {package}"),
            &log,
            "a C compiler is needed",
        ));
    }
    step.done(&format!("{package} {version}"));
    Ok(())
}

/// A failed child: the end of what it said, and where the rest is.
pub fn failed(project: &Project, what: &str, log: &Path, hint: &str) -> Failure {
    const SHOWN: usize = 40;
    let said = fs::read(log).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<_> = said.trim_end().lines().collect();
    let end = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
    Failure::with_hint(
        format!("{what} failed:\n{end}\n(all of it: {})", project.shown(log)),
        hint,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_there_only_in_its_exact_version() {
        let record =
            "[v1]\n\"wasm-bindgen-cli 0.2.130 (registry+somewhere)\" = [\"wasm-bindgen\"]\n";
        assert!(records(record, "wasm-bindgen-cli", "0.2.130"));
        assert!(!records(record, "wasm-bindgen-cli", "0.2.13"));
        assert!(!records(record, "wasm-bindgen", "0.2.130"));
        assert!(!records("", "wasm-bindgen-cli", "0.2.130"));
    }

    #[test]
    fn the_bindings_are_of_the_locked_version() {
        let project = Project::find().unwrap();
        let manifest = fs::read_to_string(project.path(BINDINGS).join("Cargo.toml")).unwrap();
        let version = locked(&project, "wasm-bindgen").unwrap();
        assert!(manifest.contains(&format!("\nversion = \"{version}\"\n")));
        assert!(manifest.contains(&format!("wasm-bindgen-cli-support = \"={version}\"")));
    }

    #[test]
    fn reads_the_major_version_of_node() {
        assert_eq!(major("v20.20.2"), Some(20));
        assert_eq!(major("20.20.2"), None);
    }
}
