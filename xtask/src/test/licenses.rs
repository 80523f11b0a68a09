//! What the dependencies are: their licences, where they come from, and whether a vulnerability of one is known.

use std::{fs, path::Path};

use super::counts::Counts;
use crate::{failure::Failure, notices, process, project::Project};

/// Runs all of it. Advisories are skipped where their database cannot be fetched.
pub fn check(project: &Project, log: &Path) -> Result<Counts, Failure> {
    let deny = |arguments: &[&str], log: &Path| -> Result<bool, Failure> {
        let mut deny = project.command(project.tool("cargo-deny"));
        deny.args(["--locked", "--workspace"]).args(arguments);
        Ok(process::run_into(log, &mut deny)?.success())
    };
    let allowed = deny(&["check", "licenses", "bans", "sources"], log)?;
    let mut said = fs::read_to_string(log).unwrap_or_default();

    let advisories = project.log("test-advisories")?;
    let unharmed = if deny(&["fetch", "db"], &advisories)? {
        Counts::one(deny(
            &["check", "--disable-fetch", "advisories"],
            &advisories,
        )?)
    } else {
        Counts {
            skipped: 1,
            ..Counts::default()
        }
    };
    said += &fs::read_to_string(&advisories).unwrap_or_default();

    let differences = notices::differences(project)?;
    for difference in &differences {
        said += &format!(
            "{difference} is in THIRD-PARTY-NOTICES.md or among the dependencies, and not in both: run `cargo xtask notices`\n"
        );
    }
    fs::write(log, said).map_err(Failure::io("cannot write a log"))?;
    Ok(Counts::one(allowed) + unharmed + Counts::one(differences.is_empty()))
}
