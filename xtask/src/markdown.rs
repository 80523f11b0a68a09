//! What the checks and the book need to know of a page: its links to files, and its headings' anchors.

use std::collections::BTreeSet;

/// A link to a file of the project, or within its own page: `docs/format.md#vectors`.
#[derive(Debug, PartialEq, Eq)]
pub struct Link {
    /// From 1.
    pub line: usize,
    /// The file as it is written; empty within the same page.
    pub path: String,
    /// Behind the `#`, if any.
    pub anchor: Option<String>,
    /// All that stands between the parentheses.
    pub whole: String,
}

/// The links of a page that stay within the project.
pub fn links(text: &str) -> Vec<Link> {
    let mut links = Vec::new();
    for (line, prose) in prose(text) {
        for part in prose.split("](").skip(1) {
            links.extend(link(line, part));
        }
    }
    links.retain(|link| !(link.path.is_empty() && link.anchor.is_none()));
    links
}

/// The page with another target in each of its links to files, or with the text alone where there is none.
pub fn with_links(text: &str, mut target: impl FnMut(&Link) -> Option<String>) -> String {
    let prose: BTreeSet<usize> = prose(text).map(|(line, _)| line).collect();
    let mut lines: Vec<String> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        lines.push(if prose.contains(&(index + 1)) {
            line_with_links(line, index + 1, &mut target)
        } else {
            line.to_owned()
        });
    }
    lines.join("\n") + "\n"
}

fn line_with_links(
    text: &str,
    line: usize,
    target: &mut impl FnMut(&Link) -> Option<String>,
) -> String {
    let mut made = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        let Some((inside, behind)) = after.split_once(')') else {
            break;
        };
        made.push_str(before);
        match link(line, after).filter(|link| !link.path.is_empty()) {
            None => made.push_str(&format!("]({inside})")),
            Some(link) => match (target(&link), made.rfind('[')) {
                (Some(new), _) => made.push_str(&format!("]({new})")),
                (None, Some(at)) => drop(made.remove(at)),
                (None, None) => {}
            },
        }
        rest = behind;
    }
    made + rest
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
pub fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(text) {
        let Some(heading) = line.strip_prefix('#') else {
            continue;
        };
        let heading = heading.trim_start_matches('#').trim();
        let kept = heading.chars().filter_map(|letter| match letter {
            ' ' => Some('-'),
            '-' | '_' => Some(letter),
            _ if letter.is_alphanumeric() => Some(letter),
            _ => None,
        });
        anchors.insert(kept.collect::<String>().to_lowercase());
    }
    anchors
}

/// The lines outside of code blocks, with their numbers from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        (!in_code && !is_fence).then_some((index + 1, line))
    })
}

/// The link whose target begins here, unless it leads to another site.
fn link(line: usize, part: &str) -> Option<Link> {
    let whole = part.split(')').next()?.to_owned();
    let target = whole.split(' ').next()?;
    let (path, anchor) = match target.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor.to_owned())),
        None => (target, None),
    };
    let path = path.to_owned();
    (!path.contains(':')).then_some(Link {
        line,
        path,
        anchor,
        whole,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "See [the format](docs/format.md#vectors) and ![a picture](docs/page.png \"the page\").\n\
        [there](https://example.com/x) [here](#below) [mail](mailto:a@example.com)\n\
        ```\n[not a link](nowhere.md)\n# no heading\n```\n[last](LICENSE)\n## Who may `do` what?";

    #[test]
    fn finds_files_and_anchors_and_leaves_other_sites_and_code() {
        let found: Vec<_> = links(PAGE)
            .into_iter()
            .map(|link| (link.line, link.path, link.anchor))
            .collect();
        let link = |line, path: &str, anchor: Option<&str>| {
            (line, path.to_owned(), anchor.map(str::to_owned))
        };
        assert_eq!(
            found,
            [
                link(1, "docs/format.md", Some("vectors")),
                link(1, "docs/page.png", None),
                link(2, "", Some("below")),
                link(7, "LICENSE", None),
            ]
        );
        assert_eq!(
            anchors(PAGE),
            BTreeSet::from(["who-may-do-what".to_owned()])
        );
    }

    #[test]
    fn replaces_targets_and_keeps_the_text_where_there_is_none() {
        let made = with_links(PAGE, |link| {
            (link.path != "LICENSE").then(|| "new".to_owned())
        });
        assert!(made.starts_with("See [the format](new) and ![a picture](new).\n[there](https://example.com/x) [here](#below)"));
        assert!(made.contains("[not a link](nowhere.md)"));
        assert!(made.contains("\nlast\n"));
    }
}
