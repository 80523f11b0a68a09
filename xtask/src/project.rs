//! Where things are, and the commands of the project with the environment they need.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::failure::Failure;

/// The checkout: every path that the commands use hangs on its root.
pub struct Project {
    root: PathBuf,
}

impl Project {
    pub fn find() -> Result<Self, Failure> {
        // Set by `cargo run`; the constant serves the binary that is started by hand.
        let manifest =
            env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest)
            .parent()
            .map(Path::to_path_buf)
            .unwrap_or_default();
        if !root.join("Cargo.lock").is_file() {
            return Err(Failure::with_hint(
                format!("{} is not the project's root", root.display()),
                "run the command as `cargo xtask` inside the checkout",
            ));
        }
        Ok(Self { root })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A path as one would type it at the root of the checkout: what messages show.
    pub fn shown<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }

    /// A file in `.dev` that is there afterwards, as are its folders: logs, locks and stamps.
    pub fn dev_file(&self, relative: &str) -> Result<PathBuf, Failure> {
        let path = self.path(".dev").join(relative);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)
                .map_err(Failure::io(format!("cannot create {}", self.shown(folder))))?;
        }
        Ok(path)
    }

    pub fn log(&self, name: &str) -> Result<PathBuf, Failure> {
        self.dev_file(&format!("logs/{name}.log"))
    }

    pub fn tool(&self, name: &str) -> PathBuf {
        self.path(".dev/tools/bin").join(name)
    }

    pub fn npm_binary(&self, name: &str) -> PathBuf {
        self.path("node_modules/.bin").join(name)
    }

    /// `cargo` itself, at the root.
    pub fn cargo(&self) -> Command {
        self.command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    /// The Node that package-lock.json pins: the machine's may be too old for wrangler.
    pub fn node(&self) -> Command {
        let mut node = self.command(self.npm_binary("node"));
        // A hundred test files load the same packages, some of them megabytes: V8 compiles them once.
        node.env("NODE_COMPILE_CACHE", self.path(".dev/node-compile-cache"));
        node
    }

    /// A command at the root that finds the pinned Node and the tools before the machine's.
    pub fn command(&self, program: impl Into<OsString>) -> Command {
        let mut command = Command::new(program.into());
        command
            .current_dir(&self.root)
            .env("PATH", self.search_path());
        command
    }

    fn search_path(&self) -> OsString {
        let machine = env::var_os("PATH").unwrap_or_default();
        let ours = [self.path("node_modules/.bin"), self.path(".dev/tools/bin")];
        let all = ours.into_iter().chain(env::split_paths(&machine));
        // Joining fails only on a folder with a colon in its name, where PATH cannot name ours anyway.
        env::join_paths(all).unwrap_or(machine)
    }
}
