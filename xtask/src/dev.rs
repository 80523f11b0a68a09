//! `cargo xtask dev`: the local stack with the worker, in the foreground until Ctrl-C.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    process::{ExitCode, Stdio},
};

use clap::Args;

use crate::{
    failure::Failure,
    process::Running,
    project::Project,
    setup::{self, Need},
    worker_build,
};

#[derive(Args)]
pub struct Options {
    /// Where the worker listens
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Only what is behind the worker: the database, Supabase's APIs and the authorization server
    #[arg(long)]
    no_worker: bool,
}

pub fn run(project: &Project, options: &Options) -> Result<ExitCode, Failure> {
    let mut node = project.node();
    node.args([
        "tests/stack/main.mjs",
        "--dir",
        ".dev",
        "--port",
        &options.port.to_string(),
    ])
    .stdin(Stdio::null());
    if options.no_worker {
        node.arg("--no-worker");
        setup::ensure(project, &[Need::Npm])?;
    } else {
        // Said now, not after minutes of building.
        require_free(options.port)?;
        worker_build::run(project)?;
    }
    let status = Running::start(&mut node)?.wait()?;
    // What it could say itself, it has said.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map(ExitCode::from)
        .ok_or_else(|| Failure::new(format!("the stack did not end by itself: {status}")))
}

fn require_free(port: u16) -> Result<(), Failure> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(Failure::with_hint(
            format!("port {port} is in use"),
            format!(
                "stop what listens there, or choose another: `cargo xtask dev --port {}`",
                port.saturating_add(1)
            ),
        )),
        Err(error) => Err(Failure::with_hint(
            format!("cannot listen on port {port}: {error}"),
            "choose another: `cargo xtask dev --port 3001`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_said_with_a_way_out() {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = holder.local_addr().unwrap().port();
        let failure = require_free(port).unwrap_err().to_string();
        assert!(
            failure.contains(&format!("port {port} is in use")) && failure.contains("--port"),
            "{failure}"
        );
        drop(holder);
        assert!(require_free(port).is_ok());
    }
}
