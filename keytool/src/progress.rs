//! The output of a long command while it runs. Findings and steps are data and go to stdout. Progress goes to stderr: as a bar on a
//! terminal, otherwise as a line every ten seconds; with `--json`, as events on stdout.

use std::cell::Cell;
use std::env;
use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::error::{Error, ErrorKind, Result};
use crate::output;
use crate::shown::{on_one_line, rows};
use crate::signals::Signal;

pub struct Progress {
    display: Display,
    bar: ProgressBar,
    /// Whether the bar is on the terminal now.
    is_drawn: Cell<bool>,
    started: Instant,
    phase: Cell<&'static str>,
    phase_started: Cell<Instant>,
    /// Whether this phase writes rows. Its speed then counts written rows.
    writes: Cell<bool>,
    scanned: Cell<u64>,
    written: Cell<u64>,
    /// Written in all phases.
    rewrapped: Cell<u64>,
    /// What happens to a row that is written.
    verb: Cell<&'static str>,
    /// The planner's estimate of the number of rows, if there is one.
    estimate: Cell<Option<u64>>,
    stop: Cell<Option<Signal>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Display {
    Bar,
    Lines,
    Json,
}

impl Display {
    fn of(json: bool, is_terminal: bool, term: Option<&str>) -> Self {
        match term {
            _ if json => Self::Json,
            // The terminal does not say that it can move its cursor.
            None | Some("" | "dumb") => Self::Lines,
            Some(_) if is_terminal => Self::Bar,
            Some(_) => Self::Lines,
        }
    }

    fn every(self) -> Duration {
        match self {
            Self::Bar => Duration::from_millis(200),
            Self::Lines => Duration::from_secs(10),
            Self::Json => Duration::from_secs(1),
        }
    }
}

impl Progress {
    pub fn new(json: bool) -> Self {
        let term = env::var("TERM").ok();
        let display = Display::of(json, io::stderr().is_terminal(), term.as_deref());
        let target = match display {
            Display::Bar => ProgressDrawTarget::stderr(),
            Display::Lines | Display::Json => ProgressDrawTarget::hidden(),
        };
        Self::with(display, target)
    }

    fn with(display: Display, target: ProgressDrawTarget) -> Self {
        Self {
            display,
            bar: ProgressBar::with_draw_target(None, target),
            is_drawn: Cell::new(false),
            started: Instant::now(),
            phase: Cell::new(""),
            phase_started: Cell::new(Instant::now()),
            writes: Cell::new(false),
            scanned: Cell::new(0),
            written: Cell::new(0),
            rewrapped: Cell::new(0),
            verb: Cell::new("rewrapped"),
            estimate: Cell::new(None),
            stop: Cell::new(None),
        }
    }

    /// Starts a phase, with new counts.
    pub fn phase(&self, name: &'static str, estimate: Option<u64>, writes: bool) {
        self.finish();
        self.phase.set(name);
        self.phase_started.set(Instant::now());
        self.writes.set(writes);
        self.scanned.set(0);
        self.written.set(0);
        self.estimate.set(estimate.filter(|rows| *rows > 0));
    }

    /// The word for what happens to a row that is written.
    pub fn writes_as(&self, verb: &'static str) {
        self.verb.set(verb);
    }

    pub fn scanned(&self, rows: u64) {
        self.scanned.set(self.scanned.get().saturating_add(rows));
    }

    pub fn wrote(&self, rows: u64) {
        self.written.set(self.written.get().saturating_add(rows));
        self.rewrapped
            .set(self.rewrapped.get().saturating_add(rows));
    }

    pub fn is_json(&self) -> bool {
        self.display == Display::Json
    }

    /// Removes the bar before the result is printed.
    pub fn finish(&self) {
        if self.is_drawn.replace(false) {
            self.bar.finish_and_clear();
        }
    }

