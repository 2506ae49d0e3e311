//! The chat server: reads its settings, opens its store, serves, and comes to rest.
//!
//! Only this program reads files, the environment and signals; what a chat is, is
//! the engine's business.

mod archive;
mod cli;
mod config;
mod exit;
mod health;
mod http;
mod log_rate;
mod migrate;
mod output;
mod server;
mod signals;
mod stores;
mod system;
mod telemetry;
mod tool;
mod wiring;

use std::process::ExitCode;

use cli::{Command, Invocation};
use config::Config;
use exit::{Code, Failure};
use health::{Health, Phase};
use output::FlushOnDrop;
use server::{Listeners, Server};
use signals::Signals;
use wiring::Engine;

fn main() -> ExitCode {
    let _last_lines = FlushOnDrop;
    exit::code(cli::read(std::env::args_os(), std::env::vars_os()).and_then(run))
}

fn run(Invocation { command, given }: Invocation) -> Result<(), Failure> {
    if command == Command::Settings {
        return exit::print(&config::documentation());
    }
    let settings = config::resolve(given).map_err(|problems| Failure::configuration(&problems))?;
    telemetry::log(&settings.config);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(anyhow::Error::from)?;
    match command {
        Command::Settings | Command::CheckConfig => exit::print(&config::effective(&settings)),
        Command::Backup(file) => runtime.block_on(tool::backup(&settings.config, file)),
        Command::Export(file) => runtime.block_on(archive::export(&settings.config, &file)),
        Command::Import(file) => runtime.block_on(archive::import(&settings.config, &file)),
        Command::Epoch => runtime.block_on(tool::epoch(&settings.config)),
        Command::Migrate(migration) => runtime.block_on(migrate::migrate(&settings.config, migration)),
        Command::User { name, disabled } => runtime.block_on(tool::user(&settings.config, &name, disabled)),
        Command::Serve => runtime.block_on(serve(settings.config)),
    }
}

async fn serve(mut config: Config) -> Result<(), Failure> {
    let health = Health::starting(&config);
    health.log_worries();
    config.limit_connections = system::allowed_connections(config.limit_connections);

    let listeners = Listeners::bind(&config)?;
    let mut server = Server::start(config.clone(), listeners, &health)?;
    let engine = Engine::open(&config).await?;
    let mut signals = Signals::listen().map_err(anyhow::Error::from)?;

    health.watch(&engine.stores);
    server.open(&engine);
    health.enter(Phase::Ready);
    server.announce();

    let failure = tokio::select! {
        signal = signals.stop() => {
            tracing::info!(%signal, "stopping");
            health.enter(Phase::Draining);
            None
        }
        reason = engine.store_failed() => {
            health.enter(Phase::StoreFailed);
            Some(Failure::new(Code::InputOutput, reason))
        }
    };

    signals.exit_on_next();
    let graceful = server.drain(&engine).await;
    server.end().await;
    engine.close().await;
    tracing::info!(graceful, "stopped");
    failure.map_or(Ok(()), Err)
}
