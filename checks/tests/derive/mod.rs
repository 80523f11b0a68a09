//! Answers that are derived from an entry: for each check one that passes and one that fails, and the ways in which an answer can be of no use.

use std::collections::BTreeMap;

use checks::{
    Answer, Bounds, Check, Condition, Entry, Over, Pages, Quantity, Report, Run, Status, Step,
    Test, Truth, evaluate,
};
use serde_json::{Value, json};

pub const NOW: i64 = 1_795_780_800; // 2026-11-27

/// JSON for which the condition is true, or false. Panics where it finds none: the entry's condition cannot come true, or the
/// vocabulary has grown.
pub fn satisfy(condition: &Condition, wanted: bool, value: &mut Value) {
    assert!(
        attempt(condition, wanted, value),
        "found no value for which this is {wanted}: {condition:?}"
    );
}

fn attempt(condition: &Condition, wanted: bool, value: &mut Value) -> bool {
    match condition {
        Condition::Not(not) => return attempt(not, !wanted, value),
        Condition::All(all) if wanted => all.iter().for_each(|one| {
            let _ = attempt(one, true, value);
        }),
        Condition::Any(any) if !wanted => any.iter().for_each(|one| {
            let _ = attempt(one, false, value);
        }),
        Condition::All(parts) | Condition::Any(parts) => {
            return parts.iter().any(|turned| {
                let mut tried = value.clone();
                parts.iter().for_each(|one| {
                    let _ = attempt(one, !wanted, &mut tried);
                });
                attempt(turned, wanted, &mut tried);
                let holds = evaluate(condition, &tried, NOW) == Truth::from(wanted);
                if holds {
                    *value = tried;
                }
                holds
            });
        }
        Condition::List {
            quantity,
            at,
            split,
            is,
        } => {
            let of_element = if *quantity == Quantity::None {
                !wanted
            } else {
                wanted
            };
            let mut element = Value::Null;
            attempt(is, of_element, &mut element);
            let list = match split {
                Some(_) => element,
                None => json!([element]),
            };
            set(value, at, list);
        }
        Condition::At(at, test) => {
            let old = value.pointer(at).cloned();
            set(value, at, fitting(test, wanted, old));
        }
    }
    evaluate(condition, value, NOW) == Truth::from(wanted)
}

fn fitting(test: &Test, wanted: bool, old: Option<Value>) -> Value {
    let pick = |yes: Value, no: Value| if wanted { yes } else { no };
    let ago = |days: f64| json!(NOW - (days * 86_400.0) as i64);
    match test {
        Test::Equals(value) => pick(value.clone(), another(value)),
        Test::NotEquals(value) => pick(another(value), value.clone()),
        Test::OneOf(values) => pick(values[0].clone(), another(&values[0])),
        Test::AtLeast(bound) => pick(json!(bound), json!(bound - 1.0)),
        Test::AtMost(bound) => pick(json!(bound), json!(bound + 1.0)),
        Test::IsEmpty(empty) => json!(if *empty == wanted {
            ""
        } else {
            "https://host.test"
        }),
        Test::Contains(value) => match (old, value) {
            (Some(Value::Array(mut list)), _) => {
                list.retain(|one| one != value);
                list.extend(wanted.then(|| value.clone()));
                Value::Array(list)
            }
            (Some(Value::String(_)), Value::String(text)) => {
                pick(json!(format!("a {text} b")), json!("zzz"))
            }
            _ if wanted && value.is_string() => {
                // A text and a list both contain it.
                json!([value])
            }
            _ => json!(["zzz"]),
        },
        Test::StartsWith(texts) => pick(json!(format!("{}x", texts[0])), json!("zzz")),
        Test::EndsWith(texts) => pick(json!(format!("A{}", texts[0])), json!("zzz")),
        Test::HostIs(hosts) => pick(
            json!(format!("https://{}", hosts[0])),
            json!("https://host.test"),
        ),
        Test::HostContains(part) => pick(
            json!(format!("https://a{part}.test")),
            json!("https://host.test"),
        ),
        Test::CidrOpen(open) => json!(if *open == wanted {
            "0.0.0.0/0"
        } else {
            "10.0.0.0/8"
        }),
        Test::OlderThan(days) => pick(ago(days + 1.0), ago(days - 1.0)),
        Test::YoungerThan(days) => pick(ago(days - 1.0), ago(days + 1.0)),
        Test::CountAtMost(most) => json!(vec![0; most + usize::from(!wanted)]),
    }
}

fn another(value: &Value) -> Value {
    match value {
        Value::Bool(value) => json!(!value),
        Value::Number(_) => json!(987_654),
        _ => json!("zzz"),
    }
}

/// Sets the value at a pointer, making the objects on the way.
pub fn set(value: &mut Value, at: &str, new: Value) {
    if at.is_empty() {
        *value = new;
        return;
    }
    let mut place = value;
    for name in at[1..].split('/') {
        if !place.is_object() {
            *place = json!({});
        }
        let members = place.as_object_mut().expect("an object");
        place = members.entry(name.to_owned()).or_insert(Value::Null);
    }
    *place = new;
}

