//! `impsgw lab --partner`: the lab as a sandbox for a partner who tests his own server.
//!
//! Says everything that his side needs to know, and stays up until it is ended. What the robots do stands in
//! `zones/README.md`.

use std::{
    io::Write,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use clap::Args;

use crate::{
    lab::{
        Federation, Found, Guest, Operator, PARTNER, Pages, YOURS,
        robots::{Manner, ROBOTS},
    },
    model::Domain,
};

/// The arguments that make a lab a sandbox.
#[derive(Args, Debug)]
pub(super) struct SandboxArgs {
    /// Serve a partner who tests his own server, with robots at fixed numbers: his service domain.
    #[arg(long, value_name = "DOMAIN", requires = "ca", conflicts_with = "once")]
    pub(super) partner: Option<Domain>,
    /// The authorities, PEM, that sign the partner's certificates.
    #[arg(long, value_name = "FILE", requires = "partner")]
    ca: Option<PathBuf>,
    /// The address of this machine that the partner reaches: DNS on port 5300, SSP on 17101 (Alpha) and 17201 (Beta).
    #[arg(
        long,
        value_name = "ADDRESS",
        requires = "partner",
        default_value = "127.0.0.1"
    )]
    listen: IpAddr,
    /// Where the partner's server listens; without it, the partner's SRV record is asked for.
    #[arg(
        long,
        value_name = "HOST:PORT",
        requires = "partner",
        conflicts_with = "partner_dns"
    )]
    partner_server: Option<String>,
    /// The DNS server that knows the partner's SRV record; without it, those of /etc/resolv.conf.
    #[arg(long, value_name = "ADDRESS:PORT", requires = "partner")]
    partner_dns: Option<SocketAddr>,
    /// How the numbers of the partner's people begin, such as +4670123; without it, +4477009006. ENUM of the lab leads them to
    /// the partner.
    #[arg(long, value_name = "PREFIX", requires = "partner")]
    partner_numbers: Option<String>,
}

impl SandboxArgs {
    /// The partner, if there is one.
    ///
    /// # Errors
    /// When it can't be told where his server is.
    pub(super) async fn guest(&self) -> Result<Option<Guest>, String> {
        let (Some(domain), Some(authorities)) = (&self.partner, &self.ca) else {
            return Ok(None);
        };
        let found = match (&self.partner_server, self.partner_dns) {
            (Some(server), _) => Found::At(resolved(server).await?),
            (None, Some(dns)) => Found::BySrv(vec![dns]),
            (None, None) => Found::BySrv(system_resolvers()?),
        };
        let numbers = self.partner_numbers.as_deref().unwrap_or(YOURS);
        Ok(Some(Guest {
            domain: domain.clone(),
            authorities: authorities.clone(),
            found,
            numbers: numbers.trim_start_matches('+').to_owned(),
            listen: self.listen,
        }))
    }
}

/// Serves a partner until it is ended.
///
/// # Errors
/// When the sandbox can't come up; the sentence says what to do.
pub(super) async fn serve(
    guest: Guest,
    folder: &Path,
    out: &mut (dyn Write + Send),
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut federation = Federation::start_for(folder, guest.clone()).await?;
    let pages = Pages::start(&mut federation.operators_mut()).await?;
    writeln!(out, "impsgw sandbox for {}, over mutual TLS", guest.domain)?;
    write!(out, "{}", what_is_here(&federation, &guest, folder))?;
    write!(out, "{}", what_to_do(&federation, &guest, folder))?;
    write!(out, "{}", how_to_look(&federation.alpha, folder, pages.address))?;
    writeln!(
        out,
        "With --dir, the certificate to trust is the same next time. The sandbox is up until ^C."
    )?;
    out.flush()?;
    super::lab::ended().await?;
    federation.shut_down().await;
    Ok(())
}

fn what_is_here(federation: &Federation, guest: &Guest, folder: &Path) -> String {
    let (domain, numbers) = (&guest.domain, &guest.numbers);
    let server = match &guest.found {
        Found::At(server) => format!("{server}; our DNS has it as _imps-server._tcp.{domain}"),
        Found::BySrv(servers) => {
            let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
            format!(
                "by the record _imps-server._tcp.{domain}, asked of {}",
                servers.join(", ")
            )
        }
    };
    let ssp = |operator: &Operator| {
        let addresses: Vec<_> = operator.app.ssp.iter().map(ToString::to_string).collect();
        addresses.join(", ")
    };
    format!(
        "  folder         {}\n  DNS            {}, UDP and TCP\n  alpha.example  {}   the robots\n  \
         beta.example   {}   the ported number\n  your server    {server}\n  your numbers   +{numbers}… lead to {domain}\n",
        folder.display(),
        federation.dns,
        ssp(&federation.alpha),
        ssp(&federation.beta),
    )
}

