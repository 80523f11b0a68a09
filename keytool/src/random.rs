use sealed::RandomError;

/// The operating system's randomness, as the sealing needs it.
#[expect(clippy::disallowed_methods, reason = "this is the edge")]
pub fn fill(bytes: &mut [u8]) -> Result<(), RandomError> {
    getrandom::fill(bytes).map_err(|_| RandomError)
}
