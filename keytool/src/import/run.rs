use std::io::{BufReader, Read};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use tokio::sync::mpsc;

use super::client::Client;
use super::formats::read;
use super::outcome::{Code, Outcome};
use super::reader::{Numbered, entries, lines, unreadable};
use super::source::Source;
use crate::error::Result;

/// The outcome of a line, by its number; or why the command cannot continue.
pub type Report = Result<(u64, Outcome)>;

/// How many lines are read ahead, at the most.
const AHEAD: usize = 64;

/// Reads the input in a thread of its own and imports with `jobs` others, each a line at a time. Nothing holds more than a few lines.
/// Without a client lines are only read. The reports end when all is done.
pub fn start(
    input: impl Read + Send + 'static,
    source: Source,
    client: Option<Client>,
    jobs: u8,
) -> mpsc::Receiver<Report> {
    let (line_in, line_out) = sync_channel(AHEAD);
    let (report, reports) = mpsc::channel(64);
    let format = source.format;
    let failed = report.clone();
    thread::spawn(move || {
        // Without workers the command has ended.
        let take = |line: Numbered| line_in.send(line).is_ok();
        let done = match format.is_array() {
            true => entries(input, take),
            false => lines(BufReader::with_capacity(64 * 1024, input), take)
                .map_err(|error| unreadable(&error)),
        };
        if let Err(error) = done {
            let _ = failed.blocking_send(Err(error));
        }
    });
    let shared = Arc::new((source, client, Mutex::new(line_out)));
    for _ in 0..jobs {
        let (shared, report) = (Arc::clone(&shared), report.clone());
        thread::spawn(move || {
            let (source, client, lines) = &*shared;
            while let Some(line) = next(lines) {
                let outcome = outcome(source, client.as_ref(), &line);
                let outcome = outcome.map(|outcome| (line.number, outcome));
                let is_over = outcome.is_err();
                if report.blocking_send(outcome).is_err() || is_over {
                    break;
                }
            }
        });
    }
    reports
}

fn next(lines: &Mutex<Receiver<Numbered>>) -> Option<Numbered> {
    lines.lock().ok()?.recv().ok()
}

fn outcome(source: &Source, client: Option<&Client>, line: &Numbered) -> Result<Outcome> {
    let text = line.text.as_ref().map_err(Clone::clone);
    let entry = match text.and_then(|text| read(source, text)) {
        Ok(entry) => entry,
        Err(code) => return Ok(Outcome::Failed(code)),
    };
    let replace = client.is_some_and(|client| client.replace);
    let Some(body) = entry.body(replace) else {
        return Ok(Outcome::Failed(Code::TOO_LONG));
    };
    match client {
        Some(client) => client.import(&body),
        None => Ok(Outcome::Ready),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::import::source::Format;

    /// A file of so many lines, of which every tenth is bad, that is made while it is read.
    struct Generated {
        lines: u64,
        rest: Vec<u8>,
        handed_over: Arc<AtomicU64>,
    }

    impl Read for Generated {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            while self.rest.len() < buffer.len() && self.lines > 0 {
                self.lines -= 1;
                let line = match self.lines % 10 {
                    0 => "planted\n".to_owned(),
                    _ => format!(
                        "{{\"integration_type\":\"x\",\"credential\":{{\"access_token\":\"{}\"}}}}\n",
                        self.lines
                    ),
                };
                self.rest.extend_from_slice(line.as_bytes());
            }
            let count = self.rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&self.rest[..count]);
            self.rest.drain(..count);
            self.handed_over.fetch_add(count as u64, Ordering::Relaxed);
            Ok(count)
        }
    }

    fn source() -> Source {
        Source {
            format: Format::Connections,
            types: Default::default(),
            fields: Default::default(),
            organization: "a81bc81b-dead-4e5d-abff-90865d1e13b1".parse().ok(),
            keys: None,
        }
    }

    /// Nobody takes reports meanwhile, so the threads stop after a few lines.
    #[expect(
        clippy::disallowed_methods,
        reason = "they would read on if they could"
    )]
    fn run_ahead() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }

    // threat model 254
    #[test]
    fn a_long_file_is_read_a_few_lines_ahead_and_each_bad_line_is_reported() {
        const LINES: u64 = 100_000;
        /// The buffers of the reader and of the channels.
        const AHEAD: u64 = 512 * 1024;
        const SHORTEST: u64 = 8;
        let handed_over = Arc::new(AtomicU64::new(0));
        let input = Generated {
            lines: LINES,
            rest: Vec::new(),
            handed_over: Arc::clone(&handed_over),
        };
        let mut reports = start(input, source(), None, 4);
        let (mut ready, mut bad, mut count) = (0, Vec::new(), 0);
        while let Some(report) = reports.blocking_recv() {
            count += 1;
            if count % 10_000 == 0 {
                run_ahead();
            }
            let ahead = handed_over.load(Ordering::Relaxed);
            assert!(
                ahead < AHEAD + count * 70 && ahead >= count * SHORTEST,
                "{ahead} after {count}"
            );
            match report.unwrap() {
                (_, Outcome::Ready) => ready += 1,
                (number, Outcome::Failed(code)) => bad.push((number, code)),
                (_, other) => panic!("{other:?}"),
            }
        }
        bad.sort_by_key(|(number, _)| *number);
        assert_eq!((ready, bad.len()), (90_000, 10_000));
        for ((number, code), expected) in bad.iter().zip((10..).step_by(10)) {
            assert_eq!((*number, code), (expected, &Code::MALFORMED));
        }
    }
}
