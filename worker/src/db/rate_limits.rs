//! What the database counts, and what it deletes once it has had its time.

use crate::db::call::Call;
use crate::ids::UserId;
use serde::{Deserialize, Serialize};

/// A user makes a request that may write.
#[derive(Serialize)]
pub struct AdmitWrite {
    /// The user.
    pub p_user_id: UserId,
}

/// Whether an attempt may be made.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// It may, and counts.
    Admitted,
    /// There were too many.
    TooMany {
        /// The next one may come in so many seconds.
        seconds: u32,
    },
}

impl Call for AdmitWrite {
    const NAME: &'static str = "admit_write";
    type Outcome = Admission;
}

/// Somebody tries a password.
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

/// Somebody presents what renews a session.
#[derive(Serialize)]
pub struct AdmitRenewal<'a> {
    /// The keyed hash of the client's address.
    pub p_address: &'a str,
}

impl Call for AdmitRenewal<'_> {
    const NAME: &'static str = "admit_renewal";
    type Outcome = Admission;
}

/// A password was right.
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
    /// The account's attempts count no longer.
    Forgiven,
}

impl Call for ForgiveSignIns<'_> {
    const NAME: &'static str = "forgive_sign_ins";
    type Outcome = Forgiving;
}

/// What has had its time is deleted, a bounded number of each kind.
#[derive(Serialize)]
pub struct CleanUp {
    /// How many days events are kept.
    pub p_event_days: u32,
}

/// The outcome of [`CleanUp`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cleaning {
    /// Done.
    Cleaned {
        /// Whether there may be more to delete.
        more: bool,
    },
}

impl Call for CleanUp {
    const NAME: &'static str = "clean_up";
    type Outcome = Cleaning;
}
