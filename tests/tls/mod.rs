//! A server that speaks TLS, in front of one that doesn't.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// One of the files beside this one, which `make-certificates` makes.
fn file(name: &str) -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut places = package.ancestors().map(|above| above.join("tests/tls").join(name));
    places.find(|path| path.exists()).unwrap()
}

/// The certificate to trust.
pub fn authority() -> PathBuf {
    file("authority.pem")
}

/// Passes each request on to `server`, and its answer back as it comes, until the test ends.
pub fn in_front_of(server: SocketAddr) -> SocketAddr {
    in_front_at("127.0.0.1:0", server)
}

/// The same, at this address.
pub fn in_front_at(address: &str, server: SocketAddr) -> SocketAddr {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(file("server.pem"))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let key = PrivateKeyDer::from_pem_file(file("server-key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, config) = (stream.unwrap(), config.clone());
            // A client that refuses the certificate ends this one with an error.
            std::thread::spawn(move || pass_on(stream, config, server));
        }
    });
    address
}

fn pass_on(stream: TcpStream, config: Arc<ServerConfig>, server: SocketAddr) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let tls = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut client = BufReader::new(StreamOwned::new(tls, stream));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if client.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    client.read_exact(&mut body)?;
    let mut server = TcpStream::connect(server)?;
    let head = head.trim_end().to_owned() + "\r\nconnection: close\r\n\r\n";
    server.write_all(&[head.as_bytes(), &body].concat())?;
    let client = client.get_mut();
    let mut piece = [0; 16 * 1024];
    loop {
        let read = server.read(&mut piece)?;
        if read == 0 {
            client.conn.send_close_notify();
            return client.flush();
        }
        client.write_all(&piece[..read])?;
        client.flush()?;
    }
}
