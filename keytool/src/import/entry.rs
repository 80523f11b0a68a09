use sealed::PlainConfig;
use serde_json::json;
use uuid::Uuid;
use zeroize::Zeroizing;

#[derive(Debug)]
pub struct Entry {
    pub organization: Uuid,
    pub integration_type: String,
    /// A grant, or the fields of a credential.
    pub credential: PlainConfig,
    /// It is a row's config, which holds more than the credential.
    pub is_config: bool,
    pub account: Option<String>,
    pub external_user: Option<String>,
}

impl Entry {
    /// The body of the request. None: it is larger than the worker takes.
    pub fn body(&self, replace: bool) -> Option<Zeroizing<Vec<u8>>> {
        /// The worker's bound.
        const MAX: usize = 16 * 1024;
        let credential = serde_json::to_string(self.credential.as_map()).map(Zeroizing::new);
        let rest = json!({
            "organization_id": self.organization.to_string(),
            "integration_type": self.integration_type,
            "account_id": self.account,
            "external_user_id": self.external_user,
            "replace": replace,
        })
        .to_string();
        let credential = credential.ok()?;
        let mut body = Zeroizing::new(Vec::with_capacity(rest.len() + credential.len() + 16));
        // The credential is the object's last member, so that it is copied once, into a buffer that is zeroized.
        body.extend_from_slice(rest.strip_suffix('}').unwrap_or(&rest).as_bytes());
        body.extend_from_slice(match self.is_config {
            true => b",\"config\":".as_slice(),
            false => b",\"credential\":",
        });
        body.extend_from_slice(credential.as_bytes());
        body.extend_from_slice(b"}");
        (body.len() <= MAX).then_some(body)
    }
}
