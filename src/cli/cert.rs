//! `impsgw cert`: makes a test authority and certificates that peers take, and shows what a certificate says.
//!
//! The authority is for labs, trials and closed interconnects of friends: its key is a file. For a public interconnect any
//! authority will do that puts the service domain into the certificate; `cert show --for DOMAIN` tells whether it did.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    finding::Findings,
    output::{Done, Failure, print, print_json},
};
use crate::{
    gateways::ssp::CertificateFacts,
    lab::certs::{Authority, CertificateOrder, write_file},
    model::{Domain, Timestamp},
};

/// The arguments of `impsgw cert`.
#[derive(Args, Clone, Debug)]
pub struct CertArgs {
    #[command(subcommand)]
    command: CertCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum CertCommand {
    /// Make a test authority: DIR/ca.pem, which partners get, and DIR/ca.key.pem, which nobody gets.
    Authority {
        /// The name that certificates show as their issuer.
        #[arg(default_value = "impsgw test authority")]
        name: String,
        /// Where the files go.
        #[arg(long, value_name = "DIR", default_value = "certs")]
        dir: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make a key and a certificate for a service domain, signed by the authority in DIR.
    Issue {
        /// The service domain, such as alpha.example; it is what peers look for.
        domain: Domain,
        /// Further DNS names, such as those of the servers; may be repeated.
        #[arg(long, value_name = "NAME")]
        host: Vec<String>,
        /// How many days it is valid.
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,
        /// Where the authority is and the files go: DIR/DOMAIN.pem and DIR/DOMAIN.key.pem.
        #[arg(long, value_name = "DIR", default_value = "certs")]
        dir: PathBuf,
        /// Replace the files when they are there; a running gateway takes them up with `impsgw reload`.
        #[arg(long)]
        replace: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make a key and a certificate for a node of a cluster, signed by the authority in DIR.
    ///
    /// Use an authority that signs nodes alone: whoever has a certificate of it is a node.
    Node {
        /// The name of the node, as in `[gateway] node`.
        #[arg(value_parser = node_name)]
        node: String,
        /// How many days it is valid.
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,
        /// Where the authority is and the files go: DIR/NODE.pem and DIR/NODE.key.pem.
        #[arg(long, value_name = "DIR", default_value = "certs/nodes")]
        dir: PathBuf,
        /// Replace the files when they are there; a running node takes them up with `impsgw reload`.
        #[arg(long)]
        replace: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show names, issuer, purpose and days left; exit code 1 when one has ended or does not fit.
    Show {
        /// PEM files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The service domain that the first certificate of each file must name.
        #[arg(long = "for", value_name = "DOMAIN")]
        domain: Option<Domain>,
        /// Warn when fewer days are left.
        #[arg(long, value_name = "DAYS", default_value_t = 30)]
        warn: i64,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: CertArgs) -> Done {
    match args.command {
        CertCommand::Authority { name, dir, json } => authority(&name, &dir, json),
        CertCommand::Issue {
            domain,
            host,
            days,
            dir,
            replace,
            json,
        } => {
            let now = now();
            let order = CertificateOrder {
                host_names: host,
                not_after: now + Duration::from_secs(u64::from(days) * 86_400),
                ..CertificateOrder::for_domain(domain.as_str(), now)
            };
            issue(&order, (&dir, "ssp"), replace, json)
        }
        CertCommand::Node {
            node,
            days,
            dir,
            replace,
            json,
        } => {
            let now = now();
            let order = CertificateOrder {
                has_srv_name: false,
                not_after: now + Duration::from_secs(u64::from(days) * 86_400),
                ..CertificateOrder::for_domain(&node, now)
            };
            issue(&order, (&dir, "cluster"), replace, json)
        }
        CertCommand::Show {
            files,
            domain,
            warn,
            json,
        } => show(&files, domain.as_ref(), warn, json),
    }
}

fn authority(name: &str, dir: &Path, json: bool) -> Done {
    let (certificate, key) = (dir.join("ca.pem"), dir.join("ca.key.pem"));
    for path in [&certificate, &key] {
        if path.exists() {
            let path = path.display();
            return Err(Failure::Bad(format!(
                "{path} is there already, and partners may trust it; name another folder with --dir, or remove it first"
            )));
        }
    }
    make_folder(dir)?;
    let made = Authority::new(name, now()).map_err(bad)?;
    write_file(&key, &made.key_pem(), 0o600).map_err(bad)?;
    write_file(&certificate, made.certificate_pem(), 0o644).map_err(bad)?;
    if json {
        print_json(&json!({ "authority": certificate, "key": key }));
    } else {
        print(&format!(
            "{}  give it to partners, for their [ssp] authorities\n{}  keep it to yourself",
            certificate.display(),
            key.display()
        ));
    }
    Ok(())
}

/// Makes the files of a certificate for a section of the configuration.
fn issue(order: &CertificateOrder, (dir, section): (&Path, &str), replace: bool, json: bool) -> Done {
    let read = |name: &str| {
        let path = dir.join(name);
        std::fs::read_to_string(&path).map_err(|error| {
            Failure::Bad(format!(
                "{} can't be read: {error}; `impsgw cert authority --dir {}` makes one",
                path.display(),
                dir.display()
            ))
        })
    };
    let authority = Authority::load(&read("ca.pem")?, &read("ca.key.pem")?).map_err(bad)?;
    let there = dir.join(format!("{}.pem", order.domain));
    if there.exists() && !replace {
        let there = there.display();
        return Err(Failure::Bad(format!(
            "{there} is there already; --replace makes a new one in its place"
        )));
    }
    let issued = authority.issue(order).map_err(bad)?;
    let (certificate, key) = issued.write(dir, &order.domain).map_err(bad)?;
    if json {
        print_json(
            &json!({ "certificate": certificate, "key": key, "valid_until": Timestamp::from(order.not_after) }),
        );
    } else {
        print(&format!(
            "{}  [{section}] certificate, valid until {}\n{}  [{section}] key",
            certificate.display(),
            Timestamp::from(order.not_after),
            key.display()
        ));
    }
    Ok(())
}

fn node_name(text: &str) -> Result<String, String> {
    let is_label = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_name = is_label && !text.starts_with('-') && !text.ends_with('-');
    if is_name && (1..=32).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err("a node's name is 1 to 32 letters, digits and -, and neither begins nor ends with -".to_owned())
    }
}

fn show(files: &[PathBuf], domain: Option<&Domain>, warn: i64, json: bool) -> Done {
    let now: Timestamp = now().into();
    let mut findings = Findings::default();
    let mut shown = Vec::new();
    for file in files {
        let name = file.display().to_string();
        let all = match CertificateFacts::of_file(file) {
            Ok(all) => all,
            Err(fault) => {
                findings.fail(&name, fault.to_string(), "name a PEM file with a certificate");
                continue;
            }
        };
        for (place, facts) in all.iter().enumerate() {
            if !json {
                print(&format!("{name}\n{}", text(facts, now)));
            }
            shown.push(with_file(facts, &name, now));
            let wanted = domain.filter(|_| place == 0);
            judge(facts, wanted.map(Domain::as_str), &name, warn, now, &mut findings);
        }
    }
    if json {
        let mut answer = findings.json();
        if let Value::Object(map) = &mut answer {
            map.insert("certificates".into(), shown.into());
        }
        print_json(&answer);
    } else {
        print(&findings.table());
    }
    if findings.is_good() {
        Ok(())
    } else {
        Err(Failure::Bad(String::new()))
    }
}

/// Whether a certificate is good for use now, and for how long.
pub(super) fn judge(
    facts: &CertificateFacts,
    domain: Option<&str>,
    about: &str,
    warn: i64,
    now: Timestamp,
    findings: &mut Findings,
) {
    let days = facts.days_left(now);
    let renew = "have it renewed, put the files in place, and run `impsgw reload`";
    if days < 0 {
        findings.fail(
            about,
            format!("{} ended on {}", facts.subject, facts.not_after),
            renew,
        );
    } else if now < facts.not_before {
        let text = format!("{} is not valid before {}", facts.subject, facts.not_before);
        findings.fail(about, text, "wait, or look at this machine's clock");
    } else if days < warn {
        findings.warn(about, format!("{}: {days} days left", facts.subject), renew);
    } else {
        findings.ok(about, format!("{}: {days} days left", facts.subject));
    }
    let Some(domain) = domain else { return };
    if facts.names(domain) {
        findings.ok(about, format!("it names {domain}"));
    } else {
        let text = format!("it does not name {domain}, but {}", facts.names_line());
        let advice = format!("peers look for the DNS name {domain} or the SRV name _imps-server.{domain}");
        findings.fail(about, text, advice);
    }
    let is_for = |purpose| {
        facts.purposes.is_empty() || facts.purposes.contains(&purpose) || facts.purposes.contains(&"any")
    };
    if is_for("server") && !is_for("client") {
        findings.warn(
            about,
            "it is made for servers only, and a gateway shows it as a client too",
            "peers take it only with tls.accept_server_certificates = true in their agreement",
        );
    } else if !is_for("server") {
        findings.fail(
            about,
            "it is not made for servers",
            "have one made with serverAuth and clientAuth",
        );
    }
}

/// A certificate in lines.
pub(super) fn text(facts: &CertificateFacts, now: Timestamp) -> String {
    let purposes = match facts.purposes.as_slice() {
        [] if facts.is_authority => "authority".to_owned(),
        [] => "any".to_owned(),
        some => some.join(", "),
    };
    let self_signed = if facts.issuer == facts.subject {
        " (itself)"
    } else {
        ""
    };
    format!(
        "  subject   {}\n  issuer    {}{self_signed}\n  names     {}\n  for       {purposes}\n  valid     {} to {}, {} days left\n  sha256    {}",
        facts.subject,
        facts.issuer,
        facts.names_line(),
        facts.not_before,
        facts.not_after,
        facts.days_left(now),
        facts.sha256
    )
}

fn with_file(facts: &CertificateFacts, file: &str, now: Timestamp) -> Value {
    let mut value = serde_json::to_value(facts).unwrap_or(Value::Null);
    if let Value::Object(map) = &mut value {
        map.insert("file".into(), file.into());
        map.insert("days_left".into(), facts.days_left(now).into());
    }
    value
}

fn make_folder(dir: &Path) -> Done {
    std::fs::create_dir_all(dir)
        .map_err(|error| Failure::Bad(format!("{} can't be made: {error}", dir.display())))
}

fn bad(error: crate::lab::certs::CertificateError) -> Failure {
    let cause = std::error::Error::source(&error)
        .map(|cause| format!(": {cause}"))
        .unwrap_or_default();
    Failure::Bad(format!("{error}{cause}"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "certificates are made and judged for now"
)]
pub(super) fn now() -> SystemTime {
    SystemTime::now()
}
