//! The settings of a wrapping key in a key management service.

use sealed::{KeyRing, Secret};

use crate::arn::KeyArn;
use crate::aws::AwsKms;
use crate::sign::Credentials;
use crate::wrapping_keys::WrappingKeys;

/// `WRAPPING_KEY`: `aws-kms:<key ARN>`. Not set: `ENCRYPTION_KEY` wraps.
pub const WRAPPING_KEY: &str = "WRAPPING_KEY";
/// `FALLBACK_WRAPPING_KEY`: the same, of a key that only unwraps.
pub const FALLBACK_WRAPPING_KEY: &str = "FALLBACK_WRAPPING_KEY";
const ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";
const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";
const KMS_URL: &str = "KMS_URL";

/// Says which setting is missing or malformed, and never shows its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingError {
    /// Not set, although a wrapping key is.
    Missing(&'static str),
    /// Not what it should be.
    Malformed(&'static str, &'static str),
}

/// The deployment's keys: this ring, and the keys of `WRAPPING_KEY` and `FALLBACK_WRAPPING_KEY`, if they are set. `get` reads a setting, `origin` the
/// address in one: https, or http on this machine, without a slash at its end.
///
/// # Errors
///
/// One of the settings is missing or malformed.
pub fn wrapping_keys(
    ring: KeyRing,
    get: &impl Fn(&'static str) -> Option<String>,
    origin: &impl Fn(&str) -> Option<String>,
) -> Result<WrappingKeys, SettingError> {
    let kms = setting(WRAPPING_KEY, get, origin)?;
    let fallback = setting(FALLBACK_WRAPPING_KEY, get, origin)?;
    let is_twice = |kms: &AwsKms| {
        let other = fallback.as_ref();
        other.is_some_and(|fallback| fallback.arn == kms.arn)
    };
    if kms.as_ref().is_some_and(is_twice) {
        let expected = "another key than WRAPPING_KEY";
        return Err(SettingError::Malformed(FALLBACK_WRAPPING_KEY, expected));
    }
    Ok(WrappingKeys {
        ring,
        kms,
        fallback,
    })
}

fn setting(
    name: &'static str,
    get: &impl Fn(&'static str) -> Option<String>,
    origin: &impl Fn(&str) -> Option<String>,
) -> Result<Option<AwsKms>, SettingError> {
    let malformed = |name, expected| Err(SettingError::Malformed(name, expected));
    let Some(text) = get(name) else {
        return Ok(None);
    };
    let arn = text.strip_prefix("aws-kms:").map(str::parse::<KeyArn>);
    let Some(Ok(arn)) = arn else {
        return malformed(name, "aws-kms: and the ARN of a key");
    };
    let required = |name| get(name).ok_or(SettingError::Missing(name));
    let access_key_id = required(ACCESS_KEY_ID)?;
    let is_id = (16..=128).contains(&access_key_id.len())
        && access_key_id.bytes().all(|c| c.is_ascii_alphanumeric());
    if !is_id {
        return malformed(ACCESS_KEY_ID, "an access key id of AWS");
    }
    let secret_access_key = required(SECRET_ACCESS_KEY)?;
    let session_token = get(SESSION_TOKEN);
    for (name, text) in [
        (SECRET_ACCESS_KEY, Some(&secret_access_key)),
        (SESSION_TOKEN, session_token.as_ref()),
    ] {
        if text.is_some_and(|text| text.len() > 8192 || !text.bytes().all(|c| c.is_ascii_graphic()))
        {
            return malformed(name, "a credential of AWS");
        }
    }
    let origin = match get(KMS_URL).map(|url| origin(&url)) {
        Some(Some(origin)) => origin,
        Some(None) => return malformed(KMS_URL, "an https origin"),
        None => arn.origin(),
    };
    let credentials = Credentials {
        access_key_id,
        secret_access_key: Secret::from(secret_access_key),
        session_token: session_token.map(Secret::from),
    };
    Ok(Some(AwsKms::new(arn, credentials, origin)))
}

#[cfg(test)]
mod tests {
    use sealed::Key;

    use super::*;

    const ARN: &str =
        "aws-kms:arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    fn read(settings: &[(&str, &str)]) -> Result<WrappingKeys, SettingError> {
        let get = |name: &str| {
            let found = settings.iter().rev().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let https = |url: &str| url.starts_with("https://").then(|| url.to_owned());
        let ring = KeyRing::new(Key::from_bytes([7; 32]), Vec::new()).unwrap();
        wrapping_keys(ring, &get, &https)
    }

    fn complete() -> Vec<(&'static str, &'static str)> {
        vec![
            (WRAPPING_KEY, ARN),
            (ACCESS_KEY_ID, "AKIDEXAMPLEAKIDEXAMPLE"),
            (SECRET_ACCESS_KEY, "planted"),
        ]
    }

    #[test]
    fn without_the_setting_the_ring_wraps() {
        let keys = read(&complete()[1..]).unwrap();
        assert!(keys.kms.is_none() && keys.primary_kid() == keys.ring.primary_kid());
    }

    #[test]
    fn a_private_endpoint_replaces_the_regions() {
        let mut settings = complete();
        let kms = read(&settings).unwrap().kms.unwrap();
        assert_eq!(kms.origin, "https://kms.us-west-2.amazonaws.com");
        settings.push((KMS_URL, "https://vpce.example"));
        let kms = read(&settings).unwrap().kms.unwrap();
        assert_eq!(kms.origin, "https://vpce.example");
        assert!(!format!("{kms:?}").contains("planted"));
    }

    #[test]
    fn a_key_that_is_being_left_only_unwraps() {
        let mut settings = complete();
        settings[0].0 = FALLBACK_WRAPPING_KEY;
        let keys = read(&settings).unwrap();
        assert_eq!(keys.primary_kid(), keys.ring.primary_kid());
        assert_eq!(keys.kids().last(), keys.fallback.map(|kms| kms.arn.kid()));
        settings.push((WRAPPING_KEY, ARN));
        let twice = SettingError::Malformed(FALLBACK_WRAPPING_KEY, "another key than WRAPPING_KEY");
        assert_eq!(read(&settings).unwrap_err(), twice);
    }

    #[test]
    fn what_is_missing_or_malformed_is_named() {
        for (name, _) in &complete()[1..] {
            let rest: Vec<_> = complete();
            let rest: Vec<_> = rest
                .into_iter()
                .filter(|(known, _)| known != name)
                .collect();
            assert_eq!(read(&rest).unwrap_err(), SettingError::Missing(name));
        }
        for (name, value) in [
            (WRAPPING_KEY, "planted"),
            (WRAPPING_KEY, "aws-kms:planted"),
            (WRAPPING_KEY, &ARN["aws-kms:".len()..]),
            (ACCESS_KEY_ID, "planted planted planted"),
            (SECRET_ACCESS_KEY, "pl\nanted"),
            (SESSION_TOKEN, "plänted"),
            (KMS_URL, "http://planted.example"),
        ] {
            let mut settings = complete();
            settings.push((name, value));
            let error = read(&settings).unwrap_err();
            assert!(matches!(error, SettingError::Malformed(named, _) if named == name));
        }
    }
}
