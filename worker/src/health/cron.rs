//! The schedule of an integration's checks: a cron expression of five fields, in UTC.
//!
//! Fields: minute, hour, day of the month, month, day of the week (0 and 7 are Sunday). Each is a list of `*`, numbers and ranges. `*` and
//! ranges may have a step. Months and days of the week have English names too. A day matches if both its fields match or, if neither begins
//! with `*`, if one of them does (POSIX; as in Vixie's cron, `*/2` begins with `*`).
//!
//! Written here because a crate would also accept what is rejected here (seconds, years, time zones, macros), and would lose the messages
//! that name the field.

use chrono::{DateTime, Datelike, NaiveDate, Timelike, Utc};

/// The longest expression, in bytes. The database has the same bound.
const MAX: usize = 200;
/// The least number of minutes between two checks. All integrations of a type share the provider's limit (Supabase: 120 requests a minute), and
/// a check's result stays useful for longer.
const INTERVAL: u32 = 15;
const DAY: u32 = 24 * 60;
/// How many days are searched. 29 February falls on a given weekday after 40 years at most.
const HORIZON: usize = 41 * 366;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const SUNDAY: u32 = 7;

/// A cron expression that matches some day, and not too often.
#[derive(Debug, PartialEq, Eq)]
pub struct Cron {
    text: String,
    minutes: Set,
    hours: Set,
    days: Set,
    months: Set,
    weekdays: Set,
    /// Whether one of the two day fields is enough.
    either: bool,
}

/// An invalid expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// It is not five fields, or too long.
    Shape,
    /// The first field is wrong.
    Minute,
    /// The second field is wrong.
    Hour,
    /// The third field is wrong.
    DayOfMonth,
    /// The fourth field is wrong.
    Month,
    /// The fifth field is wrong.
    DayOfWeek,
    /// No month of it has such a day.
    Never,
    /// Two of its times are less than 15 minutes apart.
    TooOften,
}

impl Wrong {
    /// The message for the client: the field, and what it may contain.
    pub fn message(self) -> &'static str {
        match self {
            Self::Shape => {
                "scan_schedule must be a cron expression of five fields, at most 200 characters: minute, hour, day of the month, month, day of the week, in UTC"
            }
            Self::Minute => {
                "scan_schedule: the minute (first field) must be made of *, 0 to 59, ranges, lists and steps"
            }
            Self::Hour => {
                "scan_schedule: the hour (second field) must be made of *, 0 to 23, ranges, lists and steps"
            }
            Self::DayOfMonth => {
                "scan_schedule: the day of the month (third field) must be made of *, 1 to 31, ranges, lists and steps"
            }
            Self::Month => {
                "scan_schedule: the month (fourth field) must be made of *, 1 to 12 or jan to dec, ranges, lists and steps"
            }
            Self::DayOfWeek => {
                "scan_schedule: the day of the week (fifth field) must be made of *, 0 to 7 or sun to sat, ranges, lists and steps"
            }
            Self::Never => {
                "scan_schedule: the day of the month (third field) never occurs in the months of the fourth field"
            }
            Self::TooOften => {
                "scan_schedule: the minute (first field) puts two checks less than 15 minutes apart"
            }
        }
    }
}

