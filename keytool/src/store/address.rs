use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls::{self, Authorities};
use crate::error::{Error, ErrorKind, Result};
use crate::settings::DATABASE_URL;

pub struct DirectAddress {
    pub config: Config,
    pub tls: MakeRustlsConnect,
    /// Host, database and user, for a person.
    pub name: String,
}

impl DirectAddress {
    /// `sslmode=disable` means no TLS. Every other mode means TLS with a verified certificate, except that a server on this machine is
    /// reached without TLS unless the mode asks for it. libpq's weaker modes do not verify the server, and would send the password to an
    /// impostor.
    pub fn parse(url: &str, authorities: Option<Authorities>) -> Result<Self> {
        let Parameters {
            url,
            mode,
            root_certificate,
        } = Parameters::of(url.trim());
        let authorities = match (authorities, root_certificate.as_deref()) {
            (None, Some(file)) if file != "system" => {
                let name = "the certificate file of sslrootcert in DATABASE_URL";
                Some(tls::read_authorities(Path::new(file), name)?)
            }
            (authorities, _) => authorities,
        };
        ensure_one_at(&url)?;
        // The error's reason would quote a part of the URL.
        let mut config: Config = url.parse().map_err(|_| {
            Error::new(
                ErrorKind::Caller,
                format!("{DATABASE_URL} is no connection string of PostgreSQL"),
            )
            .hint(
                "it looks like postgres://user:password@host:5432/postgres, special characters percent-encoded, without parameters of other programs",
            )
        })?;
        let wants_tls = match (mode.as_deref(), config.get_ssl_mode()) {
            (Some("disable"), _) => false,
            (Some("require" | "verify-ca" | "verify-full"), _) => true,
            // `host=... sslmode=...`, or a percent-encoded name: left to tokio-postgres, which rejects what it does not know.
            (None, SslMode::Disable) => false,
            (None, SslMode::Require) => true,
            (None | Some("prefer" | "allow"), _) => !stays_here(&config),
            (Some(_), _) => {
                return Err(Error::new(
                    ErrorKind::Caller,
                    format!("{DATABASE_URL} has an sslmode that PostgreSQL does not know"),
                )
                .hint("leave it out, or give verify-full or disable"));
            }
        };
        config.ssl_mode(if wants_tls {
            SslMode::Require
        } else {
            SslMode::Disable
        });
        config.connect_timeout(Duration::from_secs(10));
        // Detects a server that disappeared without closing the connection.
        config.tcp_user_timeout(Duration::from_secs(30));
        config.keepalives_idle(Duration::from_secs(30));
        if config.get_application_name().is_none() {
            config.application_name("keytool");
        }
        Ok(Self {
            name: name(&config),
            tls: MakeRustlsConnect::new(tls::client_config(authorities.as_ref())?),
            config,
        })
    }
}

/// What other programs put into a connection string. None of it changes where it leads or how the server is verified.
const NOT_OURS: [&str; 10] = [
    "pgbouncer",
    "supa",
    "connection_limit",
    "pool_timeout",
    "schema",
    "statement_cache_size",
    "prepared_statements",
    "prepareThreshold",
    "uselibpqcompat",
    "gssencmode",
];

/// A connection string, and the parameters of it that tokio-postgres does not read as libpq does.
struct Parameters {
    url: String,
    mode: Option<String>,
    root_certificate: Option<String>,
}

impl Parameters {
    /// tokio-postgres knows fewer modes than libpq, whose strings people have, and refuses what it does not know.
    fn of(text: &str) -> Self {
        let mut parameters = Self {
            url: text.to_owned(),
            mode: None,
            root_certificate: None,
        };
        let Some((base, query)) = text.split_once('?') else {
            return parameters;
        };
        if !text.contains("://") {
            return parameters;
        }
        let mut others = Vec::new();
        for pair in query.split('&') {
            match pair.split_once('=') {
                Some(("sslmode", mode)) => parameters.mode = Some(mode.to_owned()),
                Some(("sslrootcert", file)) => {
                    parameters.root_certificate = Some(percent_decoded(file));
                }
                Some((name, _)) if NOT_OURS.contains(&name) => {}
                _ => others.push(pair),
            }
        }
        parameters.url = if others.is_empty() {
            base.to_owned()
        } else {
            format!("{base}?{}", others.join("&"))
        };
        parameters
    }
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text
            .get(at + 1..at + 3)
            .filter(|_| bytes[at] == b'%')
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(hex.unwrap_or(bytes[at]));
        at += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// In a password an `@` ends the password, and what follows it would be taken for the host, and shown.
fn ensure_one_at(url: &str) -> Result<()> {
    let Some((_, rest)) = url.split_once("://") else {
        return Ok(());
    };
    let before_parameters = rest.split('?').next().unwrap_or_default();
    if before_parameters.matches('@').count() <= 1 {
        return Ok(());
    }
    let message = format!("the password in {DATABASE_URL} has an @ that is not encoded");
    Err(Error::new(ErrorKind::Caller, message)
        .hint("write %40 for @ in the password, and percent-encode / : ? # and % in it too"))
}

fn name(config: &Config) -> String {
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .map(|host| match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(path) => path.display().to_string(),
        })
        .chain(config.get_hostaddrs().iter().map(IpAddr::to_string))
        .collect();
    let ports: Vec<String> = config.get_ports().iter().map(u16::to_string).collect();
    let port = match &ports[..] {
        [] => String::new(),
        ports => format!(":{}", ports.join(",")),
    };
    let user = config.get_user().unwrap_or("the system's user");
    let database = config.get_dbname().unwrap_or(user);
    format!("{}{port}/{database} as {user}", hosts.join(","))
}

