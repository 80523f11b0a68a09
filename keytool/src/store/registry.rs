use sealed::Kid;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};

/// The state of the keys: which may write while the fence is up, and which are retired.
#[derive(Debug)]
pub struct Registry {
    pub fence: Option<Fence>,
    pub keys: Vec<KnownKey>,
}

#[derive(Debug)]
pub struct Fence {
    pub id: Uuid,
    pub declared_at: String,
}

#[derive(Debug, Deserialize)]
pub struct KnownKey {
    pub kid: String,
    pub state: String,
    pub changed_at: String,
}

impl Registry {
    /// Reads the result of `key_registry_state`.
    pub fn read(state: &Value) -> Result<Self> {
        #[derive(Deserialize)]
        struct State {
            fence: Option<RawFence>,
            keys: Vec<KnownKey>,
        }
        #[derive(Deserialize)]
        struct RawFence {
            id: String,
            declared_at: String,
        }
        let unreadable = || Error::new(ErrorKind::Database, "the key registry is not as expected");
        let State { fence, keys } = State::deserialize(state).map_err(|_| unreadable())?;
        let fence = fence.map(|RawFence { id, declared_at }| {
            let id = id.parse().map_err(|_| unreadable())?;
            Ok::<_, Error>(Fence { id, declared_at })
        });
        Ok(Self {
            fence: fence.transpose()?,
            keys,
        })
    }

    /// The keys that may write while the fence is up.
    pub fn allowed(&self) -> impl Iterator<Item = &str> {
        self.with_state("allowed")
    }

    pub fn ensure_not_retired(&self, primary: Kid) -> Result<()> {
        let kid = primary.to_string();
        if self.with_state("retired").any(|retired| retired == kid) {
            let message = format!("the primary key {primary} is retired");
            return Err(Error::new(ErrorKind::Caller, message)
                .hint("ENCRYPTION_KEY is an old key: set the one that the worker seals with"));
        }
        Ok(())
    }

    /// Fails if this key must not seal: it is retired, or the fence does not allow it.
    pub fn ensure_usable(&self, primary: Kid) -> Result<()> {
        self.ensure_not_retired(primary)?;
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

    fn with_state(&self, state: &'static str) -> impl Iterator<Item = &str> {
        self.keys
            .iter()
            .filter(move |key| key.state == state)
            .map(|key| &*key.kid)
    }

    /// The lines for people: the fence, and each key with its state.
    pub fn lines(&self) -> Vec<String> {
        let fence = match &self.fence {
            Some(fence) => format!("fence: up since {}", fence.declared_at),
            None => "fence: none".to_owned(),
        };
        let keys = self
            .keys
            .iter()
            .map(|key| format!("key {}: {} since {}", key.kid, key.state, key.changed_at));
        std::iter::once(fence).chain(keys).collect()
    }

    pub fn to_json(&self) -> Value {
        let keys: Vec<Value> = self
            .keys
            .iter()
            .map(|key| json!({"kid": key.kid, "state": key.state, "changed_at": key.changed_at}))
            .collect();
        let fence = self
            .fence
            .as_ref()
            .map(|fence| json!({"id": fence.id.to_string(), "declared_at": fence.declared_at}));
        json!({"fence": fence, "keys": keys})
    }
}
