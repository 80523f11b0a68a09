use sealed::{Fault, OpenError, Place};
use serde_json::{Value, json};

/// A row that does not open: which one, why, and where in its config. Never what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub place: Place,
    pub class: Class,
    /// A JSON Pointer, with control characters escaped.
    pub pointer: String,
}

/// Why a row does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The config is no JSON object.
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
    pub fn no_object(place: Place) -> Self {
        Self {
            place,
            class: Class::NoObject,
            pointer: String::new(),
        }
    }

    pub fn new(place: Place, error: &OpenError) -> Self {
        Self {
            place,
            class: Class::Fault(error.class()),
            pointer: error.pointer().to_owned(),
        }
    }

    /// For a person.
    pub fn to_line(&self) -> String {
        let Place {
            organization_id,
            integration_id,
        } = self.place;
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
            "id": self.place.integration_id.to_string(),
            "organization_id": self.place.organization_id.to_string(),
            "class": self.class.as_str(),
            "pointer": self.pointer,
        })
    }
}
