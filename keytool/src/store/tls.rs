use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::error::{Error, ErrorKind, Result};

/// The certificates of `--ca-file`, trusted instead of the public authorities.
pub type Authorities = Vec<CertificateDer<'static>>;

/// `name` says which file it is.
pub fn read_authorities(path: &Path, name: &str) -> Result<Authorities> {
    let wrong = |why: String| {
        Error::new(
            ErrorKind::Caller,
            format!("{name}: {why}"),
        )
        .hint("give the authority's certificate in PEM; Supabase's is under Database, Settings, SSL configuration")
    };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Authorities, _>>)
        .map_err(|error| wrong(error.to_string()))?;
    if certificates.is_empty() {
        return Err(wrong("it holds no certificate".into()));
    }
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots
            .add(certificate.clone())
            .map_err(|error| wrong(error.to_string()))?;
    }
    Ok(certificates)
}

/// A client that always verifies the certificate and its name: an unverified server could read the password.
pub fn client_config(authorities: Option<&Authorities>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(certificates) => {
            roots.add_parsable_certificates(certificates.iter().cloned());
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(ErrorKind::Machine, format!("no TLS: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
