//! What can be connected here: the entries of the catalogue that the settings offer.

use crate::oauth::Client;
use crate::providers::Provider;

/// A type of integration on offer.
#[derive(Debug)]
pub enum Offer {
    /// Connected by OAuth, with an app of ours at the provider.
    App(Client),
}

impl Offer {
    /// The provider, with its endpoints where the settings want them.
    pub fn provider(&self) -> &Provider {
        match self {
            Self::App(client) => &client.provider,
        }
    }

    /// The app, where there is one.
    pub fn app(&self) -> Option<&Client> {
        match self {
            Self::App(client) => Some(client),
        }
    }
}
