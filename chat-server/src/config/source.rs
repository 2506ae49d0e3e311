//! Where settings come from: defaults, then the file, the environment, the flags.
//!
//! Everything that is wrong is gathered, each with the place that says it, so that
//! an operator repairs all of it at once. Nothing here starts anything.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Config, SETTINGS, Setting, check};

/// What the outside world says.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// The file named by `--config`.
    pub(crate) config_flag: Option<PathBuf>,
    /// Flags by the key that they set.
    pub(crate) flags: Vec<(String, String)>,
    /// The whole environment.
    pub(crate) environment: Vec<(OsString, OsString)>,
}

/// The settings that hold, and where each comes from.
#[derive(Debug)]
pub(crate) struct Effective {
    /// The settings.
    pub(crate) config: Config,
    /// Who set what is no default.
    pub(super) places: BTreeMap<&'static str, String>,
}

/// Something that is wrong, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The variable, flag, or key and file.
    place: String,
    /// What is wrong with it.
    message: String,
}

impl Problem {
    pub(super) fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// A file that holds a secret, and the setting that needs it.
#[derive(Debug)]
pub(super) struct SecretFile {
    pub(super) place: String,
    pub(super) path: PathBuf,
}

/// Reads all sources.
///
/// # Errors
/// Everything that is wrong in any of them.
pub(crate) fn resolve(given: Given) -> Result<Effective, Vec<Problem>> {
    let mut reading = Reading::default();
    if let Some(path) = reading.config_file(&given) {
        reading.read_file(&path);
    }
    reading.read_environment(given.environment);
    for (key, text) in given.flags {
        let place = format!("--{}", key.replace('_', "-"));
        reading.assign(&key, &text, place);
    }
    let Reading { config, places, secret_files, mut problems } = reading;
    problems.extend(check::problems(&config, &places, &secret_files));
    if problems.is_empty() { Ok(Effective { config, places }) } else { Err(problems) }
}

#[derive(Debug, Default)]
struct Reading {
    config: Config,
    places: BTreeMap<&'static str, String>,
    secret_files: Vec<SecretFile>,
    problems: Vec<Problem>,
}

impl Reading {
    /// The file to read, if one is named.
    fn config_file(&self, given: &Given) -> Option<PathBuf> {
        let variable = given.environment.iter().find(|(name, _)| name == "CHAT_CONFIG");
        given.config_flag.clone().or_else(|| variable.map(|(_, path)| PathBuf::from(path)))
    }

    fn read_file(&mut self, path: &Path) {
        let place = path.display().to_string();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return self.problem(place, format!("cannot read it: {error}")),
        };
        let table: toml::Table = match toml::from_str(&text) {
            Ok(table) => table,
            Err(error) => return self.problem(place, format!("is no valid TOML: {}", one_line(&error))),
        };
        for (key, value) in table {
            let place = format!("{key} in {}", path.display());
            let text = plain_text(&value);
            let is_secret = find(&key).is_some_and(|(setting, is_file)| setting.secret && !is_file);
            // An empty text sets no secret, so there is nothing to read in the file.
            if is_secret && text.as_ref().is_none_or(|text| !text.trim().is_empty()) {
                self.secret_files.push(SecretFile { place: place.clone(), path: path.to_owned() });
            }
            match text {
                Some(text) => self.assign(&key, &text, place),
                None => self.problem(place, "must be a text, a number, true or false, or a list of texts"),
            }
        }
    }

    fn read_environment(&mut self, environment: Vec<(OsString, OsString)>) {
        for (name, value) in environment {
            let name = name.to_string_lossy().into_owned();
            let Some(key) = name.strip_prefix("CHAT_") else { continue };
            match value.to_str() {
                _ if key == "CONFIG" => {}
                Some(text) if is_service_link(key, text) => {}
                Some(text) => self.assign(&key.to_lowercase(), text, name.clone()),
                None => self.problem(name, "is not valid UTF-8"),
            }
        }
    }

