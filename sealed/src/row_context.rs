use uuid::Uuid;

use crate::envelope::Version;
use crate::kid::Kid;

/// The row of a config. A sealed value opens only in its own row of its own organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowContext {
    /// `integrations.organization_id`.
    pub organization_id: Uuid,
    /// `integrations.id`. A writer makes the row's id before it seals.
    pub integration_id: Uuid,
}

/// The additional authenticated data of a row's fields: each part as its length (4 bytes, big-endian) and its UTF-8 bytes, so that
/// different parts never make the same bytes.
pub(crate) struct Aad {
    bytes: Vec<u8>,
    row_end: usize,
}

impl Aad {
    pub fn new(version: Version, context: &RowContext) -> Self {
        let mut bytes = Vec::with_capacity(192);
        push(&mut bytes, version.label());
        push(&mut bytes, "integrations");
        for id in [context.organization_id, context.integration_id] {
            push(
                &mut bytes,
                id.hyphenated().encode_lower(&mut Uuid::encode_buffer()),
            );
        }
        Self {
            row_end: bytes.len(),
            bytes,
        }
    }

    /// The bytes for the field at this JSON Pointer, sealed with this key. They overwrite the previous ones.
    pub fn of(&mut self, pointer: &str, kid: Kid) -> &[u8] {
        self.bytes.truncate(self.row_end);
        push(&mut self.bytes, pointer);
        push(&mut self.bytes, kid.encode(&mut [0; 16]));
        &self.bytes
    }
}

pub(crate) fn push(bytes: &mut Vec<u8>, part: &str) {
    // A part is an id, or a pointer into a config of bounded size, so its length fits.
    bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
    bytes.extend_from_slice(part.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_length_prefixed() {
        let context = RowContext {
            organization_id: Uuid::from_u128(0xABC),
            integration_id: Uuid::from_u128(2),
        };
        let kid: Kid = "0123456789abcdef".parse().unwrap();
        let mut aad = Aad::new(Version::V2, &context);
        aad.of("/something/longer", kid);
        let expected = [
            &b"\0\0\0\x02v2\0\0\0\x0cintegrations"[..],
            b"\0\0\0\x2400000000-0000-0000-0000-000000000abc",
            b"\0\0\0\x2400000000-0000-0000-0000-000000000002",
            b"\0\0\0\x0d/access_token\0\0\0\x100123456789abcdef",
        ]
        .concat();
        assert_eq!(aad.of("/access_token", kid), expected);
    }
}
