//! What is asked of any answer of a provider: whether there is one, how it is encoded, and whether it means success.

use crate::error::Error;
use crate::http::{Inbound, SendError};
use crate::providers::{Encoding, Provider};
use serde_json::{Map, Value};

/// A provider gave no answer.
pub fn no_answer(what: &str, error: SendError) -> Error {
    let how = match error {
        SendError::Timeout => "did not answer in time",
        SendError::Network => "could not be reached, or broke off",
        SendError::TooLarge => "answered more than the limit",
    };
    Error::Provider {
        detail: format!("{what}: {how}").into(),
    }
}

/// The answer's body: JSON, which is always asked for, or a form where the provider may answer one all the same.
pub fn body(provider: &Provider, answer: &Inbound) -> Option<Value> {
    if answer.is_json() {
        return serde_json::from_str(&answer.body).ok();
    }
    let is_form = provider.token_answer == Encoding::Form && answer.is_form();
    is_form.then(|| {
        let mut body = Map::new();
        for (name, value) in form_urlencoded::parse(answer.body.as_bytes()) {
            body.insert(name.into_owned(), Value::from(value));
        }
        Value::Object(body)
    })
}

/// Whether an answer with status 200 means success.
pub fn is_success(provider: &Provider, body: &Value) -> bool {
    let flag = provider.success_flag.as_ref();
    flag.is_none_or(|flag| body.pointer(flag) == Some(&Value::Bool(true)))
}
