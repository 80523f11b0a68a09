//! How many checks a runner made, read from what it printed.

use std::{iter::Sum, ops::Add};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: u64,
    pub failed: u64,
    pub skipped: u64,
}

impl Counts {
    /// A check that is one: it holds or it does not.
    pub fn one(holds: bool) -> Self {
        Self {
            passed: u64::from(holds),
            failed: u64::from(!holds),
            skipped: 0,
        }
    }

    pub fn ran(self) -> bool {
        self.passed + self.failed > 0
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Self::add)
    }
}

/// What a check of our own looked at, and what it found wrong: one line each.
#[derive(Default)]
pub struct Findings {
    pub checked: usize,
    pub faults: Vec<String>,
}

impl Findings {
    pub fn extend(&mut self, others: Self) {
        self.checked += others.checked;
        self.faults.extend(others.faults);
    }

    pub fn counts(&self) -> Counts {
        let failed = self.faults.len();
        Counts {
            passed: self.checked.saturating_sub(failed) as u64,
            failed: failed as u64,
            skipped: 0,
        }
    }
}

/// Of every `test result:` line that cargo's test binaries (and wasm-bindgen-test-runner's) print.
pub fn of_cargo(output: &str) -> Counts {
    output
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("test result:"))
        .map(|line| Counts {
            passed: before(line, "passed"),
            failed: before(line, "failed"),
            skipped: before(line, "ignored"),
        })
        .sum()
}

/// The number in front of a word: ` ok. 3 passed; 0 failed`.
fn before(line: &str, word: &str) -> u64 {
    line.split([';', '.'])
        .find_map(|part| part.trim().strip_suffix(word)?.trim().parse().ok())
        .unwrap_or(0)
}

/// Of the closing lines of Node's reporters: `ℹ pass 3` (spec) or `# pass 3` (tap). A file in which no test ran, Node counts as one that passed.
pub fn of_node(output: &str) -> Counts {
    let last = |name: &str| {
        output.lines().rev().find_map(|line| {
            let line = line
                .strip_prefix("ℹ ")
                .or_else(|| line.strip_prefix("# "))?;
            line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok()
        })
    };
    let count = |name: &str| -> u64 { last(name).unwrap_or(0) };
    Counts {
        passed: count("pass").saturating_sub(files_without_tests(output)),
        failed: count("fail") + count("cancelled"),
        skipped: count("skipped") + count("todo"),
    }
}

fn files_without_tests(output: &str) -> u64 {
    let is_file = |line: &str| {
        let name = line.strip_prefix("✔ ")?.rsplit_once(" (")?.0;
        name.ends_with(".test.mjs").then_some(())
    };
    output.lines().filter_map(is_file).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_cargos_results() {
        let output = "running 2 tests\n\
            test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
            a line in between\n    \
            test result: FAILED. 10 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s\n";
        assert_eq!(
            of_cargo(output),
            Counts {
                passed: 12,
                failed: 3,
                skipped: 1
            }
        );
        assert_eq!(of_cargo("error: could not compile"), Counts::default());
    }

    #[test]
    fn reads_nodes_spec_and_tap_reporters() {
        let spec = "✔ opens (1ms)\nℹ tests 7\nℹ suites 1\nℹ pass 3\nℹ fail 1\nℹ cancelled 1\nℹ skipped 2\nℹ todo 0\n";
        assert_eq!(
            of_node(spec),
            Counts {
                passed: 3,
                failed: 2,
                skipped: 2
            }
        );
        let tap = "ok 1 - opens\n1..1\n# tests 1\n# pass 1\n# fail 0\n# cancelled 0\n# skipped 0\n# todo 0\n";
        assert_eq!(
            of_node(tap),
            Counts {
                passed: 1,
                failed: 0,
                skipped: 0
            }
        );
    }

    #[test]
    fn a_file_without_a_test_is_no_test() {
        let output = "✔ tests/e2e/a.test.mjs (20.1ms)\n▶ lists\n  ✔ opens b.test.mjs (1ms)\n✔ lists (2ms)\nℹ pass 2\nℹ fail 0\n";
        assert_eq!(of_node(output).passed, 1);
        assert!(!of_node("✔ tests/e2e/a.test.mjs (20.1ms)\nℹ pass 1\nℹ fail 0\n").ran());
    }

    #[test]
    fn takes_the_closing_lines_and_not_what_a_test_printed() {
        let output = "ℹ pass 99\nℹ tests 1\nℹ pass 1\nℹ fail 0\n";
        assert_eq!(of_node(output).passed, 1);
    }
}
