//! Tries a peer's servers as the gateway would: SRV, addresses, allowed networks, TCP, TLS with both certificates, HTTP.
//!
//! Used by `impsgw probe` and `impsgw check`. No SSP document is sent, so no session is touched. What fails is told in an
//! operator's words (`words.rs`), with what to do and who has to do it.

mod http;
mod words;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    cert::{judge, now},
    finding::Findings,
};
use crate::{
    agreement::{AgreementConfig, Presents, Role},
    config::Config,
    gateways::ssp::{
        CertificateFacts,
        certificates::{Bundle, Certificates},
        tls::HttpVersions,
    },
    model::{Domain, PeerName, Timestamp, WvAddress},
    routing::{
        Candidate, Explain, HomeDirectory, Plan, RouteFailure, RouteService, Router, static_candidates,
    },
    telemetry::Clock,
};

/// Home servers that meet partners through us over TLS, with the domains of the partners.
fn presented(config: &Config) -> impl Iterator<Item = (&PeerName, &Domain)> {
    let is_met = |one: &&AgreementConfig| one.presents == Presents::PartnerDomains && one.tls.required;
    let partners = || config.agreements.iter().filter(|one| one.role == Role::Partner);
    let domains = move || partners().flat_map(|one| &one.domains);
    let homes = config.agreements.iter().filter(is_met);
    homes.flat_map(move |home| domains().map(move |domain| (&home.peer, domain)))
}

/// What it takes to try peers: the configuration's routing and certificates.
pub(super) struct Reach {
    pub(super) config: Config,
    router: Router,
    tls: Option<Arc<Certificates>>,
}

impl Reach {
    /// Reads the certificates; what is wrong with them becomes a finding.
    pub(super) fn new(config: Config, findings: &mut Findings) -> Self {
        let read = config.ssp.certificate_files();
        let tls = match read.map(|files| Bundle::read(&files)).transpose() {
            Ok(bundle) => bundle.map(Certificates::new),
            Err(fault) => {
                findings.fail(
                    "[ssp]",
                    fault.to_string(),
                    "mend the files that [ssp] names; nothing can speak TLS without them",
                );
                None
            }
        };
        let router = Router::new(
            config.routing.clone(),
            Arc::new(NoAccounts),
            config.gateway.domains.clone(),
            Clock::system(),
        );
        Self { config, router, tls }
    }

    /// Our own certificate, as peers will see it.
    pub(super) fn own_certificate(&self, findings: &mut Findings) {
        let Some(tls) = &self.tls else {
            if self.config.ssp.listen.is_none() {
                findings.skip("certificate", "[ssp] has no listen, so there is no TLS");
            }
            return;
        };
        let all: Vec<_> = tls
            .chains()
            .iter()
            .filter_map(|chain| CertificateFacts::of(chain.first()?))
            .collect();
        for facts in &all {
            judge(facts, None, "certificate", WARN_DAYS, now().into(), findings);
        }
        let Some(first) = all.first() else { return };
        let is_named = |domain: &Domain| all.iter().any(|facts| facts.names(domain.as_str()));
        for domain in &self.config.gateway.domains {
            if is_named(domain) {
                findings.ok("certificate", format!("it names {domain}"));
            } else {
                let advice =
                    format!("partners refuse it for {domain}; have it made for DNS name {domain} as well");
                findings.fail(
                    "certificate",
                    format!("it does not name {domain}, but {}", first.names_line()),
                    advice,
                );
            }
        }
        for (home, domain) in presented(&self.config) {
            if is_named(domain) {
                findings.ok(
                    "certificate",
                    format!("{home} meets {domain} through us, which it names"),
                );
            } else {
                findings.warn(
                    "certificate",
                    format!("{home} meets {domain} through us, and no certificate of ours names it"),
                    format!("where {home} checks names, add one for {domain} to [[ssp.identities]], of an authority that it trusts"),
                );
            }
        }
    }

    /// A peer's domain, from DNS to HTTP; says whether a server of it answered.
    pub(super) async fn domain(
        &self,
        domain: &Domain,
        agreement: Option<&AgreementConfig>,
        findings: &mut Findings,
    ) -> bool {
        let about = domain.to_string();
        let candidates = match agreement.and_then(|agreement| static_candidates(&agreement.servers)) {
            Some(named) => {
                findings.ok(
                    &about,
                    "its servers are named in the agreement; SRV records are not asked for",
                );
                named
            }
            None => match self.srv(domain, findings).await {
                Some(found) => found,
                None => return false,
            },
        };
        let mut is_reached = false;
        for candidate in candidates.iter() {
            is_reached |= self
                .server(domain, agreement, candidate, findings)
                .await
                .is_some();
        }
        is_reached
    }

