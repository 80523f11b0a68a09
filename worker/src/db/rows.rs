//! The rows of a list, typed.

use crate::error::{Error, Result};
use crate::http::HttpResponse;
use serde::de::DeserializeOwned;

/// Reads the rows of an answer.
pub fn read<T: DeserializeOwned>(answer: &HttpResponse, what: &str) -> Result<Vec<T>> {
    if answer.status != 200 || !answer.is_json() {
        return Err(Error::refused(what, answer.status, &answer.body));
    }
    serde_json::from_str(&answer.body)
        .map_err(|_| Error::database_answer(format!("{what}: unexpected rows")))
}
