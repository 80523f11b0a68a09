use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealed::{DataKey, Fault, Kid, WrappedKey};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::arn::KeyArn;
use crate::cache::Cache;
use crate::error::{ServiceError, ServiceFault, UnwrapError, WrapError};
use crate::host::{Host, NoAnswer, Request, Response};
use crate::sign::{Credentials, Scope};
use crate::wrapping_key::WrappingKey;

/// A key of AWS KMS, which never leaves it.
#[derive(Debug)]
pub struct AwsKms {
    /// The key.
    pub arn: KeyArn,
    /// What calls the service.
    pub credentials: Credentials,
    /// The origin of the service, without a slash at its end: [`KeyArn::origin`], or a private endpoint.
    pub origin: String,
    cache: Cache,
}

impl AwsKms {
    /// A key, what calls the service, and the service's origin.
    pub fn new(arn: KeyArn, credentials: Credentials, origin: String) -> Self {
        Self {
            arn,
            credentials,
            origin,
            cache: Cache::default(),
        }
    }
}

/// One of a deployment, with the host that sends its requests.
pub(crate) struct Calling<'a, H> {
    pub kms: &'a AwsKms,
    pub host: &'a H,
}

/// What the wrapped key is bound to. The service refuses to decrypt with another context, and writes it to its log.
#[derive(Serialize)]
struct Context {
    organization_id: String,
    data_key: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Encrypt<'a> {
    key_id: &'a str,
    plaintext: &'a str,
    encryption_context: Context,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Decrypt<'a> {
    /// Named although the ciphertext names it too: no other key is used, whatever the ciphertext says.
    key_id: &'a str,
    ciphertext_blob: &'a str,
    encryption_context: Context,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Encrypted {
    ciphertext_blob: String,
    key_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Decrypted {
    plaintext: String,
    key_id: String,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(rename = "__type")]
    code: String,
}

impl<H: Host> WrappingKey for Calling<'_, H> {
    fn kid(&self) -> Kid {
        self.kms.arn.kid()
    }

    async fn wrap(
        &self,
        organization_id: Uuid,
        data_key: &DataKey,
    ) -> Result<WrappedKey, WrapError> {
        let plaintext = Zeroizing::new(STANDARD.encode(data_key.expose()));
        let call = Encrypt {
            key_id: self.kms.arn.as_str(),
            plaintext: &plaintext,
            encryption_context: Context::of(organization_id, data_key.kid()),
        };
        let answer = self.call("Encrypt", &call).await?;
        let answer: Encrypted = self.read(&answer)?;
        self.ensure_own(&answer.key_id)?;
        // The column's bound.
        if answer.ciphertext_blob.is_empty() || answer.ciphertext_blob.len() > 4096 {
            return Err(unexpected("an answer that is too long").into());
        }
        Ok(WrappedKey {
            kid: data_key.kid(),
            wrapping_kid: self.kid(),
            wrapped: answer.ciphertext_blob,
        })
    }

    async fn unwrap(
        &self,
        organization_id: Uuid,
        wrapped: &WrappedKey,
    ) -> Result<DataKey, UnwrapError> {
        let (cache, now) = (&self.kms.cache, self.host.now());
        if let Some(data_key) = cache.get(organization_id, wrapped, now) {
            return Ok(data_key);
        }
        // The service would say less clearly that it is no ciphertext.
        if STANDARD.decode(&wrapped.wrapped).is_err() {
            return Err(UnwrapError::Fault(Fault::Malformed));
        }
        let call = Decrypt {
            key_id: self.kms.arn.as_str(),
            ciphertext_blob: &wrapped.wrapped,
            encryption_context: Context::of(organization_id, wrapped.kid),
        };
        let answer = match self.call("Decrypt", &call).await {
            // The ciphertext is changed, of another organization or data key, or of another key.
            Err(error) if NOT_AUTHENTIC.contains(&error.code) => {
                return Err(UnwrapError::Fault(Fault::NotAuthentic));
            }
            answer => answer?,
        };
        let answer: Decrypted = self.read(&answer)?;
        self.ensure_own(&answer.key_id)?;
        let plaintext = Zeroizing::new(answer.plaintext);
        let bytes = STANDARD.decode(plaintext.as_bytes());
        let bytes = Zeroizing::new(bytes.map_err(|_| unexpected("an answer that is no base64"))?);
        let Ok(bytes) = <[u8; 32]>::try_from(&bytes[..]) else {
            return Err(UnwrapError::Fault(Fault::Malformed));
        };
        let data_key = DataKey::from_bytes(bytes);
        if data_key.kid() != wrapped.kid {
            return Err(UnwrapError::Fault(Fault::NotAuthentic));
        }
        cache.put(organization_id, wrapped, &data_key, now);
        Ok(data_key)
    }
}

