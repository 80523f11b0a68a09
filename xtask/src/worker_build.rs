//! `cargo xtask build`: both workers for release, in worker/build and scanner/build, each made by worker-build only when its input changed.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    hash::{DefaultHasher, Hasher},
    path::PathBuf,
    process::Command,
    thread,
};

use crate::{
    failure::Failure,
    process, progress,
    project::Project,
    setup::{self, Need},
};

/// A worker that is built.
struct Worker {
    folder: &'static str,
    package: &'static str,
    /// What the runtime starts in place of worker-build's own, which begins the wasm anew after an exception: that loses whatever was under
    /// way. A scan that is lost so is continued.
    entry: Option<&'static str>,
}

const WORKERS: [Worker; 2] = [
    Worker {
        folder: "worker",
        package: "edge",
        entry: Some("worker/src/host/entry.js"),
    },
    Worker {
        folder: "scanner",
        package: "scanner",
        entry: None,
    },
];

pub fn run(project: &Project) -> Result<(), Failure> {
    setup::ensure(project, &[Need::WasmTarget])?;
    // wrangler runs this on every change, a test at any time: one at a time.
    let _lock = setup::lock(project, "build.lock", "another build of the workers")?;
    thread::scope(|scope| {
        // A worker's last minute of compiling keeps one core busy, so the tools for what follows are set up meanwhile.
        let tools = scope.spawn(|| setup::ensure(project, &Need::BUILD));
        let compiled = WORKERS
            .iter()
            .try_for_each(|worker| compile(project, worker));
        tools
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        compiled
    })?;
    WORKERS.iter().try_for_each(|worker| build(project, worker))
}

/// Makes a compiled worker's output, unless it is there.
fn build(project: &Project, worker: &Worker) -> Result<(), Failure> {
    let folder = worker.folder;
    let step = progress::begin(format!("bundling the {folder}"));
    let input = fingerprint(project, worker)?;
    let (output, stamp) = (
        format!("{folder}/build/index.js"),
        format!("{folder}/build/.stamp"),
    );
    let made_of = fs::read_to_string(project.path(&stamp)).unwrap_or_default();
    if made_of == input && project.path(&output).is_file() {
        step.done(&format!("{folder}/build is up to date"));
        return Ok(());
    }
    bundle(project, worker)?;
    fs::write(project.path(&stamp), input).map_err(Failure::io(format!("cannot write {stamp}")))?;
    step.done(&format!("{folder}/build is ready"));
    Ok(())
}

/// What worker-build does first, done before so that its result tells whether the rest is needed.
fn compile(project: &Project, worker: &Worker) -> Result<(), Failure> {
    let folder = worker.folder;
    let _step = progress::begin(format!(
        "compiling the {folder} for release (the first time about a minute)"
    ));
    let log = project.log("build")?;
    let mut cargo = project.cargo();
    cargo.args(["build", "--release", "--lib", "--package", worker.package]);
    cargo.args(["--target", "wasm32-unknown-unknown"]);
    if process::run_into(&log, environment(&mut cargo, project))?.success() {
        return Ok(());
    }
    let hint = "the compiler says above what is wrong";
    Err(setup::failed(project, "compiling a worker", &log, hint))
}

/// Bindings, wasm-opt and one module of it all.
fn bundle(project: &Project, worker: &Worker) -> Result<(), Failure> {
    let log = project.log("worker-build")?;
    let mut command = project.command(project.tool("worker-build"));
    command
        .arg("--release")
        .current_dir(project.path(worker.folder));
    if let Some(entry) = worker.entry {
        command.env("CUSTOM_SHIM", project.path(entry));
    }
    if process::run_into(&log, environment(&mut command, project))?.success() {
        return Ok(());
    }
    let hint = "its message is above; what it was given is in the worker's Cargo.toml and target/wasm32-unknown-unknown";
    Err(setup::failed(project, "worker-build", &log, hint))
}

/// The same for both, or the second would compile again.
fn environment<'a>(command: &'a mut Command, project: &Project) -> &'a mut Command {
    command
        // A panic's message names its source: the same names wherever it is built, so the bytes are the same.
        .env("CARGO_ENCODED_RUSTFLAGS", remapped_paths(project))
        // The edge: 233 KB gzipped in place of level 3's 273, at 0 to 3 % more CPU for a list. The scanner then shares its dependencies' builds.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "z")
        // Wherever the user's own configuration puts it, worker-build and we look here.
        .env("CARGO_TARGET_DIR", project.path("target"))
        .env("WASM_BINDGEN_BIN", project.tool("wasm-bindgen"))
        .env("WASM_OPT_BIN", project.npm_binary("wasm-opt"))
        .env("ESBUILD_BIN", project.npm_binary("esbuild"))
        // worker-build sets it for cargo: wasm-bindgen's macros then use js-sys' futures.
        .env("WASM_BINDGEN_USE_JS_SYS", "1")
        // A stack of the tools' own functions would push their message off the screen.
        .env("RUST_BACKTRACE", "0")
}

/// rustc's flags, as cargo separates them.
fn remapped_paths(project: &Project) -> OsString {
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")));
    let folders = [
        (Some(project.root().to_path_buf()), "/project"),
        (cargo_home, "/cargo"),
    ];
    let flags: Vec<OsString> = folders
        .into_iter()
        .filter_map(|(folder, name)| Some((folder?, name)))
        .map(|(folder, name)| {
            let mut flag = OsString::from("--remap-path-prefix=");
            flag.push(folder);
            flag.push("=");
            flag.push(name);
            flag
        })
        .collect();
    flags.join(OsStr::new("\u{1f}"))
}

/// Of the wasm and of everything that says which tools turn it into the output, and how.
fn fingerprint(project: &Project, worker: &Worker) -> Result<String, Failure> {
    let Worker {
        folder, package, ..
    } = worker;
    let mut inputs = vec![
        format!("target/wasm32-unknown-unknown/release/{package}.wasm"),
        format!("{folder}/Cargo.toml"),
    ];
    inputs.extend(worker.entry.map(str::to_owned));
    inputs.extend(["package-lock.json", ".dev/tools/.crates.toml"].map(str::to_owned));
    let mut hasher = DefaultHasher::new();
    for input in inputs {
        let bytes =
            fs::read(project.path(&input)).map_err(Failure::io(format!("cannot read {input}")))?;
        hasher.write_usize(bytes.len());
        hasher.write(&bytes);
    }
    Ok(format!("{:016x}", hasher.finish()))
}
