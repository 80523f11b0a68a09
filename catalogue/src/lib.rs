//! The catalogue: the differences between providers are data (`providers/`, a file each). This crate has the types of an entry and the checks
//! of it. It is pure: it has no IO, no clock and no randomness.
//!
//! The worker's build script compiles the entries in (`compile`), so a worker with a malformed entry cannot be built. The worker reads them
//! (`parse`) with the same types.
//!
//! ```
//! let text = include_str!("../providers/github.json");
//! let entry = catalogue::read(text)?;
//! assert_eq!(entry.provider.kind, "github");
//!
//! let misspelt = text.replace("client_auth", "client_authentication");
//! let why = catalogue::read(&misspelt).unwrap_err();
//! assert!(why.contains("unknown field `client_authentication`"));
//! # Ok::<(), String>(())
//! ```

mod about;
mod check;
mod check_fields;
mod entry;
mod fields;
mod header;
mod read;
mod templates;
mod unique;

pub use about::About;
pub use entry::*;
pub use fields::{Field, Format, fill};
pub use header::HeaderName;
pub use read::{Entry, compile, parse, read};
