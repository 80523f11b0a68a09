//! What both workers share: it reads settings and JSON from outside, and builds the calls of the database's functions. It is pure: requests
//! and responses are plain data, and each worker's own `host` sends and receives them.
//!
//! ```
//! use platform::settings::Environment;
//!
//! // An error names the setting, and never shows its value.
//! let wrong = Environment::new(&|_| Some("http://project.example".to_owned())).origin("SUPABASE_URL").unwrap_err();
//! assert!(wrong.0.starts_with("SUPABASE_URL environment variable is not an https origin"));
//! ```

pub mod call;
pub mod data_keys;
pub mod error;
pub mod http;
pub mod json;
pub mod origin;
pub mod project;
pub mod settings;
