use std::rc::Rc;

use clap::Args;

use crate::data_keys::try_out;
use crate::diagnosis::{Report, database, program};
use crate::error::Result;
use crate::keys::KeyArgs;
use crate::progress::Progress;
use crate::session::SessionArgs;

#[derive(Args, Debug)]
pub struct DoctorArgs {
    #[command(flatten)]
    session: SessionArgs,
}

pub async fn run(args: &DoctorArgs, keys: &KeyArgs, progress: Rc<Progress>) -> Result<()> {
    let report = Report::new(progress);
    program::check(&report)?;
    let ring = match keys.ring_if_given() {
        Ok(Some(ring)) => {
            let fallbacks = match ring.kids().len() {
                1 => "no fallback key".to_owned(),
                2 => "1 fallback key".to_owned(),
                keys => format!("{} fallback keys", keys - 1),
            };
            let primary = ring.primary_kid();
            report.ok("keys", &format!("primary key {primary}, {fallbacks}"))?;
            if ring.kms.is_some() {
                match try_out(&ring).await {
                    Ok(()) => report.ok("wrapping key", "AWS KMS wraps and unwraps a key")?,
                    Err(error) => report.wrong("wrapping key", &error)?,
                }
            }
            Some(ring)
        }
        Ok(None) => {
            report.note(
                "keys",
                "no key was read, so nothing is compared with the rows",
                "set ENCRYPTION_KEY, or give --key-file",
            )?;
            None
        }
        Err(error) => {
            report.wrong("keys", &error)?;
            None
        }
    };
    let connector = match args.session.connector() {
        Ok(connector) => connector,
        Err(error) => {
            report.wrong("settings", &error)?;
            return report.end();
        }
    };
    let target = connector.target();
    match target.not_used {
        Some(setting) => report.note(
            "settings",
            &target.to_line(),
            &format!("{setting} is set too, and not used"),
        )?,
        None => report.ok("settings", &target.to_line())?,
    }
    database::check(&report, &*connector.connection(), ring.as_ref()).await?;
    report.end()
}
