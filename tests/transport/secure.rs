//! TLS in both directions: who is let in, who is believed, and what the refusal says.

use impsgw::gateways::ssp::certificates::{BundleError, Expiring};
use impsgw::gateways::ssp::tls::{MadeFor, TlsFailure};
use impsgw::lab::certs::Usage;

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn mutual_tls_names_both_sides() {
    let pki = Pki::new();
    let (server, seen) = listen(
        mutual(&pki.certificates(&pki.issue_for("bravo.example"))),
        limits(),
    )
    .await;
    let alpha = Scheme::Https(pki.certificates(&pki.issue_for("alpha.example")));
    for versions in [HttpVersions::Http1, HttpVersions::Http2, HttpVersions::Both] {
        let client = client_of(Target {
            versions,
            ..target(&server, alpha.clone())
        });
        assert_eq!(post(&client, "x").await.expect("an answer"), 200);
        let document = seen.last();
        let peer = document.peer.expect("an identity");
        assert!(peer.speaks_for("alpha.example") && peer.speaks_for("ALPHA.example"));
        assert!(!peer.speaks_for("bravo.example") && !peer.speaks_for("example"));
        assert_eq!(
            peer.names.iter().collect::<Vec<_>>(),
            ["alpha.example", "_imps-server.alpha.example"]
        );
        assert_eq!(peer.made_for, MadeFor::Clients);
        assert_eq!(document.asked_domain.as_deref(), Some("bravo.example"));
    }
    let handshake = client(&server, alpha).shake_hands().await.expect("a handshake");
    assert_eq!(handshake.protocol.as_deref(), Some("h2"));
    assert!(handshake.peer.expect("an identity").speaks_for("bravo.example"));
}

#[tokio::test]
async fn certificate_of_the_name_in_use_is_shown_both_ways() {
    let pki = Pki::new();
    let (main, other) = (pki.issue_for("gateway.example"), pki.issue_for("bravo.example"));
    let ours = Certificates::new(pki.bundle(&[&main, &other], &[]));
    let (server, seen) = listen(mutual(&ours), limits()).await;
    for (asked, shown) in [
        ("bravo.example", "bravo.example"),
        ("ssp.bravo.example", "bravo.example"),
        ("gateway.example", "gateway.example"),
    ] {
        let client = client_of(Target {
            own_domain: "ssp.bravo.example".into(),
            service_domain: asked.into(),
            other_names: vec![shown.into()],
            ..target(&server, Scheme::Https(Arc::clone(&ours)))
        });
        assert_eq!(post(&client, "x").await.expect(asked), 200);
        let peer = seen.last().peer.expect("an identity");
        assert!(peer.speaks_for("bravo.example"), "{peer:?}");
    }
    let stranger = client_of(Target {
        service_domain: "charlie.example".into(),
        other_names: vec!["gateway.example".into()],
        ..target(&server, Scheme::Https(ours))
    });
    assert_eq!(post(&stranger, "x").await.expect("the first"), 200);
}

#[tokio::test]
async fn host_name_counts_only_where_the_agreement_names_it() {
    let pki = Pki::new();
    let host = CertificateOrder {
        has_srv_name: false,
        ..order("ssp1.bravo.example")
    };
    let (server, _seen) = listen(mutual(&pki.certificates(&pki.issue(&host))), limits()).await;
    let alpha = Scheme::Https(pki.certificates(&pki.issue_for("alpha.example")));
    let error = post(&client(&server, alpha.clone()), "x")
        .await
        .expect_err("only a host is named");
    assert!(
        matches!(
            &error,
            PostError::Tls {
                reason: TlsFailure::WrongName { .. },
                ..
            }
        ),
        "{error:?}"
    );
    let other_names = vec!["ssp1.bravo.example".to_owned()];
    let named = client_of(Target {
        other_names,
        ..target(&server, alpha)
    });
    assert_eq!(
        post(&named, "x").await.expect("the agreement names the host"),
        200
    );
}

#[tokio::test]
async fn srv_name_alone_is_enough() {
    let pki = Pki::new();
    let order = CertificateOrder {
        has_dns_name: false,
        ..order("bravo.example")
    };
    let (server, _seen) = listen(mutual(&pki.certificates(&pki.issue(&order))), limits()).await;
    let alpha = CertificateOrder {
        has_dns_name: false,
        ..super::order("alpha.example")
    };
    let client = client(&server, Scheme::Https(pki.certificates(&pki.issue(&alpha))));
    assert_eq!(post(&client, "x").await.expect("an answer"), 200);
}

