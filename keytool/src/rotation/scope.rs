use std::str::FromStr;

use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};
use crate::settings::uuid;
use crate::store::retry::retry;
use crate::store::{Page, Rows};

/// The part of the table that a command works on.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Rows")]
pub struct Scope {
    /// Only the rows of this organization
    #[arg(long, value_name = "UUID", value_parser = uuid)]
    pub only_organization: Option<Uuid>,

    /// Only the I-th of N parts of the ids, for example 1/4, so that several machines share the work
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
}

impl Scope {
    pub fn is_everything(&self) -> bool {
        self.only_organization.is_none() && self.shard.is_none()
    }

    /// An organization without a row is a typing error, or another database's.
    pub async fn ensure_known(&self, connection: &dyn Rows) -> Result<()> {
        let Some(id) = self.only_organization else {
            return Ok(());
        };
        let page = Page {
            organization: Some(id),
            limit: 1,
            ..Page::default()
        };
        if retry(async || connection.read(&page).await)
            .await?
            .is_empty()
        {
            let message = format!("organization {id} has no rows");
            return Err(Error::new(ErrorKind::Caller, message)
                .hint("is it the right id, and the right database?"));
        }
        Ok(())
    }

    /// Which part it is, for a person; empty if it is everything.
    pub fn of_part(&self) -> String {
        let organization = self
            .only_organization
            .map(|id| format!(" of organization {id}"));
        let shard = self
            .shard
            .map(|Shard { index, of }| format!(" of shard {index}/{of}"));
        organization.into_iter().chain(shard).collect()
    }

    /// For a machine; null if it is everything.
    pub fn to_json(&self) -> Value {
        if self.is_everything() {
            return Value::Null;
        }
        json!({
            "organization": self.only_organization.map(|id| id.to_string()),
            "shard": self.shard.map(|Shard { index, of }| format!("{index}/{of}")),
        })
    }

    pub fn start(&self) -> Page {
        let (after, until) = self.shard.map_or((None, None), Shard::bounds);
        Page {
            after,
            until,
            organization: self.only_organization,
            ..Page::default()
        }
    }
}

/// One of `of` equal parts of all ids, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    of: u32,
}

impl Shard {
    /// The last id before the shard, and the last id in it; `None` at the ends of the table.
    fn bounds(self) -> (Option<Uuid>, Option<Uuid>) {
        let end = |index: u32| {
            (0 < index && index < self.of)
                .then(|| Uuid::from_u128(u128::MAX / u128::from(self.of) * u128::from(index)))
        };
        (end(self.index - 1), end(self.index))
    }
}

impl FromStr for Shard {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shard = text.split_once('/').and_then(|(index, of)| {
            Some(Self {
                index: index.parse().ok()?,
                of: of.parse().ok()?,
            })
        });
        shard
            .filter(|shard| (1..=shard.of).contains(&shard.index) && shard.of <= 1_000_000)
            .ok_or("a shard is written I/N, with I from 1 to N")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_cover_every_id_once() {
        for of in [1, 2, 3, 7, 1000] {
            let mut before = None;
            for index in 1..=of {
                let (after, until) = Shard { index, of }.bounds();
                assert_eq!(after, before, "{index}/{of}");
                assert!(until.is_none() == (index == of) && (until > after || until.is_none()));
                before = until;
            }
        }
    }

    #[test]
    fn reads_what_is_a_shard() {
        assert_eq!("2/3".parse(), Ok(Shard { index: 2, of: 3 }));
        for text in [
            "",
            "1",
            "0/3",
            "4/3",
            "1/0",
            "-1/3",
            "a/b",
            "1/2/3",
            "1/9999999999",
        ] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
