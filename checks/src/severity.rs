//! The severity of a failure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::unique;

/// A fixed severity, or one that the item says.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum SeverityOf {
    /// The same for every failure.
    Fixed(Severity),
    /// By a value of the item.
    Map(SeverityMap),
}

/// Which value means which severity.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeverityMap {
    /// Where the value is.
    pub at: String,
    /// Value by value. A value that is not here has the worst of them.
    #[serde(deserialize_with = "unique::map")]
    pub map: BTreeMap<String, Severity>,
}

/// How bad a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// To know.
    Info,
    /// When there is time.
    Low,
    /// Soon.
    Medium,
    /// Now.
    High,
    /// Before anything else.
    Critical,
}
