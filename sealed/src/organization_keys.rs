use serde_json::Value;

use crate::cipher::NotAuthentic;
use crate::config::{Field, MAX_CONFIG_TEXT, MAX_VALUE, StoredConfig, fields, with_texts};
use crate::current;
use crate::data_key::DataKey;
use crate::envelope::{self, ENC, Enc, Version};
use crate::error::{Fault, OpenError, Refused, ResealError, SealError};
use crate::key::Key;
use crate::keyring::KeyRing;
use crate::legacy;
use crate::plain::PlainConfig;
use crate::random::{Nonce, Random, nonces};
use crate::row_context::{Aad, RowContext};
use crate::secret::Secret;
use crate::value::{self, Scratch};

/// The keys for the configs of one organization: its data keys, and the ring for what is not sealed with one.
///
/// The data keys must be this organization's. A config that names the data key of another does not open.
#[derive(Clone, Copy, Debug)]
pub struct OrganizationKeys<'a> {
    ring: &'a KeyRing,
    data: &'a [DataKey],
}

impl<'a> OrganizationKeys<'a> {
    /// `data_keys`: those of one organization, opened by [`KeyRing::unwrap`]. The first is the current one, which seals; the others open. If there
    /// are none, the ring's primary key seals.
    pub fn new(ring: &'a KeyRing, data_keys: &'a [DataKey]) -> Self {
        Self {
            ring,
            data: data_keys,
        }
    }

    /// Seals a config for its row, with the current data key and fresh nonces, and adds `_enc`. Without data keys the ring's primary key
    /// seals.
    ///
    /// A config without a string in a sensitive field stays unchanged, without `_enc`: nothing in it is sealed. An empty string is sealed like
    /// any other, as is one that looks like a sealed value. Null stays null.
    ///
    /// # Errors
    ///
    /// [`SealError::Refused`]: a sensitive field holds a number, a boolean, an object or an array; the config has a member
    /// `_enc`; or it is beyond the bounds. [`SealError::Random`]: the random source failed.
    pub fn seal(
        &self,
        context: &RowContext,
        config: &PlainConfig,
        random: Random<'_>,
    ) -> Result<StoredConfig, SealError> {
        let config = config.as_map();
        if config.contains_key(ENC) {
            return Err(Refused::new(Fault::ReservedName, "/_enc").into());
        }
        let fields = fields(config, MAX_CONFIG_TEXT)?;
        if let Some(field) = fields.iter().find(|field| field.text.len() > MAX_VALUE) {
            return Err(Refused::new(Fault::TooLarge, &field.pointer).into());
        }
        let nonces = nonces(fields.len(), random)?;
        let mut sealer = self.sealer(context);
        let mut scratch = Scratch::default();
        let texts = fields.iter().zip(&nonces).map(|(field, nonce)| {
            scratch
                .empty(field.text.len())
                .extend_from_slice(field.text.as_bytes());
            sealer.seal(&field.pointer, nonce, scratch.bytes())
        });
        let mut stored = with_texts(config, &mut texts.collect::<Vec<_>>().into_iter());
        if !fields.is_empty() {
            stored.insert(ENC.to_owned(), self.enc());
        }
        Ok(stored)
    }

    /// Opens a config of any form.
    ///
    /// If the config has `_enc`, its version and kid select the key, and every string in a sensitive field must be sealed. If not, each key of
    /// the ring is tried, and an empty string stays as it is: there was nothing to seal.
    pub fn open(
        &self,
        context: &RowContext,
        config: &StoredConfig,
    ) -> Result<PlainConfig, OpenError> {
        let mut opener = self.opener(context, config.get(ENC))?;
        let mut texts = Vec::new();
        for Field { pointer, text } in fields(config, 2 * MAX_CONFIG_TEXT)? {
            let text = opener.open(&pointer, text)?.to_owned();
            texts.push(Secret::from(text));
        }
        Ok(PlainConfig::from_map(with_texts(
            config,
            &mut texts.into_iter().map(Secret::into_string),
        )))
    }

    /// Reseals a config: opens all of it and seals it again as [`seal`](Self::seal) does. Plaintext members stay unchanged.
    ///
    /// `None`: nothing to do, because its key is the one that seals already (whether it opens, only [`open`](Self::open) shows), or because
    /// nothing in it is sealed. An error never returns a part of the result.
    pub fn reseal(
        &self,
        context: &RowContext,
        config: &StoredConfig,
        random: Random<'_>,
    ) -> Result<Option<StoredConfig>, ResealError> {
        if self.is_done(config.get(ENC)) {
            return Ok(None);
        }
        let enc = config.get(ENC);
        let fields = fields(config, 2 * MAX_CONFIG_TEXT).map_err(OpenError::from)?;
        if enc.is_none() && fields.is_empty() {
            return Ok(None);
        }
        let mut opener = self.opener(context, enc)?;
        let mut sealer = self.sealer(context);
        let nonces = nonces(fields.len(), random)?;
        let mut texts = Vec::with_capacity(fields.len());
        for (Field { pointer, text }, nonce) in fields.iter().zip(&nonces) {
            opener.open(pointer, text)?;
            texts.push(sealer.seal(pointer, nonce, opener.scratch.bytes()));
        }
        let mut moved = with_texts(config, &mut texts.into_iter());
        moved.insert(ENC.to_owned(), self.enc());
        Ok(Some(moved))
    }

