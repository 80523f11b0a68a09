use sealed::{PlainConfig, RowContext, SealError};

use crate::error::{Error, ErrorKind, Result};
use crate::keys::KeyArgs;
use crate::{input, output, random};

pub fn run(context: &RowContext, keys: &KeyArgs) -> Result<()> {
    let ring = keys.ring()?;
    let config = PlainConfig::from_map(input::config()?);
    let stored = ring
        .seal(context, &config, &mut random::fill)
        .map_err(|error| match error {
            SealError::Refused(refused) => Error::new(ErrorKind::Input, refused.to_string()),
            SealError::Random(error) => error.into(),
        })?;
    output::json(&stored)
}
