use sealed::RandomError;

/// The operating system's random source.
#[expect(clippy::disallowed_methods, reason = "this is the edge")]
pub fn fill(bytes: &mut [u8]) -> Result<(), RandomError> {
    getrandom::fill(bytes).map_err(|_| RandomError)
}

/// The same, read in larger chunks, because a page needs thousands of nonces. Each byte is used once.
pub fn buffered() -> impl FnMut(&mut [u8]) -> Result<(), RandomError> {
    let mut buffer = [0; 4096];
    let mut left = 0;
    move |bytes| {
        if bytes.len() > buffer.len() {
            return fill(bytes);
        }
        if bytes.len() > left {
            left = 0;
            fill(&mut buffer)?;
            left = buffer.len();
        }
        bytes.copy_from_slice(&buffer[left - bytes.len()..left]);
        left -= bytes.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_piece_of_the_buffer_is_given_out_twice() {
        let mut random = buffered();
        let mut seen = HashSet::new();
        for length in [12, 24, 4096, 36, 5000, 12, 4090].repeat(20) {
            let mut bytes = vec![0; length];
            random(&mut bytes).unwrap();
            for piece in bytes.as_chunks::<12>().0 {
                assert!(seen.insert(*piece));
            }
        }
    }
}
