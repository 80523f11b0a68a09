//! `cargo xtask notices`: the licences of everything that is shipped and is not ours, in one file.

use std::{collections::BTreeSet, fs, process::ExitCode};

use crate::{
    failure::Failure,
    process, progress,
    project::Project,
    setup::{self, Need},
};

const FILE: &str = "THIRD-PARTY-NOTICES.md";

/// In cargo's tree of all targets, and compiled for none: zerocopy names it under `cfg(any())`, to pin its version.
const NEVER_BUILT: [&str; 1] = ["zerocopy-derive"];

/// Writes the file anew.
pub fn run(project: &Project) -> Result<ExitCode, Failure> {
    setup::ensure(project, &[Need::CargoAbout])?;
    let step = progress::begin("reading the licences of all dependencies");
    let log = project.log("notices")?;
    let mut about = project.command(project.tool("cargo-about"));
    about.args([
        "generate",
        "--workspace",
        "--locked",
        "--fail",
        "--output-file",
        FILE,
        "about.hbs",
    ]);
    if !process::run_into(&log, &mut about)?.success() {
        let hint = "a licence that about.toml does not accept, or a crate without one";
        return Err(setup::failed(project, "cargo-about", &log, hint));
    }
    step.done(&format!("{FILE} is written"));
    Ok(ExitCode::SUCCESS)
}

/// The crates by name and version of which the file and the dependencies do not both know. Comparing takes a second, and making the file minutes.
pub fn differences(project: &Project) -> Result<Vec<String>, Failure> {
    let notices = fs::read_to_string(project.path(FILE))
        .map_err(Failure::io(format!("cannot read {FILE}")))?;
    let log = project.log("notices")?;
    let mut tree = project.cargo();
    tree.args(["tree", "--workspace", "--locked", "--quiet"])
        .args(["--edges", "normal", "--target", "all", "--prefix", "none"]);
    if !process::run_into(&log, &mut tree)?.success() {
        return Err(setup::failed(project, "cargo tree", &log, "see above"));
    }
    let tree = fs::read_to_string(&log).map_err(Failure::io("cannot read a log"))?;
    let (named, used) = (named(&notices), used(&tree));
    Ok(named
        .symmetric_difference(&used)
        .map(ToString::to_string)
        .collect())
}

/// The crates that the file names, each in a line `- [name version](address)`.
fn named(notices: &str) -> BTreeSet<String> {
    notices
        .lines()
        .filter_map(|line| line.strip_prefix("- [")?.split_once(']'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// The crates in cargo's tree, each in a line `name v1.2.3`, with more behind it if it is ours: `(/path)`.
fn used(tree: &str) -> BTreeSet<String> {
    tree.lines()
        .filter(|line| !line.contains(" (/"))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (name, version) = (words.next()?, words.next()?);
            if NEVER_BUILT.contains(&name) {
                return None;
            }
            Some(format!("{name} {}", version.strip_prefix('v')?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_crates_of_both_sides() {
        let notices = "Used by:\n\n- [aes 0.9.1](https://example.test)\n- [wasi 0.11.1+snapshot](https://example.test)\n";
        let tree = "keytool v0.1.0 (/somewhere/keytool)\naes v0.9.1\nwasi v0.11.1+snapshot\n\naes v0.9.1 (*)\nzerocopy-derive v0.8.64 (proc-macro)\n";
        assert_eq!(named(notices), used(tree));
        assert_eq!(used("thiserror-impl v2.0.1 (proc-macro)\n").len(), 1);
    }
}
