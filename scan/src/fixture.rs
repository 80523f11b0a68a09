//! Recorded answers: a folder with `fixture.json`, and in each other file an exchange or a list of them (docs/checks.md).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use checks::{Answer, Entry, Method, Request};
use chrono::DateTime;
use serde::Deserialize;
use serde_json::Value;

use crate::drive::{Scanned, World, drive};
use crate::shown::shown;

/// The recorded answers of one provider.
#[derive(Debug)]
pub struct Fixture {
    head: Head,
    answers: BTreeMap<String, Exchange>,
    /// Unix seconds.
    now: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    /// The time at which the answers are judged: RFC 3339.
    now: String,
    settings: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    /// The method, a space, and the URL with its query.
    request: String,
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// JSON, or a text that is no JSON; without it the body is empty.
    body: Option<Value>,
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum File {
    One(Exchange),
    More(Vec<Exchange>),
}

impl Fixture {
    /// Reads a folder.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let told = |path: &Path, fault: String| format!("{}: {fault}", path.display());
        let mut head = None;
        let mut answers = BTreeMap::new();
        let files = fs::read_dir(folder).map_err(|fault| told(folder, fault.to_string()))?;
        for file in files {
            let path = file
                .map_err(|fault| told(folder, fault.to_string()))?
                .path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text = fs::read_to_string(&path).map_err(|fault| told(&path, fault.to_string()))?;
            let fault = |fault: serde_json::Error| told(&path, fault.to_string());
            if path.ends_with("fixture.json") {
                head = Some(serde_json::from_str(&text).map_err(fault)?);
                continue;
            }
            let exchanges = match serde_json::from_str(&text).map_err(fault)? {
                File::One(one) => vec![one],
                File::More(more) => more,
            };
            for exchange in exchanges {
                let request = exchange.request.clone();
                if answers.insert(request.clone(), exchange).is_some() {
                    return Err(told(&path, format!("{request} is answered twice")));
                }
            }
        }
        let head: Head = head.ok_or_else(|| told(folder, "there is no fixture.json".to_owned()))?;
        let now = DateTime::parse_from_rfc3339(&head.now)
            .map_err(|_| told(folder, "fixture.json: `now` is no RFC 3339 time".to_owned()))?
            .timestamp();
        Ok(Self { head, answers, now })
    }

    /// Scans over the recorded answers.
    pub fn scan(mut self, entry: &Entry) -> Result<Scanned, String> {
        let settings = self.head.settings.clone();
        match entry
            .settings
            .iter()
            .find(|name| !settings.contains_key(*name))
        {
            Some(name) => Err(format!("fixture.json has no {name}")),
            None => Ok(drive(entry, settings, None, &mut self)),
        }
    }
}

impl World for Fixture {
    fn answer(&mut self, request: &Request) -> Answer {
        let method = match request.method {
            Method::Get => "GET",
            Method::Post => "POST",
        };
        let name = format!("{method} {}", request.url);
        let Some(exchange) = self.answers.get(&name) else {
            eprintln!("no recorded answer: {}", shown(&name));
            return Answer::Http {
                status: 404,
                headers: BTreeMap::new(),
                body: Vec::new(),
            };
        };
        let body = match (&exchange.body, &exchange.text) {
            (Some(json), _) => json.to_string(),
            (None, Some(text)) => text.clone(),
            (None, None) => String::new(),
        };
        let headers = exchange.headers.iter();
        Answer::Http {
            status: exchange.status,
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
                .collect(),
            body: body.into_bytes(),
        }
    }

    fn now(&self) -> i64 {
        self.now
    }

    fn wait(&mut self, until: i64) -> bool {
        self.now = until;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use checks::Status;

    use super::*;

    fn of(kind: &str) -> Fixture {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        Fixture::read(&root.join("../checks/fixtures").join(kind)).expect("a fixture")
    }

    /// A fixture that remembers what was asked.
    struct Watched(Fixture, BTreeSet<String>, Vec<String>);

    impl World for Watched {
        fn answer(&mut self, request: &Request) -> Answer {
            self.1.insert(request.read.clone());
            let answer = self.0.answer(request);
            if matches!(&answer, Answer::Http { status: 404, body, .. } if body.is_empty()) {
                self.2.push(request.url.clone());
            }
            answer
        }

        fn now(&self) -> i64 {
            self.0.now
        }

        fn wait(&mut self, until: i64) -> bool {
            self.0.wait(until)
        }
    }

    #[test]
    fn every_read_of_every_entry_has_a_recorded_answer() {
        for entry in checks::entries() {
            let fixture = of(&entry.kind);
            let settings = fixture.head.settings.clone();
            let mut world = Watched(fixture, BTreeSet::new(), Vec::new());
            let scanned = drive(entry, settings, None, &mut world);
            assert_eq!(world.2, Vec::<String>::new(), "{}", entry.kind);
            for (name, read) in &entry.reads {
                let stands_in = entry
                    .reads
                    .values()
                    .any(|other| other.fallback.as_ref() == Some(name));
                if stands_in {
                    assert!(
                        world
                            .0
                            .answers
                            .keys()
                            .any(|key| key.contains(read.url.rsplit('}').next().unwrap()))
                    );
                } else {
                    assert!(
                        world.1.contains(name),
                        "{}: {name} was not asked",
                        entry.kind
                    );
                }
            }
            // Every check judges something in it.
            for check in &scanned.coverage {
                let judged = check.passed + check.failed > 0 || check.status == Status::Manual;
                assert!(judged, "{check:?}");
            }
        }
    }

    #[test]
    fn a_malformed_folder_is_refused() {
        let folder = std::env::temp_dir().join(format!("scan-fixture-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        assert!(
            Fixture::read(&folder)
                .unwrap_err()
                .contains("no fixture.json")
        );
        fs::write(
            folder.join("fixture.json"),
            r#"{"now":"today","settings":{}}"#,
        )
        .unwrap();
        assert!(Fixture::read(&folder).unwrap_err().contains("RFC 3339"));
        fs::write(
            folder.join("a.json"),
            r#"[{"request":"GET x","status":200},{"request":"GET x","status":200}]"#,
        )
        .unwrap();
        assert!(
            Fixture::read(&folder)
                .unwrap_err()
                .contains("answered twice")
        );
        fs::remove_dir_all(&folder).unwrap();
    }
}