#[tokio::test]
async fn client_without_certificate_is_turned_away() {
    let pki = Pki::new();
    let (server, seen) = listen(
        mutual(&pki.certificates(&pki.issue_for("bravo.example"))),
        limits(),
    )
    .await;
    let connector = anonymous_connector(&pki);
    let stream = tokio::net::TcpStream::connect(server.local_address())
        .await
        .expect("connected");
    let name = rustls::pki_types::ServerName::try_from("bravo.example").expect("a name");
    let _ = connector.connect(name, stream).await;
    seen.turned_away_for(|reason| *reason == TurnedAway::Tls(TlsFailure::NoCertificate))
        .await;
}

#[tokio::test]
async fn listener_without_client_authentication_names_nobody() {
    let pki = Pki::new();
    let certificates = pki.certificates(&pki.issue_for("bravo.example"));
    let tls = ServerTls {
        certificates,
        clients: ClientAuthentication::Off,
    };
    let (server, seen) = listen(Some(tls), limits()).await;
    let alpha = Scheme::Https(pki.certificates(&pki.issue_for("alpha.example")));
    assert_eq!(post(&client(&server, alpha), "x").await.expect("an answer"), 200);
    assert_eq!(seen.last().peer, None);
}

#[tokio::test]
async fn certificate_that_is_only_requested_is_checked_when_it_comes() {
    let pki = Pki::new();
    let certificates = pki.certificates(&pki.issue_for("bravo.example"));
    let tls = ServerTls {
        certificates,
        clients: ClientAuthentication::Requested,
    };
    let (server, seen) = listen(Some(tls), limits()).await;
    let alpha = Scheme::Https(pki.certificates(&pki.issue_for("alpha.example")));
    assert_eq!(post(&client(&server, alpha), "x").await.expect("an answer"), 200);
    assert!(seen.last().peer.expect("an identity").speaks_for("alpha.example"));
    let stranger = Scheme::Https(pki.certificates(&Pki::new().issue_for("alpha.example")));
    client(&server, stranger)
        .shake_hands()
        .await
        .expect_err("its authority is unknown");
    let stream = tokio::net::TcpStream::connect(server.local_address())
        .await
        .expect("connected");
    let name = rustls::pki_types::ServerName::try_from("bravo.example").expect("a name");
    let mut stream = anonymous_connector(&pki)
        .connect(name, stream)
        .await
        .expect("a handshake");
    let request = "POST / HTTP/1.1\r\nHost: b\r\nConnection: close\r\nContent-Length: 1\r\n\
                   Content-Type: application/vnd.wv.ssp+xml\r\n\r\ny";
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes())
        .await
        .expect("written");
    let mut answer = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    assert_eq!(
        (seen.last().body, seen.last().peer),
        (Bytes::from_static(b"y"), None)
    );
}

#[tokio::test]
async fn bad_client_certificates_are_turned_away_with_the_reason() {
    let (pki, stranger) = (Pki::new(), Pki::new());
    let now = SystemTime::now();
    let revoked = pki.issue_for("alpha.example");
    let list = pki
        .authority
        .revocation_list(&[revoked.serial], now, now + DAY)
        .expect("a list");
    let bravo = pki.issue_for("bravo.example");
    let certificates = Certificates::new(pki.bundle(&[&bravo], &[list]));
    let (server, seen) = listen(mutual(&certificates), limits()).await;
    let order = order("alpha.example");
    let cases = [
        (revoked, TlsFailure::Revoked),
        (stranger.issue(&order), TlsFailure::UnknownAuthority),
        (
            pki.issue(&CertificateOrder {
                not_before: now - 9 * DAY,
                not_after: now - DAY,
                ..order.clone()
            }),
            TlsFailure::Expired,
        ),
        (
            pki.issue(&CertificateOrder {
                not_before: now + DAY,
                not_after: now + 9 * DAY,
                ..order.clone()
            }),
            TlsFailure::NotYetValid,
        ),
        (
            pki.issue(&CertificateOrder {
                usage: Usage::ServerOnly,
                ..order.clone()
            }),
            TlsFailure::WrongPurpose,
        ),
    ];
    for (certificate, reason) in cases {
        let alpha = Scheme::Https(pki.certificates(&certificate));
        let client = client(&server, alpha);
        let error = client.shake_hands().await.expect_err("turned away");
        assert!(
            matches!(
                error,
                PostError::Tls {
                    reason: TlsFailure::Alert(_),
                    ..
                }
            ),
            "{reason:?}: {error:?}"
        );
        seen.turned_away_for(|seen| *seen == TurnedAway::Tls(reason.clone()))
            .await;
        for versions in [HttpVersions::Http1, HttpVersions::Http2] {
            let alpha = Scheme::Https(pki.certificates(&certificate));
            let client = client_of(Target {
                versions,
                ..target(&server, alpha)
            });
            let error = post(&client, "x").await.expect_err("turned away");
            assert!(
                matches!(
                    error,
                    PostError::Tls {
                        reason: TlsFailure::Alert(_),
                        ..
                    }
                ),
                "{error:?}"
            );
            assert!(!error.may_have_arrived());
        }
        assert_eq!(seen.count(), 0, "{reason:?}");
    }
    let alpha = Scheme::Https(pki.certificates(&pki.issue(&order)));
    assert_eq!(
        post(&client(&server, alpha), "x")
            .await
            .expect("a good one is let in"),
        200
    );
}

