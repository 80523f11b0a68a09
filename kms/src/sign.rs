//! AWS Signature Version 4, for a `POST` or `GET` of `/` without a query: all that KMS needs.

use chrono::DateTime;
use hmac::{Hmac, KeyInit, Mac};
use sealed::Secret;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// An access key of AWS.
#[derive(Debug)]
pub struct Credentials {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: Secret,
    /// `AWS_SESSION_TOKEN`, of temporary credentials.
    pub session_token: Option<Secret>,
}

/// What a signature is for.
pub(crate) struct Scope<'a> {
    pub region: &'a str,
    pub service: &'a str,
    /// In milliseconds.
    pub now: u64,
}

impl Credentials {
    /// The headers that a request needs beside its own, whose names are in lower case. `None`: it cannot be signed, because a setting has
    /// characters that no header has.
    pub(crate) fn sign(
        &self,
        scope: &Scope<'_>,
        method: &str,
        host: &str,
        headers: &[(&'static str, String)],
        body: &[u8],
    ) -> Option<Vec<(&'static str, String)>> {
        let token = self.session_token.as_ref().map(Secret::expose);
        let is_header = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_header(&self.access_key_id) || !token.is_none_or(is_header) {
            return None;
        }
        let time = DateTime::from_timestamp_millis(scope.now.try_into().ok()?)?;
        let (date, time) = (
            time.format("%Y%m%d").to_string(),
            time.format("%Y%m%dT%H%M%SZ").to_string(),
        );
        let mut added = vec![("x-amz-date", time.clone())];
        added.extend(token.map(|token| ("x-amz-security-token", token.to_owned())));

        let mut signed: Vec<(&str, &str)> = vec![("host", host)];
        let all = headers.iter().chain(&added);
        signed.extend(all.map(|(name, value)| (*name, value.trim())));
        signed.sort_unstable();
        let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines: Vec<String> = signed
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let lines = Zeroizing::new(lines.concat());
        let body = hex(&Sha256::digest(body));
        let request = Zeroizing::new(format!(
            "{method}\n/\n\n{}\n{names}\n{body}",
            lines.as_str()
        ));

        let Scope {
            region, service, ..
        } = scope;
        let credential = format!("{date}/{region}/{service}/aws4_request");
        let request = hex(&Sha256::digest(request.as_bytes()));
        let text = format!("{ALGORITHM}\n{time}\n{credential}\n{request}");
        let secret = Zeroizing::new(format!("AWS4{}", self.secret_access_key.expose()));
        let mut key = Zeroizing::new(secret.as_bytes().to_vec());
        for part in [&date, *region, *service, "aws4_request"] {
            *key = hmac(&key, part);
        }
        let signature = hex(&hmac(&key, &text));
        let access_key_id = &self.access_key_id;
        added.push((
            "authorization",
            format!(
                "{ALGORITHM} Credential={access_key_id}/{credential}, SignedHeaders={names}, Signature={signature}"
            ),
        ));
        Some(added)
    }
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        unreachable!("HMAC takes keys of any length")
    };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // AWS's published test suite: awslabs/aws-c-auth, tests/aws-signing-test-suite/v4.
    const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

    fn signed(
        token: Option<&str>,
        method: &str,
        headers: &[(&'static str, String)],
        body: &str,
    ) -> Vec<(&'static str, String)> {
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: Secret::from("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
            session_token: token.map(|token| Secret::from(token.to_owned())),
        };
        let scope = Scope {
            region: "us-east-1",
            service: "service",
            now: 1_440_938_160_000,
        };
        let host = "example.amazonaws.com";
        credentials
            .sign(&scope, method, host, headers, body.as_bytes())
            .unwrap()
    }

    fn value<'a>(headers: &'a [(&str, String)], name: &str) -> &'a str {
        &headers.iter().find(|(known, _)| *known == name).unwrap().1
    }

    // threat model 325
    #[test]
    fn signs_as_the_published_vectors() {
        let form = (
            "content-type",
            "application/x-www-form-urlencoded".to_owned(),
        );
        for (name, token, method, headers, body, signed_headers, signature) in [
            (
                "get-vanilla",
                None,
                "GET",
                &[][..],
                "",
                "host;x-amz-date",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "post-vanilla",
                None,
                "POST",
                &[],
                "",
                "host;x-amz-date",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "post-sts-header-before",
                Some(TOKEN),
                "POST",
                &[],
                "",
                "host;x-amz-date;x-amz-security-token",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
            // As the suite had it before it signed the length as well.
            (
                "post-x-www-form-urlencoded",
                None,
                "POST",
                &[form],
                "Param1=value1",
                "content-type;host;x-amz-date",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ] {
            let headers = signed(token, method, headers, body);
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders={signed_headers}, Signature={signature}"
            );
            assert_eq!(value(&headers, "authorization"), expected, "{name}");
            assert_eq!(value(&headers, "x-amz-date"), "20150830T123600Z");
            assert_eq!(
                headers
                    .iter()
                    .any(|(name, _)| *name == "x-amz-security-token"),
                token.is_some()
            );
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: Secret::from("planted".to_owned()),
            session_token: Some(Secret::from("planted".to_owned())),
        };
        assert!(!format!("{credentials:?}").contains("planted"));
    }
}
