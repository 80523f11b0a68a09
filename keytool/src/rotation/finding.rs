use sealed::{Fault, OpenError, RowContext};
use serde_json::{Value, json};

use crate::config::NotAConfig;
use crate::error::{Error, ErrorKind, Result};

/// A row that does not open: its id, the fault and the field. It holds no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub context: RowContext,
    pub class: Class,
    /// A JSON Pointer, with control characters escaped.
    pub pointer: String,
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
        }
    }

    pub fn new(context: RowContext, error: &OpenError) -> Self {
        Self {
            context,
            class: Class::Fault(error.class()),
            pointer: error.pointer().to_owned(),
        }
    }

    /// For a person.
    pub fn to_line(&self) -> String {
        let RowContext {
            organization_id,
            integration_id,
        } = self.context;
        let class = self.class.as_str();
        let pointer = &self.pointer;
        format!(
            "does not open: {integration_id} of organization {organization_id}: {class} at \"{pointer}\""
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
        })
    }
}

/// A command that has found such rows fails, after it has done everything else.
pub fn ensure_none(findings: u64) -> Result<()> {
    if findings == 0 {
        return Ok(());
    }
    Err(
        Error::new(ErrorKind::Row, format!("{findings} rows do not open")).hint(
            "each is listed with its class, which docs/format.md explains; repair or delete these rows, then run this again",
        ),
    )
}
