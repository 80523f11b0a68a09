//! What wraps the data keys of organizations: the deployment's key ring, or a key of a key management service.
//!
//! [`WrappingKey`] is the trait. [`Ring`] keeps the wrapping key in the environment; [`AwsKms`] leaves it in AWS KMS, which wraps and unwraps over
//! HTTPS. [`WrappingKeys`] are those of a deployment: one of them wraps, and each unwraps what it has wrapped. This crate has no effects: a
//! [`Host`] sends the requests, and says the time.
//!
//! ```
//! use kms::KeyArn;
//!
//! let arn: KeyArn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab".parse()?;
//! assert_eq!(arn.region(), "eu-central-1");
//! // An alias can be pointed at another key.
//! assert!("arn:aws:kms:eu-central-1:111122223333:alias/mine".parse::<KeyArn>().is_err());
//! # Ok::<(), kms::ParseArnError>(())
//! ```

#![warn(missing_docs)]

mod arn;
mod aws;
mod cache;
mod error;
mod host;
mod ring;
mod setting;
mod sign;
mod wrapping_key;
mod wrapping_keys;

pub use arn::{KeyArn, ParseArnError};
pub use aws::AwsKms;
pub use error::{ServiceError, ServiceFault, UnwrapError, WrapError};
pub use host::{Host, MAX_ANSWER, NoAnswer, Request, Response};
pub use ring::Ring;
pub use setting::{FALLBACK_WRAPPING_KEY, SettingError, WRAPPING_KEY, wrapping_keys};
pub use sign::Credentials;
pub use wrapping_key::WrappingKey;
pub use wrapping_keys::WrappingKeys;
