use std::fmt;
use std::str::FromStr;

use sealed::Kid;
use sha2::{Digest, Sha256};

/// The ARN of a key of AWS KMS: `arn:aws:kms:<region>:<account>:key/<id>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyArn {
    text: String,
    region: std::ops::Range<usize>,
}

/// The text is not the ARN of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseArnError;

impl KeyArn {
    /// The region, such as `eu-central-1`.
    pub fn region(&self) -> &str {
        &self.text[self.region.clone()]
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The id of the wrapping key: the first 8 bytes of SHA-256 of `aws-kms:` and the ARN.
    pub fn kid(&self) -> Kid {
        let hash = Sha256::new_with_prefix("aws-kms:").chain_update(&self.text);
        let hash = hash.finalize();
        let digits: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let Ok(kid) = digits.parse() else {
            unreachable!("these are 16 hex digits")
        };
        kid
    }

    /// The origin of the service in the key's region.
    pub fn origin(&self) -> String {
        // China is a partition of its own, with a domain of its own.
        let end = if self.text.starts_with("arn:aws-cn:") {
            ".cn"
        } else {
            ""
        };
        format!("https://kms.{}.amazonaws.com{end}", self.region())
    }
}

impl FromStr for KeyArn {
    type Err = ParseArnError;

    fn from_str(text: &str) -> Result<Self, ParseArnError> {
        let parts: Vec<&str> = text.split(':').collect();
        let &["arn", partition, "kms", region, account, resource] = &parts[..] else {
            return Err(ParseArnError);
        };
        let is_word = |text: &str, max| {
            (1..=max).contains(&text.len())
                && text
                    .bytes()
                    .all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        };
        let is_account = account.len() == 12 && account.bytes().all(|c| c.is_ascii_digit());
        let id = resource.strip_prefix("key/").unwrap_or_default();
        // The other partitions have other domains.
        let is_known = matches!(partition, "aws" | "aws-cn" | "aws-us-gov");
        if !is_known || !is_word(region, 32) || !is_account || !is_word(id, 64) {
            return Err(ParseArnError);
        }
        let start = "arn::kms:".len() + partition.len();
        Ok(Self {
            text: text.to_owned(),
            region: start..start + region.len(),
        })
    }
}

impl fmt::Display for ParseArnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the ARN of a key, arn:aws:kms:<region>:<account>:key/<id>")
    }
}

impl std::error::Error for ParseArnError {}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    #[test]
    fn reads_the_arn_of_a_key() {
        let arn: KeyArn = ARN.parse().unwrap();
        assert_eq!((arn.as_str(), arn.region()), (ARN, "us-west-2"));
        assert_eq!(arn.origin(), "https://kms.us-west-2.amazonaws.com");
        // echo -n "aws-kms:$ARN" | sha256sum | head -c 16
        assert_eq!(arn.kid().to_string(), "9ea94c779734f650");
        let china: KeyArn = ARN
            .replace("arn:aws:", "arn:aws-cn:")
            .replace("us-west-2", "cn-north-1")
            .parse()
            .unwrap();
        assert_eq!(china.origin(), "https://kms.cn-north-1.amazonaws.com.cn");
        assert_ne!(china.kid(), arn.kid());
    }

    #[test]
    fn refuses_everything_else() {
        for (from, to) in [
            (ARN, ""),
            ("key/", "alias/"),
            ("key/", ""),
            ("us-west-2", ""),
            ("us-west-2", "evil.example/"),
            ("us-west-2", "US-WEST-2"),
            ("111122223333", "11112222333"),
            ("aws:", "other:"),
            ("kms", "s3"),
            ("90ab", "90ab:x"),
            ("90ab", "90ab "),
            ("90ab", "90ab\n"),
        ] {
            let text = ARN.replacen(from, to, 1);
            assert_eq!(text.parse::<KeyArn>(), Err(ParseArnError), "{text}");
        }
    }
}
