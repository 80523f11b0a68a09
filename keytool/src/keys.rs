//! Reads keys from the environment, or from files that only their owner can access.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use kms::WrappingKeys;
use sealed::{Key, KeyError, KeyRing};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::input::read_bounded;
use crate::settings::{self, FALLBACKS, PRIMARY};
use crate::{random, service};

const MAKE_ONE: &str = "make a key with `keytool generate` or `openssl rand -base64 32`";

#[derive(Args, Debug)]
#[command(next_help_heading = "Keys")]
pub struct KeyArgs {
    /// Read the primary key from this file instead of ENCRYPTION_KEY; only its owner may have access to it
    #[arg(long, global = true, value_name = "FILE")]
    key_file: Option<PathBuf>,

    /// Read a fallback key from this file instead of FALLBACK_ENCRYPTION_KEYS; repeat it for several keys
    #[arg(long, global = true, value_name = "FILE")]
    fallback_key_file: Vec<PathBuf>,
}

impl KeyArgs {
    /// The keys as the worker has them: the ring of the primary key and the fallback keys, and the key of `WRAPPING_KEY`.
    pub fn ring(&self) -> Result<WrappingKeys> {
        service::wrapping_keys(self.key_ring()?)
    }

    /// The keys, or `None` if no key is given. A key that is given must be valid.
    pub fn ring_if_given(&self) -> Result<Option<WrappingKeys>> {
        if self.key_file.is_none() && settings::secret(PRIMARY)?.is_none() {
            return Ok(None);
        }
        self.ring().map(Some)
    }

    /// The key that wraps alone. What it opens needs no other key.
    pub fn ring_without_fallbacks(&self) -> Result<WrappingKeys> {
        let is_alone = |key| {
            KeyRing::new(key, Vec::new())
                .map_err(|error| Error::new(ErrorKind::Caller, error.to_string()))
        };
        // Where a service wraps, the ring has a key that has sealed nothing.
        let mut bytes = [0; 32];
        random::fill(&mut bytes)?;
        let keys = service::wrapping_keys(is_alone(Key::from_bytes(bytes))?)?;
        Ok(WrappingKeys {
            ring: match keys.kms {
                Some(_) => keys.ring,
                None => is_alone(self.primary()?)?,
            },
            fallback: None,
            kms: keys.kms,
        })
    }

    /// The ring of the primary key and the fallback keys.
    pub fn key_ring(&self) -> Result<KeyRing> {
        KeyRing::new(self.primary()?, self.fallbacks()?).map_err(|error| {
            Error::new(ErrorKind::Caller, format!("the key ring: {error}"))
                .hint("each of the primary key and the fallbacks must be another key")
        })
    }

    /// Each key by itself, where they are about to change places.
    pub fn primary_and_fallbacks(&self) -> Result<(Key, Vec<Key>)> {
        // What is no ring is refused in the ring's words.
        self.key_ring()?;
        Ok((self.primary()?, self.fallbacks()?))
    }

    /// The primary key alone.
    pub fn primary(&self) -> Result<Key> {
        match &self.key_file {
            Some(file) => key_in_file(file, "the file of --key-file"),
            None => match settings::secret(PRIMARY)? {
                Some(text) => parse(&text, PRIMARY),
                None => Err(Error::new(
                    ErrorKind::Caller,
                    format!("{PRIMARY} environment variable is not set"),
                )
                .hint(format!("set it or give --key-file; {MAKE_ONE}"))),
            },
        }
    }

    fn fallbacks(&self) -> Result<Vec<Key>> {
        if !self.fallback_key_file.is_empty() {
            let files = self.fallback_key_file.iter().zip(1..);
            return files
                .map(|(file, number)| {
                    key_in_file(file, &format!("file {number} of --fallback-key-file"))
                })
                .collect();
        }
        let Some(text) = settings::secret(FALLBACKS)? else {
            return Ok(Vec::new());
        };
        let keys = Key::list_from_base64(&text).map_err(|error| {
            Error::new(ErrorKind::Caller, format!("{FALLBACKS}: {error}"))
                .hint("give keys separated by commas, or leave it unset")
        })?;
        keys.iter()
            .try_for_each(|key| ensure_random(key, FALLBACKS))?;
        Ok(keys)
    }
}

/// `name` says which file it is. The path is not shown: a user may have pasted a key there.
fn key_in_file(path: &Path, name: &str) -> Result<Key> {
    const MAX_FILE: usize = 4096;
    let cannot_read =
        |error: io::Error| Error::new(ErrorKind::Caller, format!("{name} cannot be read: {error}"));
    // Checked before opening: opening a pipe waits for its writer.
    let kind = std::fs::metadata(path).map_err(cannot_read)?.file_type();
    if !kind.is_file() {
        let message = format!("{name} is not a file");
        return Err(Error::new(ErrorKind::Caller, message)
            .hint("give the name of a file that holds one key"));
    }
    let file = File::open(path).map_err(cannot_read)?;
    refuse_if_others_may_read(&file, name)?;
    let bytes = read_bounded(file, MAX_FILE)
        .map_err(cannot_read)?
        .ok_or_else(|| Error::new(ErrorKind::Caller, format!("{name} is larger than a key")))?;
    let text = str::from_utf8(&bytes).map_err(|_| not_a_key(name, KeyError::NotBase64))?;
    parse(text, name)
}

fn parse(text: &str, name: &str) -> Result<Key> {
    let key = Key::from_base64(text).map_err(|error| not_a_key(name, error))?;
    ensure_random(&key, name)?;
    Ok(key)
}

/// 32 equal bytes are a placeholder or a broken random source, and the first thing that anybody tries.
fn ensure_random(key: &Key, name: &str) -> Result<()> {
    let text = key.to_base64();
    let bytes = STANDARD.decode(text.expose()).map(Zeroizing::new);
    let is_one_byte = |bytes: &Zeroizing<Vec<u8>>| bytes.iter().all(|byte| *byte == bytes[0]);
    if bytes.as_ref().is_ok_and(is_one_byte) {
        return Err(Error::new(
            ErrorKind::Caller,
            format!("{name}: all bytes of the key are equal, so it is no secret"),
        )
        .hint(MAKE_ONE));
    }
    Ok(())
}

fn not_a_key(source: &str, error: KeyError) -> Error {
    Error::new(ErrorKind::Caller, format!("{source}: {error}")).hint(MAKE_ONE)
}

/// Checks the open file, so that nobody can replace it between the check and the read.
#[cfg(unix)]
fn refuse_if_others_may_read(file: &File, name: &str) -> Result<()> {
    use std::os::unix::fs::MetadataExt;

    let about = file
        .metadata()
        .map_err(|error| Error::new(ErrorKind::Caller, format!("{name}: {error}")))?;
    let (owner, mode) = (about.uid(), about.mode());
    // The file's owner can change its content and its permissions.
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        let message = format!("{name} belongs to another user (id {owner})");
        return Err(Error::new(ErrorKind::Caller, message).hint("it must be yours or root's"));
    }
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let message = format!("{name} is open to others (mode {:04o})", mode & 0o7777);
    Err(Error::new(ErrorKind::Caller, message)
        .hint("give it mode 600, and make a new key if somebody may have read this one"))
}

/// Other systems have no mode bits. There, the user is responsible for the file's permissions.
#[cfg(not(unix))]
fn refuse_if_others_may_read(_file: &File, _name: &str) -> Result<()> {
    Ok(())
}
