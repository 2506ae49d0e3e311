//! The chat server: reads its settings, opens its store, serves, and comes to rest.
//!
//! Only this program reads files, the environment and signals; what a chat is, is
//! the engine's business.

mod cli;
mod config;
mod exit;
mod health;
mod http;
mod server;
mod signals;
mod system;
mod telemetry;

use std::process::ExitCode;

use cli::{Command, Invocation};
use config::Config;
use exit::{Code, Failure};
use health::{Health, Phase};
use server::{Listeners, Server};
use signals::Signals;

fn main() -> ExitCode {
    exit::code(cli::read(std::env::args_os(), std::env::vars_os()).and_then(run))
}

fn run(Invocation { command, given }: Invocation) -> Result<(), Failure> {
    if command == Command::Settings {
        return exit::print(&config::documentation());
    }
    let settings = config::resolve(given).map_err(|problems| Failure::configuration(&problems))?;
    match command {
        Command::Settings | Command::CheckConfig => exit::print(&config::effective(&settings)),
        Command::Backup(_) | Command::User { .. } => Err(Failure::new(Code::Software, "not there yet")),
        Command::Serve => {
            telemetry::log(&settings.config);
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            let runtime = runtime.map_err(anyhow::Error::from)?;
            runtime.block_on(serve(settings.config))
        }
    }
}

async fn serve(config: Config) -> Result<(), Failure> {
    let metrics = telemetry::metrics()?;
    let health = Health::starting(&config);
    health.log_worries();
    let drain_deadline = config.drain_seconds;

    system::raise_file_limit(config.limit_connections);
    let listeners = Listeners::bind(&config)?;
    let mut server = Server::start(config, listeners, &health, metrics)?;
    let mut signals = Signals::listen().map_err(anyhow::Error::from)?;

    server.open();
    health.enter(Phase::Ready);
    server.announce();

    let stop = signals.stop().await;
    tracing::info!(signal = %stop, "stopping");
    health.enter(Phase::Draining);
    let impatience = tokio_util::task::TaskTracker::new();
    impatience.spawn(signals.exit_on_next());
    let graceful = server.drain(drain_deadline).await;
    server.end().await;
    tracing::info!(graceful, "stopped");
    Ok(())
}
