use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A secret text: it is zeroized on drop, its `Debug` is redacted, and it is compared in constant time.
///
/// It deliberately has no `Display`, `Serialize` or `Clone`. [`expose`](Self::expose) is the only access, so that a search for that word
/// finds every use of a secret.
///
/// ```
/// let secret = sealed::Secret::from("sbp_secret".to_owned());
/// assert_eq!(format!("{secret:?}"), "Secret(..)");
/// assert_eq!(secret.expose(), "sbp_secret");
/// ```
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The secret text.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the text without a copy. The caller is now responsible for it.
    pub(crate) fn into_string(mut self) -> String {
        std::mem::take(&mut *self.0)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl PartialEq for Secret {
    /// The duration depends on the lengths, never on the contents.
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    fn secret(text: &str) -> Secret {
        Secret::from(text.to_owned())
    }

    #[test]
    fn compares_by_content() {
        assert_eq!(secret("a"), secret("a"));
        assert_ne!(secret("a"), secret("b"));
        assert_ne!(secret("a"), secret("aa"));
        assert_ne!(secret("a"), secret(""));
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", secret("hunter2")), "Secret(..)");
        assert_eq!(format!("{:?}", Some(secret(""))), "Some(Secret(..))");
    }
}
