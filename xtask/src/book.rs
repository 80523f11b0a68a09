//! `cargo xtask book`: the documentation as a book, in target/book/html.
//!
//! mdBook reads one folder, and the pages are all over the repository. So they are copied with the files that they link to, in the same tree;
//! a link to what the book has not keeps its text alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
    process::ExitCode,
};

use crate::{
    failure::Failure,
    markdown, process, progress,
    project::Project,
    setup::{self, Need},
};

const SUMMARY: &str = "docs/SUMMARY.md";
const PAGES: &str = "target/book/pages";
const HTML: &str = "target/book/html";

pub fn run(project: &Project) -> Result<ExitCode, Failure> {
    setup::ensure(project, &[Need::MdBook])?;
    let faults = faults(project)?;
    if !faults.is_empty() {
        let hint = format!("{SUMMARY} lists every page of docs/ once");
        return Err(Failure::with_hint(faults.join("\n"), hint));
    }
    let step = progress::begin("making the book");
    let _ = fs::remove_dir_all(project.path("target/book"));
    for (path, bytes) in staged(project)? {
        let path = project.path(PAGES).join(path);
        let cannot = || Failure::io(format!("cannot write {}", project.shown(&path)));
        fs::create_dir_all(path.parent().unwrap_or(&path)).map_err(cannot())?;
        fs::write(&path, bytes).map_err(cannot())?;
    }
    let log = project.log("mdbook")?;
    let mut mdbook = project.command(project.tool("mdbook"));
    mdbook.arg("build");
    if !process::run_into(&log, &mut mdbook)?.success() {
        return Err(setup::failed(project, "mdbook", &log, "see book.toml"));
    }
    step.done(&format!("{HTML}/index.html"));
    Ok(ExitCode::SUCCESS)
}

/// A page of docs/ that the book has not, and one that is listed twice or is not there.
pub fn faults(project: &Project) -> Result<Vec<String>, Failure> {
    let listed = pages(project)?;
    let mut faults: Vec<String> = listed
        .iter()
        .filter(|(page, count)| **count > 1 || !project.path(page).is_file())
        .map(|(page, _)| format!("{SUMMARY}: {page} is listed twice, or is not there"))
        .collect();
    let docs = fs::read_dir(project.path("docs")).map_err(Failure::io("cannot read docs"))?;
    let unlisted = docs
        .filter_map(|entry| Some(format!("docs/{}", entry.ok()?.file_name().to_str()?)))
        .filter(|page| page.ends_with(".md") && page != SUMMARY && !listed.contains_key(page));
    faults.extend(unlisted.map(|page| format!("{SUMMARY}: {page} is not listed")));
    Ok(faults)
}

/// The book's pages, by path from the root, with how often each is listed.
fn pages(project: &Project) -> Result<BTreeMap<String, usize>, Failure> {
    let mut pages = BTreeMap::new();
    for link in markdown::links(&read(project, SUMMARY)?) {
        let page = resolved("docs", &link.path).ok_or_else(|| {
            Failure::new(format!("{SUMMARY}: {} is outside the project", link.path))
        })?;
        *pages.entry(page).or_default() += 1;
    }
    Ok(pages)
}

/// All that mdBook reads: the summary, the pages, and the files that they link to.
fn staged(project: &Project) -> Result<BTreeMap<PathBuf, Vec<u8>>, Failure> {
    let pages: BTreeSet<String> = pages(project)?.into_keys().collect();
    let mut staged = BTreeMap::new();
    let mut files = BTreeSet::new();
    for page in &pages {
        let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
        let text = markdown::with_links(&read(project, page)?, |link| {
            let target = resolved(folder, &link.path)?;
            let is_file = project.path(&target).is_file();
            let is_there = pages.contains(&target) || (is_file && !target.ends_with(".md"));
            if is_there && !pages.contains(&target) {
                files.insert(target);
            }
            is_there.then(|| link.whole.clone())
        });
        staged.insert(PathBuf::from(page), text.into_bytes());
    }
    let summary = markdown::with_links(&read(project, SUMMARY)?, |link| {
        resolved("docs", &link.path)
    });
    staged.insert(PathBuf::from("SUMMARY.md"), summary.into_bytes());
    for file in files {
        let bytes = fs::read(project.path(&file));
        let bytes = bytes.map_err(Failure::io(format!("cannot read {file}")))?;
        staged.insert(PathBuf::from(file), bytes);
    }
    Ok(staged)
}

fn read(project: &Project, page: &str) -> Result<String, Failure> {
    fs::read_to_string(project.path(page)).map_err(Failure::io(format!("cannot read {page}")))
}

/// The path from the root of a link in a page of this folder; none outside the project.
fn resolved(folder: &str, link: &str) -> Option<String> {
    let mut path = PathBuf::from(folder);
    for part in Path::new(link).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    path.to_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::resolved;

    #[test]
    fn a_link_is_resolved_from_its_pages_folder_and_never_leaves_the_project() {
        let of = |folder, link| resolved(folder, link);
        assert_eq!(of("docs", "api.md").as_deref(), Some("docs/api.md"));
        assert_eq!(of("docs", "../README.md").as_deref(), Some("README.md"));
        assert_eq!(of("", "./docs/api.md").as_deref(), Some("docs/api.md"));
        assert_eq!(of("docs", "../../elsewhere"), None);
        assert_eq!(of("docs", "/etc/passwd"), None);
    }
}
