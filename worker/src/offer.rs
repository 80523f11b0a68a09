//! The entries of the catalogue that the settings offer.

use crate::oauth::Client;
use catalogue::{Auth, Provider};
use sealed::{PlainConfig, Secret};
use std::borrow::Cow;
use std::ops::Deref;

#[derive(Debug)]
pub enum Offer {
    /// Connected by OAuth, with an app at the provider.
    OAuth(Client),
    /// Connected with credentials that the user enters.
    Credentials(Provider),
}

pub enum ClientOf<'a> {
    Deployment(&'a Client),
    /// An organization's own app, or a user's own client.
    Own(Box<Client>),
}

/// The offer behind one grant.
pub enum OfferOf<'a> {
    Deployment(&'a Offer),
    Own(Box<Offer>),
}

/// A type that is connected by OAuth, before an app makes a client of it.
#[derive(Debug)]
pub struct OauthType {
    /// The provider, with its endpoints where the settings want them. Of its scopes the entry's own come first, the operator's
    /// (`<TYPE>_SCOPES`) follow them.
    pub provider: Provider,
    /// How many of the scopes are the entry's own.
    pub own_scopes: usize,
    /// The issuer that callbacks must name (RFC 9207), where the provider names one.
    pub issuer: Option<String>,
    /// Where the provider sends the browser back to.
    pub redirect_uri: String,
}

pub struct App {
    pub client_id: String,
    pub secret: Secret,
    /// The app's other secret, while it is being changed.
    pub fallback_secret: Option<Secret>,
    /// The part of the provider's URLs that each app configures; empty where there is none.
    pub slug: String,
}

impl OauthType {
    pub fn client(&self, app: App) -> Client {
        Client {
            provider: self.provider.clone().of_app(&app.client_id, &app.slug),
            id: app.client_id,
            secret: app.secret,
            fallback_secret: app.fallback_secret,
            redirect_uri: self.redirect_uri.clone(),
        }
    }

    /// The scopes to request: all, or the entry's own, which name the account, and these of the operator's.
    pub fn scope(&self, asked: Option<&[String]>) -> String {
        let Some(asked) = asked else {
            return self.provider.scope();
        };
        let (own, further) = self.provider.scopes.split_at(self.own_scopes);
        let further = further.iter().filter(|scope| asked.contains(scope));
        let scopes: Vec<String> = own.iter().chain(further).cloned().collect();
        self.provider.joined(&scopes)
    }
}

impl Offer {
    /// With the endpoints that the settings configure.
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

    /// None: the account has no tokens that a client requests.
    pub fn client(&self, config: &PlainConfig) -> Option<ClientOf<'_>> {
        match self {
            Self::OAuth(client) => Some(ClientOf::Deployment(client)),
            Self::Credentials(provider) if provider.auth == Auth::ClientCredentials => {
                let text = |name| config.get_str(name).map(str::to_owned);
                Some(ClientOf::Own(Box::new(Client {
                    id: text("client_id")?,
                    secret: Secret::from(text("client_secret")?),
                    fallback_secret: None,
                    provider: provider.of_user(config)?,
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
            Self::Deployment(client) => client,
            Self::Own(client) => client,
        }
    }
}

impl<'a> OfferOf<'a> {
    /// None: the account has no tokens that a client requests.
    pub fn into_client(self, config: &PlainConfig) -> Option<ClientOf<'a>> {
        match self {
            Self::Deployment(offer) => offer.client(config),
            Self::Own(offer) => match *offer {
                Offer::OAuth(client) => Some(ClientOf::Own(Box::new(client))),
                Offer::Credentials(_) => None,
            },
        }
    }
}

impl Deref for OfferOf<'_> {
    type Target = Offer;

    fn deref(&self) -> &Offer {
        match self {
            Self::Deployment(offer) => offer,
            Self::Own(offer) => offer,
        }
    }
}
