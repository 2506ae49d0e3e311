//! The command that migrates the MongoDB database of a PHP chat: what it tells, and where.
//!
//! Standard output gets what was found, one line for each row, and a summary; standard error gets the progress.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::time::Duration;

use chat_core::auth::username;
use chat_store_mongo::MongoConfig;
use chat_store_mongo::migrate_php::{
    Finding, Finished, Migration, MigrationError, NameRule, Observer, Outcome, Phase, Progress, Report,
    State, Stop, Unplaced,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use crate::config::Config;
use crate::exit::{self, Code, Failure};
use crate::stores;

/// Between two lines about one phase, where there is no terminal for a bar.
const LINE_PAUSE: Duration = Duration::from_secs(10);
/// What the bar looks like.
const BAR: &str = "{prefix:>14} {wide_bar} {human_pos}/{human_len} {elapsed_precise}";

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MigrateCommand {
    /// Look, and write nothing.
    DryRun,
    /// Migrate.
    Run,
    /// Clear away what only going back needs.
    Finish(Unplaced),
    /// Give the database back to the PHP chat.
    Back,
}

/// Migrates the database of the settings, or looks what would become of it.
///
/// # Errors
/// It cannot be reached or migrated; the message says what to do.
pub(crate) async fn migrate(config: &Config, command: MigrateCommand) -> Result<(), Failure> {
    let Some(uri) = &config.mongodb_uri else {
        return Err(Failure::new(
            Code::Usage,
            "migrate needs mongodb_uri (CHAT_MONGODB_URI): where the database is",
        ));
    };
    let name = config.mongodb_database.as_str();
    let rule = NameRule::new(|name| username::registration_keys(name).ok());
    let settings = MongoConfig::new(uri.expose_secret(), name);
    let migration = Migration::connect(&settings, rule).await.map_err(stores::mongodb_failure)?;
    for warning in migration.warnings() {
        tracing::warn!("{warning}");
    }
    let mut teller = Teller::new();
    let outcome = match command {
        MigrateCommand::DryRun => migration.survey(&mut teller).await,
        MigrateCommand::Run => {
            teller.say(
                "stop the PHP chat first, and have a backup (mongodump); this may be stopped at any time, and \
                 run again",
            );
            migration.run(&mut teller).await
        }
        MigrateCommand::Finish(unplaced) => {
            let finished = migration.finish(unplaced, &mut teller).await;
            let text = finished.map(|finished| finished_text(name, finished));
            return exit::print(&text.map_err(|error| teller.failure(error))?);
        }
        MigrateCommand::Back => {
            let rows = migration.back(&mut teller).await.map_err(|error| teller.failure(error))?;
            teller.end();
            return exit::print(&format!(
                "{name}: {rows} rows are as the PHP chat wrote them, messages sent since included; indexes named above \
                 are gone. Start the PHP chat; chat-server migrate migrates the database again\n"
            ));
        }
    };
    let outcome = outcome.map_err(|error| teller.failure(error))?;
    teller.end();
    exit::print(&match outcome {
        Outcome::Nothing(state) => nothing_text(name, state),
        Outcome::Done(report) => report_text(name, &report, command),
        Outcome::Earlier(report) => {
            report_text(name, &report, command)
                + &format!(
                    "\nThis was done before, and told again: there is nothing to migrate in {name} any more\n"
                )
        }
    })
}

/// What is said when there is nothing to do.
fn nothing_text(name: &str, state: State) -> String {
    match state {
        State::Empty => format!("{name} is empty: there is nothing to migrate\n"),
        State::Ours => {
            format!("{name} is a database of this chat server already: there is nothing to migrate\n")
        }
        State::Unfinished(phase) => format!(
            "the migration of {name} was begun and has come to the phase \"{}\"; run chat-server migrate again to \
             finish it\n",
            phase.name()
        ),
        // Then there is something to do.
        State::PhpChat => String::new(),
    }
}

/// The summary of a survey or a run.
fn report_text(name: &str, report: &Report, command: MigrateCommand) -> String {
    let counts = &report.counts;
    let mut text = String::from("\n");
    for (count, what) in [
        (counts.users, "users"),
        (counts.rooms, "rooms"),
        (counts.closed_rooms, "of which are closed"),
        (counts.room_members, "memberships of rooms"),
        (counts.chats, "rows of private chats"),
        (counts.conversations_of_two, "private chats, one for each pair"),
        (counts.messages, "messages"),
        (counts.placed, "of which are in the log of a conversation"),
        (counts.unplaced, "of which have no place; they are kept, and nobody sees them"),
        (counts.further_parts, "entries more, as longer texts are split"),
    ] {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{count:>12} {what}");
    }
    if !report.findings.is_empty() {
        text.push_str("\nfound, and resolved as the lines above say:\n");
    }
    for (kind, count) in &report.findings {
        let _ = writeln!(text, "{count:>12} {}", kind.name());
    }
    text.push_str(&match command {
        MigrateCommand::DryRun => format!(
            "\nNothing was written. To migrate {name}: stop the PHP chat, make a backup (mongodump), and run \
             chat-server migrate\n"
        ),
        MigrateCommand::Run | MigrateCommand::Finish(_) | MigrateCommand::Back => format!(
            "\n{name} is migrated and checked: start chat-server on it. The PHP chat's fields are still there; \
             chat-server migrate --back gives the database back to it, and chat-server migrate --finish removes them when \
             nobody wants to go back\n"
        ),
    });
    text
}

fn finished_text(name: &str, finished: Finished) -> String {
    let Finished { rows, chats, discarded, kept, .. } = finished;
    let mut text = format!(
        "{name}: the PHP chat's fields are removed from {rows} rows; {chats} rows of private chats that are no \
         conversation and {discarded} messages without a place are removed\n"
    );
    if kept > 0 {
        let _ = writeln!(
            text,
            "{kept} messages without a place are kept; chat-server migrate --finish --discard-unplaced removes them"
        );
    }
    text
}

/// Tells a person, or a file, how it goes.
struct Teller {
    /// Shown on a terminal only.
    bar: ProgressBar,
    is_terminal: bool,
    phase: Option<Phase>,
    said: Instant,
    /// Standard output is closed.
    is_unheard: bool,
}

impl Teller {
    fn new() -> Self {
        let is_terminal = io::stderr().is_terminal();
        let target = if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, is_terminal, phase: None, said: Instant::now(), is_unheard: false }
    }

    /// Says something to who watches.
    fn say(&self, text: &str) {
        if self.is_terminal {
            self.bar.println(format!("chat-server: {text}"));
        } else {
            exit::say(text);
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// The work has ended early.
    fn failure(&self, error: MigrationError) -> Failure {
        self.end();
        let code = match error {
            MigrationError::Database(error) => return stores::mongodb_failure(error),
            MigrationError::Stopped if self.is_unheard => Code::InputOutput,
            MigrationError::Stopped | MigrationError::Superseded => Code::TryAgain,
            _ => Code::DataError, // what is stored is not as it should be
        };
        Failure::new(code, error.to_string())
    }
}

impl Observer for Teller {
    fn progress(&mut self, progress: Progress) -> Result<(), Stop> {
        let Progress { phase, done, total } = progress;
        let is_new = self.phase.replace(phase) != Some(phase);
        if is_new {
            self.bar.set_prefix(phase.name());
            self.bar.reset();
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
        if !self.is_terminal && (is_new || self.said.elapsed() >= LINE_PAUSE) {
            self.said = Instant::now();
            self.say(&format!("{}: {done} of {total}", phase.name()));
        }
        Ok(())
    }

    fn found(&mut self, finding: &Finding) -> Result<(), Stop> {
        let printed = self.bar.suspend(|| exit::print(&format!("{finding}\n")));
        self.is_unheard = printed.is_err();
        printed.map_err(|_| Stop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_says_how_many_and_what_to_do_next() {
        let mut report = Report::default();
        report.counts.users = 7;
        let text = report_text("chat_system", &report, MigrateCommand::DryRun);
        assert!(text.contains("           7 users\n") && text.contains("Nothing was written"), "{text}");
        let text = report_text("chat_system", &report, MigrateCommand::Run);
        assert!(text.contains("migrate --finish"), "{text}");
    }

    #[test]
    fn a_database_without_anything_to_do_is_named() {
        for state in [State::Empty, State::Ours, State::Unfinished(Phase::Messages)] {
            assert!(nothing_text("chat_system", state).contains("chat_system"));
        }
    }
}
