//! The authorization request (RFC 6749, 4.1.1; RFC 7636, 4.3).

use crate::http::url::form;
use crate::oauth::Client;
use crate::random::{RandomToken, sha256_base64url};
use catalogue::Pkce;

/// The secrets of one flow. They bind the callback to this request and this browser.
pub struct Flow {
    /// `state`: part of the URL, so the provider and the browser's history know it.
    pub state: RandomToken,
    /// The cookie's value: only the browser knows it.
    pub binding: RandomToken,
    /// The PKCE verifier (RFC 7636, 4.1): only the worker knows it.
    pub verifier: RandomToken,
}

/// Builds the URL that the browser is redirected to. `scope` is what `OauthType::scope` returns.
pub fn authorization_url(client: &Client, flow: &Flow, scope: &str) -> String {
    let challenge = sha256_base64url(flow.verifier.expose());
    let provider = &client.provider;
    let mut fields = vec![
        ("response_type", "code"),
        ("client_id", client.id.as_str()),
        ("redirect_uri", client.redirect_uri.as_str()),
        ("state", flow.state.expose()),
    ];
    if provider.pkce == Pkce::S256 {
        fields.push(("code_challenge", challenge.as_str()));
        fields.push(("code_challenge_method", "S256"));
    }
    if !scope.is_empty() {
        fields.push((&provider.scope_parameter, scope));
    }
    let further = provider.authorize_parameters.iter();
    fields.extend(further.map(|(name, value)| (name.as_str(), value.as_str())));
    format!("{}?{}", provider.authorize_url, form(&fields))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::client::tests::client;
    use catalogue::Auth;

    // RFC 7636, appendix B
    fn flow() -> Flow {
        Flow {
            state: RandomToken::from_bytes([1; 32]),
            binding: RandomToken::from_bytes([2; 32]),
            verifier: RandomToken::parse("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").unwrap(),
        }
    }

    fn url_of(kind: &str) -> String {
        let client = client(kind);
        authorization_url(&client, &flow(), &client.provider.scope())
    }

    // Servers ignore unknown parameters (RFC 6749, 3.1).
    #[test]
    fn every_provider_gets_a_challenge_save_one_that_documents_a_refusal() {
        let apps = crate::providers::all().unwrap().into_iter();
        let apps = apps.filter(|provider| provider.auth == Auth::Oauth);
        let without: Vec<_> = apps
            .map(|provider| provider.kind)
            .filter(|kind| {
                !url_of(kind).contains(
                    "&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256",
                )
            })
            .collect();
        assert_eq!(without, ["slack"]);
    }

    #[test]
    fn the_url_carries_state_and_an_s256_challenge() {
        let flow = flow();
        let url = url_of("supabase");
        assert!(url.starts_with(
            "https://api.supabase.com/v1/oauth/authorize?response_type=code&client_id=client+id&"
        ));
        assert!(url.contains(
            "code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"
        ));
        assert!(url.contains(&format!("state={}", flow.state.expose())));
        assert!(
            !url.contains(flow.binding.expose())
                && !url.contains(flow.verifier.expose())
                && !url.contains("scope=")
        );
        assert!(url_of("gitlab").contains("&scope=read_user"));
        let slack = url_of("slack");
        assert!(
            slack.contains("&user_scope=team%3Aread%2Cusers%3Aread"),
            "{slack}"
        );
        assert!(!slack.contains("code_challenge") && !slack.contains("&scope="));
        let google = url_of("google");
        assert!(
            google.ends_with("&scope=openid+email&access_type=offline&prompt=consent"),
            "{google}"
        );
    }
}
