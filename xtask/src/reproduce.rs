//! `cargo xtask reproduce`: packs the workers here and in a fresh clone elsewhere, and compares the bytes.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{self as std_process, ExitCode},
};

use crate::{
    failure::Failure,
    process::{self, ask},
    progress,
    project::Project,
    setup::{self, Need},
};

const ARCHIVE: &str = "target/dist/sealed-oauth-workers.tar.gz";

pub fn run(project: &Project) -> Result<ExitCode, Failure> {
    setup::ensure(project, &Need::BUILD)?;
    let status = ask(project.command("git").args(["status", "--porcelain"]));
    if status.is_none_or(|changes| !changes.is_empty()) {
        let hint = "commit or stash what has changed: the other build is of the last commit";
        return Err(Failure::with_hint("the checkout is not as committed", hint));
    }
    let elsewhere = Elsewhere::new()?;
    let clone = elsewhere.0.join("another-name");
    let step = progress::begin("packing the workers here");
    let here = pack(project, project.root())?;
    drop(step);

    let step = progress::begin("packing the workers of a fresh clone (some minutes)");
    let log = project.log("reproduce")?;
    let mut git = project.command("git");
    git.args(["clone", "--quiet", "--no-hardlinks"])
        .arg(project.root())
        .arg(&clone);
    if !process::run_into(&log, &mut git)?.success() {
        return Err(setup::failed(project, "git clone", &log, "see above"));
    }
    // The pinned tools take longer to build than the workers do.
    let cannot = || Failure::io("cannot link the tools");
    fs::create_dir(clone.join(".dev")).map_err(cannot())?;
    symlink(project.path(".dev/tools"), clone.join(".dev/tools")).map_err(cannot())?;
    let there = pack(project, &clone)?;
    drop(step);

    if here == there {
        println!("the same bytes in two folders: {ARCHIVE}");
        return Ok(ExitCode::SUCCESS);
    }
    let kept = project.dev_file("reproduce/sealed-oauth-workers.tar.gz")?;
    fs::write(&kept, there).map_err(Failure::io("cannot keep the other archive"))?;
    Err(Failure::with_hint(
        "the archive differs from that of a fresh clone",
        format!(
            "compare what is in {ARCHIVE} and in {}: a path or a time of the build is in one of the files",
            project.shown(&kept)
        ),
    ))
}

fn pack(project: &Project, root: &Path) -> Result<Vec<u8>, Failure> {
    let log = project.log("package-workers")?;
    let mut node = project.node();
    node.arg("worker/package.mjs")
        .current_dir(root)
        // The other checkout's xtask finds its own root.
        .env_remove("CARGO_MANIFEST_DIR");
    if !process::run_into(&log, &mut node)?.success() {
        let hint = "`node worker/package.mjs` by hand repeats it";
        return Err(setup::failed(project, "packing the workers", &log, hint));
    }
    fs::read(root.join(ARCHIVE)).map_err(Failure::io(format!("cannot read {ARCHIVE}")))
}

/// A folder that is gone afterwards.
struct Elsewhere(PathBuf);

impl Elsewhere {
    fn new() -> Result<Self, Failure> {
        let folder = env::temp_dir().join(format!("sealed-reproduce-{}", std_process::id()));
        fs::create_dir(&folder)
            .map_err(Failure::io(format!("cannot create {}", folder.display())))?;
        Ok(Self(folder))
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
