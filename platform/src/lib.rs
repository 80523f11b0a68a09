//! What both workers stand on: how settings are read, how a function of the database is called, and how JSON from outside is read. It is
//! pure: requests and responses are plain data, and each worker's own `host` sends and reads them.
//!
//! ```
//! use platform::settings::Environment;
//!
//! // Everything that is wrong is said with the setting's name, and never with its value.
//! let wrong = Environment::new(&|_| Some("http://project.example".to_owned())).origin("SUPABASE_URL").unwrap_err();
//! assert!(wrong.0.starts_with("SUPABASE_URL environment variable is not an https origin"));
//! ```

pub mod call;
pub mod error;
pub mod http;
pub mod json;
pub mod origin;
pub mod project;
pub mod settings;
