//! Every stored config of the vectors moves to other keys.

use super::check::{Check, Object, data_keys, demand, message, unrelated};
use crate::data_key::DataKey;
use crate::form::{Form, form};
use crate::key::Key;
use crate::keyring::KeyRing;
use crate::organization_keys::OrganizationKeys;
use crate::row_context::RowContext;

/// A config is resealed with another key of the ring and with another data key, and then opens with that key alone. If nothing in it is
/// sealed, it stays unchanged.
pub(super) fn moves(
    context: &RowContext,
    key: &str,
    data_key: &Option<String>,
    stored: &Object,
    plain: &Object,
) -> Check {
    let fallbacks = vec![
        Key::from_bytes([8; 32]),
        Key::from_base64(key).map_err(message)?,
    ];
    let ring = KeyRing::new(Key::from_bytes([7; 32]), fallbacks).map_err(message)?;
    let alone = KeyRing::new(Key::from_bytes([7; 32]), Vec::new()).map_err(message)?;
    let current = || DataKey::from_bytes([6; 32]);
    let mut with_current = vec![current(), DataKey::from_bytes([5; 32])];
    with_current.extend(data_keys(data_key)?);
    let mut ways = vec![(with_current, vec![current()], Form::V3(current().kid()))];
    // Without its data key nothing opens it.
    if data_key.is_none() {
        ways.push((vec![], vec![], Form::V2(ring.primary_kid())));
    }
    for (all, one, moved_to) in &ways {
        let (from, to) = (
            OrganizationKeys::new(&ring, all),
            OrganizationKeys::new(&alone, one),
        );
        let opened = from.open(context, stored).map_err(message)?;
        demand(
            opened.as_map() == plain,
            "opens to something else with a fallback",
        )?;
        let Some(moved) = from
            .reseal(context, stored, &mut unrelated())
            .map_err(message)?
        else {
            demand(form(stored) == Form::Empty, "does not move to another key")?;
            continue;
        };
        demand(
            form(&moved) == *moved_to,
            "moves to something else than the key that seals",
        )?;
        let opened = to.open(context, &moved).map_err(message)?;
        demand(
            opened.as_map() == plain,
            "opens to something else once it has moved",
        )?;
    }
    Ok(())
}
