//! `cargo xtask build`: the worker for release in worker/build, made by worker-build only when its input changed.

use std::{
    fs,
    hash::{DefaultHasher, Hasher},
    path::Path,
    process::Command,
};

use crate::{
    failure::Failure,
    process, progress,
    project::Project,
    setup::{self, Need},
};

/// What cargo makes and worker-build turns into a module.
const WASM: &str = "target/wasm32-unknown-unknown/release/edge.wasm";
const OUTPUT: &str = "worker/build/index.js";
/// What the runtime starts, in place of worker-build's own.
const ENTRY: &str = "worker/src/host/entry.js";
/// Which input the output was made of.
const STAMP: &str = "worker/build/.stamp";

pub fn run(project: &Project) -> Result<(), Failure> {
    setup::ensure(project, &Need::BUILD)?;
    // wrangler runs this on every change, a test at any time: one at a time.
    let _lock = setup::lock(project, "build.lock", "another build of the worker")?;
    let step = progress::begin("building the worker for release (the first time about a minute)");
    compile(project)?;
    let input = fingerprint(project)?;
    let made_of = fs::read_to_string(project.path(STAMP)).unwrap_or_default();
    if made_of == input && project.path(OUTPUT).is_file() {
        step.done("worker/build is up to date");
        return Ok(());
    }
    bundle(project)?;
    fs::write(project.path(STAMP), input).map_err(Failure::io(format!("cannot write {STAMP}")))?;
    step.done("worker/build is ready");
    Ok(())
}

/// What worker-build does first, done before so that its result tells whether the rest is needed.
fn compile(project: &Project) -> Result<(), Failure> {
    let log = project.log("build")?;
    let mut cargo = project.cargo();
    cargo.args(["build", "--release", "--lib", "--package", "edge"]);
    cargo.args(["--target", "wasm32-unknown-unknown"]);
    if process::run_into(&log, environment(&mut cargo, project))?.success() {
        return Ok(());
    }
    let hint = "the compiler says above what is wrong";
    Err(setup::failed(project, "compiling the worker", &log, hint))
}

/// Bindings, wasm-opt and one module of it all.
fn bundle(project: &Project) -> Result<(), Failure> {
    let log = project.log("worker-build")?;
    let mut command = project.command(project.tool("worker-build"));
    command.arg("--release").current_dir(project.path("worker"));
    // Its own entry begins the wasm anew after an exception, which loses whatever was under way.
    command.env("CUSTOM_SHIM", project.path(ENTRY));
    if process::run_into(&log, environment(&mut command, project))?.success() {
        return Ok(());
    }
    let hint = "its message is above; what it was given is in worker/Cargo.toml and target/wasm32-unknown-unknown";
    Err(setup::failed(project, "worker-build", &log, hint))
}

/// The same for both, or the second would compile again.
fn environment<'a>(command: &'a mut Command, project: &Project) -> &'a mut Command {
    command
        // 233 KB gzipped in place of level 3's 273, at 0 to 3 % more CPU for a list.
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

/// Of the wasm and of everything that says which tools turn it into the output, and how.
fn fingerprint(project: &Project) -> Result<String, Failure> {
    let mut hasher = DefaultHasher::new();
    for input in [
        WASM,
        ENTRY,
        "worker/Cargo.toml",
        "package-lock.json",
        ".dev/tools/.crates.toml",
    ] {
        let path: &Path = input.as_ref();
        let bytes = fs::read(project.path(input))
            .map_err(Failure::io(format!("cannot read {}", path.display())))?;
        hasher.write_usize(bytes.len());
        hasher.write(&bytes);
    }
    Ok(format!("{:016x}", hasher.finish()))
}
