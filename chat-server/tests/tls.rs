//! The real binary with TLS: the certificate, its renewal, and what is refused.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair};
use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use support::{Builder, PATIENCE, Server, answer, wait_until};

type Identity = CertifiedKey<KeyPair>;

fn identity() -> Identity {
    rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap()
}

/// Writes a certificate and its key where the server looks for them.
fn install(directory: &Path, identity: &Identity) {
    fs::write(directory.join("cert.pem"), identity.cert.pem()).unwrap();
    let key = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(directory.join("key.pem"));
    key.unwrap().write_all(identity.signing_key.serialize_pem().as_bytes()).unwrap();
}

fn with_tls(identity: &Identity) -> Builder {
    let builder = Server::with().set("tls_cert", "cert.pem").set("tls_key", "key.pem");
    install(builder.directory(), identity);
    builder
}

/// Asks for the page, trusting only `identity`; the answer, or why there was none.
fn ask(address: SocketAddr, identity: &Identity) -> std::io::Result<support::Answer> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(identity.cert.der().to_vec())).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).map_err(std::io::Error::other)?;
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut stream = StreamOwned::new(client, socket);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(answer(&bytes))
}

#[test]
fn the_server_speaks_https_with_its_certificate() {
    let mine = identity();
    let server = with_tls(&mine).start();
    assert!(server.url.starts_with("https://"), "{}", server.ready_line);
    assert!(server.ready_line.contains("(admin http://"), "{}", server.ready_line);
    let page = ask(server.address, &mine).unwrap();
    assert_eq!(page.status, 200);
    assert!(page.head.contains("strict-transport-security: max-age=31536000"), "{}", page.head);
    assert!(page.body.contains("wss://localhost/ws"));
    assert!(ask(server.address, &identity()).is_err(), "another certificate is not shown");
    assert_eq!(server.get("/").status, 0, "plain HTTP is not answered");
}

#[test]
fn a_renewed_certificate_is_used_and_a_broken_one_is_not() {
    let (old, new) = (identity(), identity());
    let server = with_tls(&old).start();
    install(server.directory(), &new);
    server.signal(Signal::HUP);
    wait_until("the new certificate", || ask(server.address, &new).is_ok());
    assert!(ask(server.address, &old).is_err());

    fs::write(server.directory().join("cert.pem"), "no certificate").unwrap();
    server.signal(Signal::HUP);
    server.wait_for_log("cannot use the new certificate");
    assert_eq!(ask(server.address, &new).unwrap().status, 200);

    fs::write(server.directory().join("cert.pem"), old.cert.pem()).unwrap();
    server.signal(Signal::HUP);
    server.wait_for_log("do not belong together");
    assert_eq!(ask(server.address, &new).unwrap().status, 200);
}

#[test]
fn unusable_certificates_are_configuration_errors() {
    let mine = identity();
    let missing = Server::with().set("tls_cert", "cert.pem").set("tls_key", "key.pem").run();
    assert_eq!(missing.code, Some(64), "{}", missing.log);
    assert!(missing.log.contains("CHAT_TLS_CERT: cannot read the certificate cert.pem"), "{}", missing.log);

    let builder = with_tls(&mine);
    fs::write(builder.directory().join("cert.pem"), identity().cert.pem()).unwrap();
    let mismatch = builder.run();
    assert_eq!(mismatch.code, Some(64));
    assert!(mismatch.log.contains("do not belong together"), "{}", mismatch.log);

    let alone = Server::with().set("tls_key", "key.pem").arg("--check-config").run();
    assert_eq!(alone.code, Some(64));
    assert!(alone.log.contains("CHAT_TLS_KEY: needs tls_cert beside it"), "{}", alone.log);
}

#[test]
fn keys_that_cannot_be_used_are_told_apart() {
    let key = |kind: &str, bytes: &[u8]| {
        let text = data_encoding::BASE64.encode(bytes);
        format!("-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n").into_bytes()
    };
    let old = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n";
    let p_521 = [0x30, 0x09, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23, 0x04, 0x00];
    let plain = identity().signing_key.serialize_pem();
    let wide: Vec<u8> = [vec![0xff, 0xfe], plain.bytes().flat_map(|byte| [byte, 0]).collect()].concat();
    for (text, message) in [
        (key("ENCRYPTED PRIVATE KEY", b"x"), "it is encrypted with a password"),
        (old.to_vec(), "it is encrypted with a password"),
        (key("PRIVATE KEY", &p_521), "P-521 is not supported"),
        (key("EC PRIVATE KEY", &p_521), "P-521 is not supported"),
        (wide, "UTF-16"),
    ] {
        let builder = with_tls(&identity());
        fs::write(builder.directory().join("key.pem"), text).unwrap();
        let refused = builder.run();
        assert_eq!(refused.code, Some(64));
        let place = "CHAT_TLS_CERT: cannot read the private key key.pem: ";
        assert!(refused.log.contains(place) && refused.log.contains(message), "{}", refused.log);
    }
}

#[test]
fn files_may_begin_with_a_byte_order_mark() {
    let mine = identity();
    let builder = with_tls(&mine);
    for name in ["cert.pem", "key.pem"] {
        let path = builder.directory().join(name);
        let marked = [&[0xef, 0xbb, 0xbf], &fs::read(&path).unwrap()[..]].concat();
        fs::write(&path, marked).unwrap();
    }
    assert_eq!(ask(builder.start().address, &mine).unwrap().status, 200);
}

#[test]
fn sec_81_a_private_key_that_everybody_can_read_is_refused() {
    let builder = with_tls(&identity());
    let key = builder.directory().join("key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = builder.run();
    assert_eq!(refused.code, Some(64));
    assert!(refused.log.contains("CHAT_TLS_KEY: everybody on this host can read key.pem"), "{}", refused.log);

    let builder = with_tls(&identity());
    let key = builder.directory().join("key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let accepted = builder.arg("--insecure-readable-secrets").start();
    assert!(accepted.ask_admin("/readyz").body.contains("--insecure-readable-secrets"));
}

#[test]
fn sec_9_a_silent_tls_handshake_is_closed() {
    let mine = identity();
    let server = with_tls(&mine).set("limit_handshake_seconds", "1").start();
    let mut silent = TcpStream::connect(server.address).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    assert!(silent.read_to_end(&mut bytes).is_ok(), "the socket is closed");
    assert_eq!(ask(server.address, &mine).unwrap().status, 200);
}
