//! How a function of the database is called: each call is one transaction, each answer one outcome.

use crate::error::DatabaseError;
use crate::http::{HttpRequest, HttpResponse};
use crate::json;
use crate::project::{self, ApiKey};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A call: the fields are the function's arguments.
pub trait Call: Serialize {
    /// In the schema public.
    const NAME: &'static str;
    /// The answer's field `outcome` names the variant; the other fields are the variant's.
    type Outcome: DeserializeOwned;
}

pub fn body<C: Call>(call: &C) -> String {
    // Ids, texts and JSON objects: serializing them cannot fail.
    serde_json::to_string(call).unwrap_or_default()
}

pub fn request(origin: &str, service_key: &ApiKey, name: &str, body: String) -> HttpRequest {
    let path = format!("/rest/v1/rpc/{name}");
    project::request(origin, "POST", &path, service_key, None, Some(body))
}

/// Rejects a response without an outcome.
pub fn check(name: &str, answer: &HttpResponse) -> Result<(), DatabaseError> {
    if answer.status != 200 {
        return Err(DatabaseError::refused(name, answer.status, &answer.body));
    }
    if !answer.is_json() {
        return Err(DatabaseError::invalid(format!(
            "{name}: the answer is not JSON"
        )));
    }
    Ok(())
}

pub fn outcome<C: Call>(text: &str) -> Result<C::Outcome, DatabaseError> {
    json::read_tagged("outcome", text).map_err(|place| {
        let name = C::NAME;
        DatabaseError::invalid(format!("{name}: unexpected outcome: {place}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Serialize)]
    struct Begin;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Beginning {
        Begun,
        TooMany,
        Exists { id: String },
    }

    impl Call for Begin {
        const NAME: &'static str = "begin";
        type Outcome = Beginning;
    }

    fn outcome_of(answer: &HttpResponse) -> Result<Beginning, DatabaseError> {
        check(Begin::NAME, answer)?;
        outcome::<Begin>(&answer.body)
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
        let read = |body: &str| outcome_of(&answer(200, "application/json; charset=utf-8", body));
        assert_eq!(
            read(r#"{"outcome":"too_many"}"#).unwrap(),
            Beginning::TooMany
        );
        let id = "x".to_owned();
        assert_eq!(
            read(r#"{"outcome":"exists","id":"x"}"#).unwrap(),
            Beginning::Exists { id }
        );
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
            match outcome_of(&answer(status, content_type, body)) {
                Err(DatabaseError { detail, .. }) => {
                    assert!(!detail.contains("planted"), "{detail}")
                }
                _ => panic!("{status} {content_type} {body} was taken for an outcome"),
            }
        }
    }
}
