//! The operator that takes everything, as often as it comes: it does not tell repeats apart.

use std::sync::{Arc, Mutex};

use impsgw::wire::ssp::{Mode, Primitive, SendMessageResponse, SessionId, StatusCode, Transaction};
use tokio::sync::mpsc;

use super::{
    books::Ledger,
    sender::conversation,
    side::{Arrived, Manner, Side},
};

/// Takes what comes to a side, and answers in the side's manner.
pub(crate) async fn take_all(
    side: Arc<Side>,
    mut messages: mpsc::UnboundedReceiver<Arrived>,
    ledger: Arc<Mutex<Ledger>>,
) {
    while let Some((session, transactions)) = messages.recv().await {
        let mut taken = Vec::new();
        let mut answers = Vec::new();
        for transaction in transactions {
            let Primitive::SendMessageRequest(message) = transaction.primitive else {
                assert_eq!(transaction.mode, Mode::Response);
                continue;
            };
            let content = message.content.unwrap().bytes;
            let number: u32 = std::str::from_utf8(&content).unwrap().parse().unwrap();
            let message_id = message.info.message_id.unwrap();
            let arrival = ledger
                .lock()
                .unwrap()
                .arrived(number, conversation(number), message_id.clone());
            taken.push((number, arrival));
            let status = StatusCode::SUCCESS.into();
            let response = SendMessageResponse { message_id, status };
            answers.push(Transaction::response(transaction.id, response));
        }
        let (side, ledger) = (Arc::clone(&side), Arc::clone(&ledger));
        tokio::spawn(async move {
            if answer(&side, session, answers).await {
                let mut ledger = ledger.lock().unwrap();
                for (number, arrival) in taken {
                    ledger.settled(number, arrival);
                }
            }
        });
    }
}

/// Whether the gateway took the answers.
async fn answer(side: &Side, session: SessionId, answers: Vec<Transaction>) -> bool {
    match side.manner() {
        Manner::Silent => return false,
        Manner::Garbage if fastrand::bool() => {
            side.post_octets(b"<WV-SSP-Message><Session>\xff").await;
            return false;
        }
        Manner::Slow(time) => tokio::time::sleep(time).await,
        Manner::Proper | Manner::Fails | Manner::Garbage => {}
    }
    side.post(session, answers).await == Some(200)
}
