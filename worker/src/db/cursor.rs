//! Cursors of lists. A cursor holds the sort key of the last row of a page, so that the next page neither repeats nor omits a row while rows
//! are added.

use crate::error::{ClientError, Result};
use chrono::{DateTime, SecondsFormat};
use serde::Serialize;
use uuid::Uuid;

/// A row of a list in pages.
pub trait Keyed {
    fn cursor(&self) -> String;
    /// The filter of PostgREST for what follows a cursor.
    fn after(cursor: &str) -> Result<String>;
}

fn malformed() -> ClientError {
    ClientError::Invalid("cursor must be the next_cursor of an earlier page")
}

/// The cursor of a row by its moment, as PostgREST writes it, and its id.
pub fn of_moment(timestamp: &str, id: Uuid) -> String {
    let moment = DateTime::parse_from_rfc3339(timestamp).unwrap_or_default();
    format!("{}.{id}", moment.timestamp_micros())
}

/// What follows it, where the newest are first.
pub fn after_moment(column: &str, cursor: &str) -> Result<String> {
    let parts = cursor.split_once('.').and_then(|(micros, id)| {
        let digits = micros.bytes().all(|b| b.is_ascii_digit());
        let micros = digits.then(|| micros.parse().ok()).flatten()?;
        let moment = DateTime::from_timestamp_micros(micros)?;
        let id = (id.len() == 36)
            .then(|| Uuid::try_parse(id).ok())
            .flatten()?;
        Some((moment.to_rfc3339_opts(SecondsFormat::Micros, true), id))
    });
    let (moment, id) = parts
        .filter(|(moment, _)| moment.len() == 27)
        .ok_or_else(malformed)?;
    Ok(format!(
        "&{column}=lte.{moment}&or=({column}.lt.{moment},id.gt.{id})"
    ))
}

/// What follows a finding by its sort key: a digit, 14 of hexadecimal, and its id.
pub fn after_sort_key(cursor: &str) -> Result<String> {
    let mut bytes = cursor.bytes();
    let is_one = cursor.len() == 51
        && bytes.next().is_some_and(|b| (b'1'..=b'5').contains(&b))
        && bytes.all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b) || b == b'-');
    is_one
        .then(|| format!("&sort_key=gt.{cursor}"))
        .ok_or_else(|| malformed().into())
}

/// The place of an event in the order of the transactions that wrote them.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Position {
    #[serde(rename = "p_transaction_id")]
    transaction: String,
    #[serde(rename = "p_id")]
    id: i64,
}

impl Position {
    /// Reads the cursor of an exported event: the transaction and the id.
    pub fn parse(cursor: &str) -> Result<Self> {
        let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let parts = cursor.split_once('.').and_then(|(transaction, id)| {
            let numbers = number(transaction) && number(id);
            let transaction: u64 = numbers.then(|| transaction.parse().ok()).flatten()?;
            let id: i64 = id.parse().ok()?;
            Some((transaction.to_string(), id))
        });
        let (transaction, id) = parts.ok_or_else(malformed)?;
        Ok(Self { transaction, id })
    }
}

/// What follows a row by a number that goes down.
pub fn after_number(cursor: &str) -> Result<String> {
    let digits = (1..=19).contains(&cursor.len()) && cursor.bytes().all(|b| b.is_ascii_digit());
    let number = digits.then(|| cursor.parse::<i64>().ok()).flatten();
    let number = number.filter(|number| *number > 0).ok_or_else(malformed)?;
    Ok(format!("&id=lt.{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    #[test]
    fn a_moment_comes_back_to_the_microsecond() {
        let id = Uuid::try_parse(ID).unwrap();
        let cursor = of_moment("2026-11-27T20:58:00.123456+00:00", id);
        assert_eq!(cursor, format!("1795813080123456.{ID}"));
        let moment = "2026-11-27T20:58:00.123456Z";
        assert_eq!(
            after_moment("queued_at", &cursor).unwrap(),
            format!("&queued_at=lte.{moment}&or=(queued_at.lt.{moment},id.gt.{ID})")
        );
        assert_eq!(of_moment("2026-11-27T21:58:00.123456+01:00", id), cursor);
    }

    // threat model 24
    #[test]
    fn what_no_page_has_given_is_no_cursor() {
        let key = format!("1{}{ID}", "0".repeat(14));
        assert!(after_sort_key(&key).is_ok() && after_number("7").is_ok());
        let long = "9".repeat(10_000);
        for wrong in [
            "",
            "x",
            "1.5",
            "-1",
            "+1",
            "0",
            "9223372036854775808",
            "1,id.gt.0)",
            long.as_str(),
            &format!("9{key}"),
            &key.replace('1', "6"),
            &key.replace('-', ")"),
            &format!("-1.{ID}"),
            &format!("1.{ID}x"),
            &format!("9223372036854775807.{ID}"),
            &format!("1.{}", ID.replace('-', "")),
        ] {
            assert!(after_moment("a", wrong).is_err(), "{wrong:.60}");
            assert!(after_sort_key(wrong).is_err(), "{wrong:.60}");
            assert!(after_number(wrong).is_err(), "{wrong:.60}");
            if wrong != "1.5" {
                assert!(Position::parse(wrong).is_err(), "{wrong:.60}");
            }
        }
    }
}