#[tokio::test]
async fn servers_certificate_as_clients_is_let_in_and_marked_where_configured() {
    let pki = Pki::new();
    let tls = ServerTls {
        certificates: pki.certificates(&pki.issue_for("bravo.example")),
        clients: ClientAuthentication::RequiredFromServersToo,
    };
    let (server, seen) = listen(Some(tls), limits()).await;
    for (usage, made_for) in [
        (Usage::ServerOnly, MadeFor::ServersOnly),
        (Usage::ClientOnly, MadeFor::Clients),
        (Usage::ServerAndClient, MadeFor::Clients),
    ] {
        let certificate = pki.issue(&CertificateOrder {
            usage,
            ..order("alpha.example")
        });
        let client = client(&server, Scheme::Https(pki.certificates(&certificate)));
        assert_eq!(post(&client, "x").await.expect("an answer"), 200);
        assert_eq!(
            seen.last().peer.expect("an identity").made_for,
            made_for,
            "{usage:?}"
        );
    }
    let stranger = Pki::new().issue(&CertificateOrder {
        usage: Usage::ServerOnly,
        ..order("alpha.example")
    });
    let client = client(&server, Scheme::Https(pki.certificates(&stranger)));
    client
        .shake_hands()
        .await
        .expect_err("its authority is unknown all the same");
}

#[tokio::test]
async fn bad_server_certificates_are_refused_with_the_reason() {
    let (pki, stranger) = (Pki::new(), Pki::new());
    let now = SystemTime::now();
    let order = order("bravo.example");
    let revoked = pki.issue(&order);
    let list = pki
        .authority
        .revocation_list(&[revoked.serial], now, now + DAY)
        .expect("a list");
    let alpha = pki.issue_for("alpha.example");
    let believing = Certificates::new(pki.bundle(&[&alpha], &[list]));
    let presented = vec![
        "charlie.example".to_owned(),
        "_imps-server.charlie.example".to_owned(),
    ];
    let cases = [
        (revoked, TlsFailure::Revoked),
        (stranger.issue(&order), TlsFailure::UnknownAuthority),
        (
            pki.issue(&CertificateOrder {
                not_before: now - 9 * DAY,
                not_after: now - DAY,
                ..order.clone()
            }),
            TlsFailure::Expired,
        ),
        (
            pki.issue_for("charlie.example"),
            TlsFailure::WrongName {
                expected: "bravo.example".to_owned(),
                presented,
            },
        ),
        (
            pki.issue(&CertificateOrder {
                usage: Usage::ClientOnly,
                ..order.clone()
            }),
            TlsFailure::WrongPurpose,
        ),
    ];
    for (certificate, expected) in cases {
        let (server, seen) = listen(mutual(&pki.certificates(&certificate)), limits()).await;
        let client = client(&server, Scheme::Https(believing.clone()));
        let error = post(&client, "x").await.expect_err("not believed");
        assert!(!error.may_have_arrived());
        let PostError::Tls { reason, .. } = error else {
            panic!("{error:?} instead of {expected:?}")
        };
        assert_eq!(reason, expected);
        assert_eq!(seen.count(), 0);
    }
}

