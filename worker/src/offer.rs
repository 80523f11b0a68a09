//! The entries of the catalogue that the settings offer.

use crate::oauth::Client;
use catalogue::{Auth, Provider};
use sealed::{PlainConfig, Secret};
use std::borrow::Cow;
use std::ops::Deref;

/// An offered type of integration.
#[derive(Debug)]
pub enum Offer {
    /// Connected by OAuth, with our app at the provider.
    OAuth(Client),
    /// Connected with credentials that the user enters.
    Credentials(Provider),
}

/// An OAuth client at a provider's token endpoint.
pub enum ClientOf<'a> {
    /// Our own app.
    App(&'a Client),
    /// The user's own client.
    User(Box<Client>),
}

impl Offer {
    /// The provider, with the endpoints that the settings configure.
    pub fn provider(&self) -> &Provider {
        match self {
            Self::OAuth(client) => &client.provider,
            Self::Credentials(provider) => provider,
        }
    }

    /// The provider for one account: the config's values fill the entry's fields. None if the config lacks one of them.
    pub fn provider_of(&self, config: &PlainConfig) -> Option<Cow<'_, Provider>> {
        match self {
            Self::OAuth(client) => Some(Cow::Borrowed(&client.provider)),
            Self::Credentials(provider) => provider.of_user(config).map(Cow::Owned),
        }
    }

    /// The client that requests this account's tokens, if it has tokens.
    pub fn client(&self, config: &PlainConfig) -> Option<ClientOf<'_>> {
        match self {
            Self::OAuth(client) => Some(ClientOf::App(client)),
            Self::Credentials(provider) if provider.auth == Auth::ClientCredentials => {
                let text = |name| config.get_str(name).map(str::to_owned);
                Some(ClientOf::User(Box::new(Client {
                    own_scopes: 0,
                    id: text("client_id")?,
                    secret: Secret::from(text("client_secret")?),
                    fallback_secret: None,
                    provider: provider.of_user(config)?,
                    issuer: None,
                    redirect_uri: String::new(),
                })))
            }
            Self::Credentials(_) => None,
        }
    }
}

impl Deref for ClientOf<'_> {
    type Target = Client;

    fn deref(&self) -> &Client {
        match self {
            Self::App(client) => client,
            Self::User(client) => client,
        }
    }
}
