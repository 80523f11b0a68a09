//! Links of the documentation that point at nothing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::counts::Findings;
use crate::{failure::Failure, process::ask, project::Project};

/// Every link of a page to a file that is not there.
pub fn broken(project: &Project) -> Result<Findings, Failure> {
    let mut findings = Findings::default();
    for page in pages(project)? {
        let text = fs::read_to_string(&page)
            .map_err(Failure::io(format!("cannot read {}", page.display())))?;
        let folder = page.parent().unwrap_or(project.root());
        for (line, target) in targets(&text) {
            findings.checked += 1;
            if !folder.join(target).exists() {
                let page = project.shown(&page);
                findings
                    .faults
                    .push(format!("{page}:{line}: there is no {target}"));
            }
        }
    }
    Ok(findings)
}

fn pages(project: &Project) -> Result<Vec<PathBuf>, Failure> {
    let listed = ask(project.command("git").args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "*.md",
    ]))
    .ok_or_else(|| Failure::with_hint("git cannot list the pages", "run it in a git checkout"))?;
    // A page that is deleted but not yet committed is listed still.
    Ok(listed
        .lines()
        .map(|page| project.path(page))
        .filter(|page| Path::is_file(page))
        .collect())
}

/// The files that a page links to, with their lines (from 1): `](docs/format.md#vectors)`, not other sites.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let mut in_code = false;
    let mut targets = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for part in line.split("](").skip(1) {
            let target = part.split([')', '#', ' ']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains(':') {
                targets.push((index + 1, target));
            }
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::targets;

    #[test]
    fn takes_files_and_leaves_other_sites_anchors_and_code() {
        let page = "See [the format](docs/format.md#vectors) and ![a picture](docs/page.png \"the page\").\n\
            [there](https://example.com/x) [here](#below) [mail](mailto:a@example.com)\n\
            ```\n[not a link](nowhere.md)\n```\n[last](LICENSE)";
        assert_eq!(
            targets(page),
            [(1, "docs/format.md"), (1, "docs/page.png"), (6, "LICENSE")]
        );
    }
}
