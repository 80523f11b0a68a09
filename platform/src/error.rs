//! How Supabase fails, and the key management service without which its answer is of no use.

use crate::http::SendError;
use kms::ServiceError;
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseFault {
    /// No answer within the time bound.
    Timeout,
    /// No connection, or an answer that says it is down.
    Unavailable,
    /// An invalid response: unexpected status, not JSON, or wrong structure.
    InvalidResponse,
    /// A credential could not be written.
    Save,
    /// The data key that sealed what was to be written has been deleted since it was read: seal with the current one, and write again.
    DataKeyDeleted,
}

#[derive(Debug)]
pub struct DatabaseError {
    pub fault: DatabaseFault,
    /// For the log.
    pub detail: String,
}

/// The rotation's fence rejects a write of another key (docs/database.md). This deployment is not updated yet, so a later attempt succeeds.
const FENCED: &str = "IK001";

/// A write that a deleted data key sealed (docs/database.md).
const DATA_KEY_DELETED: &str = "IK004";

/// PostgREST's code of an error, or the SQLSTATE that it passes on.
pub fn code(body: &str) -> String {
    let error: Value = serde_json::from_str(body).unwrap_or_default();
    let code = error.get("code").and_then(Value::as_str);
    let letters = code.unwrap_or_default().chars();
    letters
        .filter(char::is_ascii_alphanumeric)
        .take(16)
        .collect()
}

impl DatabaseError {
    pub fn no_answer(what: &str, error: SendError) -> Self {
        let (fault, how) = match error {
            SendError::Timeout => (DatabaseFault::Timeout, "did not answer in time"),
            SendError::Network => (
                DatabaseFault::Unavailable,
                "could not be reached, or broke off",
            ),
            SendError::TooLarge => (
                DatabaseFault::InvalidResponse,
                "answered more than the limit",
            ),
        };
        Self {
            fault,
            detail: format!("{what}: Supabase {how}"),
        }
    }

    /// Supabase gave an answer that is an error. PostgREST's code says which (`42501`: a right is missing); its message
    /// may quote data and is left out.
    pub fn refused(what: &str, status: u16, body: &str) -> Self {
        let code = code(body);
        let hint = match code.as_str() {
            "42501" => {
                " (Row level security policy violation, or a missing grant: were all migrations applied?)"
            }
            "PGRST202" | "42883" => " (the function does not exist: were all migrations applied?)",
            FENCED => {
                " (the key that sealed this was rotated out: deploy the worker with the new ENCRYPTION_KEY)"
            }
            DATA_KEY_DELETED => " (the data key that sealed this has been deleted)",
            _ if status == 401 => " (is the key the project's?)",
            _ => "",
        };
        let fault = match code.as_str() {
            DATA_KEY_DELETED => DatabaseFault::DataKeyDeleted,
            FENCED => DatabaseFault::Unavailable,
            _ if status >= 500 => DatabaseFault::Unavailable,
            _ => DatabaseFault::InvalidResponse,
        };
        Self {
            fault,
            detail: format!("{what}: Supabase answered {status} {code}{hint}"),
        }
    }

    pub fn invalid(detail: impl Into<String>) -> Self {
        Self {
            fault: DatabaseFault::InvalidResponse,
            detail: detail.into(),
        }
    }
}

/// That says nothing about what is stored: a later attempt may succeed, once the service answers or somebody has corrected its settings.
impl From<ServiceError> for DatabaseError {
    fn from(error: ServiceError) -> Self {
        Self {
            fault: DatabaseFault::Unavailable,
            detail: format!("data_keys: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_code_and_never_the_message() {
        let error = DatabaseError::refused(
            "list",
            403,
            r#"{"code":"42501","message":"planted","details":"planted"}"#,
        );
        let detail = error.detail;
        assert!(
            detail.contains("42501")
                && detail.contains("Row level security policy violation")
                && !detail.contains("planted"),
            "{detail}"
        );
        let fenced = DatabaseError::refused("complete_connection", 400, r#"{"code":"IK001"}"#);
        assert_eq!(fenced.fault, DatabaseFault::Unavailable);
        let deleted = DatabaseError::refused("complete_connection", 400, r#"{"code":"IK004"}"#);
        assert_eq!(deleted.fault, DatabaseFault::DataKeyDeleted);
        assert!(
            DatabaseError::refused("list", 500, "<html>")
                .detail
                .contains("500")
        );
    }
}
