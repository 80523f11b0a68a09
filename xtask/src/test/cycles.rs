//! No cycles: the modules of a crate depend on each other one way, and so do the JavaScript files of the page and of the tests.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use super::{
    counts::Findings,
    graph::{Graph, cycles},
    layout::files_of,
    modules::{self, Source},
};
use crate::{failure::Failure, project::Project};

const SCRIPTS: [&str; 2] = ["worker/public", "tests"];

/// Every cycle of the project, a line each.
pub fn faults(project: &Project) -> Result<Findings, Failure> {
    let mut findings = Findings::default();
    let mut check = |name: &str, graph: &Graph| {
        findings.checked += graph.len();
        findings
            .faults
            .extend(cycles(graph).map(|cycle| format!("{name}: a cycle: {}", cycle.join(" -> "))));
    };
    let workspace = read(&project.path("Cargo.toml"))?;
    for name in members(&workspace) {
        let folder = project.path(name).join("src");
        let mut sources = Vec::new();
        for file in files_of(&folder, &["rs"])? {
            let text = read(&file)?;
            let path = modules::path_of(file.strip_prefix(&folder).unwrap_or(&file));
            sources.push(Source::parse(path, &text).ok_or_else(|| {
                Failure::with_hint(
                    format!("cannot read the tokens of {}", file.display()),
                    "`cargo check` says what is wrong",
                )
            })?);
        }
        check(name, &modules::graph(&sources));
    }
    for folder in SCRIPTS {
        let files = files_of(&project.path(folder), &["js", "mjs"])?;
        let mut graph = Graph::new();
        for file in &files {
            let imported = imports(file, &read(file)?);
            let to = imported
                .iter()
                .map(|file| project.shown(file).to_string())
                .collect();
            graph.insert(project.shown(file).to_string(), to);
        }
        check(folder, &graph);
    }
    Ok(findings)
}

/// The crates of the workspace, by their folders.
fn members(workspace: &str) -> impl Iterator<Item = &str> {
    let (_, list) = workspace.split_once("members = [").unwrap_or_default();
    let (list, _) = list.split_once(']').unwrap_or_default();
    list.split('"').skip(1).step_by(2)
}

fn read(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(file).map_err(Failure::io(format!("cannot read {}", file.display())))
}

/// The files that a script imports by a relative path.
fn imports(file: &Path, text: &str) -> Vec<PathBuf> {
    let folder = file.parent().unwrap_or(file);
    let specifiers = text.lines().filter_map(|line| {
        let is_statement = line.starts_with("import ") || line.starts_with("} from ");
        let (_, quoted) = line.split_once('"').filter(|_| is_statement)?;
        quoted
            .split('"')
            .next()
            .filter(|path| path.starts_with('.'))
    });
    specifiers
        .map(|path| normalized(&folder.join(path)))
        .collect()
}

fn normalized(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            component => clean.push(component),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_members_of_the_workspace() {
        let text = "[workspace]\nmembers = [\n  \"a\",\n  \"b\",\n]\nexclude = [\"c\"]\n";
        assert_eq!(members(text).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn reads_relative_imports_of_scripts() {
        let text = "import fs from \"node:fs\";\nimport { a } from \"./a.mjs\";\nimport {\n  b,\n} from \"../other/b.mjs\";\n\
            // import { c } from \"./c.mjs\";\nconst s = \"./d.mjs\";\n";
        assert_eq!(
            imports(Path::new("/x/tests/e2e/t.mjs"), text),
            [
                PathBuf::from("/x/tests/e2e/a.mjs"),
                PathBuf::from("/x/tests/other/b.mjs")
            ]
        );
    }
}
