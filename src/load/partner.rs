//! The partner: takes messages, answers each with success, counts how often each number arrived, and sends reports.
//!
//! It is a process of its own, so that its CPU is told apart. `POST /arrivals` on its listener gives the counts, one octet a
//! message; any other path answers 200 at once, which makes it the origin server of the proxy's measurement.

use std::{
    io::{Read as _, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::{
    HOME_DOMAIN, LoadError, PARTNER_NAME, Plan, home,
    http::{Poster, serve},
    pki,
    process::{Running, free_address},
    side::{Actor, Acts, Side},
};
use crate::{
    lab::certs::write_file,
    wire::ssp::{
        DeliveryStatusReport, Entity, MessageInfo, MetaInfo, Primitive, SendMessageRequest,
        SendMessageResponse, StatusCode, Transaction, TransactionId, User,
    },
};

/// What the partner's process is told, as JSON in a file.
#[derive(Debug, Deserialize, Serialize)]
struct Brief {
    listen: SocketAddr,
    gateways: Vec<SocketAddr>,
    tls: bool,
    connections: usize,
    folder: PathBuf,
}

/// Starts the partner's process; where it listens.
///
/// # Errors
/// When it does not come up.
pub(super) async fn start(plan: &Plan, gateways: &[SocketAddr]) -> Result<(Running, SocketAddr), LoadError> {
    let brief = Brief {
        listen: free_address()?,
        gateways: gateways.to_vec(),
        tls: plan.tls,
        connections: plan.connections,
        folder: plan.folder.clone(),
    };
    let path = plan.folder.join("partner.json");
    write_file(&path, &serde_json::to_string(&brief).unwrap_or_default(), 0o600)?;
    let mut command = Command::new(&plan.program);
    command.arg("load").arg("--play-partner").arg(&path);
    let mut partner = Running::start(&mut command, "partner", &plan.folder)?;
    partner.listens(brief.listen).await?;
    Ok((partner, brief.listen))
}

/// How often each message has arrived, by number.
///
/// # Errors
/// When the partner can't be asked.
pub(super) async fn arrivals(partner: &Poster) -> Result<Vec<u8>, LoadError> {
    let answer = partner.post("/arrivals", &[]).await;
    let (_, counts) = answer.map_err(LoadError::io("the partner can't be asked"))?;
    Ok(counts.to_vec())
}

/// Plays the partner until standard input ends, which it does with the process that started it.
///
/// # Errors
/// When the brief can't be read or the socket can't be bound.
pub async fn play_partner(brief: &Path) -> Result<(), LoadError> {
    let text = std::fs::read_to_string(brief).map_err(LoadError::io(brief.display().to_string()))?;
    let brief: Brief =
        serde_json::from_str(&text).map_err(|error| LoadError::Process(format!("the brief: {error}")))?;
    let (server, client) = if brief.tls {
        let (server, client) = pki::tls(&brief.folder, PARTNER_NAME)?;
        (Some(server), Some(client))
    } else {
        (None, None)
    };
    let poster = Poster::new(&brief.gateways, HOME_DOMAIN, client, brief.connections);
    let poster = Arc::new(poster.map_err(LoadError::io("the gateway's name"))?);
    let side = Side::new(PARTNER_NAME, poster, Partner::default());
    let listener = TcpListener::bind(brief.listen)
        .await
        .map_err(LoadError::io(brief.listen.to_string()))?;
    tokio::spawn(Arc::clone(&side).keep_time());
    tokio::spawn(serve(listener, server, side));
    // The other end of the pipe is closed with the process that holds it, however that one ends.
    let parent = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0; 1]).unwrap_or_default());
    let _ = parent.await;
    std::io::stderr().flush().map_err(LoadError::io("standard error"))
}

#[derive(Debug, Default)]
struct Partner {
    arrivals: Mutex<Vec<u8>>,
}

impl Partner {
    fn count(&self, number: usize) {
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        if number < MAX_MESSAGES {
            if arrivals.len() <= number {
                arrivals.resize(number + 1, 0);
            }
            if let Some(count) = arrivals.get_mut(number) {
                *count = count.saturating_add(1);
            }
        }
    }
}

impl Actor for Partner {
    fn act(&self, transactions: Vec<Transaction>) -> Acts {
        let mut acts = Acts::default();
        for transaction in transactions {
            let Primitive::SendMessageRequest(message) = transaction.primitive else {
                continue;
            };
            if let Some(number) = message
                .content
                .as_ref()
                .and_then(|content| home::number_in(&content.bytes))
            {
                self.count(number);
            }
            if message.delivery_report {
                let id = format!("r-{}", acts.then.len());
                acts.then.extend(report(&message, &id));
            }
            let response = SendMessageResponse {
                message_id: message.info.message_id.unwrap_or_default(),
                status: StatusCode::SUCCESS.into(),
            };
            acts.answers.push(Transaction::response(transaction.id, response));
        }
        acts
    }

    fn other(&self, path: &str) -> (u16, Bytes) {
        if path != "/arrivals" {
            return (200, Bytes::new());
        }
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        (200, Bytes::copy_from_slice(&arrivals))
    }
}

/// The report of a message to one recipient: sender and recipient change places (SSP reference §12.3).
fn report(message: &SendMessageRequest, id: &str) -> Option<Transaction> {
    let recipient = message.info.recipients.first()?.clone();
    let meta = MetaInfo::for_user(
        format!("wv:@{PARTNER_NAME}"),
        User::new(recipient.address().to_owned()),
    );
    let report = DeliveryStatusReport {
        meta: Some(meta),
        result: StatusCode::SUCCESS.into(),
        delivery_time: None,
        info: MessageInfo {
            message_id: message.info.message_id.clone(),
            ..MessageInfo::new(recipient, vec![Entity::user(message.info.sender.address())])
        },
    };
    Some(Transaction::request(TransactionId::new(id), report))
}

/// More than any run sends; a number beyond it is damage.
const MAX_MESSAGES: usize = 1 << 28;
