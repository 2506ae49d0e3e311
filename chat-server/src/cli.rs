//! The command line: commands, and one flag for each row of the table of settings.
//!
//! Values are only collected here; what they mean is read together with the file
//! and the environment, so that all errors are reported at once.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, value_parser};

use chat_store_mongo::migrate_php::Unplaced;

use crate::config::{Given, SETTINGS, Setting};
use crate::exit::{self, Code, Failure};
use crate::migrate::MigrateCommand;
use crate::output;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Run the server.
    Serve,
    /// Say what the configuration is.
    CheckConfig,
    /// Print the documentation of the settings.
    Settings,
    /// Write a copy of the embedded store to this file.
    Backup(PathBuf),
    /// Write everything in the store to this archive; `-` is standard output.
    Export(PathBuf),
    /// Put this archive into the store; `-` is standard input.
    Import(PathBuf),
    /// Begin a new epoch.
    Epoch,
    /// Migrate the database of a PHP chat.
    Migrate(MigrateCommand),
    /// Disable or enable the account with this name.
    User {
        /// The name as a person types it.
        name: String,
        /// Whether the account is to be disabled.
        disabled: bool,
    },
}

/// What the command line says.
#[derive(Debug)]
pub(crate) struct Invocation {
    /// What to do.
    pub(crate) command: Command,
    /// Where settings are to be read.
    pub(crate) given: Given,
}

const ABOUT: &str = "A real-time chat server.

Without any setting it keeps its data in ./chat-data and listens on 127.0.0.1:2346;
health and metrics are on 127.0.0.1:2347.";

/// The groups of settings that a short help shows.
const FIRST_GROUPS: [&str; 3] = ["Network", "Storage", "Logs and shutdown"];

const AFTER_HELP: &str = "Each setting can also stand in a TOML file (listen = \"0.0.0.0:2346\") or in the environment \
(CHAT_LISTEN=0.0.0.0:2346). Flags win over the environment, the environment over the file.";

/// Reads a command line and an environment.
///
/// # Errors
/// Wrong usage; also, with nothing to say, when help or the version was printed.
pub(crate) fn read(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Invocation, Failure> {
    let matches = command().try_get_matches_from(arguments).map_err(|error| told(&error))?;
    let given = Given {
        config_flag: matches.get_one::<PathBuf>("config").cloned(),
        flags: SETTINGS.iter().filter_map(|setting| flag_value(setting, &matches)).collect(),
        environment: environment.into_iter().collect(),
    };
    Ok(Invocation { command: chosen(&matches), given })
}

/// Prints what clap has to say: help and the version on standard output, errors on standard error.
fn told(error: &clap::Error) -> Failure {
    let text = error.render();
    let shown = |is_terminal: bool| if is_terminal { text.ansi().to_string() } else { text.to_string() };
    if error.use_stderr() {
        output::error().push(shown(io::stderr().is_terminal()).into_bytes());
        return Failure::said(Code::Usage);
    }
    match exit::print(&shown(io::stdout().is_terminal())) {
        Ok(()) => Failure::said(Code::Success),
        Err(failure) => failure,
    }
}

fn chosen(matches: &ArgMatches) -> Command {
    match matches.subcommand() {
        Some(("backup", matches)) => Command::Backup(file(matches)),
        Some(("export", matches)) => Command::Export(file(matches)),
        Some(("import", matches)) => Command::Import(file(matches)),
        Some(("migrate", matches)) => Command::Migrate(migration(matches)),
        Some(("user", matches)) => Command::User {
            name: matches.get_one::<String>("name").cloned().unwrap_or_default(),
            disabled: matches.get_one::<String>("what").is_some_and(|what| what == "disable"),
        },
        Some(("epoch", _)) => Command::Epoch,
        Some(("settings", _)) => Command::Settings,
        _ if matches.get_flag("check-config") => Command::CheckConfig,
        _ => Command::Serve,
    }
}

fn migration(matches: &ArgMatches) -> MigrateCommand {
    let unplaced = if matches.get_flag("discard-unplaced") { Unplaced::Discard } else { Unplaced::Keep };
    match (matches.get_flag("dry-run"), matches.get_flag("finish")) {
        _ if matches.get_flag("back") => MigrateCommand::Back,
        (true, _) => MigrateCommand::DryRun,
        (false, true) => MigrateCommand::Finish(unplaced),
        (false, false) => MigrateCommand::Run,
    }
}

/// The file that a command is about.
fn file(matches: &ArgMatches) -> PathBuf {
    matches.get_one::<PathBuf>("file").cloned().unwrap_or_default()
}

/// The key that a flag sets, and its text.
fn flag_value(setting: &Setting, matches: &ArgMatches) -> Option<(String, String)> {
    let text = matches.get_one::<String>(setting.name)?;
    Some((setting.flag().replace('-', "_"), text.clone()))
}

fn command() -> clap::Command {
    clap::Command::new("chat-server")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(AFTER_HELP)
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .global(true)
                .help("Read settings from this TOML file [env: CHAT_CONFIG]"),
        )
        .arg(
            Arg::new("check-config")
                .long("check-config")
                .action(ArgAction::SetTrue)
                .help("Check the configuration, print it and exit"),
        )
        .args(SETTINGS.iter().map(flag))
        .subcommand(
            clap::Command::new("user")
                .about("Disable or enable an account")
                .arg(
                    Arg::new("what")
                        .required(true)
                        .value_parser(PossibleValuesParser::new(["disable", "enable"]))
                        .help("A disabled account keeps its name and messages; it cannot sign in, and its sessions end"),
                )
                .arg(Arg::new("name").value_name("NAME").required(true).help("The user name")),
        )
        .subcommand(
            clap::Command::new("backup")
                .about("Copy the embedded store to a new file, also while the server runs")
                .arg(file_arg("The file to write; it must not exist")),
        )
        .subcommand(
            clap::Command::new("export")
                .about("Write everything but sessions to an archive, from which any store can be filled")
                .arg(file_arg("The file to write; it must not exist. - is standard output")),
        )
        .subcommand(
            clap::Command::new("import")
                .about("Fill an empty store from an archive; the server must not run")
                .arg(file_arg("The archive that export has written. - is standard input")),
        )
        .subcommand(
            clap::Command::new("epoch")
                .about("After an older copy was restored: let clients drop what they know; no server may run")
                .arg(
                    Arg::new("what")
                        .required(true)
                        .value_parser(PossibleValuesParser::new(["new"]))
                        .help("Begin a new epoch"),
                ),
        )
        .subcommand(migrate())
        .subcommand(clap::Command::new("settings").about("Print all settings as Markdown").hide(true))
}

