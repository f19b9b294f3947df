//! `impsgw probe` against servers with every usual mistake: each is told in words that say who has to act.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, SystemTime},
};

use impsgw::lab::certs::{Authority, CertificateOrder};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

#[tokio::test(flavor = "multi_thread")]
async fn every_usual_mistake_is_told_with_who_has_to_act() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let now = now();
    let (ours, foreign) = (
        Authority::new("Ours", now).unwrap(),
        Authority::new("Foreign", now).unwrap(),
    );
    fs::write(dir.join("ours.pem"), ours.certificate_pem()).unwrap();
    fs::write(dir.join("foreign.pem"), foreign.certificate_pem()).unwrap();
    let order = |domain: &str| CertificateOrder::for_domain(domain, now);
    let expired = CertificateOrder {
        not_before: now - Duration::from_secs(3 * 86_400),
        not_after: now - Duration::from_secs(86_400),
        ..order("beta.example")
    };
    for (name, authority, order) in [
        ("alpha", &ours, order("alpha.example")),
        ("beta", &ours, order("beta.example")),
        ("stranger", &foreign, order("beta.example")),
        ("gamma", &ours, order("gamma.example")),
        ("expired", &ours, expired),
    ] {
        authority.issue(&order).unwrap().write(dir, name).unwrap();
    }
    for (certificate, trusts, code, words) in [
        (Some("beta"), "ours", 0, "HTTP/1.1 answers 405"),
        (
            Some("stranger"),
            "ours",
            1,
            "we don't know the authority that signed its certificate: CN=Foreign",
        ),
        (Some("gamma"), "ours", 1, "its certificate is for gamma.example"),
        (Some("expired"), "ours", 1, "its certificate ended on"),
        (Some("beta"), "foreign", 1, "the peer refuses our certificate"),
        (None, "ours", 1, "what answers there is no TLS"),
    ] {
        let tls = certificate.map(|name| server_config(dir, name, trusts));
        let port = serve(tls).await;
        let (found, said) = probe(dir, port).await;
        assert_eq!(found, Some(code), "{certificate:?} {trusts}: {said}");
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(words), "{words:?} is not there: {said}");
    }
    // A port that was free a moment ago, with nobody behind it.
    let free = crate::ports::free_address();
    let (found, said) = probe(dir, free.port()).await;
    assert_eq!(found, Some(1), "{said}");
    assert!(said.contains("nobody listens there"), "{said}");
}

/// Alpha's probe of Beta, whose one server is at this port.
async fn probe(dir: &Path, port: u16) -> (Option<i32>, String) {
    let file = dir.join("alpha.toml");
    let at = dir.display();
    let text = format!(
        "[gateway]\ndomains = [\"alpha.example\"]\ndata_dir = \"{at}/data\"\n[ssp]\nlisten = \"127.0.0.1:0\"\n\
         certificate = \"{at}/alpha.pem\"\nkey = \"{at}/alpha.key.pem\"\nauthorities = \"{at}/ours.pem\"\n\
         [[agreement]]\npeer = \"beta\"\ndomains = [\"beta.example\"]\nservers = [\"127.0.0.1:{port}\"]\n\
         allowed_networks = [\"127.0.0.0/8\"]\n"
    );
    fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_impsgw"));
    command.args(["probe", "beta", "--config"]).arg(&file);
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said)
}

/// What a server shows and trusts; it insists on a certificate of whoever dials.
fn server_config(dir: &Path, name: &str, trusts: &str) -> Arc<ServerConfig> {
    let chain = certificates(&dir.join(format!("{name}.pem")));
    let key = PrivateKeyDer::from_pem_file(dir.join(format!("{name}.key.pem"))).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(&dir.join(format!("{trusts}.pem"))));
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let mut config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

fn certificates(file: &Path) -> Vec<CertificateDer<'static>> {
    let read = CertificateDer::pem_file_iter(file).unwrap();
    read.collect::<Result<_, _>>().unwrap()
}

/// A server that answers 405 to everything, over TLS or not.
async fn serve(tls: Option<Arc<ServerConfig>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            match &tls {
                None => answer(stream).await,
                Some(config) => {
                    if let Ok(stream) = TlsAcceptor::from(Arc::clone(config)).accept(stream).await {
                        answer(stream).await;
                    }
                }
            }
        }
    });
    port
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut asked = [0; 4096];
    if stream.read(&mut asked).await.is_ok_and(|read| read > 0) {
        let _ = stream
            .write_all(b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n")
            .await;
    }
}

#[expect(clippy::disallowed_methods, reason = "certificates are made for now")]
fn now() -> SystemTime {
    SystemTime::now()
}
