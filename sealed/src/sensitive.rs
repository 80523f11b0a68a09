/// Whether a field of this name holds a secret.
///
/// It does if its last word is `token`, `key`, `secret` or `password`, in any case. The last word begins the name, follows a character that is no
/// ASCII letter or digit (`access_token`, `x-api-key`), or begins at a capital as in camelCase (`accessToken`, `APIKey`).
///
/// ```
/// assert!(sealed::is_sensitive("refresh_token"));
/// assert!(sealed::is_sensitive("clientSecret"));
/// assert!(sealed::is_sensitive("key"));
/// assert!(!sealed::is_sensitive("monkey"));
/// assert!(!sealed::is_sensitive("token_type"));
/// ```
pub fn is_sensitive(name: &str) -> bool {
    let name = name.as_bytes();
    ["token", "key", "secret", "password"].iter().any(|word| {
        name.len().checked_sub(word.len()).is_some_and(|start| {
            name[start..].eq_ignore_ascii_case(word.as_bytes()) && starts_word(name, start)
        })
    })
}

/// Whether a word begins at `start`, which is an ASCII letter with at least one more after it.
fn starts_word(name: &[u8], start: usize) -> bool {
    let Some(before) = start.checked_sub(1).map(|i| name[i]) else {
        return true;
    };
    let capital = name[start].is_ascii_uppercase();
    !before.is_ascii_alphanumeric()
        || (capital && !before.is_ascii_uppercase())
        // The last capital of an acronym belongs to the next word: `APIKey`, but not `MONKEY`.
        || (capital && name[start + 1].is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::is_sensitive;

    #[test]
    fn names_that_hold_secrets() {
        for name in [
            "access_token",
            "refresh_token",
            "api_key",
            "client_secret",
            "db_password",
            "token",
            "key",
            "secret",
            "password",
            "accessToken",
            "refreshToken",
            "apiKey",
            "APIKey",
            "clientSecret",
            "dbPassword",
            "Token",
            "KEY",
            "ACCESS_TOKEN",
            "_key",
            "x-api-key",
            "X-Api-Key",
            "client secret",
            "oauth2Token",
            "oauth2TOKEN",
            "s3_KEY",
            "aTOKEN",
            "prüfToken",
            "ü_key",
            "schlüßKEY",
            "üKey",
            "ükey",
            "a.token",
            "__secret",
        ] {
            assert!(is_sensitive(name), "{name}");
        }
    }

    #[test]
    fn names_that_do_not() {
        for name in [
            "",
            "monkey",
            "MONKEY",
            "Monkey",
            "turkey",
            "keys",
            "tokens",
            "token_type",
            "key_id",
            "secretary",
            "project_id",
            "expires_at",
            "accesstoken",
            "broken",
            "1key",
            "passwords",
            "_enc",
            "kid",
            "to_ken",
            "k",
            "ey",
            "tokeN_",
            "sécret",
        ] {
            assert!(!is_sensitive(name), "{name}");
        }
    }
}
