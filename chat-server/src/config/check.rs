//! What settings mean together, and together with the files that they name.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use secrecy::ExposeSecret;

use super::source::{Problem, SecretFile};
use super::{Config, StoreKind};
use crate::http::tls;

const NOT_IN_THIS_BUILD: &str = "this build of chat-server does not contain";

/// Everything that is wrong although each setting is valid for itself.
pub(super) fn problems(
    config: &Config,
    places: &BTreeMap<&'static str, String>,
    secret_files: &[SecretFile],
) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut refuse = |name: &'static str, message: String| {
        let place = places.get(name).cloned().unwrap_or_else(|| format!("{name} (default)"));
        found.push(Problem::new(place, message));
    };

    if config.store == StoreKind::Mongodb && config.mongodb_uri.is_none() {
        refuse("store", "mongodb needs mongodb_uri: where the database is".to_owned());
    }
    if config.nats_url.is_some() {
        refuse("nats_url", format!("{NOT_IN_THIS_BUILD} the cluster hub; leave it out"));
    }
    match (&config.tls_cert, &config.tls_key) {
        (Some(_), None) => refuse("tls_cert", "needs tls_key beside it".to_owned()),
        (None, Some(_)) => refuse("tls_key", "needs tls_cert beside it".to_owned()),
        (Some(certificate), Some(key)) => {
            if let Err(error) = tls::load(certificate, key) {
                refuse("tls_cert", format!("{error:#}"));
            }
            if !config.insecure_readable_secrets && everybody_can_read(key) {
                refuse("tls_key", readable(key));
            }
        }
        (None, None) => {}
    }
    if config.admin_listen == Some(config.listen) && config.listen.port() != 0 {
        refuse("admin_listen", "must differ from listen: health and metrics are not public".to_owned());
    }
    for (name, lifetime) in [
        ("refresh_token_seconds", config.refresh_token_seconds),
        ("refresh_idle_seconds", config.refresh_idle_seconds),
    ] {
        if lifetime < config.access_token_seconds {
            refuse(name, "must not be shorter than access_token_seconds".to_owned());
        }
    }

    let readable_files = secret_files.iter().filter(|file| everybody_can_read(&file.path));
    if !config.insecure_readable_secrets {
        found.extend(readable_files.map(|file| Problem::new(&*file.place, readable(&file.path))));
    }
    found
}

/// What is allowed and still worth a warning.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    if config.tls_cert.is_none() && !config.listen.ip().is_loopback() {
        found.push(format!(
            "passwords and messages cross the network in the clear: {} has no TLS; set tls_cert and tls_key, \
             or make sure that only a proxy with TLS reaches it",
            config.listen
        ));
    }
    if let Some(address) = config.admin_listen.filter(|address| !address.ip().is_loopback()) {
        found.push(format!("the admin listener {address} asks for no password; keep it off public networks"));
    }
    if config.allowed_origins.iter().any(|origin| origin.host().is_none()) {
        let listed = &config.allowed_origins;
        found.push(format!(
            "allowed_origins ({listed}) lets pages without a host in, and every web page can make itself one"
        ));
    }
    if let Some(uri) = &config.mongodb_uri {
        found.extend(mongodb_warnings(config, uri.expose_secret()));
    }
    if config.store == StoreKind::Memory {
        found.push("the memory store forgets everything when the server stops".to_owned());
    }
    found
}

fn mongodb_warnings(config: &Config, uri: &str) -> Option<String> {
    if config.store != StoreKind::Mongodb {
        return Some("mongodb_uri is set and not used; to keep data there, set store to mongodb".to_owned());
    }
    // Its path says where users are looked up, and many take it for the database to use. Nothing of it is shown:
    // where a password is not written as it should, this may be a part of it.
    let address = uri.split('?').next().unwrap_or_default();
    let hosts = address.rsplit('@').next().unwrap_or_default();
    let path = hosts.trim_start_matches("mongodb://").trim_start_matches("mongodb+srv://").split_once('/');
    let path = path.map_or("", |(_, path)| path);
    let is_other = !["", "admin", &config.mongodb_database].contains(&path);
    is_other.then(|| {
        let database = &config.mongodb_database;
        format!("mongodb_uri names another database than mongodb_database; what is used is {database}")
    })
}

fn readable(path: &Path) -> String {
    format!("everybody on this host can read {0}; run: chmod o-rwx {0}", path.display())
}

fn everybody_can_read(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o004 != 0)
}