    /// Sets what `key` names. `place` says who wants it.
    fn assign(&mut self, key: &str, text: &str, place: String) {
        let Some((setting, is_file)) = find(key) else {
            return self.problem(place, unknown(key));
        };
        let assigned = if is_file {
            self.secret_files.push(SecretFile { place: place.clone(), path: PathBuf::from(text) });
            fs::read_to_string(text)
                .map_err(|error| format!("cannot read {text}: {error}"))
                .and_then(|secret| setting.assign(&mut self.config, &secret))
        } else {
            setting.assign(&mut self.config, text)
        };
        match assigned {
            Ok(()) => drop(self.places.insert(setting.name, place)),
            Err(message) => self.problem(place, message),
        }
    }

    fn problem(&mut self, place: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem::new(place, message));
    }
}

/// The setting that `key` names, and whether it names a file with the value.
fn find(key: &str) -> Option<(&'static Setting, bool)> {
    let by_name = |name: &str| SETTINGS.iter().find(|setting| setting.name == name);
    match by_name(key) {
        Some(setting) => Some((setting, false)),
        None => {
            by_name(key.strip_suffix("_file")?).filter(|setting| setting.secret).map(|found| (found, true))
        }
    }
}

/// The text of a value in the file; lists are joined with commas.
fn plain_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(answer) => Some(answer.to_string()),
        toml::Value::Array(items) => {
            let texts: Option<Vec<&str>> = items.iter().map(toml::Value::as_str).collect();
            texts.map(|texts| texts.join(","))
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

/// What to say about a key that nobody knows.
fn unknown(key: &str) -> String {
    let likeness = |setting: &Setting| strsim::jaro_winkler(setting.name, key);
    let nearest = SETTINGS.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest.filter(|setting| likeness(setting) > 0.85) {
        Some(setting) => format!("there is no such setting; did you mean {}?", setting.name),
        None => "there is no such setting".to_owned(),
    }
}

/// Whether Kubernetes put this variable there: it describes a service whose name begins with `chat`.
fn is_service_link(key: &str, text: &str) -> bool {
    key.ends_with("SERVICE_HOST")
        || key.contains("SERVICE_PORT")
        || key.contains("PORT_") && (key.contains("_TCP") || key.contains("_UDP"))
        || key.ends_with("PORT") && text.contains("://")
}

fn one_line(error: &toml::de::Error) -> String {
    error.to_string().lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::StoreKind;

    fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
    }

    fn flags(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// A file with `text` that only its owner can read.
    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        file
    }

    fn problems(given: Given) -> Vec<String> {
        resolve(given).expect_err("the settings are wrong").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn sec_83_without_settings_it_listens_on_this_machine_only() {
        let effective = resolve(Given::default()).unwrap();
        assert_eq!(effective.config.listen.to_string(), "127.0.0.1:2346");
        assert_eq!(effective.config.admin_listen.unwrap().to_string(), "127.0.0.1:2347");
        assert_eq!(effective.config.store, StoreKind::Sqlite);
        assert!(effective.places.is_empty());
        assert!(effective.config.insecure_options().is_empty());
    }

    #[test]
    fn the_file_yields_to_the_environment_and_that_to_flags() {
        let file = file("limit_user_rooms = 1\nlimit_user_sessions = 1\nlimit_room_members = 3\n");
        let effective = resolve(Given {
            config_flag: Some(file.path().to_owned()),
            environment: environment(&[("CHAT_LIMIT_USER_SESSIONS", "2"), ("CHAT_LIMIT_ROOM_MEMBERS", "4")]),
            flags: flags(&[("limit_room_members", "5")]),
        })
        .unwrap();
        assert_eq!(effective.config.limit_user_rooms, 1);
        assert_eq!(effective.config.limit_user_sessions, 2);
        assert_eq!(effective.config.limit_room_members, 5);
        assert_eq!(effective.config.limit_user_connections, 20);
        assert_eq!(effective.places["limit_room_members"], "--limit-room-members");
        assert_eq!(effective.places["limit_user_sessions"], "CHAT_LIMIT_USER_SESSIONS");
    }

    #[test]
    fn the_flag_for_the_file_wins_over_its_variable() {
        let (first, second) = (file("limit_user_rooms = 1"), file("limit_user_rooms = 2"));
        let variable = |path: &Path| vec![(OsString::from("CHAT_CONFIG"), path.as_os_str().to_owned())];
        let by_variable = Given { environment: variable(first.path()), ..Given::default() };
        assert_eq!(resolve(by_variable).unwrap().config.limit_user_rooms, 1);
        let by_flag = Given {
            environment: variable(first.path()),
            config_flag: Some(second.path().to_owned()),
            flags: Vec::new(),
        };
        assert_eq!(resolve(by_flag).unwrap().config.limit_user_rooms, 2);
    }

    #[test]
    fn everything_that_is_wrong_is_reported_together_with_its_place() {
        let file = file("listen = 5\nlimit_user_room = 7\nstore = { kind = 'sqlite' }\n");
        let found = problems(Given {
            config_flag: Some(file.path().to_owned()),
            environment: environment(&[("CHAT_STORE", "paper"), ("CHAT_LISTENN", "x"), ("PATH", "/bin")]),
            flags: flags(&[
                ("drain_seconds", "soon"),
                ("log_level", "inof"),
                ("limit_content_bytes", "9000"),
                ("tls_cert", "a.pem"),
            ]),
        });
        let path = file.path().display();
        let expected = [
            format!("limit_user_room in {path}: there is no such setting; did you mean limit_user_rooms?"),
            format!("listen in {path}: \"5\" is no address such as 127.0.0.1:2346 or [::]:2346"),
            format!("store in {path}: must be a text, a number, true or false, or a list of texts"),
            "CHAT_STORE: \"paper\" is no store; write sqlite, mongodb or memory".to_owned(),
            "CHAT_LISTENN: there is no such setting; did you mean listen?".to_owned(),
            "--log-level: \"inof\" is no log level such as info or debug".to_owned(),
            "--drain-seconds: \"soon\" is no whole number of seconds".to_owned(),
            "--limit-content-bytes: 9000 is not between 1 and 8192".to_owned(),
            "--tls-cert: needs tls_key beside it".to_owned(),
        ];
        for line in &expected {
            assert!(found.contains(line), "{line} is missing in {found:#?}");
        }
        assert_eq!(found.len(), expected.len(), "{found:#?}");
    }

    #[test]
    fn a_file_that_cannot_be_read_or_parsed_is_named() {
        let missing = Given { config_flag: Some("/nowhere/chat.toml".into()), ..Given::default() };
        assert!(problems(missing)[0].starts_with("/nowhere/chat.toml: cannot read it"));
        let broken = file("listen = \n");
        let found = problems(Given { config_flag: Some(broken.path().to_owned()), ..Given::default() });
        assert!(found[0].contains("is no valid TOML"), "{found:?}");
        assert!(!found[0].contains('\n'));
    }

    #[test]
    fn what_this_build_does_not_contain_is_refused_by_name() {
        let found = problems(Given {
            environment: environment(&[("CHAT_NATS_URL", "nats://secret@host")]),
            ..Given::default()
        });
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].contains("does not contain") && !found[0].contains("nats://"), "{found:#?}");
    }

    #[test]
    fn the_store_mongodb_needs_an_address() {
        let given = |pairs: &[(&str, &str)]| Given { environment: environment(pairs), ..Given::default() };
        let found = problems(given(&[("CHAT_STORE", "mongodb")]));
        assert_eq!(found, ["CHAT_STORE: mongodb needs mongodb_uri: where the database is"]);
        let whole = given(&[("CHAT_STORE", "mongodb"), ("CHAT_MONGODB_URI", "mongodb://host")]);
        assert!(resolve(whole).unwrap().config.warnings().is_empty());
        let unused = resolve(given(&[("CHAT_MONGODB_URI", "mongodb://host")])).unwrap().config;
        assert!(unused.warnings()[0].contains("not used"));
    }

    #[test]
    fn an_address_that_names_another_database_is_worth_a_warning_without_a_word_of_it() {
        let warnings = |uri: &str, database: &str| {
            let pairs =
                [("CHAT_STORE", "mongodb"), ("CHAT_MONGODB_URI", uri), ("CHAT_MONGODB_DATABASE", database)];
            let given = Given { environment: environment(&pairs), ..Given::default() };
            resolve(given).unwrap().config.warnings()
        };
        for uri in ["mongodb://u:p@a,b/", "mongodb://a/admin", "mongodb+srv://a/chat?w=1", "mongodb://a"] {
            assert!(warnings(uri, "chat").is_empty(), "{uri}");
        }
        for uri in ["mongodb://u:p@a/canary", "mongodb://a/canary?x=1", "mongodb://u:x/canary?@a/b"] {
            let found = warnings(uri, "chat");
            assert!(found[0].contains("what is used is chat") && !found[0].contains("canary"), "{found:?}");
        }
    }

    #[test]
    fn variables_that_kubernetes_adds_for_a_service_are_no_settings() {
        let links = [
            ("CHAT_SERVICE_HOST", "10.0.0.7"),
            ("CHAT_SERVICE_PORT", "2346"),
            ("CHAT_PORT", "tcp://10.0.0.7:2346"),
            ("CHAT_PORT_2346_TCP_ADDR", "10.0.0.7"),
            ("CHAT_SERVER_SERVICE_PORT_WS", "2346"),
        ];
        assert!(resolve(Given { environment: environment(&links), ..Given::default() }).is_ok());
        let typed = Given { environment: environment(&[("CHAT_PORT", "8080")]), ..Given::default() };
        assert_eq!(problems(typed), ["CHAT_PORT: there is no such setting"]);
    }

    #[test]
    fn sec_81_secret_files_that_everybody_can_read_are_refused() {
        let secret = file("nats://secret@host\n");
        fs::set_permissions(secret.path(), fs::Permissions::from_mode(0o644)).unwrap();
        let given = |more: &[(&str, &str)]| {
            let mut pairs = vec![("CHAT_NATS_URL_FILE", secret.path().to_str().unwrap())];
            pairs.extend(more);
            Given { environment: environment(&pairs), ..Given::default() }
        };
        let found = problems(given(&[]));
        assert!(found.iter().any(|line| line.contains("everybody on this host can read")), "{found:?}");
        let found = problems(given(&[("CHAT_INSECURE_READABLE_SECRETS", "true")]));
        assert!(!found.iter().any(|line| line.contains("everybody")), "{found:?}");

        let config = file("nats_url = 'nats://secret@host'\n");
        fs::set_permissions(config.path(), fs::Permissions::from_mode(0o644)).unwrap();
        let found = problems(Given { config_flag: Some(config.path().to_owned()), ..Given::default() });
        assert!(found.iter().any(|line| line.contains("everybody on this host can read")), "{found:?}");
    }

    #[test]
    fn sec_81_secrets_are_not_taken_from_the_command_line_and_never_shown() {
        let secret = SETTINGS.iter().filter(|setting| setting.secret);
        for setting in secret {
            assert!(setting.flag().ends_with("-file"));
            let mut config = Config::default();
            setting.assign(&mut config, "nats://canary@host").unwrap();
            assert_eq!(setting.shown(&config), "[redacted]");
            assert!(!format!("{config:?}").contains("canary"));
        }
    }

    #[test]
    fn sec_82_every_option_that_weakens_the_server_says_insecure() {
        let mut config = Config::default();
        assert!(config.insecure_options().is_empty());
        for setting in SETTINGS.iter().filter(|setting| setting.is_insecure()) {
            assert_eq!(setting.shown(&config), "false", "{} is off unless it is asked for", setting.name);
            setting.assign(&mut config, "true").unwrap();
            assert!(config.insecure_options().contains(&format!("--{}", setting.flag())));
        }
    }
}
