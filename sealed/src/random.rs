use crate::error::RandomError;

/// The caller's random source: it fills the whole slice with unpredictable bytes, or fails.
///
/// It is called once per config, for the nonces of all its fields.
pub type Random<'a> = &'a mut dyn FnMut(&mut [u8]) -> Result<(), RandomError>;

pub(crate) type Nonce = [u8; 12];

/// Draws `count` fresh nonces.
///
/// A source that returns nothing, or the same bytes again, has failed. Using a GCM nonce twice reveals the authentication key, so this is
/// checked as far as it can be.
pub(crate) fn nonces(count: usize, random: Random<'_>) -> Result<Vec<Nonce>, RandomError> {
    let mut nonces = vec![[0; 12]; count];
    if count > 0 {
        random(nonces.as_flattened_mut())?;
    }
    let stuck = nonces.contains(&[0; 12]) || nonces.windows(2).any(|pair| pair[0] == pair[1]);
    if stuck { Err(RandomError) } else { Ok(nonces) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_source_fails() {
        assert_eq!(nonces(1, &mut |_| Err(RandomError)), Err(RandomError));
    }

    #[test]
    fn a_source_that_gives_nothing_fails() {
        assert_eq!(nonces(1, &mut |_| Ok(())), Err(RandomError));
        let last_untouched = &mut |bytes: &mut [u8]| {
            bytes[..12].fill(1);
            Ok(())
        };
        assert_eq!(nonces(2, last_untouched), Err(RandomError));
    }

    #[test]
    fn a_source_that_repeats_itself_fails() {
        let stuck = &mut |bytes: &mut [u8]| {
            bytes.fill(7);
            Ok(())
        };
        assert_eq!(nonces(2, stuck), Err(RandomError));
        assert_eq!(nonces(1, stuck), Ok(vec![[7; 12]]));
    }

    #[test]
    fn none_are_drawn_where_none_are_needed() {
        assert_eq!(nonces(0, &mut |_| Err(RandomError)), Ok(vec![]));
    }
}
