//! Two session ladders under everything that a network can do to them.

use std::time::{Duration, Instant};

use impsgw::wire::ssp::ladder::{Delivery, Input, Ladder, Output, Settings, Step, Token, failing_step};
use impsgw::wire::ssp::{Profile, Secret, SetupPrimitive, SetupTransaction, StatusCode, TransactionId};

/// Two ladders and a network that loses, repeats, reorders and forges: each ladder ends once, at its deadline at the
/// latest, and two that are both established agree about the session.
#[expect(
    clippy::disallowed_methods,
    reason = "the times are only compared with one another"
)]
pub(crate) fn ladder(input: &[u8]) {
    let Some((&first, commands)) = input.split_first() else {
        return;
    };
    let mut now = Instant::now();
    let profile = |odd: bool| if odd { Profile::OBSERVED } else { Profile::STRICT };
    let alpha_settings = Settings::for_profile(&profile(first & 1 != 0));
    let bravo_settings = Settings::for_profile(&profile(first & 2 != 0));
    let mut alpha = End::new(Ladder::initiate(
        "alpha.example",
        "bravo.example",
        token("a-1", 1),
        now,
        alpha_settings,
    ));
    alpha.drain();
    let secret = alpha.sent.iter().find_map(|step| match &step.primitive {
        SetupPrimitive::SendSecretToken(step) => Some(step.secret.clone()),
        _ => None,
    });
    let opening = (
        TransactionId::new("a-1"),
        &secret.unwrap_or_else(|| Secret::new("unsent")),
    );
    let mut bravo = End::new(Ladder::respond(
        "bravo.example",
        "alpha.example",
        opening,
        token("b-1", 2),
        now,
        bravo_settings,
    ));
    bravo.drain();
    for command in commands.iter().take(512) {
        let (to, from) = if command & 1 == 0 {
            (&mut alpha, &bravo)
        } else {
            (&mut bravo, &alpha)
        };
        let choice = usize::from(command >> 4);
        let input = match command >> 1 & 7 {
            0 | 1 => received(from.sent.get(choice)),
            2 => received(to.sent.get(choice)),
            3 => Some(Input::Delivered {
                step: STEPS[choice & 3],
                delivery: DELIVERIES[choice >> 2 & 3],
            }),
            4 => Some(Input::Acknowledged),
            5 => {
                now += Duration::from_millis(1 << choice);
                Some(Input::Tick)
            }
            6 if choice == 15 => Some(Input::Abandoned(StatusCode(503))),
            6 => received(from.sent.last()),
            _ => {
                let id = TransactionId::new(if choice & 1 == 0 { "a-1" } else { "b-1" });
                let code = StatusCode(100 * u16::try_from(choice).unwrap_or_default());
                received(Some(&failing_step(from.ladder.role(), id, code)))
            }
        };
        if let Some(input) = input {
            to.ladder.handle(input, now);
            to.drain();
        }
    }
    now += Duration::from_secs(120);
    for end in [&mut alpha, &mut bravo] {
        end.ladder.handle(Input::Tick, now);
        end.drain();
        assert!(end.ladder.is_over() && end.ends == 1, "{end:?}");
        assert_eq!(end.ladder.wakes_at(), None);
    }
    if let (Some(alpha), Some(bravo)) = (&alpha.session, &bravo.session) {
        assert_eq!(alpha.own_session_id, bravo.peer_session_id);
        assert_eq!(alpha.peer_session_id, bravo.own_session_id);
    }
}

#[derive(Debug)]
struct End {
    ladder: Ladder,
    sent: Vec<SetupTransaction>,
    session: Option<impsgw::wire::ssp::ladder::Session>,
    ends: usize,
}

impl End {
    fn new(ladder: Ladder) -> Self {
        Self {
            ladder,
            sent: Vec::new(),
            session: None,
            ends: 0,
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.ladder.poll() {
            match output {
                Output::Send { transaction, .. } => {
                    assert_eq!(self.ends, 0, "a step after the end");
                    self.sent.push(*transaction);
                }
                Output::WakeAt(_) => {}
                Output::Honour(_) => assert_eq!(self.ends, 0, "a session is honoured after the end"),
                Output::Established(session) => {
                    self.session = Some(session);
                    self.ends += 1;
                }
                Output::Failed(_) => self.ends += 1,
            }
            assert!(self.ends <= 1, "a ladder ended twice");
        }
    }
}

fn received(step: Option<&SetupTransaction>) -> Option<Input> {
    step.map(|step| Input::Received(Box::new(step.clone())))
}

fn token(id: &str, octet: u8) -> Token {
    Token {
        transaction_id: TransactionId::new(id),
        secret: [octet; 16],
        session: [octet | 0x80; 16],
    }
}

const STEPS: [Step; 4] = [
    Step::SendSecretToken,
    Step::LoginRequest,
    Step::LoginResponse,
    Step::Failure,
];

const DELIVERIES: [Delivery; 4] = [
    Delivery::Accepted,
    Delivery::Refused,
    Delivery::Unreachable,
    Delivery::Unanswered,
];
