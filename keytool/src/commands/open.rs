use sealed::{Fault, form};

use crate::cli::RowArgs;
use crate::error::{Error, ErrorKind, Result};
use crate::keys::KeyArgs;
use crate::rotation::finding::{Class, Kind};
use crate::{input, output};

pub fn run(row: &RowArgs, keys: &KeyArgs) -> Result<()> {
    let ring = keys.ring()?;
    let given = row.data_keys(&ring)?;
    let has_data_keys = given.is_some();
    let data_keys = given.unwrap_or_default();
    let stored = input::config()?;
    let context = row.context();
    let opened = data_keys
        .keys(&ring, context.organization_id)
        .open(&context, &stored);
    let config = opened.map_err(|error| {
        let finding = data_keys.finding(context, form(&stored), &error);
        let message = format!("{error}: {} at \"{}\"", finding.class.as_str(), error.pointer());
        let kind = match finding.kind {
            Kind::Damaged => ErrorKind::Row,
            _ => ErrorKind::Key,
        };
        Error::new(kind, message).hint(match (finding.kind, finding.class) {
            (Kind::MissingDataKey, _) if !has_data_keys => {
                "it is sealed with a data key of its organization: `keytool data-keys` prints them, wrapped, for --data-keys"
            }
            (Kind::MissingDataKey, _) => "that data key is not among those of the organization in the file of --data-keys",
            (_, Class::Fault(Fault::UnknownKey)) => {
                "the key that seals it, or that wraps its data key, is neither the primary key nor a fallback"
            }
            (_, Class::Fault(Fault::UnknownVersion)) => "install the keytool of the worker's version",
            (_, Class::Fault(Fault::NotAuthentic)) => {
                "another key, another organization or row, or changed: check the keys and both ids"
            }
            _ => "docs/format.md says what each class means",
        })
    })?;
    output::json(config.as_map())
}
