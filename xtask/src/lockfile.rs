//! Reads exact versions out of Cargo.lock: a tool has to be of the very version of the crate it serves.

use crate::failure::Failure;

/// The version of `package` that `Cargo.lock` pins.
///
/// It is an error when the package is not there, and when two versions are: no tool could serve both.
pub fn version(lockfile: &str, package: &str) -> Result<String, Failure> {
    let mut found = versions(lockfile, package);
    match (found.next(), found.next()) {
        (Some(version), None) => Ok(version.to_owned()),
        (None, _) => Err(Failure::with_hint(
            format!("Cargo.lock holds no version of {package}"),
            "run `cargo update --workspace`, which completes Cargo.lock",
        )),
        (Some(first), Some(second)) => Err(Failure::with_hint(
            format!("Cargo.lock holds two versions of {package}, {first} and {second}"),
            format!(
                "find out who asks for them with `cargo tree --target all -i {package}@{first}`"
            ),
        )),
    }
}

fn versions<'a>(lockfile: &'a str, package: &'a str) -> impl Iterator<Item = &'a str> {
    lockfile
        .split("[[package]]")
        .skip(1)
        .filter(move |entry| field(entry, "name") == Some(package))
        .filter_map(|entry| field(entry, "version"))
}

fn field<'a>(entry: &'a str, name: &str) -> Option<&'a str> {
    entry.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.trim_start().strip_prefix('=')?;
        value.trim().strip_prefix('"')?.strip_suffix('"')
    })
}

#[cfg(test)]
mod tests {
    use super::version;

    const LOCKFILE: &str = r#"version = 4

[[package]]
name = "edge"
version = "0.1.0"
dependencies = [
 "wasm-bindgen",
]

[[package]]
name = "syn"
version = "2.0.1"

[[package]]
name = "syn"
version = "3.0.1"

[[package]]
name = "wasm-bindgen"
version = "0.2.130"
source = "registry+somewhere"

[[package]]
name = "wasm-bindgen-macro"
version = "0.2.131"
"#;

    #[test]
    fn reads_the_version_of_exactly_that_package() {
        assert_eq!(version(LOCKFILE, "wasm-bindgen").unwrap(), "0.2.130");
        assert_eq!(version(LOCKFILE, "wasm-bindgen-macro").unwrap(), "0.2.131");
    }

    #[test]
    fn says_which_package_is_missing() {
        let failure = version(LOCKFILE, "worker").unwrap_err().to_string();
        assert!(failure.contains("no version of worker"), "{failure}");
    }

    #[test]
    fn refuses_to_choose_between_two_versions() {
        let failure = version(LOCKFILE, "syn").unwrap_err().to_string();
        assert!(failure.contains("2.0.1 and 3.0.1"), "{failure}");
    }
}
