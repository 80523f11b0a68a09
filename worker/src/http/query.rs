//! A query's parameters: each known, each at most once, each in bounds. They go into URLs of PostgREST, so none is passed on as it came.

use crate::error::{ClientError, Result};
use crate::ids::OrganizationId;

/// How many rows a page holds unless the caller says so, and how many at the most.
const LIMIT: usize = 50;
const LIMIT_MAX: usize = 200;

/// The parameters of a query.
#[derive(Debug)]
pub struct Query {
    given: Vec<(String, String)>,
}

impl Query {
    /// Reads a query. `names` are the parameters that there are, `expected` is what the client reads otherwise.
    pub fn parse(text: &str, names: &[&str], expected: &'static str) -> Result<Self> {
        let mut given: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            let repeated = given.iter().any(|(other, _)| *other == name);
            if repeated || !names.contains(&&*name) {
                return Err(ClientError::Invalid(expected).into());
            }
            given.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self { given })
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut given = self.given.iter();
        let found = given.find(|(other, _)| other == name)?;
        Some(&found.1)
    }

    /// `limit`.
    pub fn limit(&self) -> Result<usize> {
        let Some(text) = self.get("limit") else {
            return Ok(LIMIT);
        };
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let limit = digits.then(|| text.parse().ok()).flatten();
        let limit = limit.filter(|limit| (1..=LIMIT_MAX).contains(limit));
        limit.ok_or(ClientError::Invalid("limit must be 1 to 200").into())
    }

    /// A parameter that is `true` or `false`.
    pub fn flag(&self, name: &str, expected: &'static str) -> Result<Option<bool>> {
        match self.get(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(ClientError::Invalid(expected).into()),
        }
    }

    /// A parameter that is a name of ours: lower-case letters, digits and underscores.
    pub fn name(&self, name: &str, expected: &'static str) -> Result<Option<&str>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        is_name(value)
            .then_some(Some(value))
            .ok_or(ClientError::Invalid(expected).into())
    }
}

/// Lower-case letters, digits and underscores, 100 at the most.
pub fn is_name(text: &str) -> bool {
    let of_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (1..=100).contains(&text.len()) && text.bytes().all(of_name)
}

/// `organization_id`, which may be absent, and nothing else.
pub fn organization(query: &str) -> Result<Option<OrganizationId>> {
    let expected = "expected organization_id, once";
    let query = Query::parse(query, &["organization_id"], expected)?;
    let organization = query.get("organization_id");
    organization.map(OrganizationId::parse).transpose()
}
