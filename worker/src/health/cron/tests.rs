//! Schedules: what is read, what is refused, and the next moment, beside a search minute by minute.

use super::{Cron, Wrong};
use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc};
use proptest::prelude::*;

fn moment(text: &str) -> DateTime<Utc> {
    text.parse().expect("a moment")
}

fn next(expression: &str, after: &str) -> String {
    let cron = Cron::parse(expression).expect("a schedule");
    let next = cron.next(moment(after)).expect("a moment");
    next.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[test]
fn the_next_moment_is_after_the_given_one() {
    for (expression, after, expected) in [
        ("0 0 * * *", "2026-11-26T00:00:00Z", "2026-11-27T00:00:00Z"),
        (
            "0 0 * * *",
            "2026-11-25T23:59:59.999Z",
            "2026-11-26T00:00:00Z",
        ),
        (
            "*/15 * * * *",
            "2026-11-26T06:15:00.001Z",
            "2026-11-26T06:30:00Z",
        ),
        (
            "30 6,18 * * *",
            "2026-12-31T18:30:00Z",
            "2027-01-01T06:30:00Z",
        ),
        ("0 3 29 2 *", "2026-03-01T00:00:00Z", "2028-02-29T03:00:00Z"),
        (
            "0 3 29 feb *",
            "2096-03-01T00:00:00Z",
            "2104-02-29T03:00:00Z",
        ),
        ("0 3 31 * *", "2026-01-31T03:00:00Z", "2026-03-31T03:00:00Z"),
        // 26 November 2026 is a Thursday.
        (
            "0 9 * * mon-fri",
            "2026-11-27T09:00:00Z",
            "2026-11-30T09:00:00Z",
        ),
        ("0 9 * * 7", "2026-11-26T00:00:00Z", "2026-11-29T09:00:00Z"),
        ("0 9 * * 0", "2026-11-26T00:00:00Z", "2026-11-29T09:00:00Z"),
        (
            "0 9 * * SAT-SUN",
            "2026-11-28T09:00:00Z",
            "2026-11-29T09:00:00Z",
        ),
        (
            "0 9 * Dec-DEC sun-tue",
            "2026-11-26T00:00:00Z",
            "2026-12-01T09:00:00Z",
        ),
    ] {
        assert_eq!(
            next(expression, after),
            expected,
            "{expression} after {after}"
        );
    }
}

#[test]
fn of_two_restricted_days_one_is_enough() {
    assert_eq!(
        next("0 0 1 * fri", "2026-11-26T00:00:00Z"),
        "2026-11-27T00:00:00Z"
    );
    assert_eq!(
        next("0 0 1 * fri", "2026-11-27T00:00:00Z"),
        "2026-12-01T00:00:00Z"
    );
    // The 31st of June never comes, a Friday does.
    assert_eq!(
        next("0 0 31 6 fri", "2026-11-26T00:00:00Z"),
        "2027-06-04T00:00:00Z"
    );
    // Vixie's star: then both.
    assert_eq!(
        next("0 0 */2 * fri", "2026-11-26T00:00:00Z"),
        "2026-11-27T00:00:00Z"
    );
    assert_eq!(
        next("0 0 */2 * fri", "2026-11-27T00:00:00Z"),
        "2026-12-11T00:00:00Z"
    );
    assert_eq!(
        next("0 0 29 2 */3", "2096-03-01T00:00:00Z"),
        "2108-02-29T00:00:00Z"
    );
}

#[test]
fn what_is_wrong_is_named() {
    for (expression, wrong) in [
        ("", Wrong::Shape),
        ("* * * *", Wrong::Shape),
        ("0 0 * * * *", Wrong::Shape),
        ("@daily", Wrong::Shape),
        ("0 0 * * *\u{a0}", Wrong::DayOfWeek),
        ("60 0 * * *", Wrong::Minute),
        ("-1 0 * * *", Wrong::Minute),
        ("+1 0 * * *", Wrong::Minute),
        ("1.5 0 * * *", Wrong::Minute),
        ("000 0 * * *", Wrong::Minute),
        ("0, 0 * * *", Wrong::Minute),
        (",0 0 * * *", Wrong::Minute),
        ("0/15 0 * * *", Wrong::Minute),
        ("*/0 0 * * *", Wrong::Minute),
        ("*/ 0 * * *", Wrong::Minute),
        ("*/15/2 0 * * *", Wrong::Minute),
        ("** 0 * * *", Wrong::Minute),
        ("*-5 0 * * *", Wrong::Minute),
        ("5-1 0 * * *", Wrong::Minute),
        ("1-2-3 0 * * *", Wrong::Minute),
        ("0-sun 0 * * *", Wrong::Minute),
        ("jan 0 * * *", Wrong::Minute),
        ("٣ 0 * * *", Wrong::Minute),
        ("0 24 * * *", Wrong::Hour),
        ("0 * 0 * *", Wrong::DayOfMonth),
        ("0 * 32 * *", Wrong::DayOfMonth),
        ("0 * L * *", Wrong::DayOfMonth),
        ("0 * ? * *", Wrong::DayOfMonth),
        ("0 * * 0 *", Wrong::Month),
        ("0 * * 13 *", Wrong::Month),
        ("0 * * mon *", Wrong::Month),
        ("0 * * 1-sun *", Wrong::Month),
        ("0 * * january *", Wrong::Month),
        ("0 * * * 8", Wrong::DayOfWeek),
        ("0 * * * feb", Wrong::DayOfWeek),
        ("0 * * * fri#2", Wrong::DayOfWeek),
        ("0 0 31 2 *", Wrong::Never),
        ("0 0 30,31 feb *", Wrong::Never),
        ("0 0 31 2,4,6,9,11 *", Wrong::Never),
        ("0 0 31 2 */2", Wrong::Never),
        ("* * * * *", Wrong::TooOften),
        ("*/14 * * * *", Wrong::TooOften),
        ("0,50 * * * *", Wrong::TooOften),
        ("5,55 0,23 * * *", Wrong::TooOften),
    ] {
        assert_eq!(Cron::parse(expression), Err(wrong), "{expression}");
    }
    let long = format!("{} 0 * * *", vec!["0"; 100].join(","));
    assert_eq!(Cron::parse(&long), Err(Wrong::Shape));
    assert!(Cron::parse(&"9".repeat(1_000_000)).is_err());
}

#[test]
fn a_message_names_the_field_and_fits_in_a_line() {
    for wrong in [
        Wrong::Shape,
        Wrong::Minute,
        Wrong::Hour,
        Wrong::DayOfMonth,
        Wrong::Month,
        Wrong::DayOfWeek,
        Wrong::Never,
        Wrong::TooOften,
    ] {
        let message = wrong.message();
        assert!(
            message.starts_with("scan_schedule") && message.contains("field"),
            "{message}"
        );
    }
}

#[test]
fn what_is_kept_has_single_blanks() {
    assert_eq!(
        Cron::parse(" 0\t 3 * *  mon\n").unwrap().as_str(),
        "0 3 * * mon"
    );
}

/// A field as text, with the numbers that it means.
fn field(least: u32, most: u32) -> impl Strategy<Value = (String, Vec<u32>)> {
    let item =
        (least..=most, least..=most, 1u32..=20, 0u32..5).prop_map(move |(a, b, step, kind)| {
            let (from, to) = (a.min(b), a.max(b));
            let stepped = |from: u32, to: u32| {
                (from..=to)
                    .filter(|n| (n - from).is_multiple_of(step))
                    .collect::<Vec<_>>()
            };
            match kind {
                0 => (format!("{a}"), vec![a]),
                1 => (format!("{from}-{to}"), (from..=to).collect()),
                2 => (format!("{from}-{to}/{step}"), stepped(from, to)),
                3 => (format!("*/{step}"), stepped(least, most)),
                _ => ("*".to_owned(), (least..=most).collect()),
            }
        });
    prop::collection::vec(item, 1..4).prop_map(|items| {
        let (texts, numbers): (Vec<_>, Vec<_>) = items.into_iter().unzip();
        (texts.join(","), numbers.concat())
    })
}

/// Minutes a quarter of an hour apart, so that many expressions are taken.
fn minutes() -> impl Strategy<Value = (String, Vec<u32>)> {
    prop_oneof![
        field(0, 59),
        prop::sample::subsequence(vec![3u32, 18, 33, 48], 1..=4).prop_map(|numbers| {
            let texts: Vec<_> = numbers.iter().map(u32::to_string).collect();
            (texts.join(","), numbers)
        }),
    ]
}

const DAYS: i64 = 40;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn the_next_moment_is_the_one_that_a_search_finds(
        minute in minutes(), hour in field(0, 23), day in field(1, 31), month in field(1, 12), weekday in field(0, 7),
        start in 0i64..4_000_000_000,
    ) {
        let text = [&minute, &hour, &day, &month, &weekday].map(|(text, _)| text.as_str()).join(" ");
        let either = !day.0.starts_with('*') && !weekday.0.starts_with('*');
        let matches = |moment: DateTime<Utc>| {
            let number = moment.weekday().number_from_monday();
            let by_weekday = weekday.1.contains(&number) || (number == 7 && weekday.1.contains(&0));
            let by_day = day.1.contains(&moment.day());
            minute.1.contains(&moment.minute()) && hour.1.contains(&moment.hour()) && month.1.contains(&moment.month())
                && if either { by_day || by_weekday } else { by_day && by_weekday }
        };
        let after = DateTime::from_timestamp(start, 0).unwrap();
        let first = DateTime::from_timestamp(start / 60 * 60, 0).unwrap() + TimeDelta::minutes(1);
        let moments: Vec<_> = (0..DAYS * 1440).map(|n| first + TimeDelta::minutes(n)).filter(|m| matches(*m)).collect();
        match Cron::parse(&text) {
            Ok(cron) => {
                let next = cron.next(after).unwrap();
                let found = moments.first().copied();
                prop_assert!(next > after);
                prop_assert_eq!(found, (next < first + TimeDelta::days(DAYS)).then_some(next), "{}", text);
                for pair in moments.windows(2) {
                    prop_assert!(pair[1] - pair[0] >= TimeDelta::minutes(15), "{}", text);
                }
            }
            Err(Wrong::Never) => prop_assert!(moments.is_empty(), "{}", text),
            Err(Wrong::TooOften) => {}
            // The lists may grow long.
            Err(wrong) => prop_assert!(wrong == Wrong::Shape && text.len() > 200, "{}: {:?}", text, wrong),
        }
    }

    #[test]
    fn anything_is_read_or_refused(text in "\\PC{0,80}") {
        let _ = Cron::parse(&text);
    }

    #[test]
    fn what_looks_like_one_is_read_or_refused(text in "[-0-9*/,a-z]{1,6}( [-0-9*/,a-z]{1,6}){4}") {
        if let Ok(cron) = Cron::parse(&text) {
            prop_assert!(cron.next(DateTime::UNIX_EPOCH).is_some());
        }
    }
}
