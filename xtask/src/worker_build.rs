//! `cargo xtask build`: both workers for release, in worker/build and scanner/build, each bundled only when its input changed.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    hash::{DefaultHasher, Hasher},
    path::{Path, PathBuf},
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
    /// What the runtime starts.
    entry: &'static str,
    /// What the entry imports of wasm-bindgen, as that calls it.
    bindings: &'static str,
}

const WORKERS: [Worker; 2] = [
    Worker {
        folder: "worker",
        package: "edge",
        entry: "worker/src/host/entry.js",
        bindings: "bundler",
    },
    Worker {
        folder: "scanner",
        package: "scanner",
        entry: "scanner/src/entry.js",
        bindings: "module",
    },
];

const WASM: &str = "index_bg.wasm";
/// What rustc emits and workerd has; wasm-opt may use no other. The last is for wasm-bindgen's own wrappers.
const WASM_FEATURES: [&str; 7] = [
    "mutable-globals",
    "sign-ext",
    "nontrapping-float-to-int",
    "bulk-memory",
    "multivalue",
    "reference-types",
    "exception-handling",
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

/// Bindings, wasm-opt and one module of it all. What there was before is there until all of it is made.
fn bundle(project: &Project, worker: &Worker) -> Result<(), Failure> {
    let draft = project.path("target/bundle").join(worker.package);
    let output = draft.join("build");
    let wasm = format!(
        "target/wasm32-unknown-unknown/release/{}.wasm",
        worker.package
    );
    let cannot = |what: &'static str| move || Failure::io(format!("cannot {what}"));
    let _ = fs::remove_dir_all(&draft);
    fs::create_dir_all(&output).map_err(cannot("create target/bundle")())?;

    let mut bindings = project.command(project.tool("bindings"));
    bindings
        .arg(worker.bindings)
        .arg(project.path(&wasm))
        .arg(&draft);
    run_tool(project, "bindings", &mut bindings)?;

    let mut optimize = project.command(project.npm_binary("wasm-opt"));
    optimize
        .arg(draft.join(WASM))
        .arg("-o")
        .arg(output.join(WASM))
        .arg("-O")
        .args(WASM_FEATURES.map(|feature| format!("--enable-{feature}")))
        // The names of functions stay, for the stack of a trap.
        .arg("--debuginfo");
    run_tool(project, "wasm-opt", &mut optimize)?;

    let entry = fs::read_to_string(project.path(worker.entry))
        .map_err(Failure::io(format!("cannot read {}", worker.entry)))?;
    let draft_entry = draft.join("entry.js");
    fs::write(&draft_entry, with_snippets(&entry, &snippets(&draft)))
        .map_err(cannot("write the entry")())?;
    let module = output.join("index.js");
    let mut esbuild = project.command(project.npm_binary("esbuild"));
    esbuild
        .arg(&draft_entry)
        .args(["--bundle", "--minify", "--format=esm"])
        .arg(format!("--external:./{WASM}"))
        .arg("--external:cloudflare:*")
        .arg({
            let mut outfile = OsString::from("--outfile=");
            outfile.push(&module);
            outfile
        });
    run_tool(project, "esbuild", &mut esbuild)?;
    // workerd knows a wasm module by its import alone.
    let bundled = fs::read_to_string(&module).map_err(cannot("read the bundle")())?;
    fs::write(&module, bundled.replace("import source ", "import "))
        .map_err(cannot("write the bundle")())?;

    let build = project.path(worker.folder).join("build");
    let _ = fs::remove_dir_all(&build);
    fs::rename(&output, &build).map_err(Failure::io(format!("cannot write {}", build.display())))
}

fn run_tool(project: &Project, name: &str, command: &mut Command) -> Result<(), Failure> {
    let log = project.log(name)?;
    // A stack of the tools' own functions would push their message off the screen.
    if process::run_into(&log, command.env("RUST_BACKTRACE", "0"))?.success() {
        return Ok(());
    }
    let hint = "its message is above; what it was given is in target/bundle and target/wasm32-unknown-unknown";
    Err(setup::failed(project, name, &log, hint))
}

/// The JavaScript that crates bring along (`#[wasm_bindgen(module = …)]`), as the bindings import it.
fn snippets(draft: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![draft.join("snippets")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(path) = path.strip_prefix(draft) {
                found.push(format!("./{}", path.display()));
            }
        }
    }
    found.sort();
    found
}

/// Fills in the two lines of an entry that instantiates the wasm itself.
fn with_snippets(entry: &str, snippets: &[String]) -> String {
    let imports = snippets
        .iter()
        .enumerate()
        .map(|(n, path)| format!("import * as snippets_{n} from \"{path}\";\n"));
    let members = snippets
        .iter()
        .enumerate()
        .map(|(n, path)| format!("\"{path}\": snippets_{n},\n"));
    entry
        .replace("$SNIPPET_JS_IMPORTS", &imports.collect::<String>())
        .replace("$SNIPPET_WASM_IMPORTS", &members.collect::<String>())
}

/// The same for both, or the second would compile again.
fn environment<'a>(command: &'a mut Command, project: &Project) -> &'a mut Command {
    command
        // A panic's message names its source: the same names wherever it is built, so the bytes are the same.
        .env("CARGO_ENCODED_RUSTFLAGS", remapped_paths(project))
        // The edge: 233 KB gzipped in place of level 3's 273, at 0 to 3 % more CPU for a list. The scanner then shares its dependencies' builds.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "z")
        // Wherever the user's own configuration puts it, we look here.
        .env("CARGO_TARGET_DIR", project.path("target"))
        // As the SDK's own build sets it: wasm-bindgen's macros then use js-sys' futures.
        .env("WASM_BINDGEN_USE_JS_SYS", "1")
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
        worker.entry.to_owned(),
    ];
    inputs.extend(
        [
            "package-lock.json",
            ".dev/tools/.crates.toml",
            "xtask/src/worker_build.rs",
        ]
        .map(str::to_owned),
    );
    let mut hasher = DefaultHasher::new();
    for input in inputs {
        let bytes =
            fs::read(project.path(&input)).map_err(Failure::io(format!("cannot read {input}")))?;
        hasher.write_usize(bytes.len());
        hasher.write(&bytes);
    }
    Ok(format!("{:016x}", hasher.finish()))
}