fn what_to_do(federation: &Federation, guest: &Guest, folder: &Path) -> String {
    let (address, domain) = (guest.listen, &guest.domain);
    let kind = if address.is_ipv4() { "A" } else { "AAAA" };
    let mut text = format!(
        "\nWhat your side needs:\n  trust      {}   signs our certificates\n  \
         show       a certificate that names {domain}, signed by {} for servers and for clients\n  \
         ask        {} for DNS; or have your own DNS say\n",
        folder.join("ca.pem").display(),
        guest.authorities.display(),
        federation.dns,
    );
    for operator in [&federation.alpha, &federation.beta] {
        let port = operator.app.ssp.first().map_or(0, SocketAddr::port);
        text.push_str(&format!(
            "             _imps-server._tcp.{0}.example. SRV 10 0 {port} ssp.{0}.example.\n             \
             ssp.{0}.example. {kind} {address}\n",
            operator.name
        ));
    }
    text.push_str(
        "  agree      with alpha.example; with beta.example too, if your ENUM leads ported numbers there\n\n\
         Write from your side to\n",
    );
    for robot in ROBOTS {
        text.push_str(&format!(
            "  {}  {:<9} {}\n",
            robot.number,
            robot.name,
            in_a_word(robot.manner)
        ));
    }
    text.push_str(
        "  +4477009000xx, 5xx, 9xx  refused with the status 4xx, 5xx, 9xx\n  \
         +4477009007xx  numbers whose DNS records are wrong\nzones/README.md says what must happen with each; \
         docs/peering.md is the walk.\n",
    );
    text
}

fn how_to_look(alpha: &Operator, folder: &Path, pages: SocketAddr) -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| "impsgw".into());
    let program = program.display();
    let Some(admin) = alpha.app.admin else {
        return String::new();
    };
    let path = folder.join("alpha-data/admin-token");
    let token = std::fs::read_to_string(&path).unwrap_or_default();
    let mut text = format!(
        "\nLook at it from our side, in another terminal:\n  export IMPSGW_CONFIG={}\n  \
         export IMPSGW_ADMIN=http://{admin} IMPSGW_TOKEN_FILE={}\n",
        alpha.config.display(),
        path.display(),
    );
    for (command, what) in [
        (
            "probe PARTNER --open",
            "does Alpha reach your server? DNS, TCP, TLS, HTTP, session",
        ),
        ("peer show PARTNER", "the sessions with you"),
        ("watch", "each request as it comes"),
        ("trace +447700900101", "what happened to it, and why"),
    ] {
        let command = command.replace("PARTNER", PARTNER);
        text.push_str(&format!("  {program} {command:<22} # {what}\n"));
    }
    text.push_str(&format!(
        "  # the console: http://{admin}/#token={}\n  # people to talk to, on handsets: http://{pages}/\n",
        token.trim()
    ));
    text
}

/// What a robot does, for the list.
fn in_a_word(manner: Manner) -> &'static str {
    match manner {
        Manner::Plain => "ported from Alpha to Beta",
        Manner::Echoes => "sends everything back",
        Manner::Away => "is never online; messages wait, and end",
        Manner::Blocks => "blocks everybody",
        Manner::ReportsLate => "reports late",
        Manner::AnswersLate => "answers late",
        Manner::Consents => "shows presence when asked, for a while",
        Manner::ChangesMood => "changes mood all the time",
        Manner::HasDevices => "has three devices, each of which answers",
        Manner::Accepts => "accepts invitations",
        Manner::Declines => "refuses invitations",
        Manner::AddsBack => "adds back who adds it",
    }
}

async fn resolved(server: &str) -> Result<SocketAddr, String> {
    let what_to_do = "write --partner-server as HOST:PORT, such as 203.0.113.9:7443";
    let found = tokio::net::lookup_host(server).await;
    let mut found = found.map_err(|error| format!("{server} is found nowhere: {error}; {what_to_do}"))?;
    found
        .next()
        .ok_or_else(|| format!("{server} has no address; {what_to_do}"))
}

fn system_resolvers() -> Result<Vec<SocketAddr>, String> {
    let text = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
    let servers = resolvers_in(&text);
    if servers.is_empty() {
        return Err(format!(
            "{RESOLV_CONF} names no DNS server; say where the partner's server is with --partner-server HOST:PORT, or who \
             knows its SRV record with --partner-dns ADDRESS:PORT"
        ));
    }
    Ok(servers)
}

/// The name servers of a resolver's configuration; lines that can't be read are passed over.
fn resolvers_in(text: &str) -> Vec<SocketAddr> {
    let addresses = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let is_server = words.next() == Some("nameserver");
        words.next().filter(|_| is_server)?.parse::<IpAddr>().ok()
    });
    addresses.map(|address| SocketAddr::new(address, 53)).collect()
}

const RESOLV_CONF: &str = "/etc/resolv.conf";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_are_read_as_the_system_reads_them() {
        let text = "# a comment\nsearch example\nnameserver 192.0.2.1\nnameserver\t2001:db8::1 \nnameserver nonsense\nnameserver\n";
        let expected: Vec<SocketAddr> = ["192.0.2.1:53", "[2001:db8::1]:53"]
            .map(|one| one.parse().unwrap())
            .into();
        assert_eq!(resolvers_in(text), expected);
        assert_eq!(resolvers_in(""), []);
    }

    #[tokio::test]
    async fn a_server_without_a_port_is_refused_with_what_to_do() {
        for server in ["imps.charlie.example", "", "127.0.0.1", "127.0.0.1:port", ":"] {
            let error = resolved(server).await.unwrap_err();
            assert!(error.contains("HOST:PORT"), "{error}");
        }
        assert_eq!(
            resolved("127.0.0.1:7443").await,
            Ok(([127, 0, 0, 1], 7443).into())
        );
    }
}