#[tokio::test]
async fn certificate_follows_the_domain() {
    let pki = Pki::new();
    let [bravo, charlie] = [pki.issue_for("bravo.example"), pki.issue_for("charlie.example")];
    let certificates = Certificates::new(pki.bundle(&[&bravo, &charlie], &[]));
    let (server, seen) = listen(mutual(&certificates), limits()).await;
    for own in ["bravo.example", "charlie.example"] {
        for service in ["charlie.example", "bravo.example"] {
            let scheme = Scheme::Https(certificates.clone());
            let mut target = target(&server, scheme);
            (target.own_domain, target.service_domain) = (own.to_owned(), service.to_owned());
            assert_eq!(
                post(&client_of(target), "x")
                    .await
                    .expect("the right certificate"),
                200
            );
            let document = seen.last();
            assert_eq!(document.asked_domain.as_deref(), Some(service));
            assert!(document.peer.expect("an identity").speaks_for(own));
        }
    }
}

#[tokio::test]
async fn replaced_certificates_take_effect_and_old_connections_go() {
    let pki = Pki::new();
    let now = SystemTime::now();
    let (alpha, bravo) = (pki.issue_for("alpha.example"), pki.issue_for("bravo.example"));
    let certificates = pki.certificates(&bravo);
    let (server, seen) = listen(mutual(&certificates), limits()).await;
    for versions in [HttpVersions::Http1, HttpVersions::Http2] {
        certificates.replace(pki.bundle(&[&bravo], &[]));
        let shown = Scheme::Https(pki.certificates(&alpha));
        let client = client_of(Target {
            versions,
            ..target(&server, shown)
        });
        assert_eq!(post(&client, "x").await.expect("an answer"), 200);
        let before = seen.count();
        let list = pki
            .authority
            .revocation_list(&[alpha.serial], now, now + DAY)
            .expect("a list");
        certificates.replace(pki.bundle(&[&bravo], &[list]));
        client.shake_hands().await.expect_err("revoked by now");
        seen.turned_away_for(|reason| *reason == TurnedAway::Tls(TlsFailure::Revoked))
            .await;
        post(&client, "x")
            .await
            .expect_err("the kept connection is gone as well");
        assert_eq!(seen.count(), before, "{versions:?}");
    }
}

#[tokio::test]
async fn exchange_under_way_ends_well_when_certificates_are_replaced() {
    for versions in [HttpVersions::Http1, HttpVersions::Http2] {
        let pki = Pki::new();
        let bravo = pki.issue_for("bravo.example");
        let certificates = pki.certificates(&bravo);
        let (server, seen) = listen(mutual(&certificates), limits()).await;
        let shown = Scheme::Https(pki.certificates(&pki.issue_for("alpha.example")));
        let client = Arc::new(client_of(Target {
            versions,
            ..target(&server, shown)
        }));
        let held = tokio::spawn({
            let client = Arc::clone(&client);
            async move { post(&client, "held").await }
        });
        while seen.count() == 0 {
            tokio::task::yield_now().await;
        }
        let before = client.shake_hands().await.expect("a handshake").peer;
        certificates.replace(pki.bundle(&[&pki.issue_for("bravo.example")], &[]));
        let after = client.shake_hands().await.expect("a handshake").peer;
        assert_ne!(before, after, "new connections get the new certificate");
        seen.let_go.notify_one();
        assert_eq!(
            held.await.expect("no panic").expect("an answer"),
            200,
            "{versions:?}"
        );
        assert_eq!(post(&client, "x").await.expect("an answer"), 200, "{versions:?}");
        let sources: Vec<_> = seen
            .documents
            .lock()
            .unwrap()
            .iter()
            .map(|one| one.source)
            .collect();
        assert_ne!(sources[0], sources[1], "the old connection was let go");
    }
}

#[tokio::test]
async fn client_shows_its_new_certificate_on_the_next_document() {
    let pki = Pki::new();
    let (server, seen) = listen(
        mutual(&pki.certificates(&pki.issue_for("bravo.example"))),
        limits(),
    )
    .await;
    let certificates = pki.certificates(&pki.issue_for("alpha.example"));
    let client = client(&server, Scheme::Https(certificates.clone()));
    assert_eq!(post(&client, "x").await.expect("an answer"), 200);
    let old = seen.last().peer.expect("an identity").serial;
    certificates.replace(pki.bundle(&[&pki.issue_for("alpha.example")], &[]));
    assert_eq!(post(&client, "x").await.expect("an answer"), 200);
    assert_ne!(seen.last().peer.expect("an identity").serial, old);
}

