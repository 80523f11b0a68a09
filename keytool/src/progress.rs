//! What a long command says while it works: findings on stdout, because they are data; how far it is on stderr if that is a
//! terminal, or as events among the data if JSON was asked for.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::error::Result;
use crate::output;
use crate::rotation::finding::Finding;

pub struct Progress {
    json: bool,
    is_terminal: bool,
    started: Instant,
    phase: Cell<&'static str>,
    phase_started: Cell<Instant>,
    looked: Cell<u64>,
    written: Cell<u64>,
    /// How many rows there are, if the database has an idea.
    estimate: Cell<Option<u64>>,
    bar_stands: Cell<bool>,
}

impl Progress {
    pub fn new(json: bool) -> Self {
        Self {
            json,
            is_terminal: io::stderr().is_terminal(),
            started: Instant::now(),
            phase: Cell::new(""),
            phase_started: Cell::new(Instant::now()),
            looked: Cell::new(0),
            written: Cell::new(0),
            estimate: Cell::new(None),
            bar_stands: Cell::new(false),
        }
    }

    /// A new phase begins: what is counted from here on is its own.
    pub fn phase(&self, name: &'static str, estimate: Option<u64>) {
        self.clear();
        self.phase.set(name);
        self.phase_started.set(Instant::now());
        self.looked.set(0);
        self.written.set(0);
        self.estimate.set(estimate);
    }

    pub fn looked(&self, rows: u64) {
        self.looked.set(self.looked.get() + rows);
    }

    pub fn wrote(&self, rows: u64) {
        self.written.set(self.written.get() + rows);
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// A row that does not open.
    pub fn finding(&self, finding: &Finding) -> Result<()> {
        if self.json {
            return output::json(&finding.to_event());
        }
        self.clear();
        output::line(&finding.to_line())
    }

    /// A step that is worth a line: an event for machines, a sentence for people.
    pub fn step(&self, event: &Value, sentence: &str) -> Result<()> {
        if self.json {
            return output::json(event);
        }
        self.clear();
        output::line(sentence)
    }

    /// Shows how far it is, again and again, until it is dropped.
    pub async fn show(&self) {
        let every = Duration::from_millis(if self.json { 1000 } else { 200 });
        loop {
            sleep(every).await;
            if self.json {
                // If nobody reads it any more, the next finding or the end will say so.
                let _ = output::json(&self.event());
            } else if self.is_terminal {
                self.draw();
            }
        }
    }

    fn event(&self) -> Value {
        json!({
            "event": "progress",
            "phase": self.phase.get(),
            "looked_at": self.looked.get(),
            "written": self.written.get(),
            "estimated_rows": self.estimate.get(),
            "rows_per_second": self.rate().round() as u64,
            "elapsed_ms": self.started.elapsed().as_millis() as u64,
        })
    }

    fn rate(&self) -> f64 {
        self.looked.get() as f64 / self.phase_started.get().elapsed().as_secs_f64().max(0.001)
    }

    fn draw(&self) {
        let looked = self.looked.get();
        let rate = self.rate();
        let of = match self.estimate.get() {
            // The estimate is the planner's: near the end it may be off.
            Some(rows) if rows > 0 => {
                let share = (looked as f64 / rows as f64).min(0.99);
                let filled = (share * 20.0) as usize;
                let left = (rows.saturating_sub(looked)) as f64 / rate.max(1.0);
                format!(
                    "[{}{}] {:2.0} %, {} left",
                    "#".repeat(filled),
                    " ".repeat(20 - filled),
                    share * 100.0,
                    duration(left)
                )
            }
            _ => String::new(),
        };
        let phase = self.phase.get();
        let mut stderr = io::stderr().lock();
        let _ = write!(stderr, "\r\x1b[K{phase}: {looked} rows, {rate:.0}/s {of}");
        let _ = stderr.flush();
        self.bar_stands.set(true);
    }

    fn clear(&self) {
        if self.bar_stands.replace(false) {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}