    async fn srv(&self, domain: &Domain, findings: &mut Findings) -> Option<Arc<[Candidate]>> {
        let about = domain.to_string();
        let asked = WvAddress::service(domain.clone());
        let now: Timestamp = now().into();
        let routed = self
            .router
            .route(&asked, RouteService::Im, now, Explain::Yes)
            .await;
        let resolvers: Vec<String> = (self.config.routing.views.iter())
            .flat_map(|view| view.resolvers.iter().map(ToString::to_string))
            .collect();
        match routed.plan.as_deref() {
            Ok(Plan::Domain { candidates, .. }) => {
                for step in &routed.steps {
                    let ttl = step
                        .ttl
                        .map(|ttl| format!(", TTL {} s", ttl.as_secs()))
                        .unwrap_or_default();
                    let answer = if step.answer.is_empty() {
                        "none".into()
                    } else {
                        step.answer.join("; ")
                    };
                    findings.ok(&about, format!("{} → {answer}{ttl}", step.question));
                    for passed in &step.passed_over {
                        findings.warn(&about, passed.clone(), "tell the peer's DNS staff");
                    }
                }
                Some(Arc::clone(candidates))
            }
            Ok(Plan::Home { .. }) => {
                findings.fail(
                    &about,
                    "it is one of our own domains",
                    "name a partner's domain or a peer",
                );
                None
            }
            Ok(Plan::Gateway { peer, .. }) => {
                let text = format!("it has no SSP server; its requests go to the default gateway {peer}");
                findings.warn(&about, text, format!("`impsgw probe {peer}` tries that one"));
                None
            }
            Err(RouteFailure::Temporary(reason)) => {
                let advice = format!(
                    "are the resolvers {} up, and do they know the domain?",
                    resolvers.join(", ")
                );
                findings.fail(&about, format!("DNS could not be asked: {reason}"), advice);
                None
            }
            Err(failure) => {
                let advice = format!(
                    "the peer has to publish _imps-server._tcp.{domain} SRV where {} see it; or name its servers in the agreement",
                    resolvers.join(", ")
                );
                findings.fail(&about, failure.to_string(), advice);
                None
            }
        }
    }

    /// One server; `None` when no request can reach it.
    async fn server(
        &self,
        domain: &Domain,
        agreement: Option<&AgreementConfig>,
        candidate: &Candidate,
        findings: &mut Findings,
    ) -> Option<()> {
        let about = format!("{}:{}", candidate.host, candidate.port);
        let stream = self.connect(&about, agreement, candidate, findings).await?;
        if !agreement.is_none_or(|agreement| agreement.tls.required) {
            findings.warn(
                &about,
                "the agreement has tls.required = false: plain HTTP",
                "only on a closed segment",
            );
            return http::greet(stream, false, &about, self.config.ssp.exchange_timeout, findings).await;
        }
        let Some(tls) = &self.tls else {
            findings.fail(
                &about,
                "we have no certificate, so TLS can't be tried",
                "set [ssp] certificate, key and authorities",
            );
            return None;
        };
        let mut names = vec![domain.to_string()];
        names.extend(
            agreement
                .iter()
                .flat_map(|agreement| agreement.tls.names.iter().map(|name| name.to_ascii_lowercase())),
        );
        if candidate.secure {
            names.push(candidate.host.to_string());
        }
        // Such a home server knows us by the names of partners.
        let is_met = agreement.is_some_and(|one| one.presents == Presents::PartnerDomains);
        let partners = self
            .config
            .agreements
            .iter()
            .filter(|one| one.role == Role::Partner);
        let met = partners.flat_map(|one| &one.domains).find(|_| is_met);
        let own = met
            .or(self.config.gateway.domains.first())
            .map_or("", Domain::as_str);
        let config = match tls.dialling(own, names.clone(), HttpVersions::Both) {
            Ok(config) => config,
            Err(fault) => {
                findings.fail(&about, fault.to_string(), "mend the files that [ssp] names");
                return None;
            }
        };
        match self.handshake(config, domain, stream).await {
            Ok(stream) => {
                let (_, connection) = stream.get_ref();
                let version = connection
                    .protocol_version()
                    .map(|one| format!("{one:?}").replace("TLSv1_", "TLS 1."));
                findings.ok(
                    &about,
                    format!(
                        "{}, the name asked for is {domain}",
                        version.unwrap_or("TLS".into())
                    ),
                );
                describe(connection.peer_certificates(), &about, findings);
                let is_http2 = connection.alpn_protocol() == Some(b"h2");
                if is_http2 && !self.config.ssp.http2 {
                    findings.ok(
                        &about,
                        "it offers HTTP/2; the gateway uses HTTP/1.1 unless [ssp] http2 = true",
                    );
                }
                http::greet(
                    stream,
                    is_http2,
                    &about,
                    self.config.ssp.exchange_timeout,
                    findings,
                )
                .await
            }
            Err(error) => {
                // Once more without any check, only to see what the server shows.
                let shown = self.shown(domain, agreement, candidate).await;
                describe(shown.as_deref(), &about, findings);
                let facts = shown
                    .as_deref()
                    .and_then(<[_]>::first)
                    .and_then(CertificateFacts::of);
                let (text, advice) = words::handshake(&error, facts.as_ref(), &names);
                findings.fail(&about, text, advice);
                None
            }
        }
    }

