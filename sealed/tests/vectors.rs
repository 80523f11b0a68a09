//! The vectors of docs/format.md, natively and in wasm: what this crate wrote and what node:crypto wrote.

#![allow(
    clippy::unwrap_used,
    reason = "a vector that cannot be read is a failed test"
)]

use std::collections::HashSet;

use sealed::vectors::Vectors;

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const FILES: [&str; 2] = [
    include_str!("vectors.json"),
    include_str!("vectors-node.json"),
];

#[test]
fn every_vector_holds() {
    let mut sums = [0; 6];
    for file in FILES {
        let vectors = Vectors::parse(file).unwrap();
        vectors.check().unwrap();
        for (sum, count) in sums.iter_mut().zip(vectors.counts()) {
            *sum += count;
        }
    }
    let at_least = [26, 20, 70, 5, 6, 15];
    assert!(
        sums.iter()
            .zip(at_least)
            .all(|(count, least)| *count >= least),
        "{sums:?}"
    );
}

#[test]
fn every_class_of_fault_has_a_vector() {
    let files = FILES.map(|file| Vectors::parse(file).unwrap());
    let seen: HashSet<&str> = files.iter().flat_map(Vectors::faults).collect();
    assert_eq!(seen.len(), 12, "{seen:?}");
}

/// A check that cannot fail proves nothing: each kind of vector, made wrong, is found out.
#[test]
fn a_wrong_vector_is_noticed() {
    let all = FILES[0];
    let node = FILES[1];
    let other_nonce = "AQIDBAUGBwgJCgsM";
    let refused = r#"{"sealed":[],"refused":[{"name":"n","keys":["AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="],
        "organization_id":"00000000-0000-4000-8000-000000000001",
        "integration_id":"00000000-0000-4000-8000-000000000001",
        "stored":{"access_token":"x"},"fault":"malformed","pointer":"/access_token"}]}"#;
    for (text, why) in [
        (
            all.replace("\"sbp_example\"", "\"sbp_other\""),
            "opens to something else",
        ),
        (
            all.replace("\"deb330ee098af3e8\"", "\"deb330ee098af3e9\""),
            "another kid",
        ),
        (
            all.replace("\"JUpvlLneAyhNcpe8\"", "\"JUpvlLneAyhNcpe9\""),
            "seals to something else",
        ),
        (
            all.replace("\"monkey\"", "\"api_key\""),
            "is a sensitive name",
        ),
        (
            all.replace("\"wrong-type\"", "\"too-deep\""),
            "for another reason",
        ),
        (
            node.replace("\"sbp_0123456789abcdef\"", "\"sbp\""),
            "opens to something else",
        ),
        (refused.to_owned(), "is refused for another reason"),
        (
            all.replace("\"version 3: without data keys\"", "\"n\"")
                .replace("\"unknown-key\"", "\"malformed\""),
            "is refused for another reason",
        ),
        (
            wrapped(all, "wrapped", "nonce", other_nonce),
            "wraps to something else",
        ),
        (
            wrapped(all, "wrapped", "kid", "0123456789abcdef"),
            "wraps to something else",
        ),
        (
            wrapped(all, "refused_wrapped", "fault", "not-text"),
            "is refused for another reason",
        ),
        (
            wrapped(node, "refused_wrapped", "fault", "not-text"),
            "is refused for another reason",
        ),
    ] {
        let found = Vectors::parse(&text).and_then(|vectors| vectors.check());
        assert!(
            found.as_ref().is_err_and(|found| found.contains(why)),
            "{why}: {found:?}"
        );
    }
}

/// The file with another text in the first vector of a kind.
fn wrapped(file: &str, kind: &str, member: &str, text: &str) -> String {
    let mut file: serde_json::Value = serde_json::from_str(file).unwrap();
    file[kind][0][member] = text.into();
    file.to_string()
}
