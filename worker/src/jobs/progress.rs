//! The progress of a job.

/// Whether a job is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Nothing,
    /// Something is left for the next run: the job has used up its time.
    More,
}
