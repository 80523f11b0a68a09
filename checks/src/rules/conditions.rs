//! The rules for conditions, pointers and special answers.

use super::need::need;
use crate::condition::{Condition, Test};
use crate::entry::Special;

/// What answers that mean something else than their status says must keep to.
pub(super) fn specials(specials: &[Special]) -> Result<(), String> {
    for special in specials {
        need(
            special.means.is_some() != special.stands_for.is_some(),
            || format!("the answer {} needs either `means` or `as`", special.status),
        )?;
        // An error that any hidden thing has, too, would be read as a fact.
        need(
            special.stands_for.is_none() || special.when.is_some() || special.status < 300,
            || {
                format!(
                    "the answer {} stands for JSON, but has no `when`",
                    special.status
                )
            },
        )?;
        special.when.as_ref().map_or(Ok(()), condition)?;
    }
    Ok(())
}

/// What a condition must keep to.
pub(super) fn condition(found: &Condition) -> Result<(), String> {
    match found {
        Condition::All(all) | Condition::Any(all) => {
            need(!all.is_empty(), || "an empty all or any".to_owned())?;
            all.iter().try_for_each(condition)
        }
        Condition::Not(not) => condition(not),
        Condition::List { at, split, is, .. } => {
            pointer(at)?;
            need(split.as_ref().is_none_or(|split| !split.is_empty()), || {
                "an empty split".to_owned()
            })?;
            condition(is)
        }
        Condition::At(at, test) => {
            pointer(at)?;
            let scalar = |value: &serde_json::Value| !value.is_array() && !value.is_object();
            need(
                match test {
                    Test::Equals(value) | Test::NotEquals(value) | Test::Contains(value) => {
                        scalar(value)
                    }
                    Test::OneOf(values) => !values.is_empty() && values.iter().all(scalar),
                    Test::StartsWith(texts) | Test::EndsWith(texts) | Test::HostIs(texts) => {
                        texts.iter().all(|text| !text.is_empty()) && !texts.is_empty()
                    }
                    _ => true,
                },
                || format!("the test at {at:?} compares with no scalar"),
            )
        }
    }
}

/// A JSON Pointer (RFC 6901).
pub(super) fn pointer(at: &str) -> Result<(), String> {
    need(at.is_empty() || at.starts_with('/'), || {
        format!("{at:?} is no JSON Pointer")
    })
}

/// Whether a condition compares with a number or an age that somebody chose: 0 and 1 only tell none from some.
pub(super) fn has_numbers(found: &Condition) -> bool {
    match found {
        Condition::All(all) | Condition::Any(all) => all.iter().any(has_numbers),
        Condition::Not(not) => has_numbers(not),
        Condition::List { is, .. } => has_numbers(is),
        Condition::At(_, test) => match test {
            Test::AtLeast(bound)
            | Test::AtMost(bound)
            | Test::OlderThan(bound)
            | Test::YoungerThan(bound) => *bound > 1.0,
            Test::CountAtMost(most) => *most > 1,
            _ => false,
        },
    }
}
