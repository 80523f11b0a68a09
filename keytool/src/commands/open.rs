use sealed::{Fault, RowContext, form};

use crate::error::{Error, ErrorKind, Result};
use crate::keys::KeyArgs;
use crate::rotation::finding::Kind;
use crate::{input, output};

pub fn run(context: &RowContext, keys: &KeyArgs) -> Result<()> {
    let ring = keys.ring()?;
    let stored = input::config()?;
    let config = ring.open(context, &stored).map_err(|error| {
        let message = format!("{error}: {} at \"{}\"", error.class(), error.pointer());
        let kind = match Kind::of(form(&stored), error.class()) {
            Kind::Damaged => ErrorKind::Row,
            _ => ErrorKind::Key,
        };
        Error::new(kind, message).hint(match error.class() {
            Fault::UnknownKey => {
                "the key that `_enc` names is neither the primary key nor a fallback"
            }
            Fault::UnknownVersion => "install the keytool of the worker's version",
            Fault::NotAuthentic => {
                "another key, another organization or row, or changed: check the keys and both ids"
            }
            _ => "docs/format.md says what each class means",
        })
    })?;
    output::json(config.as_map())
}
