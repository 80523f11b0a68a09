//! The fields that a user enters to connect an account: read into a config, and checked against the provider's response.

use crate::error::{ClientError, Error, Result};
use crate::http::{HttpResponse, SendError};
use catalogue::{Field, Format, Provider};
use sealed::PlainConfig;
use serde_json::{Map, Value};

/// Drops surrounding blanks, which come with copied text.
pub fn read(provider: &Provider, given: Map<String, Value>) -> Result<PlainConfig> {
    let given = PlainConfig::from_map(given);
    let mut names = given.as_map().keys();
    let fields = &provider.fields;
    if names.any(|name| !fields.iter().any(|field| field.name == *name)) {
        let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
        return Err(refused(format!(
            "fields may contain only {}",
            names.join(", ")
        )));
    }
    let mut config = Map::new();
    for field in fields {
        let value = value(field, &given)
            .map_err(|expected| refused(format!("fields.{} must be {expected}", field.name)))?;
        config.insert(field.name.clone(), Value::from(value));
    }
    Ok(PlainConfig::from_map(config))
}

fn value(field: &Field, given: &PlainConfig) -> Result<String, String> {
    let text = given.get_str(&field.name).map(str::trim);
    let text = text.ok_or("given as text")?;
    if text.is_empty() {
        return Err("given".to_owned());
    }
    if text.len() > field.max {
        return Err(format!("at most {} characters", field.max));
    }
    // Host names ignore case.
    let text = match field.format {
        Format::Label | Format::Labels => text.to_ascii_lowercase(),
        Format::Text | Format::Word => text.to_owned(),
    };
    match field.format.accepts(&text) {
        true => Ok(text),
        false => Err(field.format.expected().to_owned()),
    }
}

fn refused(message: String) -> Error {
    ClientError::Fields(message).into()
}

/// Whether the provider says that these credentials are wrong, or that there is no such account: any response that blames the request.
/// Some providers redirect requests for an unknown host, so a redirect counts too.
pub fn is_refused(answer: &Result<HttpResponse, SendError>) -> bool {
    const TIMEOUT: u16 = 408;
    const TOO_MANY: u16 = 429;
    answer.as_ref().is_ok_and(|answer| {
        (300..500).contains(&answer.status) && !matches!(answer.status, TIMEOUT | TOO_MANY)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn provider(kind: &str) -> Provider {
        let mut all = crate::providers::all().unwrap().into_iter();
        all.find(|provider| provider.kind == kind).unwrap()
    }

    fn given(kind: &str, fields: Value) -> Result<PlainConfig> {
        match fields {
            Value::Object(fields) => read(&provider(kind), fields),
            _ => panic!("no fields"),
        }
    }

    #[test]
    fn each_field_is_taken_as_it_is_meant() {
        let config = given(
            "zendesk",
            json!({"subdomain": " Acme\n", "email": "a@b.example", "api_token": " planted\t"}),
        )
        .unwrap();
        let text = |name| config.get_str(name).unwrap();
        assert_eq!(
            [text("subdomain"), text("email"), text("api_token")],
            ["acme", "a@b.example", "planted"]
        );
    }

    #[test]
    fn a_wrong_field_is_named_and_its_value_is_not() {
        let long = "planted".repeat(40);
        for (fields, expected) in [
            (json!({}), "fields.subdomain must be given as text"),
            (
                json!({"subdomain": "acme", "email": "a@b", "api_token": ["planted"]}),
                "fields.api_token must be given as text",
            ),
            (
                json!({"subdomain": "acme", "email": "a@b", "api_token": " "}),
                "fields.api_token must be given",
            ),
            (
                json!({"subdomain": "acme", "email": "a@b", "api_token": "planted\r\nx: y"}),
                "fields.api_token must be printable ASCII without blanks",
            ),
            (
                json!({"subdomain": "acme", "email": "a@b", "api_token": long}),
                "fields.api_token must be at most 255 characters",
            ),
            (
                json!({"subdomain": "planted.example/", "email": "a@b", "api_token": "x"}),
                "fields.subdomain must be letters, digits and hyphens, such as acme in acme.example.com",
            ),
            (
                json!({"subdomain": "acme", "email": "a@b", "api_token": "x", "planted": "x"}),
                "fields may contain only subdomain, email, api_token",
            ),
        ] {
            let error = given("zendesk", fields.clone()).unwrap_err();
            assert_eq!(error.answer().0, 400);
            assert_eq!(error.message(), expected, "{fields}");
        }
    }

    #[test]
    fn a_refusal_blames_the_credential_and_a_failure_does_not() {
        let answer = |status| {
            Ok(HttpResponse {
                status,
                content_type: String::new(),
                body: String::new(),
            })
        };
        for status in [301, 400, 401, 403, 404] {
            assert!(is_refused(&answer(status)), "{status}");
        }
        for status in [200, 204, 408, 429, 500, 503] {
            assert!(!is_refused(&answer(status)), "{status}");
        }
        assert!(!is_refused(&Err(SendError::Network)));
    }

    proptest::proptest! {
        #[test]
        fn what_is_taken_fills_the_entry(value in "\\PC{0,20}|[A-Za-z0-9.-]{1,20}") {
            let fields = json!({"tenant": value, "client_id": "c", "client_secret": "s"});
            if let Ok(config) = given("auth0", fields) {
                let url = provider("auth0").of_user(&config).unwrap().token_url;
                proptest::prop_assert!(url.ends_with(".auth0.com/oauth/token"));
            }
        }
    }
}
