//! What errors of the driver mean to an operator who opens a database: in few words, and without credentials.

use mongodb::error::{Error, ErrorKind};

use crate::server::error::{CallError, OLDEST_SERVER, OpenError};

/// Shorter parts of credentials are found in any message by chance.
const RECOGNISABLE: usize = 3;

/// Why nothing can be made of a connection string.
pub(crate) fn uri(uri: &str, error: &Error) -> OpenError {
    match error.kind.as_ref() {
        // The name of a cluster is looked up while its string is read. That may succeed a moment later.
        ErrorKind::DnsResolve { message, .. } => OpenError::Unreachable(without_credentials(uri, message)),
        ErrorKind::InvalidArgument { message, .. } => OpenError::Uri(without_credentials(uri, message)),
        _ => OpenError::Uri(without_credentials(uri, &error.to_string())),
    }
}

/// The driver may quote the connection string; what is secret in it is never repeated.
fn without_credentials(uri: &str, message: &str) -> String {
    // A name that is no option's may be the rest of a secret that was not written as it has to be.
    let message = match message.split_once(" is an invalid option") {
        Some((_, hint)) => format!("it has an option that does not exist{hint}"),
        None => message.to_owned(),
    };
    let quoted = message.to_lowercase();
    let is_quoted = |part: &str| part.len() >= RECOGNISABLE && quoted.contains(&part.to_lowercase());
    if secrets(uri).into_iter().flat_map(parts).any(is_quoted) {
        return "it cannot be read; characters like @ : / % & in user, password and options are written as %40 %3A %2F \
                %25 %26"
            .to_owned();
    }
    message
}

/// What nobody may read of a connection string: what stands before the hosts, or in place of a port, and of the
/// options those that hold secrets, and what is no option.
fn secrets(uri: &str) -> Vec<&str> {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let (credentials, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
    let (hosts, options) = rest.split_once('?').unwrap_or((rest, ""));
    let hosts = hosts.split('/').next().unwrap_or_default();
    let ports = hosts.split(',').filter_map(|host| Some(host.rsplit_once(':')?.1));
    let not_ports = ports.filter(|port| port.parse::<u16>().is_err());
    let options = options.split('&').filter_map(|option| match option.split_once('=') {
        None => Some(option),
        Some((name, value)) => {
            let name = name.to_lowercase();
            (name.contains("password") || name.contains("properties")).then_some(value)
        }
    });
    [credentials].into_iter().chain(not_ports).chain(options).collect()
}

/// The parts of a text between what separates in connection strings and what is written as a number there, which is
/// how messages may show it.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let decoded = text.split('%').enumerate();
    let unescaped =
        decoded.map(|(place, part)| if place == 0 { part } else { part.get(2..).unwrap_or(part) });
    unescaped.flat_map(|part| part.split([':', '@', '/', '?', '&', '=', ',']))
}

impl From<CallError> for OpenError {
    fn from(error: CallError) -> Self {
        let Some(driver) = error.driver_error() else {
            return Self::Unreachable(error.to_string());
        };
        match driver.kind.as_ref() {
            ErrorKind::Authentication { message, .. } => Self::NotAllowed(message.clone()),
            ErrorKind::Command(refused) if matches!(refused.code, 13 | 18) => {
                Self::NotAllowed(refused.message.clone())
            }
            ErrorKind::Command(refused) if matches!(error, CallError::Refused(_)) => {
                Self::Refused(refused.message.clone())
            }
            ErrorKind::IncompatibleServer { message, .. } => {
                Self::ServerTooOld { found: format!("({message})"), needed: OLDEST_SERVER }
            }
            ErrorKind::ServerSelection { message, .. } => Self::Unreachable(servers(message)),
            _ => Self::Unreachable(driver.to_string()),
        }
    }
}

