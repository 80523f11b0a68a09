use sealed::{Fault, Form, Kid, OpenError, RowContext};
use serde_json::{Value, json};

use crate::config::NotAConfig;

/// A row that does not open: its id, the fault and the field. It holds no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub context: RowContext,
    pub class: Class,
    /// A JSON Pointer, with control characters escaped.
    pub pointer: String,
    pub kind: Kind,
}

/// What would help a row that does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It names a key that is not in the ring, or a data key that such a key wraps.
    MissingKey(Kid),
    /// The same, of keys beyond those that are counted one by one.
    OtherMissingKeys,
    /// It is of a version of the format that this program does not read.
    OtherVersion,
    /// It is of the legacy form, which names no key, and no key of the ring fits.
    NoKeyFits,
    /// It names a data key that its organization does not have: the key was deleted.
    MissingDataKey,
    /// No key helps.
    Damaged,
}

/// Why a row does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The config is not a JSON object.
    NoObject,
    Fault(Fault),
}

impl Class {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoObject => "no-object",
            Self::Fault(fault) => fault.as_str(),
        }
    }
}

impl Kind {
    pub fn of(form: Form, fault: Fault) -> Self {
        match (form, fault) {
            (Form::V2(kid), Fault::UnknownKey) => Self::MissingKey(kid),
            (Form::V3(_), Fault::UnknownKey) => Self::MissingDataKey,
            (Form::Legacy, Fault::NotAuthentic) => Self::NoKeyFits,
            (_, Fault::UnknownVersion) => Self::OtherVersion,
            _ => Self::Damaged,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingKey(_) | Self::OtherMissingKeys => "missing_key",
            Self::OtherVersion => "other_version",
            Self::NoKeyFits => "no_key_fits",
            Self::MissingDataKey => "missing_data_key",
            Self::Damaged => "damaged",
        }
    }

    pub fn kid(self) -> Option<Kid> {
        match self {
            Self::MissingKey(kid) => Some(kid),
            _ => None,
        }
    }
}

impl Finding {
    /// A row whose value is not a config.
    pub fn not_a_config(context: RowContext, why: NotAConfig) -> Self {
        let class = match why {
            NotAConfig::TooDeep => Class::Fault(Fault::TooDeep),
            _ => Class::NoObject,
        };
        Self {
            context,
            class,
            pointer: String::new(),
            kind: Kind::Damaged,
        }
    }

    pub fn new(context: RowContext, form: Form, error: &OpenError) -> Self {
        Self {
            context,
            class: Class::Fault(error.class()),
            pointer: error.pointer().to_owned(),
            kind: Kind::of(form, error.class()),
        }
    }

    /// For a person.
    pub fn to_line(&self) -> String {
        let RowContext {
            organization_id,
            integration_id,
        } = self.context;
        let (class, pointer) = (self.class.as_str(), &self.pointer);
        let key = self
            .kind
            .kid()
            .map_or(String::new(), |kid| format!(", key {kid}"));
        format!(
            "does not open: {integration_id} of organization {organization_id}: {class} at \"{pointer}\"{key}"
        )
    }

    /// For a machine.
    pub fn to_event(&self) -> Value {
        json!({
            "event": "does_not_open",
            "id": self.context.integration_id.to_string(),
            "organization_id": self.context.organization_id.to_string(),
            "class": self.class.as_str(),
            "pointer": self.pointer,
            "kind": self.kind.as_str(),
            "kid": self.kind.kid().map(|kid| kid.to_string()),
        })
    }
}
