use std::cell::RefCell;
use std::pin::pin;
use std::task::{Context as Polling, Poll, Waker};

use sealed::{RandomError, Secret};
use serde_json::{Value, json};

use super::*;

const ARN: &str = "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// Answers at once, and keeps the request.
struct Once {
    answer: RefCell<Option<Result<Response, NoAnswer>>>,
    request: RefCell<Option<Request>>,
}

impl Host for Once {
    fn now(&self) -> u64 {
        1_440_938_160_000
    }

    fn random(&self, _: &mut [u8]) -> Result<(), RandomError> {
        Err(RandomError)
    }

    async fn send(&self, request: Request) -> Result<Response, NoAnswer> {
        self.request.replace(Some(request));
        self.answer.take().unwrap()
    }
}

fn kms() -> AwsKms {
    let credentials = Credentials {
        access_key_id: "AKIDEXAMPLE".into(),
        secret_access_key: Secret::from("secret".to_owned()),
        session_token: None,
    };
    let arn: KeyArn = ARN.parse().unwrap();
    let origin = arn.origin();
    AwsKms::new(arn, credentials, origin)
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Polling::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

fn answer(status: u16, body: &Value) -> Result<Response, NoAnswer> {
    let body = Zeroizing::new(body.to_string());
    Ok(Response { status, body })
}

fn wrapped() -> WrappedKey {
    WrappedKey {
        kid: DataKey::from_bytes([1; 32]).kid(),
        wrapping_kid: kms().arn.kid(),
        wrapped: "AQIC".to_owned(),
    }
}

fn unwrap(answer: Result<Response, NoAnswer>) -> (Result<DataKey, UnwrapError>, Option<Request>) {
    let host = Once {
        answer: RefCell::new(Some(answer)),
        request: RefCell::default(),
    };
    let calling = Calling {
        kms: &kms(),
        host: &host,
    };
    let opened = now(calling.unwrap(Uuid::from_u128(1), &wrapped()));
    (opened, host.request.into_inner())
}

// threat model 323
#[test]
fn a_request_names_the_key_and_what_the_data_key_is_bound_to() {
    let plaintext = STANDARD.encode([1; 32]);
    let (opened, request) = unwrap(answer(200, &json!({"KeyId": ARN, "Plaintext": plaintext})));
    assert_eq!(opened.unwrap().expose(), &[1; 32]);
    let request = request.unwrap();
    assert_eq!(request.url, "https://kms.us-west-2.amazonaws.com/");
    assert!(
        request
            .headers
            .contains(&("x-amz-target", "TrentService.Decrypt".to_owned()))
    );
    let authorization = request
        .headers
        .iter()
        .find(|(name, _)| *name == "authorization");
    let signed =
        "us-west-2/kms/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, ";
    assert!(authorization.unwrap().1.contains(signed));
    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(
        body,
        json!({
            "KeyId": ARN, "CiphertextBlob": "AQIC",
            "EncryptionContext": {"organization_id": "00000000-0000-0000-0000-000000000001", "data_key": wrapped().kid.to_string()},
        })
    );
}

#[test]
fn what_the_service_says_of_the_ciphertext_is_a_fault_of_the_data_key() {
    for (answer, fault) in [
        (
            answer(400, &json!({"__type": "InvalidCiphertextException"})),
            Fault::NotAuthentic,
        ),
        (
            answer(
                400,
                &json!({"__type": "com.amazonaws.kms#IncorrectKeyException"}),
            ),
            Fault::NotAuthentic,
        ),
        (
            answer(
                200,
                &json!({"KeyId": ARN, "Plaintext": STANDARD.encode([2; 32])}),
            ),
            Fault::NotAuthentic,
        ),
        (
            answer(
                200,
                &json!({"KeyId": ARN, "Plaintext": STANDARD.encode([1; 31])}),
            ),
            Fault::Malformed,
        ),
    ] {
        assert_eq!(unwrap(answer).0.unwrap_err(), UnwrapError::Fault(fault));
    }
}

#[test]
fn no_other_answer_is_a_fault_of_the_data_key() {
    use ServiceFault::{Refused, Unavailable};
    let refused = |code: &str| answer(400, &json!({"__type": code, "message": "planted"}));
    for (answer, fault, code) in [
        (
            refused("AccessDeniedException"),
            Refused,
            "AccessDeniedException",
        ),
        (
            refused("com.amazonaws.kms#DisabledException"),
            Refused,
            "DisabledException",
        ),
        (
            refused("KMSInvalidStateException"),
            Refused,
            "KMSInvalidStateException",
        ),
        (refused("NotFoundException"), Refused, "NotFoundException"),
        (refused("ThrottlingException"), Unavailable, "it throttles"),
        (refused("planted"), Unavailable, "an unknown refusal"),
        (
            answer(500, &json!({"__type": "KMSInternalException"})),
            Unavailable,
            "it has failed",
        ),
        (answer(503, &json!("planted")), Unavailable, "it has failed"),
        (answer(429, &json!({})), Unavailable, "it throttles"),
        (answer(302, &json!({})), Unavailable, "an unknown refusal"),
        (
            answer(200, &json!({"Plaintext": "planted"})),
            Unavailable,
            "an answer that is not its own",
        ),
        (
            answer(200, &json!({"KeyId": ARN, "Plaintext": "plänted"})),
            Unavailable,
            "an answer that is no base64",
        ),
        (
            answer(
                200,
                &json!({"KeyId": "x", "Plaintext": STANDARD.encode([1; 32])}),
            ),
            Unavailable,
            "an answer of another key",
        ),
        (
            Err(NoAnswer::Timeout),
            Unavailable,
            "it did not answer in time",
        ),
        (
            Err(NoAnswer::Network),
            Unavailable,
            "it could not be reached",
        ),
        (
            Err(NoAnswer::TooLarge),
            Unavailable,
            "it answered more than the limit",
        ),
    ] {
        let error = unwrap(answer).0.unwrap_err();
        assert_eq!(error, UnwrapError::Service(ServiceError { fault, code }));
    }
}