    async fn connect(
        &self,
        about: &str,
        agreement: Option<&AgreementConfig>,
        candidate: &Candidate,
        findings: &mut Findings,
    ) -> Option<TcpStream> {
        let addresses = match self.addresses(candidate).await {
            Ok(addresses) => addresses,
            Err(reason) => {
                findings.fail(
                    about,
                    format!("it has no address: {reason}"),
                    "the peer has to publish A or AAAA records for it",
                );
                return None;
            }
        };
        let allows = |address: &IpAddr| agreement.is_none_or(|one| one.allowed_networks.allows(*address));
        let (allowed, refused): (Vec<IpAddr>, Vec<IpAddr>) =
            addresses.iter().partition(|address| allows(address));
        if allowed.is_empty() {
            let list: Vec<String> = refused.iter().map(ToString::to_string).collect();
            let text = format!(
                "{} is outside the agreement's allowed_networks, so nothing connects there",
                list.join(", ")
            );
            findings.fail(
                about,
                text,
                "ask the peer which networks its servers are in, and add them to allowed_networks",
            );
            return None;
        }
        let patience = self.config.ssp.connect_timeout;
        let mut stream = None;
        for address in allowed {
            let at = SocketAddr::new(address, candidate.port);
            match tokio::time::timeout(patience, TcpStream::connect(at)).await {
                Ok(Ok(connected)) => {
                    findings.ok(about, format!("TCP to {at}"));
                    stream = stream.or(Some(connected));
                }
                Ok(Err(error)) => {
                    let (text, advice) = words::connect(at, &error);
                    findings.fail(about, text, advice);
                }
                Err(_) => {
                    let text = format!("TCP to {at}: no answer in {} ms", patience.as_millis());
                    findings.fail(
                        about,
                        text,
                        "a firewall drops it, ours or the peer's; or the host is down",
                    );
                }
            }
        }
        stream
    }

    async fn addresses(&self, candidate: &Candidate) -> Result<Vec<IpAddr>, String> {
        if !candidate.addresses.is_empty() {
            return Ok(candidate.addresses.to_vec());
        }
        let found = tokio::net::lookup_host((&*candidate.host, candidate.port)).await;
        found
            .map(|found| found.map(|address| address.ip()).collect())
            .map_err(|error| error.to_string())
    }

    async fn handshake(
        &self,
        config: Arc<ClientConfig>,
        domain: &Domain,
        stream: TcpStream,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(domain.to_string()).map_err(std::io::Error::other)?;
        let handshake = TlsConnector::from(config).connect(name, stream);
        let patience = self.config.ssp.connect_timeout.max(Duration::from_secs(1));
        let stream = tokio::time::timeout(patience, handshake)
            .await
            .unwrap_or_else(|_| {
                Err(std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    "the TLS handshake took too long",
                ))
            })?;
        // With TLS 1.3 we are done before the server has seen our certificate. Most servers say something next (tickets,
        // or why they refuse us); a request sent before that could make the refusal be lost with the connection.
        let _ = tokio::time::timeout(SERVER_SPEAKS_WITHIN, stream.get_ref().0.readable()).await;
        Ok(stream)
    }

    /// What the server shows to anybody; nothing is sent on that connection.
    async fn shown(
        &self,
        domain: &Domain,
        agreement: Option<&AgreementConfig>,
        candidate: &Candidate,
    ) -> Option<Vec<CertificateDer<'static>>> {
        let stream = self
            .connect("", agreement, candidate, &mut Findings::default())
            .await?;
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .ok()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Onlooker))
            .with_no_client_auth();
        let stream = self.handshake(Arc::new(config), domain, stream).await.ok()?;
        let shown = stream.get_ref().1.peer_certificates()?;
        Some(shown.iter().map(|one| one.clone().into_owned()).collect())
    }
}

/// The chain that a server showed: who it is, who says so, how long.
fn describe(chain: Option<&[CertificateDer<'_>]>, about: &str, findings: &mut Findings) {
    let now: Timestamp = now().into();
    for (place, facts) in chain
        .into_iter()
        .flatten()
        .filter_map(CertificateFacts::of)
        .enumerate()
    {
        let which = if place == 0 { "certificate" } else { "chain" };
        findings.ok(
            about,
            format!(
                "{which}: {} signed by {}; {}",
                facts.subject,
                facts.issuer,
                facts.names_line()
            ),
        );
        let days = facts.days_left(now);
        if place == 0 && (0..WARN_DAYS).contains(&days) {
            findings.warn(about, format!("it ends in {days} days"), "remind the peer");
        }
    }
}

/// Looks at a certificate and believes nothing; what it lets through is read and closed.
#[derive(Debug)]
struct Onlooker;

impl ServerCertVerifier for Onlooker {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// From here nobody is known to be ours by account.
#[derive(Debug)]
struct NoAccounts;

impl HomeDirectory for NoAccounts {
    fn account(&self, _: &WvAddress) -> Option<Domain> {
        None
    }
}

/// A certificate with fewer days left is pointed out.
const WARN_DAYS: i64 = 30;

/// How long a server that took our handshake may think before we send; it costs this much with servers that issue no tickets.
const SERVER_SPEAKS_WITHIN: Duration = Duration::from_secs(1);