impl Cron {
    /// Parses an expression.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        if text.len() > MAX {
            return Err(Wrong::Shape);
        }
        let fields: Vec<_> = text.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(Wrong::Shape);
        };
        let cron = Self {
            text: fields.join(" "),
            minutes: Set::parse(minute, 0..=59, &[]).ok_or(Wrong::Minute)?,
            hours: Set::parse(hour, 0..=23, &[]).ok_or(Wrong::Hour)?,
            days: Set::parse(day, 1..=31, &[]).ok_or(Wrong::DayOfMonth)?,
            months: Set::parse(month, 1..=12, &MONTHS).ok_or(Wrong::Month)?,
            weekdays: Set::parse(weekday, 0..=SUNDAY, &WEEKDAYS).ok_or(Wrong::DayOfWeek)?,
            either: !day.starts_with('*') && !weekday.starts_with('*'),
        };
        if !cron.either && !cron.has_a_day() {
            return Err(Wrong::Never);
        }
        if cron.is_too_often() {
            return Err(Wrong::TooOften);
        }
        Ok(cron)
    }

    /// The expression, with one blank between the fields.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first time after this one. None if the calendar has none.
    pub fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut day = after.date_naive();
        let mut from = after.hour() * 60 + after.minute() + 1;
        for _ in 0..HORIZON {
            if self.counts(day)
                && let Some(minute) = self.first_from(from)
            {
                return Some(day.and_hms_opt(minute / 60, minute % 60, 0)?.and_utc());
            }
            (day, from) = (day.succ_opt()?, 0);
        }
        None
    }

    fn counts(&self, day: NaiveDate) -> bool {
        let weekday = day.weekday().num_days_from_sunday();
        // Sunday has two numbers.
        let by_weekday = self.weekdays.has(weekday) || weekday == 0 && self.weekdays.has(SUNDAY);
        let by_day = self.days.has(day.day());
        self.months.has(day.month())
            && if self.either {
                by_day || by_weekday
            } else {
                by_day && by_weekday
            }
    }

    /// The first matching minute of a day, from this one on.
    fn first_from(&self, minute: u32) -> Option<u32> {
        let mut from = minute;
        while from < DAY {
            let (hour, start) = (from / 60, from % 60);
            if self.hours.has(hour)
                && let Some(found) = self.minutes.first_from(start)
            {
                return Some(hour * 60 + found);
            }
            from = (hour + 1) * 60;
        }
        None
    }

    /// Every day of the month falls on each weekday at some time.
    fn has_a_day(&self) -> bool {
        const LONGEST: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let first = self.days.first_from(0);
        first.is_some_and(|day| {
            (1..)
                .zip(LONGEST)
                .any(|(month, days)| self.months.has(month) && day <= days)
        })
    }

    /// As if every day matched: usually two days in a row do.
    fn is_too_often(&self) -> bool {
        let Some(first) = self.first_from(0) else {
            return false;
        };
        let mut last = first;
        while let Some(next) = self.first_from(last + 1) {
            if next - last < INTERVAL {
                return true;
            }
            last = next;
        }
        first + DAY - last < INTERVAL
    }
}

/// A set of numbers up to 63.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Set(u64);

impl Set {
    /// Parses a field. Names stand for the numbers from the least one on.
    fn parse(field: &str, all: std::ops::RangeInclusive<u32>, names: &[&str]) -> Option<Self> {
        let (least, most) = (*all.start(), *all.end());
        let value = |text: &str| {
            let named = names
                .iter()
                .position(|name| name.eq_ignore_ascii_case(text));
            let value = match named {
                Some(position) => least + u32::try_from(position).ok()?,
                None => number(text)?,
            };
            all.contains(&value).then_some(value)
        };
        let mut set = 0;
        for item in field.split(',') {
            let (range, step) = match item.split_once('/') {
                Some((range, step)) => (range, Some(number(step).filter(|step| *step > 0)?)),
                None => (item, None),
            };
            let (from, to) = match range.split_once('-') {
                _ if range == "*" => (least, most),
                // A range of weekdays may end on Sunday.
                Some((from, to)) if to.eq_ignore_ascii_case(WEEKDAYS[0]) => {
                    value(to)?;
                    (value(from)?, SUNDAY)
                }
                Some((from, to)) => (value(from)?, value(to)?),
                None if step.is_none() => (value(range)?, value(range)?),
                None => return None,
            };
            if from > to {
                return None;
            }
            for member in (from..=to).step_by(step.unwrap_or(1) as usize) {
                set |= 1 << member;
            }
        }
        Some(Self(set))
    }

    fn has(self, member: u32) -> bool {
        self.0 >> member & 1 == 1
    }

    fn first_from(self, member: u32) -> Option<u32> {
        let rest = self.0 >> member;
        (rest != 0).then(|| member + rest.trailing_zeros())
    }
}

/// Parses one or two digits.
fn number(text: &str) -> Option<u32> {
    let fine = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    fine.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
