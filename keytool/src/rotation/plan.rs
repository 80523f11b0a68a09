use kms::WrappingKeys;

use super::findings::ListArgs;
use super::scope::Scope;
use super::throttle::Throttle;
use crate::session::Session;

/// What a rotation works on, and how.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    pub session: &'a Session,
    pub ring: &'a WrappingKeys,
    pub scope: &'a Scope,
    pub throttle: &'a Throttle,
    pub list: ListArgs,
    /// Also replace the data keys that another key has wrapped before.
    pub new_data_keys: bool,
    /// Open and seal everything, but write nothing.
    pub dry_run: bool,
}