fn migrate() -> clap::Command {
    let switch = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    clap::Command::new("migrate")
        .about("Migrate the MongoDB database of a PHP chat, in place; stop that one and make a backup first")
        .arg(switch("dry-run", "Only tell what would become of it; write nothing"))
        .arg(
            switch("finish", "Remove what only going back to the PHP chat needs; also while the server runs")
                .conflicts_with("dry-run"),
        )
        .arg(
            switch(
                "back",
                "Give the database back to the PHP chat, with all messages; stop the server first",
            )
            .conflicts_with_all(["dry-run", "finish"]),
        )
        .arg(
            switch("discard-unplaced", "With --finish: remove messages without a place as well, for ever")
                .requires("finish"),
        )
}

fn file_arg(help: &'static str) -> Arg {
    Arg::new("file").value_name("FILE").required(true).value_parser(value_parser!(PathBuf)).help(help)
}

fn flag(setting: &'static Setting) -> Arg {
    let switch = setting.kind == "`true` or `false`";
    let default = match setting.default_shown() {
        empty if empty.is_empty() || switch => String::new(),
        shown => format!(" [default: {shown}]"),
    };
    let arg = Arg::new(setting.name)
        .long(setting.flag())
        .help(format!("{}{default}", setting.help.trim()))
        .help_heading(setting.group)
        .hide_short_help(!FIRST_GROUPS.contains(&setting.group))
        .global(matches!(setting.name, "data_dir" | "log_format" | "log_level"));
    match switch {
        true => {
            arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("true|false")
        }
        false if setting.secret => arg.value_name("FILE"),
        false => arg.value_name(value_name(setting.kind)),
    }
}

/// How help names a value of this kind.
fn value_name(kind: &'static str) -> &'static str {
    match kind {
        "seconds" => "SECONDS",
        "number" => "NUMBER",
        "path" => "PATH",
        "address:port" => "ADDRESS",
        "address:port or `off`" => "ADDRESS|off",
        "`text` or `json`" => "text|json",
        "`sqlite`, `mongodb` or `memory`" => "STORE",
        "level or directives" => "LEVEL",
        _ => "VALUE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Invocation, Failure> {
        let words = line.split_whitespace().map(OsString::from);
        read(std::iter::once(OsString::from("chat-server")).chain(words), [])
    }

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn commands_are_recognised_and_flags_may_stand_behind_them() {
        assert_eq!(parse("").unwrap().command, Command::Serve);
        assert_eq!(parse("--check-config").unwrap().command, Command::CheckConfig);
        assert_eq!(parse("backup to.db").unwrap().command, Command::Backup("to.db".into()));
        assert_eq!(parse("export -").unwrap().command, Command::Export("-".into()));
        assert_eq!(parse("import a.jsonl").unwrap().command, Command::Import("a.jsonl".into()));
        assert_eq!(parse("epoch new").unwrap().command, Command::Epoch);
        for (line, migration) in [
            ("migrate", MigrateCommand::Run),
            ("migrate --dry-run", MigrateCommand::DryRun),
            ("migrate --finish", MigrateCommand::Finish(Unplaced::Keep)),
            ("migrate --back", MigrateCommand::Back),
            ("migrate --finish --discard-unplaced", MigrateCommand::Finish(Unplaced::Discard)),
        ] {
            assert_eq!(parse(line).unwrap().command, Command::Migrate(migration), "{line}");
        }
        assert!(parse("migrate --back --finish").is_err());
        assert!(parse("migrate --dry-run --finish").is_err() && parse("migrate --discard-unplaced").is_err());
        let user = parse("user disable 张三 --data-dir elsewhere").unwrap();
        assert_eq!(user.command, Command::User { name: "张三".to_owned(), disabled: true });
        assert_eq!(user.given.flags, [("data_dir".to_owned(), "elsewhere".to_owned())]);
    }

    #[test]
    fn every_setting_has_a_flag() {
        for setting in SETTINGS {
            let line = if setting.secret { "f" } else { "1" };
            let invocation = parse(&format!("--{}={line}", setting.flag())).unwrap();
            assert_eq!(invocation.given.flags.len(), 1, "{}", setting.name);
        }
        let switched = parse("--insecure-readable-secrets").unwrap();
        assert_eq!(switched.given.flags, [("insecure_readable_secrets".to_owned(), "true".to_owned())]);
    }
}
