//! What errors of the driver mean to an operator who opens a database: in few words, and without credentials.

use mongodb::error::{Error, ErrorKind};

use crate::error::{CallError, OpenError};
use crate::open::OLDEST_SHOWN;

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

/// The driver may quote the connection string; what stands before the host is never repeated.
fn without_credentials(uri: &str, message: &str) -> String {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let secrets = rest.rsplit_once('@').map_or("", |(secrets, _)| secrets);
    let is_quoted = |part: &str| part.len() >= RECOGNISABLE && message.contains(part);
    if secrets.split([':', '@', '/']).any(is_quoted) {
        return "it cannot be read; characters like @ : / % in user and password are written as %40 %3A %2F %25"
            .to_owned();
    }
    message.to_owned()
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
                Self::ServerTooOld { found: format!("({message})"), needed: OLDEST_SHOWN }
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
