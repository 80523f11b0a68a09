//! The lines of docs/threat-model.md, and the tests that cite them by number.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::RangeInclusive,
};

use super::counts::Findings;
use crate::{failure::Failure, process::ask, project::Project};

const DOCUMENT: &str = "docs/threat-model.md";

/// Lines that no test has to cite, each with the reason.
const EXCEPTIONS: [(u32, &str); 0] = [];

/// Every citation of a line that is not there, and every line that no test cites.
pub fn mismatches(project: &Project) -> Result<Findings, Failure> {
    let document = project.path(DOCUMENT);
    let text = fs::read_to_string(&document)
        .map_err(Failure::io(format!("cannot read {}", document.display())))?;
    let (lines, mut faults) = lines(&text);
    let mut untested: BTreeSet<u32> = lines.keys().copied().collect();
    let mut checked = lines.len();
    for file in sources(project)? {
        let path = project.path(&file);
        // A file that is deleted but not yet committed is listed still; a picture is no text.
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let tests_begin = tests_begin(&file, &text);
        for (line, number) in citations(&text) {
            checked += 1;
            if !lines.contains_key(&number) {
                faults.push(format!("{file}:{line}: {DOCUMENT} has no line {number}"));
            } else if line >= tests_begin {
                untested.remove(&number);
            }
        }
    }
    for (number, _) in EXCEPTIONS {
        if !untested.remove(&number) {
            faults.push(format!(
                "line {number} of {DOCUMENT} is cited by a test, or is not there: it is no exception"
            ));
        }
    }
    let cited_by_none = untested.iter().map(|number| {
        let line = lines.get(number).copied().unwrap_or_default();
        format!("{DOCUMENT}:{line}: no test cites line {number}")
    });
    faults.extend(cited_by_none);
    Ok(Findings { checked, faults })
}

/// The files that may cite: code, and not the documents, which nothing tests.
fn sources(project: &Project) -> Result<Vec<String>, Failure> {
    let patterns = ["*.rs", "*.mjs", "*.js", "*.ts", "*.py", "*.sql", "*.toml"];
    let listed = ask(project
        .command("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .args(patterns))
    .ok_or_else(|| Failure::with_hint("git cannot list the sources", "run it in a git checkout"))?;
    let own = "xtask/src/test/threat_model.rs";
    Ok(listed
        .lines()
        .filter(|file| *file != own)
        .map(str::to_owned)
        .collect())
}

/// The numbered lines of the document with the lines of the file (from 1) that they stand on; and the numbers that stand twice.
fn lines(text: &str) -> (BTreeMap<u32, usize>, Vec<String>) {
    let mut lines = BTreeMap::new();
    let mut faults = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = line.split_once(". ").map(|(number, _)| number.parse());
        if let Some(Ok(number)) = number
            && lines.insert(number, index + 1).is_some()
        {
            faults.push(format!("{DOCUMENT}:{}: a second line {number}", index + 1));
        }
    }
    (lines, faults)
}

/// The first line (from 1) from which on a file is a test.
fn tests_begin(file: &str, text: &str) -> usize {
    let is_test =
        file.ends_with(".test.mjs") || file.contains("/tests/") || file.ends_with("/tests.rs");
    if is_test {
        return 1;
    }
    let inline = text
        .lines()
        .position(|line| line.trim_start().starts_with("#[cfg(test)]"));
    inline
        .filter(|_| file.ends_with(".rs"))
        .map_or(usize::MAX, |index| index + 1)
}

/// The lines (from 1) that cite, and the numbers that they cite: "threat model 1 to 4 and 6".
fn citations(text: &str) -> Vec<(usize, u32)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let lower = line.to_lowercase();
        let cited = lower
            .match_indices("threat model ")
            .map(|(at, words)| &lower[at + words.len()..]);
        found.extend(cited.flat_map(numbers).map(|number| (index + 1, number)));
    }
    found
}

/// The numbers of a list at the beginning of a text: "1 to 4, 6 and 9: ...".
fn numbers(text: &str) -> Vec<u32> {
    let mut found: Vec<u32> = Vec::new();
    let mut rest = text;
    let mut is_range = false;
    loop {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let Ok(number) = rest[..digits].parse::<u32>() else {
            return found;
        };
        let range: RangeInclusive<u32> = match found.last() {
            Some(last) if is_range && number.saturating_sub(*last) < 1000 => last + 1..=number,
            _ => number..=number,
        };
        found.extend(range);
        rest = &rest[digits..];
        let joints = [", and ", ", ", " and ", " to "];
        let Some(joint) = joints.into_iter().find(|joint| rest.starts_with(joint)) else {
            return found;
        };
        is_range = joint == " to ";
        rest = &rest[joint.len()..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_numbered_lines() {
        let (lines, faults) =
            lines("# Title\n\n1. One\n   more\n101. Other\n1. Again\nSee 3. no\n");
        assert_eq!(lines, BTreeMap::from([(1, 6), (101, 5)]));
        assert_eq!(faults, ["docs/threat-model.md:6: a second line 1"]);
    }

    #[test]
    fn finds_citations() {
        for (text, expected) in [
            ("// Threat model 22: a million", &[22][..]),
            ("/// see it (threat model 102, 103, 104).", &[102, 103, 104]),
            ("// Threat model 1 to 4 and 6: once", &[1, 2, 3, 4, 6]),
            ("//! threat model 107 and 108.", &[107, 108]),
            ("the threat model says 7", &[]),
            ("it(\"9. a name with a number\", f)", &[]),
            ("// threat model 4294967296", &[]),
        ] {
            let found: Vec<u32> = citations(text)
                .into_iter()
                .map(|(_, number)| number)
                .collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn knows_where_tests_begin() {
        let rust = "fn f() {}\n#[cfg(test)]\nmod tests {}\n";
        assert_eq!(tests_begin("worker/src/url.rs", rust), 2);
        assert_eq!(tests_begin("worker/src/url.rs", "fn f() {}"), usize::MAX);
        assert_eq!(tests_begin("sealed/tests/nonces.rs", ""), 1);
        assert_eq!(tests_begin("platform/src/data_keys/tests.rs", ""), 1);
        assert_eq!(tests_begin("tests/e2e/page.test.mjs", ""), 1);
        assert_eq!(tests_begin("tests/support/tokens.mjs", ""), usize::MAX);
    }
}
