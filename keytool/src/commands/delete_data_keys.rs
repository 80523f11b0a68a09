use std::rc::Rc;

use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

use super::data_keys::none;
use crate::confirm::ConfirmArgs;
use crate::error::Result;
use crate::progress::Progress;
use crate::session::{Session, SessionArgs};
use crate::settings::uuid;
use crate::shown::rows;
use crate::store::{Function, unexpected_outcome};

#[derive(Args, Debug)]
pub struct DeleteDataKeysArgs {
    /// The organization; the nil UUID stands for the deployment itself
    #[arg(value_name = "ORGANIZATION", value_parser = uuid)]
    organization: Uuid,

    #[command(flatten)]
    confirm: ConfirmArgs,

    #[command(flatten)]
    session: SessionArgs,
}

pub async fn run(args: &DeleteDataKeysArgs, progress: Rc<Progress>) -> Result<()> {
    args.confirm.ensure_answer(progress.is_json())?;
    let organization = args.organization;
    let (session, _) = Session::open(&args.session, None, progress).await?;
    let found = session
        .call(Function::SealedWithDataKeys { organization })
        .await?;
    if found["data_keys"] == 0 {
        return Err(none(organization));
    }
    args.confirm
        .ask(format!(
            "database: {}\nWhat the data keys of organization {organization} have sealed opens no more: {}.\n\
             No grant is revoked at a provider by this: disconnect the integrations first. A backup of private.data_keys brings the keys back.\n\
             Delete the data keys of organization {organization}?",
            session.database,
            tables(&found["tables"]),
        ))
        .await?;
    let answer = session
        .call(Function::DeleteDataKeys { organization })
        .await?;
    match answer["outcome"].as_str().unwrap_or_default() {
        "deleted" => session.progress.step(
            &json!({
                "event": "data_keys_deleted", "organization_id": organization.to_string(), "kids": answer["kids"], "tables": found["tables"],
            }),
            &format!(
                "the data keys of organization {organization} are deleted; nothing opens any more: {}",
                tables(&found["tables"])
            ),
        ),
        "none" => Err(none(organization)),
        other => Err(unexpected_outcome(other)),
    }
}

/// "2 rows of integrations, 1 row of webhook_endpoints"
fn tables(counts: &Value) -> String {
    let tables: Vec<String> = counts
        .as_object()
        .into_iter()
        .flatten()
        .map(|(table, count)| format!("{} of {table}", rows(count.as_u64().unwrap_or(0))))
        .collect();
    if tables.is_empty() {
        return "no row is sealed with them".to_owned();
    }
    tables.join(", ")
}
