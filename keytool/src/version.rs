/// The JDK has a `keytool` too. The version says which one runs.
pub const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (Sealed OAuth integrations, commit ",
    env!("KEYTOOL_COMMIT"),
    ")"
);
