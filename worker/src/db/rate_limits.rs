//! Rate limits, and the clean-up of expired rows.

use crate::db::call::Call;
use crate::ids::UserId;
use serde::{Deserialize, Serialize};

/// Counts a user's request that may write.
#[derive(Serialize)]
pub struct AdmitWrite {
    pub p_user_id: UserId,
}

/// Whether an attempt may be made.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// The attempt is allowed, and counted.
    Admitted,
    /// There were too many attempts.
    TooMany {
        /// The next attempt is allowed after this number of seconds.
        seconds: u32,
    },
}

impl Call for AdmitWrite {
    const NAME: &'static str = "admit_write";
    type Outcome = Admission;
}

/// Counts an attempt to sign in with a password.
#[derive(Serialize)]
pub struct AdmitSignIn<'a> {
    /// The keyed hash of the e-mail address.
    pub p_account: &'a str,
    /// The keyed hash of the client's address.
    pub p_address: &'a str,
}

impl Call for AdmitSignIn<'_> {
    const NAME: &'static str = "admit_sign_in";
    type Outcome = Admission;
}

/// Counts an attempt to refresh a session.
#[derive(Serialize)]
pub struct AdmitRenewal<'a> {
    /// The keyed hash of the client's address.
    pub p_address: &'a str,
}

impl Call for AdmitRenewal<'_> {
    const NAME: &'static str = "admit_renewal";
    type Outcome = Admission;
}

/// Clears an account's attempts after the right password.
#[derive(Serialize)]
pub struct ForgiveSignIns<'a> {
    /// The keyed hash of the e-mail address.
    pub p_account: &'a str,
    /// The keyed hash of the client's address.
    pub p_address: &'a str,
}

/// The outcome of [`ForgiveSignIns`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forgiving {
    /// The account's attempts are cleared.
    Forgiven,
}

impl Call for ForgiveSignIns<'_> {
    const NAME: &'static str = "forgive_sign_ins";
    type Outcome = Forgiving;
}

/// Deletes expired rows, a bounded number of each kind.
#[derive(Serialize)]
pub struct CleanUp {
    /// How many days events are kept.
    pub p_event_days: u32,
}

/// The outcome of [`CleanUp`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cleaning {
    Cleaned {
        /// Whether more may be left to delete.
        more: bool,
    },
}

impl Call for CleanUp {
    const NAME: &'static str = "clean_up";
    type Outcome = Cleaning;
}