    /// The `_enc` of what these keys seal.
    pub fn enc(&self) -> Value {
        envelope::write(self.sealing().0)
    }

    fn sealing(&self) -> (Enc, &Key) {
        let (version, key) = match self.data.first() {
            Some(data_key) => (Version::V3, data_key.key()),
            None => (Version::V2, self.ring.primary()),
        };
        let kid = key.kid();
        (Enc { version, kid }, key)
    }

    fn is_done(&self, enc: Option<&Value>) -> bool {
        envelope::read(enc) == Ok(Some(self.sealing().0))
    }

    fn sealer(&self, context: &RowContext) -> Sealer<'_> {
        let (enc, key) = self.sealing();
        Sealer {
            key,
            aad: Aad::new(enc.version, context),
        }
    }

    fn key(&self, enc: Enc) -> Option<&Key> {
        match enc.version {
            Version::V2 => self.ring.keys().iter().find(|key| key.kid() == enc.kid),
            Version::V3 => self
                .data
                .iter()
                .map(DataKey::key)
                .find(|key| key.kid() == enc.kid),
        }
    }

    fn opener(&self, context: &RowContext, enc: Option<&Value>) -> Result<Opener<'_>, OpenError> {
        let fault = |fault| OpenError::new(fault, "/_enc");
        let form = match envelope::read(enc).map_err(fault)? {
            None => OpenerForm::Legacy(self.ring.keys()),
            Some(enc) => {
                let key = self.key(enc).ok_or_else(|| fault(Fault::UnknownKey))?;
                OpenerForm::Current(key, Aad::new(enc.version, context))
            }
        };
        Ok(Opener {
            form,
            scratch: Scratch::default(),
        })
    }
}

/// Without data keys.
impl KeyRing {
    /// Seals a config for its row, with the primary key: [`OrganizationKeys::seal`] without data keys.
    pub fn seal(
        &self,
        context: &RowContext,
        config: &PlainConfig,
        random: Random<'_>,
    ) -> Result<StoredConfig, SealError> {
        OrganizationKeys::new(self, &[]).seal(context, config, random)
    }

    /// Opens a config that needs no data key: [`OrganizationKeys::open`] without data keys.
    pub fn open(
        &self,
        context: &RowContext,
        config: &StoredConfig,
    ) -> Result<PlainConfig, OpenError> {
        OrganizationKeys::new(self, &[]).open(context, config)
    }

    /// Rewraps a config with the primary key: [`OrganizationKeys::reseal`] without data keys.
    pub fn reseal(
        &self,
        context: &RowContext,
        config: &StoredConfig,
        random: Random<'_>,
    ) -> Result<Option<StoredConfig>, ResealError> {
        OrganizationKeys::new(self, &[]).reseal(context, config, random)
    }
}

/// Seals the values of one config.
struct Sealer<'a> {
    key: &'a Key,
    aad: Aad,
}

impl Sealer<'_> {
    /// Encrypts in place, so that the plaintext is overwritten, and returns the result as text.
    fn seal(&mut self, pointer: &str, nonce: &Nonce, plain: &mut [u8]) -> String {
        let tag = self
            .key
            .cipher()
            .seal(nonce, self.aad.of(pointer, self.key.kid()), plain);
        value::write(nonce, &tag, plain)
    }
}

/// Opens the values of one config.
struct Opener<'a> {
    form: OpenerForm<'a>,
    scratch: Scratch,
}

enum OpenerForm<'a> {
    Current(&'a Key, Aad),
    Legacy(&'a [Key]),
}

impl Opener<'_> {
    /// Opens a text. The result stays in `scratch` until the next call.
    fn open(&mut self, pointer: &str, text: &str) -> Result<&str, OpenError> {
        let opened = match &mut self.form {
            OpenerForm::Current(key, aad) => {
                open_current(key, aad.of(pointer, key.kid()), text, &mut self.scratch)
            }
            OpenerForm::Legacy(keys) => open_legacy(keys, text, &mut self.scratch),
        };
        let fault = |fault| OpenError::new(fault, pointer);
        opened.map_err(fault)?;
        str::from_utf8(self.scratch.bytes()).map_err(|_| fault(Fault::NotText))
    }
}

fn open_current(key: &Key, aad: &[u8], text: &str, scratch: &mut Scratch) -> Result<(), Fault> {
    let value = current::read(text)?;
    value.decode(scratch)?;
    key.cipher()
        .open(&value.nonce, aad, scratch.bytes(), &value.tag)
        .map_err(|NotAuthentic| Fault::NotAuthentic)
}

fn open_legacy(keys: &[Key], text: &str, scratch: &mut Scratch) -> Result<(), Fault> {
    if text.is_empty() {
        scratch.empty(0);
        return Ok(());
    }
    let mut fault = Fault::Malformed;
    for reading in legacy::read(text)? {
        for key in keys {
            // Decoded again for every key: a failed attempt leaves undefined bytes.
            match reading.decode(scratch) {
                Ok(()) => fault = Fault::NotAuthentic,
                Err(Fault::Malformed) => break,
                Err(other) => {
                    fault = other;
                    break;
                }
            }
            let opened = key
                .cipher()
                .open(&reading.nonce, b"", scratch.bytes(), &reading.tag);
            if opened.is_ok() {
                return Ok(());
            }
        }
    }
    Err(fault)
}