/// What the driver knows of each server when it finds none that can be used, in place of all that it says:
/// `Topology: { Type: …, Servers: [ { Address: …, Type: …, Error: Kind: …, labels: … }, … ] }`.
fn servers(message: &str) -> String {
    let server = |text: &str| {
        let (address, rest) = text.split_once(", Type: ")?;
        let state = match rest.split_once("Error: Kind: ") {
            Some((_, error)) => error.split(", labels: ").next()?,
            None => rest.split([',', ' ']).next()?,
        };
        Some(format!("{address}: {state}"))
    };
    let servers: Vec<String> = message.split("Address: ").skip(1).filter_map(server).collect();
    if servers.is_empty() { message.to_owned() } else { servers.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MongoConfig;
    use crate::open::connect;
    use crate::server::database::{Database, Deployment};

    async fn error_of(uri: &str) -> OpenError {
        connect(&MongoConfig::new(uri, "chat")).await.map(drop).expect_err("it is wrong")
    }

    #[tokio::test]
    async fn sec_81_credentials_are_not_repeated_in_errors() {
        for uri in [
            "mongodb://ann:s3cr3t@@@db/x",
            "mongodb://ann:s3cr3t/@db",
            "mongodb://ann:s3cr3t%zz@db",
            "mongo://ann:s3cr3t@db",
            "mongodb://ann:s3cr3t@db:notaport",
        ] {
            let error = error_of(uri).await;
            assert!(matches!(error, OpenError::Uri(_)), "{error:?}");
            let config = MongoConfig::new(uri, "chat");
            assert!(!format!("{error} {error:?} {config:?}").contains("s3cr3t"), "{error}");
        }
    }

    #[tokio::test]
    async fn sec_81_secrets_among_the_options_are_not_repeated_in_errors() {
        for uri in [
            "mongodb://db/?authMechanismProperties=AWS_SESSION_TOKEN=s3cr3t",
            "mongodb://db/?authMechanismProperties=AWS_SESSION_TOKEN:abc,s3cr3t",
            "mongodb://db/?authMechanismProperties=AWS_SESSION_TOKEN:abc%2Cs3cr3t%2Fabc",
            "mongodb://db/?tlsCertificateKeyFilePassword:s3cr3t",
            "mongodb://db/?tlsCertificateKeyFilePassword=abc&s3cr3t",
            "mongodb://db/?replicaSet=abc&S3cr3T=abc",
            "mongodb://ann:27017?s3cr3t@db",
            "mongodb://ann:27017?w=1&s3cr3t@db/?retryWrites=true",
            "mongodb://ann:s3cr3t",
            "mongodb://ann:s3cr3t/chat?retryWrites=true",
        ] {
            let error = error_of(uri).await;
            assert!(matches!(error, OpenError::Uri(_)), "{error:?}");
            assert!(!format!("{error} {error:?}").to_lowercase().contains("s3cr3t"), "{error}");
        }
        for (uri, told) in [
            ("mongodb://db/?readPreference=primaryy", "'primaryy' is not a valid read preference"),
            ("mongodb://db/?replicaSett=x", "similar name exists: replicaset"),
            ("mongodb://db/?maxPoolSize=many", "maxpoolsize"),
        ] {
            let error = error_of(uri).await.to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    #[tokio::test]
    async fn sec_81_secrets_of_the_connection_string_are_not_shown_by_what_was_made_of_it() {
        let options = MongoConfig::new("mongodb://ann:s3cr3t@127.0.0.1:1/?tls=true", "chat")
            .client_options()
            .await
            .unwrap();
        let client = mongodb::Client::with_options(options).unwrap();
        let database = Database::new(client, "chat", Deployment::Standalone);
        assert!(!format!("{database:?}").contains("s3cr3t"), "{database:?}");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named_with_the_reason() {
        let error = error_of("mongodb://u:p@127.0.0.1:1/?serverSelectionTimeoutMS=100").await;
        let OpenError::Unreachable(reason) = error else { panic!("{error:?}") };
        assert!(reason.starts_with("127.0.0.1:1: I/O error: Connection refused"), "{reason}");
    }

    #[tokio::test]
    async fn a_cluster_whose_name_is_not_known_may_be_there_later() {
        let error = error_of("mongodb+srv://ann:s3cr3t@db.invalid").await;
        assert!(matches!(error, OpenError::Unreachable(_)), "{error:?}");
        assert!(!error.to_string().contains("s3cr3t"), "{error}");
    }

    #[test]
    fn every_server_is_shown_with_what_is_known_of_it() {
        let message = "Server selection timeout: None of the available servers suitable for criteria X. Topology: \
                       { Type: ReplicaSetNoPrimary, Set Name: rs0, Servers: [ { Address: a:1, Type: RsSecondary, \
                       Average RTT: 1ms }, { Address: b:2, Type: Unknown, Error: Kind: I/O error: gone, labels: {}, \
                       source: None } ] }";
        assert_eq!(servers(message), "a:1: RsSecondary; b:2: I/O error: gone");
        assert_eq!(servers("something else"), "something else");
    }
}