/// Whether every address of the connection is on this machine. `hostaddr` wins over the host's name.
fn stays_here(config: &Config) -> bool {
    let (hosts, addresses) = (config.get_hosts(), config.get_hostaddrs());
    if addresses.is_empty() {
        return hosts.iter().all(is_here);
    }
    addresses.iter().all(IpAddr::is_loopback)
}

fn is_here(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => matches!(name.as_str(), "localhost" | "127.0.0.1" | "::1"),
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> SslMode {
        DirectAddress::parse(url, None)
            .unwrap()
            .config
            .get_ssl_mode()
    }

    #[test]
    fn a_remote_server_needs_tls_unless_it_is_refused() {
        for (url, expected) in [
            ("postgres://u:p@db.example.com/postgres", SslMode::Require),
            (
                "postgres://u:p@db.example.com/postgres?sslmode=require",
                SslMode::Require,
            ),
            (
                "postgres://u:p@db.example.com/postgres?sslmode=verify-full&target_session_attrs=any",
                SslMode::Require,
            ),
            (
                "postgres://u:p@db.example.com/postgres?sslmode=prefer",
                SslMode::Require,
            ),
            (
                "postgres://u:p@db.example.com/postgres?sslmode=disable",
                SslMode::Disable,
            ),
            ("postgres://u:p@127.0.0.1/postgres", SslMode::Disable),
            (
                "postgres://u:p@localhost,db.example.com/postgres",
                SslMode::Require,
            ),
            (
                "postgres://u:p@localhost/postgres?sslmode=verify-full",
                SslMode::Require,
            ),
            (
                "postgres:///postgres?host=/run/postgresql",
                SslMode::Disable,
            ),
            ("host=localhost user=u sslmode=require", SslMode::Require),
            (
                "host='localhost' user=u sslmode = 'require'",
                SslMode::Require,
            ),
            ("host=db.example.com sslmode=disable", SslMode::Disable),
            ("host=db.example.com", SslMode::Require),
            ("host=localhost options='a?b'", SslMode::Disable),
            (
                "postgres://u:p@localhost/postgres?ssl%6dode=require",
                SslMode::Require,
            ),
            // The address decides where a connection goes.
            (
                "postgres://u:p@localhost/postgres?hostaddr=203.0.113.7",
                SslMode::Require,
            ),
            (
                "postgres://u:p@/postgres?hostaddr=203.0.113.7",
                SslMode::Require,
            ),
            (
                "postgres://u:p@localhost,localhost/postgres?hostaddr=127.0.0.1,203.0.113.7",
                SslMode::Require,
            ),
            (
                "postgres://u:p@localhost/postgres?hostaddr=::1",
                SslMode::Disable,
            ),
        ] {
            assert_eq!(mode(url), expected, "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_not_quoted() {
        for url in [
            "hunter2",
            "postgres://user:hunter2@host:port/db",
            "postgres://user:hunter2@host/db?sslmode=hunter2",
            "postgres://user@host/db?password=hunter2&hunter2=1",
            "host=localhost password=hunter2 sslmode=verify-full",
            "host=localhost password=hunter2 sslmode=hunter2",
        ] {
            let Err(error) = DirectAddress::parse(url, None) else {
                panic!("{url}")
            };
            let shown = format!("{error:?}");
            assert!(
                shown.contains(DATABASE_URL) && !shown.contains("hunter2"),
                "{shown}"
            );
        }
    }
}
