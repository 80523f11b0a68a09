//! What each format's lines are.

use super::entry::Entry;
use super::outcome::Code;
use super::source::{Format, Source};
use super::{connections, n8n, nango, supabase_auth};

/// Reads a line, or an entry of an array.
pub fn read(source: &Source, text: &[u8]) -> Result<Entry, Code> {
    match source.format {
        Format::Connections => connections::read(source, text),
        Format::Rows => connections::read_sealed(source, text),
        Format::Nango => nango::read(source, text),
        Format::N8n => n8n::read(source, text),
        Format::SupabaseAuth => supabase_auth::read(source, text),
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;
    use proptest::prelude::*;
    use sealed::{Key, KeyRing, PlainConfig};
    use serde_json::{Value, json};

    use super::*;
    use crate::data_keys::DataKeys;
    use crate::import::source::RowKeys;
    use kms::WrappingKeys;

    const ORGANIZATION: &str = "a81bc81b-dead-4e5d-abff-90865d1e13b1";
    const OTHER: &str = "411f8239-69ce-4e37-b00c-70c353e2cb4b";

    fn source(format: Format) -> Source {
        let pairs = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(from, to)| ((*from).to_owned(), (*to).to_owned()))
                .collect()
        };
        Source {
            format,
            types: pairs(&[("github-prod", "github"), ("githubOAuth2Api", "github")]),
            fields: pairs(&[("password", "api_token"), ("subdomain", "subdomain")]),
            organization: ORGANIZATION.parse().ok(),
            keys: None,
        }
    }

    /// The body that is sent, without what is null.
    fn sent(format: Format, line: Value) -> Result<Value, Code> {
        let entry = super::read(&source(format), line.to_string().as_bytes())?;
        let body = entry.body(false).ok_or(Code::TOO_LONG)?;
        let Ok(Value::Object(mut body)) = serde_json::from_slice(&body) else {
            panic!("no object")
        };
        body.retain(|_, value| !value.is_null());
        assert_eq!(body.remove("replace"), Some(false.into()));
        Ok(body.into())
    }

    #[test]
    fn our_own_lines_are_read() {
        let exported = json!({
            "id": OTHER, "organization_id": OTHER, "integration_type": "supabase", "name": "n", "status": "active",
            "external_account_id": "abc", "config": {"access_token": "a", "n": 1.50, "project_id": "abc"},
        });
        assert_eq!(
            sent(Format::Connections, exported).unwrap(),
            json!({
                "organization_id": OTHER, "integration_type": "supabase", "account_id": "abc",
                "config": {"access_token": "a", "n": 1.50, "project_id": "abc"},
            })
        );
        let request = json!({
            "integration_type": "github-prod", "external_user_id": "u", "account_id": "7", "credential": {"access_token": "a"},
        });
        assert_eq!(
            sent(Format::Connections, request).unwrap(),
            json!({
                "organization_id": ORGANIZATION, "integration_type": "github", "external_user_id": "u", "account_id": "7",
                "credential": {"access_token": "a"},
            })
        );
    }

    #[test]
    fn a_grant_of_an_organizations_own_app_is_not_read() {
        for format in [Format::Connections, Format::Rows] {
            let line = json!({
                "id": OTHER, "organization_id": OTHER, "integration_type": "supabase", "oauth_app_id": OTHER, "config": {"access_token": "a"},
            });
            assert_eq!(sent(format, line).unwrap_err(), Code::OWN_OAUTH_APP);
        }
        let line = json!({"integration_type": "supabase", "oauth_app_id": null, "config": {"access_token": "a"}});
        assert!(sent(Format::Connections, line).is_ok());
    }

    #[test]
    fn a_sealed_row_opens_in_its_own_place_only() {
        let key = || Key::from_bytes([7; 32]);
        let mut random = |bytes: &mut [u8]| {
            bytes.fill(1);
            Ok(())
        };
        let context = sealed::RowContext {
            organization_id: OTHER.parse().unwrap(),
            integration_id: ORGANIZATION.parse().unwrap(),
        };
        let ring = || KeyRing::new(key(), Vec::new()).ok();
        let Value::Object(plain) = json!({"access_token": "a", "project_id": "abc"}) else {
            panic!("no object")
        };
        let plain = PlainConfig::from_map(plain);
        let config = ring().unwrap().seal(&context, &plain, &mut random).unwrap();
        let read = |id: &str, ring: Option<KeyRing>| {
            let line = json!({"id": id, "organization_id": OTHER, "integration_type": "supabase", "config": config});
            let keys = ring.map(|ring| RowKeys {
                ring: WrappingKeys {
                    ring,
                    kms: None,
                    fallback: None,
                },
                data_keys: DataKeys::default(),
            });
            let source = Source {
                keys,
                ..source(Format::Rows)
            };
            super::read(&source, line.to_string().as_bytes())
        };
        let entry = read(ORGANIZATION, ring()).unwrap();
        assert!(entry.is_config && entry.credential.get_str("access_token") == Some("a"));
        assert_eq!(read(OTHER, ring()).unwrap_err(), Code::DOES_NOT_OPEN);
        assert_eq!(
            read(
                ORGANIZATION,
                KeyRing::new(Key::from_bytes([8; 32]), Vec::new()).ok()
            )
            .unwrap_err(),
            Code::DOES_NOT_OPEN
        );
        let exported = json!({"integration_type": "supabase", "config": config});
        assert_eq!(
            sent(Format::Connections, exported).unwrap_err(),
            Code::ENCRYPTED
        );
    }

    #[test]
    fn each_kind_of_nangos_credentials_is_read() {
        let line = |credentials: Value| {
            json!({
                "id": 1, "connection_id": "c", "provider_config_key": "github-prod", "provider": "github", "end_user": {"id": "u"},
                "connection_config": {"subdomain": "acme"}, "credentials": credentials,
            })
        };
        for (credentials, credential) in [
            (
                json!({"type": "OAUTH2", "access_token": "a", "refresh_token": "r", "expires_at": "2026-11-27T14:30:00.000Z", "raw": {"scope": "x y"}}),
                Ok(
                    json!({"access_token": "a", "refresh_token": "r", "expires_at": "2026-11-27T14:30:00.000Z", "scope": "x y"}),
                ),
            ),
            (
                json!({"type": "OAUTH2", "access_token": "a", "refresh_token": null, "expires_at": 5}),
                Ok(json!({"access_token": "a"})),
            ),
            (
                json!({"type": "OAUTH2", "refresh_token": "r"}),
                Ok(json!({"refresh_token": "r"})),
            ),
            (
                json!({"type": "OAUTH2", "access_token": ""}),
                Err(Code::NO_CREDENTIAL),
            ),
            (
                json!({"type": "API_KEY", "apiKey": "k"}),
                Ok(json!({"api_key": "k", "subdomain": "acme"})),
            ),
            (
                json!({"type": "BASIC", "username": "u", "password": "p"}),
                Ok(json!({"username": "u", "api_token": "p", "subdomain": "acme"})),
            ),
            (
                json!({"type": "OAUTH2_CC", "client_id": "c", "client_secret": "s", "token": "t"}),
                Ok(json!({"client_id": "c", "client_secret": "s", "subdomain": "acme"})),
            ),
            (
                json!({"type": "OAUTH1", "oauth_token": "t"}),
                Err(Code::UNSUPPORTED),
            ),
            (json!({}), Err(Code::UNSUPPORTED)),
        ] {
            let read = sent(Format::Nango, line(credentials));
            let expected = credential.map(|credential| {
                json!({"organization_id": ORGANIZATION, "integration_type": "github", "external_user_id": "u", "credential": credential})
            });
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn n8ns_credentials_are_read_and_the_encrypted_form_is_named() {
        let entry =
            |data: Value| json!({"id": "1", "name": "n", "type": "githubOAuth2Api", "data": data});
        let token = json!({"access_token": "a", "refresh_token": "r", "scope": "x", "token_type": "bearer", "expires_in": 3600});
        assert_eq!(
            sent(
                Format::N8n,
                entry(json!({"clientId": "c", "oauthTokenData": token}))
            )
            .unwrap()["credential"],
            json!({"access_token": "a", "refresh_token": "r", "scope": "x"})
        );
        assert_eq!(
            sent(Format::N8n, entry(json!({"apiKey": "k"}))).unwrap()["credential"],
            json!({"api_key": "k"})
        );
        for (data, code) in [
            (json!("U2FsdGVkX1planted"), Code::ENCRYPTED),
            (json!({}), Code::NO_CREDENTIAL),
            (json!({"oauthTokenData": {}}), Code::NO_CREDENTIAL),
            (json!(null), Code::NO_CREDENTIAL),
        ] {
            assert_eq!(sent(Format::N8n, entry(data)), Err(code));
        }
    }

    #[test]
    fn a_session_of_supabase_auth_is_read() {
        let session = json!({
            "access_token": "of Supabase", "expires_at": 1, "provider_token": "a", "provider_refresh_token": "r",
            "user": {"id": "u", "app_metadata": {"provider": "google"}},
        });
        assert_eq!(
            sent(Format::SupabaseAuth, session).unwrap(),
            json!({
                "organization_id": ORGANIZATION, "integration_type": "google", "external_user_id": "u",
                "credential": {"access_token": "a", "refresh_token": "r"},
            })
        );
        let gone = json!({"provider_token": null, "user": {"id": "u", "app_metadata": {"provider": "google"}}});
        assert_eq!(sent(Format::SupabaseAuth, gone), Err(Code::NO_CREDENTIAL));
    }

    #[test]
    fn what_is_missing_or_too_long_has_a_code_of_its_own() {
        let credential = json!({"access_token": "a"});
        for (line, code) in [
            (json!({"credential": credential}), Code::NO_TYPE),
            (
                json!({"integration_type": "", "credential": credential}),
                Code::NO_TYPE,
            ),
            (json!({"integration_type": "x"}), Code::NO_CREDENTIAL),
            (
                json!({"integration_type": "x", "credential": {}}),
                Code::NO_CREDENTIAL,
            ),
            (
                json!({"integration_type": "x", "credential": "planted"}),
                Code::MALFORMED,
            ),
            (
                json!({"integration_type": ["x"], "credential": credential}),
                Code::MALFORMED,
            ),
            (
                json!({"integration_type": "x", "organization_id": "planted", "credential": credential}),
                Code::MALFORMED,
            ),
            (
                json!({"integration_type": "x", "credential": {"access_token": "x".repeat(16 * 1024)}}),
                Code::TOO_LONG,
            ),
            (json!("planted"), Code::MALFORMED),
        ] {
            assert_eq!(sent(Format::Connections, line), Err(code));
        }
        let nobodys = Source {
            organization: None,
            ..source(Format::Connections)
        };
        let line = json!({"integration_type": "x", "credential": credential});
        assert_eq!(
            read(&nobodys, line.to_string().as_bytes()).unwrap_err(),
            Code::NO_ORGANIZATION
        );
    }

    fn json_like() -> impl Strategy<Value = String> {
        let words = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "null",
            "\"type\"",
            "\"OAUTH2\"",
            "\"credentials\"",
            "\"config\"",
            "\"credential\"",
            "\"data\"",
            "\"access_token\"",
            "\"$serde_json::private::RawValue\"",
            "1e999",
            "\"\\ud800\"",
        ]);
        prop_oneof![
            prop::collection::vec(words, 0..24).prop_map(|words| words.concat()),
            "\\PC{0,60}",
        ]
    }

    proptest! {
        /// No line makes a parser fail otherwise than with a code.
        #[test]
        fn any_line_is_read_or_has_a_code(line in json_like(), bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            for format in Format::value_variants() {
                for text in [line.as_bytes(), &bytes] {
                    if let Ok(entry) = read(&source(*format), text) {
                        prop_assert!(!entry.credential.as_map().is_empty());
                    }
                }
            }
        }
    }
}
