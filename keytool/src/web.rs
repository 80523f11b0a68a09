//! A server that keytool calls over HTTP.

use std::time::Duration;

use rustls::pki_types::CertificateDer;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::error::{Error, ErrorKind, Result};

pub struct Server {
    pub agent: Agent,
    /// Without a slash at its end.
    pub base: String,
}

impl Server {
    /// `name` says where the address was given, and `example` what one looks like. The certificates are trusted instead of the public
    /// authorities.
    pub fn parse(
        name: &str,
        example: &str,
        url: &str,
        authorities: Option<Vec<CertificateDer<'static>>>,
    ) -> Result<Self> {
        let base = url.trim().trim_end_matches('/');
        let (scheme, rest) = base.split_once("://").unwrap_or_default();
        let authority = rest.split('/').next().unwrap_or_default();
        let is_local = is_local(authority);
        let is_fine = !authority.is_empty()
            && base.bytes().all(|c| c.is_ascii_graphic())
            && !base.contains(['?', '#', '@'])
            && (scheme == "https" || (scheme == "http" && is_local));
        if !is_fine {
            let message = format!("{name} is no https address");
            return Err(Error::new(ErrorKind::Caller, message).hint(format!(
                "it looks like {example}; http is for localhost only"
            )));
        }
        let roots = authorities.map_or(RootCerts::WebPki, |certificates| {
            let certificates: Vec<_> = certificates
                .iter()
                .map(|certificate| Certificate::from_der(certificate).to_owned())
                .collect();
            RootCerts::new_with_certs(&certificates)
        });
        let mut config = Agent::config_builder()
            // The callers read the status. Redirects are not followed, so that the key is sent nowhere else.
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_global(Some(Duration::from_secs(60)))
            // Supabase rejects a secret key that is sent with a browser's user agent.
            .user_agent(concat!("keytool/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(roots).build());
        if is_local {
            config = config.proxy(None);
        }
        Ok(Self {
            agent: config.build().new_agent(),
            base: base.to_owned(),
        })
    }
}

fn is_local(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|c| c.is_ascii_digit()) => host,
        _ => authority,
    };
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}
