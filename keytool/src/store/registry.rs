use kms::WrappingKeys;
use sealed::Kid;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::elsewhere::{Elsewhere, SealedTable};
use crate::error::{Error, ErrorKind, Result};
use crate::shown::age;

/// The state of the keys: which may write while the fence is up, and which are retired.
#[derive(Debug)]
pub struct Registry {
    pub fence: Option<Fence>,
    pub keys: Vec<KnownKey>,
    pub elsewhere: Elsewhere,
    /// The number of data keys that were replaced and are still there.
    replaced_data_keys: u64,
}

#[derive(Debug)]
pub struct Fence {
    pub id: Uuid,
    pub declared_at: String,
    pub age_seconds: u64,
}

#[derive(Debug, Deserialize)]
pub struct KnownKey {
    pub kid: String,
    pub state: String,
    pub changed_at: String,
    age_seconds: u64,
}

impl Registry {
    /// Reads the result of `key_registry_state`.
    pub fn read(state: &Value) -> Result<Self> {
        #[derive(Deserialize)]
        struct State {
            fence: Option<RawFence>,
            keys: Vec<KnownKey>,
            sealed_elsewhere: Vec<SealedTable>,
            replaced_data_keys: u64,
        }
        #[derive(Deserialize)]
        struct RawFence {
            id: String,
            declared_at: String,
            age_seconds: u64,
        }
        let unreadable = || {
            Error::new(ErrorKind::Database, "the key registry is not as expected")
                .hint("are the migrations of this database those of this keytool's version?")
        };
        let State {
            fence,
            keys,
            sealed_elsewhere,
            replaced_data_keys,
        } = State::deserialize(state).map_err(|_| unreadable())?;
        let fence = fence.map(|raw| {
            let id = raw.id.parse().map_err(|_| unreadable())?;
            Ok::<_, Error>(Fence {
                id,
                declared_at: raw.declared_at,
                age_seconds: raw.age_seconds,
            })
        });
        Ok(Self {
            fence: fence.transpose()?,
            keys,
            elsewhere: Elsewhere::new(sealed_elsewhere),
            replaced_data_keys,
        })
    }

    /// The keys that may write while the fence is up.
    pub fn allowed(&self) -> impl Iterator<Item = &str> {
        self.with_state("allowed")
    }

    pub fn knows(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid == kid)
    }

    pub fn is_retired(&self, kid: Kid) -> bool {
        let kid = kid.to_string();
        self.with_state("retired").any(|retired| retired == kid)
    }

    pub fn ensure_not_retired(&self, primary: Kid) -> Result<()> {
        if self.is_retired(primary) {
            let message = format!("the primary key {primary} is retired");
            return Err(Error::new(ErrorKind::Caller, message).hint(
                "ENCRYPTION_KEY is an old key: set the one that the worker seals with; if it was retired by mistake, `keytool unretire` takes it back",
            ));
        }
        Ok(())
    }

    /// Refuses to seal with a key that could not be written, or must not be.
    pub fn ensure_usable(&self, ring: &WrappingKeys) -> Result<()> {
        self.ensure_not_retired(ring.primary_kid())?;
        self.ensure_not_swapped(ring)?;
        let primary = ring.primary_kid();
        let kid = primary.to_string();
        if self.fence.is_some() && !self.allowed().any(|allowed| allowed == kid) {
            let allowed: Vec<&str> = self.allowed().collect();
            let message = format!(
                "the fence is up for {}, and the primary key is {primary}",
                allowed.join(", ")
            );
            return Err(Error::new(ErrorKind::Caller, message).hint(
                "set ENCRYPTION_KEY to the key that the fence allows, or end the last rotation: keytool fence --lift",
            ));
        }
        Ok(())
    }

    /// A fence that allows a fallback key alone: the two settings have changed places here.
    pub fn ensure_not_swapped(&self, ring: &WrappingKeys) -> Result<()> {
        let mut allowed = self.allowed();
        let (Some(only), None) = (allowed.next(), allowed.next()) else {
            return Ok(());
        };
        let is_fallback = ring.kids().skip(1).any(|kid| kid.to_string() == only);
        if self.fence.is_none() || !is_fallback {
            return Ok(());
        }
        let message = format!(
            "the fence is up for {only}, which is a fallback key here, and the primary key is {}",
            ring.primary_kid()
        );
        Err(Error::new(ErrorKind::Caller, message).hint(
            "ENCRYPTION_KEY and FALLBACK_ENCRYPTION_KEYS are probably swapped: ENCRYPTION_KEY is the key that the worker seals with now; \
             to rotate back on purpose, run `keytool fence --lift` first",
        ))
    }

    fn with_state(&self, state: &'static str) -> impl Iterator<Item = &str> {
        self.keys
            .iter()
            .filter(move |key| key.state == state)
            .map(|key| &*key.kid)
    }

    /// The lines for people: the fence, and each key with its state.
    pub fn lines(&self) -> Vec<String> {
        let fence = match &self.fence {
            Some(fence) => format!(
                "fence: up since {} ({})",
                fence.declared_at,
                age(fence.age_seconds)
            ),
            None => "fence: none".to_owned(),
        };
        let keys = self.keys.iter().map(|key| {
            let (since, ago) = (&key.changed_at, age(key.age_seconds));
            format!("key {}: {} since {since} ({ago})", key.kid, key.state)
        });
        let replaced = (self.replaced_data_keys > 0).then(|| {
            format!(
                "replaced data keys: {}, kept until nothing uses them",
                self.replaced_data_keys
            )
        });
        std::iter::once(fence).chain(keys).chain(replaced).collect()
    }

    pub fn to_json(&self) -> Value {
        let keys: Vec<Value> = self
            .keys
            .iter()
            .map(|key| json!({"kid": key.kid, "state": key.state, "changed_at": key.changed_at, "age_seconds": key.age_seconds}))
            .collect();
        let fence = self.fence.as_ref().map(|fence| {
            json!({"id": fence.id.to_string(), "declared_at": fence.declared_at, "age_seconds": fence.age_seconds})
        });
        json!({"fence": fence, "keys": keys, "replaced_data_keys": self.replaced_data_keys})
    }
}
