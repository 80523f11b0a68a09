//! How far a job of the schedule came.

/// What a job has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing that is due.
    Nothing,
    /// Something for the next run: the job has used up its time.
    More,
}