impl<H: Host> Calling<'_, H> {
    async fn call(
        &self,
        operation: &str,
        call: &impl Serialize,
    ) -> Result<Zeroizing<String>, ServiceError> {
        // Ids and base64: serializing them cannot fail.
        let body = serde_json::to_string(call).unwrap_or_default();
        let url = format!("{}/", self.kms.origin);
        let mut headers = vec![
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("x-amz-target", format!("TrentService.{operation}")),
        ];
        let scope = Scope {
            region: self.kms.arn.region(),
            service: "kms",
            now: self.host.now(),
        };
        let host = self.kms.origin.split_once("://").map(|(_, host)| host);
        let signature = host.and_then(|host| {
            let credentials = &self.kms.credentials;
            credentials.sign(&scope, "POST", host, &headers, body.as_bytes())
        });
        headers.extend(signature.ok_or(ServiceError {
            fault: ServiceFault::Refused,
            code: "the credentials have characters that no header has",
        })?);
        let request = Request { url, headers, body };
        match self.host.send(request).await {
            Ok(Response { status: 200, body }) => Ok(body),
            Ok(Response { status, body }) => Err(refusal(status, &body)),
            Err(no_answer) => Err(ServiceError {
                fault: ServiceFault::Unavailable,
                code: match no_answer {
                    NoAnswer::Timeout => "it did not answer in time",
                    NoAnswer::Network => "it could not be reached",
                    NoAnswer::TooLarge => "it answered more than the limit",
                },
            }),
        }
    }

    fn read<T: for<'a> Deserialize<'a>>(&self, answer: &str) -> Result<T, ServiceError> {
        // The message of serde may quote the answer.
        serde_json::from_str(answer).map_err(|_| unexpected("an answer that is not its own"))
    }

    fn ensure_own(&self, key_id: &str) -> Result<(), ServiceError> {
        if key_id == self.kms.arn.as_str() {
            Ok(())
        } else {
            Err(unexpected("an answer of another key"))
        }
    }
}

impl Context {
    fn of(organization_id: Uuid, kid: Kid) -> Self {
        Self {
            organization_id: organization_id.to_string(),
            data_key: kid.to_string(),
        }
    }
}

fn unexpected(code: &'static str) -> ServiceError {
    ServiceError {
        fault: ServiceFault::Unavailable,
        code,
    }
}

/// What `Decrypt` says of a ciphertext that does not open.
const NOT_AUTHENTIC: [&str; 2] = ["InvalidCiphertextException", "IncorrectKeyException"];

/// The codes that somebody can do something about: of the credentials, of their rights, and of the key.
const REFUSED: [&str; 13] = [
    "AccessDeniedException",
    "DisabledException",
    "ExpiredTokenException",
    "IncompleteSignatureException",
    "InvalidClientTokenId",
    "InvalidKeyUsageException",
    "InvalidSignatureException",
    "KMSInvalidStateException",
    "MissingAuthenticationTokenException",
    "NotFoundException",
    "OptInRequired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

fn refusal(status: u16, body: &str) -> ServiceError {
    let code = serde_json::from_str(body).map(|failure: Failure| failure.code);
    let code = code.unwrap_or_default();
    // `com.amazonaws.kms#NotFoundException`, or without the namespace.
    let code = code.rsplit('#').next().unwrap_or_default();
    let known = |codes: &[&'static str]| codes.iter().find(|known| **known == code).copied();
    let (fault, code) = match known(&REFUSED).or(known(&NOT_AUTHENTIC)) {
        Some(code) => (ServiceFault::Refused, code),
        None if code == "ThrottlingException" => (ServiceFault::Unavailable, "it throttles"),
        None if status == 429 => (ServiceFault::Unavailable, "it throttles"),
        None if status >= 500 => (ServiceFault::Unavailable, "it has failed"),
        None => (ServiceFault::Unavailable, "an unknown refusal"),
    };
    ServiceError { fault, code }
}

#[cfg(test)]
mod tests;
