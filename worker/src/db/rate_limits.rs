//! What the database counts, and what it deletes once it has had its time.

use crate::db::call::Call;
use crate::ids::UserId;
use crate::json::tagged;
use serde::Serialize;

/// A user makes a request that may write.
#[derive(Serialize)]
pub struct AdmitWrite {
    /// The user.
    pub p_user_id: UserId,
}

tagged! {
    "outcome"
    /// Whether an attempt may be made.
    pub enum Admission {
        /// It may, and counts.
        "admitted" => Admitted,
        /// There were too many.
        "too_many" => TooMany {
            /// The next one may come in so many seconds.
            seconds: u32,
        },
    }
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

tagged! {
    "outcome"
    /// The outcome of [`ForgiveSignIns`].
    pub enum Forgiving {
        /// The account's attempts count no longer.
        "forgiven" => Forgiven,
    }
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

tagged! {
    "outcome"
    /// The outcome of [`CleanUp`].
    pub enum Cleaning {
        /// Done.
        "cleaned" => Cleaned {
            /// Whether there may be more to delete.
            more: bool,
        },
    }
}

impl Call for CleanUp {
    const NAME: &'static str = "clean_up";
    type Outcome = Cleaning;
}
