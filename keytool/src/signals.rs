//! Ctrl-C and TERM: a command stops between two batches, and says how far it was.

/// The name and number of a signal that asks this program to stop.
#[derive(Clone, Copy, Debug)]
pub struct Signal {
    pub name: &'static str,
    pub number: u8,
}

/// Waits until somebody asks this program to stop.
#[cfg(unix)]
pub async fn stopped() -> Signal {
    use tokio::signal::unix::{SignalKind, signal};

    let wait = async |kind: SignalKind, stop: Signal| match signal(kind) {
        Ok(mut signals) => {
            signals.recv().await;
            stop
        }
        // Without a handler the signal ends the program by itself.
        Err(_) => std::future::pending().await,
    };
    let interrupt = Signal {
        name: "SIGINT",
        number: 2,
    };
    let terminate = Signal {
        name: "SIGTERM",
        number: 15,
    };
    tokio::select! {
        stop = wait(SignalKind::interrupt(), interrupt) => stop,
        stop = wait(SignalKind::terminate(), terminate) => stop,
    }
}

/// Elsewhere the system ends the program.
#[cfg(not(unix))]
pub async fn stopped() -> Signal {
    std::future::pending().await
}
