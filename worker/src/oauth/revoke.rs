//! Revokes a grant at the provider (RFC 7009, or the provider's own form).

use crate::http::{HttpRequest, HttpResponse, SendError};
use crate::oauth::client::{Client, with_bearer, with_form, with_json};
use crate::oauth::response::is_success;
use catalogue::{Provider, RevocationStyle};
use sealed::Secret;
use serde::{Serialize, Serializer};

/// The outcome of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// The grant is revoked.
    Yes,
    /// Not confirmed: the provider failed, or the config had no token to revoke.
    No,
    /// The provider has no revocation endpoint.
    Unsupported,
    /// This grant is revoked, but an earlier one of the same account may still exist.
    Unknown,
}

impl Serialize for Revoked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Yes => serializer.serialize_bool(true),
            Self::No => serializer.serialize_bool(false),
            Self::Unsupported => serializer.serialize_str("unsupported"),
            Self::Unknown => serializer.serialize_str("unknown"),
        }
    }
}

/// Builds the request. None if the provider has no revocation endpoint. A refresh token stands for the whole grant (RFC 7009, 2.1); an access
/// token is revoked only if there is no refresh token.
pub fn request(
    client: &Client,
    access_token: Option<&Secret>,
    refresh_token: Option<&Secret>,
) -> Result<HttpRequest, Revoked> {
    let revocation = client
        .provider
        .revocation
        .as_ref()
        .ok_or(Revoked::Unsupported)?;
    let access = || access_token.ok_or(Revoked::No);
    let url = &revocation.url;
    let mut request = match revocation.style {
        RevocationStyle::Rfc7009 => {
            let (token, hint) = match (refresh_token, access_token) {
                (Some(token), _) => (token, "refresh_token"),
                (None, Some(token)) => (token, "access_token"),
                (None, None) => return Err(Revoked::No),
            };
            let fields = [("token", token.expose()), ("token_type_hint", hint)];
            client.authenticated(url, &fields)
        }
        RevocationStyle::TokenOnly => {
            let token = refresh_token.or(access_token).ok_or(Revoked::No)?;
            with_form(client.post(url), &[("token", token.expose())])
        }
        RevocationStyle::AccessToken => client.authenticated(url, &[("token", access()?.expose())]),
        RevocationStyle::Bearer => with_bearer(client.post(url), access()?),
        RevocationStyle::BearerForm => {
            let token = access()?;
            with_form(
                with_bearer(client.post(url), token),
                &[("token", token.expose())],
            )
        }
        RevocationStyle::SupabaseJson => {
            let token = refresh_token.ok_or(Revoked::No)?;
            let fields = [
                ("client_id", client.id.as_str()),
                ("client_secret", client.secret.expose()),
                ("refresh_token", token.expose()),
            ];
            with_json(client.post(url), &fields)
        }
        RevocationStyle::GithubToken => {
            let mut request = with_json(client.post(url), &[("access_token", access()?.expose())]);
            request.method = "DELETE";
            request.headers.push(("authorization", client.basic()));
            request
        }
    };
    // A user waits for this, and the schedule repeats what fails.
    request.timeout_ms = 8_000;
    Ok(request)
}

/// Reads the response. 200 (RFC 7009, 2.2) and 204 mean success.
pub fn read(provider: &Provider, answer: &Result<HttpResponse, SendError>) -> Revoked {
    match answer {
        Ok(answer) if matches!(answer.status, 200 | 204) && is_so(provider, answer) => Revoked::Yes,
        _ => Revoked::No,
    }
}

/// Whether the body does not contradict that.
fn is_so(provider: &Provider, answer: &HttpResponse) -> bool {
    provider.success_flag.is_none()
        || serde_json::from_str(&answer.body).is_ok_and(|body| is_success(provider, &body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::client::tests::client;

    #[test]
    fn supabase_takes_json_and_the_standard_a_form() {
        let token = Secret::from("planted".to_owned());
        let json = request(&client("supabase"), None, Some(&token))
            .unwrap()
            .body
            .unwrap();
        assert_eq!(
            json,
            r#"{"client_id":"client id","client_secret":"planted:secret","refresh_token":"planted"}"#
        );
        let form = request(&client("gitlab"), Some(&token), None)
            .unwrap()
            .body
            .unwrap();
        assert!(form.starts_with("token=planted&token_type_hint=access_token"));
    }

    #[test]
    fn what_cannot_be_revoked_is_said() {
        let mut without = client("gitlab");
        assert_eq!(request(&without, None, None).unwrap_err(), Revoked::No);
        without.provider.revocation = None;
        assert_eq!(
            request(&without, None, None).unwrap_err(),
            Revoked::Unsupported
        );
        let answer = |status| {
            Ok(HttpResponse {
                status,
                content_type: String::new(),
                body: String::new(),
            })
        };
        let gitlab = client("gitlab").provider;
        assert_eq!(read(&gitlab, &answer(204)), Revoked::Yes);
        assert_eq!(read(&gitlab, &answer(400)), Revoked::No);
        assert_eq!(read(&gitlab, &Err(SendError::Timeout)), Revoked::No);
    }

    #[test]
    fn each_style_says_which_token_and_who_asks() {
        let (access, refresh) = (
            Secret::from("planted-access".to_owned()),
            Secret::from("planted-refresh".to_owned()),
        );
        let sent = |kind: &str| {
            let request = request(&client(kind), Some(&access), Some(&refresh)).unwrap();
            let authorization = request
                .headers
                .iter()
                .find(|(name, _)| *name == "authorization");
            let scheme =
                authorization.map(|(_, value)| value.split(' ').next().unwrap().to_owned());
            (
                request.method,
                scheme.unwrap_or_default(),
                request.body.unwrap_or_default(),
            )
        };
        let expect = |kind: &str, method, scheme: &str, body: &str| {
            assert_eq!(
                sent(kind),
                (method, scheme.to_owned(), body.to_owned()),
                "{kind}"
            );
        };
        expect("google", "POST", "", "token=planted-refresh");
        expect("notion", "POST", "Basic", r#"{"token":"planted-access"}"#);
        expect("dropbox", "POST", "Bearer", "");
        expect("digitalocean", "POST", "Bearer", "token=planted-access");
        expect(
            "github",
            "DELETE",
            "Basic",
            r#"{"access_token":"planted-access"}"#,
        );
        assert_eq!(
            request(&client("dropbox"), None, Some(&refresh)).unwrap_err(),
            Revoked::No
        );
        assert_eq!(
            request(&client("figma"), Some(&access), None).unwrap_err(),
            Revoked::Unsupported
        );
    }

    #[test]
    fn a_failure_with_status_200_revokes_nothing() {
        let answer = |body: &str| {
            let content_type = "application/json".into();
            Ok(HttpResponse {
                status: 200,
                content_type,
                body: body.into(),
            })
        };
        let slack = client("slack").provider;
        assert_eq!(
            read(&slack, &answer(r#"{"ok":true,"revoked":true}"#)),
            Revoked::Yes
        );
        assert_eq!(
            read(&slack, &answer(r#"{"ok":false,"error":"x"}"#)),
            Revoked::No
        );
        assert_eq!(read(&slack, &answer("")), Revoked::No);
    }
}
