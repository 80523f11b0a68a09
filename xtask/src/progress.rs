//! One line, on standard error, that says what is going on while one waits.
//!
//! On a terminal the line is rewritten every second; elsewhere a line says what is waited for, once it takes longer than
//! that, and again now and then. What ended leaves a line.

use std::{
    fmt,
    io::{self, IsTerminal, Write as _},
    sync::{Mutex, MutexGuard, Once, PoisonError},
    thread,
    time::{Duration, Instant},
};

const TICK: Duration = Duration::from_secs(1);
/// How often a log, which cannot be rewritten, is told that we still wait.
const REMINDER: Duration = Duration::from_secs(30);

/// A line that wraps could not be rewritten; every terminal has that many columns.
const COLUMNS: usize = 79;

static BOARD: Mutex<Board> = Mutex::new(Board {
    steps: Vec::new(),
    next: 0,
});
static TICKER: Once = Once::new();

struct Board {
    steps: Vec<Active>,
    next: u64,
}

struct Active {
    id: u64,
    what: String,
    begun: Instant,
    /// When a log was last told of it.
    told: Option<Instant>,
}

fn board() -> MutexGuard<'static, Board> {
    BOARD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A step that is under way; dropped without `done`, it has failed and its line only goes.
pub struct Step {
    id: u64,
    begun: Instant,
}

/// Begins a step: `what` is one line that tells a person what is waited for.
pub fn begin(what: impl Into<String>) -> Step {
    let what = what.into();
    let begun = Instant::now();
    let mut board = board();
    let id = board.next;
    board.next += 1;
    board.steps.push(Active {
        id,
        what,
        begun,
        told: None,
    });
    TICKER.call_once(|| drop(thread::spawn(tick)));
    board.show();
    Step { id, begun }
}

impl Step {
    /// Ends the step with a line that stays.
    pub fn done(self, what: &str) {
        let elapsed = seconds(self.begun.elapsed());
        print(&format!("✓ {what} ({elapsed})"));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        let mut board = board();
        board.steps.retain(|step| step.id != self.id);
        board.show();
    }
}

/// Prints a line that stays, above the one that is rewritten.
pub fn print(line: &str) {
    let board = board();
    say(line);
    board.show();
}

/// Takes the rewritten line away, before something else is printed.
pub fn clear() {
    if is_terminal() {
        say_raw("\r\x1b[K");
    }
}

/// A duration as one reads it: `0.4 s`, `12 s`, `3 min 5 s`.
pub fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    match whole {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{whole} s"),
        _ => format!("{} min {} s", whole / 60, whole % 60),
    }
}

fn tick() {
    loop {
        thread::sleep(TICK);
        let mut board = board();
        if is_terminal() {
            board.show();
            continue;
        }
        let due = |told: Option<Instant>| told.is_none_or(|told| told.elapsed() >= REMINDER);
        for step in board.steps.iter_mut().filter(|step| due(step.told)) {
            step.told = Some(Instant::now());
            say(&format!("… {step}"));
        }
    }
}

impl Board {
    fn show(&self) {
        if is_terminal() {
            let line: String = self.line().chars().take(COLUMNS).collect();
            say_raw(&format!("\r\x1b[K{line}"));
        }
    }

    fn line(&self) -> String {
        let steps: Vec<_> = self.steps.iter().map(Active::to_string).collect();
        if steps.is_empty() {
            String::new()
        } else {
            format!("… {}", steps.join(", "))
        }
    }
}

impl fmt::Display for Active {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} s)", self.what, self.begun.elapsed().as_secs())
    }
}

fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

fn say(line: &str) {
    let start = if is_terminal() { "\r\x1b[K" } else { "" };
    say_raw(&format!("{start}{line}\n"));
}

/// Progress that nobody can read is no reason to fail.
fn say_raw(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_a_clock() {
        assert_eq!(seconds(Duration::from_millis(420)), "0.4 s");
        assert_eq!(seconds(Duration::from_secs(12)), "12 s");
        assert_eq!(seconds(Duration::from_secs(185)), "3 min 5 s");
    }
}