#[tokio::test]
async fn plain_port_is_told_from_a_bad_certificate() {
    let pki = Pki::new();
    let (server, seen) = listen(None, limits()).await;
    let certificates = pki.certificates(&pki.issue_for("alpha.example"));
    let error = post(&client(&server, Scheme::Https(certificates.clone())), "x")
        .await
        .expect_err("no TLS there");
    assert!(
        matches!(
            error,
            PostError::Tls {
                reason: TlsFailure::NotTls,
                ..
            }
        ),
        "{error:?}"
    );
    seen.turned_away_for(|reason| *reason == TurnedAway::TlsOnPlainPort)
        .await;
    let falling_back = client(&server, Scheme::HttpsThenHttp(certificates.clone()));
    for _ in 0..3 {
        assert_eq!(
            post(&falling_back, "x").await.expect("plain HTTP is allowed"),
            200
        );
    }
    let tried = || seen.turned_away.lock().unwrap().len();
    assert_eq!(tried(), 2, "https is tried once");
    let stranger = Pki::new();
    let secured = stranger.certificates(&stranger.issue_for("bravo.example"));
    let (server, seen) = listen(mutual(&secured), limits()).await;
    let error = post(&client(&server, Scheme::HttpsThenHttp(certificates)), "x")
        .await
        .expect_err("no way down");
    assert!(
        matches!(
            error,
            PostError::Tls {
                reason: TlsFailure::UnknownAuthority,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(seen.count(), 0);
}

#[test]
fn expiries_are_told_soonest_first() {
    let pki = Pki::new();
    let now = SystemTime::now();
    let soon = pki.issue(&CertificateOrder {
        not_after: now + 7 * DAY + DAY / 2,
        ..order("alpha.example")
    });
    let list = pki
        .authority
        .revocation_list(&[], now, now + 2 * DAY + DAY / 2)
        .expect("a list");
    let expiries = Certificates::new(pki.bundle(&[&soon], &[list])).expiries();
    let told: Vec<_> = expiries
        .iter()
        .map(|expiry| (expiry.what, expiry.days_left(now)))
        .collect();
    let [list, identity, authority] = told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(list, (Expiring::RevocationList, 2));
    assert_eq!(identity, (Expiring::Identity, 7));
    assert!(authority.0 == Expiring::Authority && authority.1 > 3600);
    assert!(!expiries[1].is_over(now) && expiries[1].is_over(now + 8 * DAY));
    assert!(expiries[1].name.contains("alpha.example"));
}

#[test]
fn unusable_files_are_named() {
    let pki = Pki::new();
    let (one, other) = (pki.issue_for("alpha.example"), pki.issue_for("alpha.example"));
    let crossed = IssuedCertificate {
        key_pem: other.key_pem,
        ..one
    };
    let authority = pki.authority.certificate_pem();
    let read = |files: &CertificateFiles| Bundle::read(files).expect_err("unusable");
    let crossed = pki.files(&[&crossed], &[authority], &[]);
    assert!(matches!(read(&crossed), BundleError::Key { .. }));
    assert!(matches!(
        read(&pki.files(&[], &[authority], &[])),
        BundleError::NoIdentity
    ));
    let good = pki.issue_for("alpha.example");
    assert!(matches!(
        read(&pki.files(&[&good], &[], &[])),
        BundleError::NoAuthority
    ));
    assert!(matches!(
        read(&pki.files(&[&good], &["no PEM"], &[])),
        BundleError::File { .. }
    ));
    let list = ["-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n".to_owned()];
    assert!(matches!(
        read(&pki.files(&[&good], &[authority], &list)),
        BundleError::Unreadable { .. }
    ));
}

#[test]
fn authority_goes_on_after_it_was_kept() {
    let pki = Pki::new();
    let kept =
        Authority::load(pki.authority.certificate_pem(), &pki.authority.key_pem()).expect("an authority");
    let certificate = kept.issue(&order("bravo.example")).expect("a certificate");
    pki.bundle(&[&certificate], &[]);
    let (_, key) = certificate.write(pki.folder.path(), "kept").expect("written");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(
        std::fs::metadata(key).expect("there").permissions().mode() & 0o777,
        0o600
    );
}

fn anonymous_connector(pki: &Pki) -> tokio_rustls::TlsConnector {
    use rustls::pki_types::pem::PemObject as _;
    let pem = pki.authority.certificate_pem();
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM"))
        .expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    tokio_rustls::TlsConnector::from(Arc::new(config))
}
