use sealed::{OrganizationKeys, PlainConfig, SealError};

use crate::cli::RowArgs;
use crate::error::{Error, ErrorKind, Result};
use crate::keys::KeyArgs;
use crate::{input, output, random};

/// With the current data key of `--data-keys`, or without with the primary key.
pub fn run(row: &RowArgs, keys: &KeyArgs) -> Result<()> {
    let ring = keys.ring()?;
    let context = row.context();
    let data_keys = row.data_keys(&ring)?;
    let sealing = match &data_keys {
        Some(data_keys) => data_keys
            .current(&ring, context.organization_id)
            .map_err(|(class, _)| {
                let message = format!("the current data key of the organization does not unwrap: {}", class.as_str());
                Error::new(ErrorKind::Key, message).hint(
                    "are these the data keys of that organization, and is the key that wraps them the primary key or a fallback?",
                )
            })?,
        None => OrganizationKeys::new(&ring.ring, &[]),
    };
    let config = PlainConfig::from_map(input::config()?);
    let stored =
        sealing
            .seal(&context, &config, &mut random::fill)
            .map_err(|error| match error {
                SealError::Refused(refused) => Error::new(ErrorKind::Input, refused.to_string()),
                SealError::Random(error) => error.into(),
            })?;
    output::json(&stored)
}
