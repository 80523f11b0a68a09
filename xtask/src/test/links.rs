//! Links of the documentation that point at nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::counts::Findings;
use crate::{failure::Failure, markdown, process::ask, project::Project};

/// Every link of a page to a file that is not there, or to a heading that its page has not.
pub fn broken(project: &Project) -> Result<Findings, Failure> {
    let mut findings = Findings::default();
    let mut anchors: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    for page in pages(project)? {
        let text = read(&page)?;
        let folder = page.parent().unwrap_or(project.root());
        for link in markdown::links(&text) {
            findings.checked += 1;
            let target = match &*link.path {
                "" => page.clone(),
                path => folder.join(path),
            };
            let is_page = target.extension().is_some_and(|ending| ending == "md");
            let fault = if !target.exists() {
                Some(format!("there is no {}", link.path))
            } else if let (Some(anchor), true) = (&link.anchor, is_page) {
                if !anchors.contains_key(&target) {
                    anchors.insert(target.clone(), markdown::anchors(&read(&target)?));
                }
                (!anchors[&target].contains(anchor))
                    .then(|| format!("there is no heading #{anchor}"))
            } else {
                None
            };
            if let Some(fault) = fault {
                let page = project.shown(&page);
                findings
                    .faults
                    .push(format!("{page}:{}: {fault}", link.line));
            }
        }
    }
    Ok(findings)
}

fn read(page: &Path) -> Result<String, Failure> {
    fs::read_to_string(page).map_err(Failure::io(format!("cannot read {}", page.display())))
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