/// What a check judges, with all that it looks at: the answer, or an item.
pub fn judged(check: &Check, passes: bool) -> Value {
    let mut value = json!({});
    if let Some(filter) = &check.filter {
        satisfy(filter, true, &mut value);
    }
    if let Some(unknown) = &check.unknown {
        satisfy(unknown, false, &mut value);
    }
    if let Some(pass) = &check.pass {
        satisfy(pass, passes, &mut value);
    }
    let resource = [
        Some(&check.resource.id),
        Some(&check.resource.kind),
        check.resource.name.as_ref(),
    ];
    for at in resource.into_iter().flatten().chain(&check.item) {
        if at.starts_with('/') && value.pointer(at).is_none() {
            set(&mut value, at, json!("id"));
        }
    }
    value
}

/// The answers of a provider: a body by read. Every other read is answered with 404.
#[derive(Debug, Clone, Default)]
pub struct Provider(pub BTreeMap<String, Value>);

impl Provider {
    /// Whoever asks gets what the check needs, so that it passes or fails.
    pub fn for_check(entry: &Entry, check: &Check, passes: bool) -> Self {
        let name = check.read.clone().expect("a read");
        let wanted = match check.over {
            Over::Each if passes => vec![],
            Over::Each | Over::Items | Over::Answer => vec![judged(check, passes)],
            Over::Listing => {
                let count = check.count.expect("a count");
                let (met, missed) = (judged(check, true), judged(check, false));
                match (passes, count.at_least, count.at_most) {
                    (true, least, most) => {
                        vec![met; least.or(most).unwrap_or(0).max(1) as usize]
                    }
                    (false, Some(least), _) => {
                        let mut items = vec![met; least as usize - 1];
                        items.push(missed);
                        items
                    }
                    (false, None, most) => vec![met; most.unwrap_or(0) as usize + 1],
                }
            }
        };
        let mut provider = Self::default();
        provider.put(entry, &name, wanted);
        // The other read of a check over two says nothing for it.
        if let Some(other) = &check.alternative {
            provider.put(entry, &other.read, vec![]);
        }
        provider.parents(entry, &name);
        provider
    }

    /// Puts items, or one answer, where the read has them.
    fn put(&mut self, entry: &Entry, name: &str, mut values: Vec<Value>) {
        let read = &entry.reads[name];
        let mut body = Value::Null;
        match &read.items {
            Some(at) => set(&mut body, at, Value::Array(values)),
            None => body = values.remove(0),
        }
        if let Some(Pages::Cursor { at, .. }) = &read.pages {
            set(&mut body, at, Value::Null);
        }
        self.0.insert(name.to_owned(), body);
    }

    fn parents(&mut self, entry: &Entry, name: &str) {
        let Some(each) = &entry.reads[name].for_each else {
            return;
        };
        let mut item = json!({});
        if let Some(filter) = &each.filter {
            satisfy(filter, true, &mut item);
        }
        for at in each.bind.values() {
            set(&mut item, at, json!("id"));
        }
        self.put(entry, &each.read, vec![item]);
        self.parents(entry, &each.read);
    }

    pub fn answer(&self, entry: &Entry, request: &checks::Request) -> Answer {
        let Some(body) = self.0.get(&request.read) else {
            return http(404, b"{}".to_vec());
        };
        let read = &entry.reads[&request.read];
        let first = match &read.pages {
            Some(Pages::Page { param, first }) => {
                request.url.ends_with(&format!("{param}={first}"))
            }
            _ => true,
        };
        if first {
            return http(200, body.to_string().into_bytes());
        }
        let mut empty = body.clone();
        set(
            &mut empty,
            read.items.as_deref().unwrap_or_default(),
            json!([]),
        );
        http(200, empty.to_string().into_bytes())
    }
}

pub fn http(status: u16, body: Vec<u8>) -> Answer {
    Answer::Http {
        status,
        headers: BTreeMap::new(),
        body,
    }
}

/// What the check says, of its resources and as a whole.
#[derive(Debug, PartialEq)]
pub struct Said {
    pub check: Status,
    pub results: Vec<Status>,
}

/// A whole scan, in which time passes as the scan waits, judged by one check.
pub fn scan(
    entry: &Entry,
    check: &Check,
    mut answer: impl FnMut(&checks::Request) -> Answer,
) -> Said {
    let settings = entry
        .settings
        .iter()
        .map(|name| (name.clone(), "id".to_owned()));
    let mut run = Run::new(entry, settings.collect(), None, Bounds::default());
    let mut report = Report::default();
    report.add(run.start());
    let mut now = NOW;
    loop {
        match run.next(now) {
            Step::Ask(request) => report.add(run.take(answer(&request), now)),
            Step::Wait(until) => now = until,
            Step::Done => break,
        }
    }
    let covered = report.coverage(entry, &run);
    let covered = covered.iter().find(|covered| covered.check_id == check.id);
    Said {
        check: covered.expect("every check is covered").status,
        results: report
            .outcomes()
            .filter(|outcome| outcome.check_id == check.id)
            .map(|outcome| outcome.status)
            .collect(),
    }
}

/// Every check that judges an answer.
pub fn every_check() -> impl Iterator<Item = (&'static Entry, &'static Check)> {
    checks::entries().iter().flat_map(|entry| {
        let judging = entry.checks.iter().filter(|check| check.read.is_some());
        judging.map(move |check| (entry, check))
    })
}