    /// Hides the bar while `write` prints. A bar that is not shown is not drawn.
    fn without_bar<T>(&self, write: impl FnOnce() -> T) -> T {
        if self.is_drawn.get() {
            self.bar.suspend(write)
        } else {
            write()
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Prints a step: an event for machines, a sentence for people.
    pub fn step(&self, event: &Value, sentence: &str) -> Result<()> {
        if self.display == Display::Json {
            return output::json(event);
        }
        self.without_bar(|| output::line(sentence))
    }

    /// A line of data for people alone.
    pub fn say(&self, sentence: &str) -> Result<()> {
        self.without_bar(|| output::line(sentence))
    }

    /// A line for people that is no data, on stderr; an event for machines.
    pub fn note(&self, event: &Value, sentence: &str) -> Result<()> {
        if self.display == Display::Json {
            return output::json(event);
        }
        self.without_bar(|| eprintln!("{}", on_one_line(sentence)));
        Ok(())
    }

    /// Asks the command to stop. Whether it will do so by itself: what writes finishes its batches, and records what it has written.
    pub fn stop(&self, signal: Signal) -> bool {
        self.stop.set(Some(signal));
        self.writes.get()
    }

    /// What was written has been recorded: from here on a command may be dropped.
    pub fn recorded(&self) {
        self.writes.set(false);
    }

    /// Fails if somebody has asked the command to stop. Called between two batches.
    pub fn ensure_not_stopped(&self) -> Result<()> {
        self.stop
            .get()
            .map_or(Ok(()), |signal| Err(self.stopped(signal)))
    }

    /// The last line of a command that was stopped.
    pub fn stopped(&self, signal: Signal) -> Error {
        self.finish();
        let left = match self.estimate.get() {
            Some(all) if all > self.scanned.get() => {
                format!(
                    ", about {} not looked at yet",
                    rows(all - self.scanned.get())
                )
            }
            _ => String::new(),
        };
        let message = format!(
            "stopped by {}: {} {}{left}",
            signal.name,
            rows(self.rewrapped.get()),
            self.verb.get()
        );
        Error::new(ErrorKind::Signal(signal.number), message)
            .hint("nothing is half done: run it again, and it does what is left")
    }

    /// Shows the progress periodically, until it is dropped.
    pub async fn show(&self) {
        loop {
            sleep(self.display.every()).await;
            match self.display {
                Display::Bar => self.draw(),
                Display::Lines => eprintln!("{}", self.line()),
                // If stdout is closed, the next finding or the result reports it.
                Display::Json => drop(output::json(&self.event())),
            }
        }
    }

    fn event(&self) -> Value {
        json!({
            "event": "progress",
            "phase": self.phase.get(),
            "scanned": self.scanned.get(),
            "written": self.written.get(),
            "estimated_rows": self.estimate.get(),
            "rows_per_second": self.rate(),
            "elapsed_ms": self.started.elapsed().as_millis() as u64,
        })
    }

    fn line(&self) -> String {
        let scanned = self.scanned.get();
        let of = match self.estimate.get() {
            Some(all) if all >= scanned => format!(" of about {all}"),
            _ => String::new(),
        };
        let written = match self.written.get() {
            0 => String::new(),
            written => format!(", {written} {}", self.verb.get()),
        };
        let (phase, rate) = (self.phase.get(), self.rate());
        format!("{phase}: {}{of}{written}, {rate}/s", rows(scanned))
    }

    /// Rows a second: written ones where the phase writes.
    fn rate(&self) -> u64 {
        let rows = if self.writes.get() {
            self.written.get()
        } else {
            self.scanned.get()
        };
        (rows as f64 / self.phase_started.get().elapsed().as_secs_f64().max(0.001)).round() as u64
    }

    fn draw(&self) {
        let scanned = self.scanned.get();
        // The planner's estimate may be too low. Beyond it, no percentage is shown.
        let is_known = self.estimate.get().is_some_and(|rows| rows >= scanned);
        let (phase, rate) = (self.phase.get(), self.rate());
        let template = if is_known {
            format!("{phase} [{{wide_bar}}] {{pos}}, {rate}/s")
        } else {
            format!("{phase} {{spinner}} {{pos}}, {rate}/s")
        };
        if let Ok(style) = ProgressStyle::with_template(&template) {
            self.bar.set_style(style.progress_chars("#  "));
        }
        // Not earlier: it draws.
        if !self.is_drawn.replace(true) {
            self.bar.reset();
        }
        self.bar
            .set_length(self.estimate.get().unwrap_or(scanned).max(scanned));
        self.bar.set_position(scanned);
        self.bar.tick();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;

    use super::*;

    #[test]
    fn a_bar_needs_a_terminal_that_can_move_its_cursor() {
        for (json, is_terminal, term, display) in [
            (false, true, Some("xterm"), Display::Bar),
            (false, true, Some("dumb"), Display::Lines),
            (false, true, Some(""), Display::Lines),
            (false, true, None, Display::Lines),
            (false, false, Some("xterm"), Display::Lines),
            (true, true, Some("xterm"), Display::Json),
        ] {
            assert_eq!(Display::of(json, is_terminal, term), display);
        }
    }

    #[test]
    fn the_bar_fits_forty_columns_and_goes_away() {
        let terminal = InMemoryTerm::new(5, 40);
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        let progress = Progress::with(Display::Bar, target);
        progress.phase("rewrap", Some(2_000_000), true);
        progress.scanned(1_234_567);
        progress.wrote(1_234_567);
        // The clock does not advance in a test, so the rate would be far too high.
        progress
            .phase_started
            .set(Instant::now().checked_sub(Duration::from_secs(20)).unwrap());
        progress.draw();
        let shown = terminal.contents();
        assert_eq!(shown.lines().count(), 1, "{shown}");
        assert!(shown.starts_with("rewrap [#"), "{shown}");
        assert!(
            shown.contains("] 1234567, 617") && shown.ends_with("/s"),
            "{shown}"
        );
        assert!(shown.chars().count() <= 40, "{shown}");
        // Above the estimate, the bar would stay near its end.
        progress.scanned(2_000_000);
        progress.draw();
        let shown = terminal.contents();
        assert!(!shown.contains('#') && shown.contains("3234567"), "{shown}");
        drop(progress);
        assert_eq!(terminal.contents(), "");
    }

    #[test]
    fn the_last_line_of_a_stopped_command_says_what_is_left() {
        let progress = Progress::with(Display::Lines, ProgressDrawTarget::hidden());
        progress.phase("rewrap", Some(500), true);
        progress.scanned(400);
        progress.wrote(100);
        let signal = Signal {
            name: "SIGINT",
            number: 2,
        };
        let said = format!("{:?}", progress.stopped(signal));
        assert!(
            said.contains(
                "stopped by SIGINT: 100 rows rewrapped, about 100 rows not looked at yet"
            ),
            "{said}"
        );
        // A later pass counts on.
        progress.phase("rewrap", None, true);
        progress.wrote(1);
        let said = format!("{:?}", progress.stopped(signal));
        assert!(
            said.contains("stopped by SIGINT: 101 rows rewrapped\""),
            "{said}"
        );
    }

    #[test]
    fn a_line_says_how_many_rows_were_rewrapped_and_how_fast() {
        let progress = Progress::with(Display::Lines, ProgressDrawTarget::hidden());
        progress.phase("rewrap", Some(500), true);
        progress.scanned(400);
        progress.wrote(100);
        progress
            .phase_started
            .set(Instant::now().checked_sub(Duration::from_secs(10)).unwrap());
        assert_eq!(
            progress.line(),
            "rewrap: 400 rows of about 500, 100 rewrapped, 10/s"
        );
        progress.scanned(u64::MAX);
        assert!(
            progress
                .line()
                .starts_with("rewrap: 18446744073709551615 rows, 100 rewrapped")
        );
    }
}
