//! How a function of the database is called: each call is one transaction, each answer one outcome.

use crate::db::project::Project;
use crate::error::{Error, Result};
use crate::http::{HttpRequest, HttpResponse};
use crate::json;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A call of a function: its name, its arguments, and what it answers.
pub trait Call: Serialize {
    /// The function's name in schema public.
    const NAME: &'static str;
    /// Its outcomes: the field `outcome` of the answer names the variant, the other fields are its own.
    type Outcome: DeserializeOwned;
}

/// The body of a call's request.
pub fn body<C: Call>(call: &C) -> String {
    // Ids, texts and JSON objects: serializing them cannot fail.
    serde_json::to_string(call).unwrap_or_default()
}

/// Builds the request of a call by its function's name.
pub fn request(project: &Project, name: &str, body: String) -> HttpRequest {
    let path = format!("/rest/v1/rpc/{name}");
    project.request("POST", &path, &project.service_key, None, Some(body))
}

/// Rejects a response that holds no outcome at all.
pub fn check(name: &str, answer: &HttpResponse) -> Result<()> {
    if answer.status != 200 {
        return Err(Error::refused(name, answer.status, &answer.body));
    }
    if !answer.is_json() {
        return Err(Error::database_answer(format!(
            "{name}: the answer is not JSON"
        )));
    }
    Ok(())
}

/// The outcome that a response holds.
pub fn outcome<C: Call>(text: &str) -> Result<C::Outcome> {
    json::read_tagged("outcome", text).map_err(|place| {
        let name = C::NAME;
        Error::database_answer(format!("{name}: unexpected outcome: {place}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{BeginConnection, Begun, CompleteConnection, Completed};

    fn outcome_of<C: Call>(answer: &HttpResponse) -> Result<C::Outcome> {
        check(C::NAME, answer)?;
        outcome::<C>(&answer.body)
    }

    fn answer(status: u16, content_type: &str, body: &str) -> HttpResponse {
        HttpResponse {
            status,
            content_type: content_type.into(),
            body: body.into(),
        }
    }

    #[test]
    fn an_outcome_is_read_by_its_name() {
        let json = "application/json; charset=utf-8";
        assert!(matches!(
            outcome_of::<BeginConnection>(&answer(200, json, r#"{"outcome":"too_many"}"#)),
            Ok(Begun::TooMany)
        ));
        let id = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        let body = format!(r#"{{"outcome":"exists","id":"{id}"}}"#);
        match outcome_of::<CompleteConnection>(&answer(200, json, &body)) {
            Ok(Completed::Exists { id: read }) => assert_eq!(read.to_string(), id),
            _ => panic!("expected exists"),
        }
    }

    // threat model 31
    #[test]
    fn whatever_is_no_outcome_is_no_success() {
        for (status, content_type, body) in [
            (200, "text/html", r#"{"outcome":"begun"}"#),
            (200, "application/json", "<html>planted</html>"),
            (200, "application/json", r#"{"outcome":"planted"}"#),
            (200, "application/json", "null"),
            (201, "application/json", r#"{"outcome":"begun"}"#),
            (204, "", ""),
            (401, "application/json", r#"{"message":"planted"}"#),
            (409, "application/json", "{}"),
            (500, "text/html", "planted"),
        ] {
            match outcome_of::<BeginConnection>(&answer(status, content_type, body)) {
                Err(Error::Database { detail, .. }) => {
                    assert!(!detail.contains("planted"), "{detail}")
                }
                _ => panic!("{status} {content_type} {body} was taken for an outcome"),
            }
        }
    }
}
