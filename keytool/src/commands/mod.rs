//! The commands. Each reads its arguments, calls `rotation` and prints the result.

use std::rc::Rc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::signals::{self, Signal};

pub mod completions;
pub mod data_keys;
pub mod delete_data_keys;
pub mod doctor;
pub mod export;
pub mod fence;
pub mod generate;
pub mod id;
pub mod import;
pub mod man;
pub mod open;
pub mod registry;
pub mod retire;
pub mod rotate;
pub mod seal;
pub mod selftest;
pub mod service_key;
pub mod status;
pub mod switch;
pub mod topics;
pub mod unretire;
pub mod verify;

/// Runs what needs no signal handling and no progress to its end.
pub fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    runtime()?.block_on(future)
}

fn runtime() -> Result<Runtime> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| Error::new(ErrorKind::Machine, format!("no runtime: {error}")))
}

/// Runs a command to its end, or until a signal stops it. One thread is enough: it seals faster than a database of this size writes.
pub fn wait(json: bool, command: impl AsyncFnOnce(Rc<Progress>) -> Result<()>) -> Result<()> {
    let runtime = runtime()?;
    let progress = Rc::new(Progress::new(json));
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = command(Rc::clone(&progress)) => outcome,
            signal = stopped(&progress) => Err(progress.stopped(signal)),
        }
    });
    // What waits for an answer or for a person is not waited for.
    runtime.shutdown_background();
    outcome
}

/// How long a command that writes may take to finish its batches and to record them, once it was asked to stop.
const GRACE: Duration = Duration::from_secs(5);

async fn stopped(progress: &Progress) -> Signal {
    let signal = signals::stopped().await;
    if progress.stop(signal) {
        sleep(GRACE).await;
    }
    signal
}
