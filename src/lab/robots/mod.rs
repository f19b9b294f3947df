//! Robot subscribers for partners who test: fixed numbers, each with a behaviour of its own.
//!
//! `cast.rs` says who they are, `manners.rs` what follows from what, `robot.rs` is one logged-in device of one, and `gate.rs`
//! stands before the home domain for what no subscriber can do: refusing with a given status, blocking everybody, being slow.
//! Robots are subscribers like any: they use the subscriber API and nothing else.

mod cast;
mod gate;
mod manners;
mod robot;

pub use cast::{CONSENT, FRIENDSHIP, GRANT, LATE, MOOD, Manner, REFUSALS, ROBOTS, RobotAccount, SLOW};

use std::sync::Arc;

use futures_util::future::try_join_all;
use tokio::task::JoinSet;

use self::{gate::Gate, robot::Robot};
use super::{Guest, HandsetError, Operator};
use crate::relay::Egress;

/// The running robots; dropping them logs nobody out, but nobody acts any more.
#[derive(Debug)]
pub(super) struct Robots {
    _tasks: JoinSet<()>,
}

impl Robots {
    /// Logs in the robots of these operators; when it returns, all of them listen.
    ///
    /// # Errors
    /// When one of them can't log in.
    pub(super) async fn start(
        operators: &[&Operator],
        guest: &Arc<Guest>,
        password_of: fn(&str) -> String,
    ) -> Result<Self, HandsetError> {
        let mut logging_in = Vec::new();
        for robot in ROBOTS {
            let Some(operator) = operators.iter().find(|one| one.name == robot.operator) else {
                continue;
            };
            for device in 0..robot.manner.devices() {
                let base = operator.subscribers.clone();
                let robot = Robot::new(robot, device, (base, password_of(robot.user)), Arc::clone(guest));
                logging_in.push(robot.logged_in());
            }
        }
        let mut tasks = JoinSet::new();
        for robot in try_join_all(logging_in).await? {
            tasks.spawn(robot.live());
        }
        Ok(Self { _tasks: tasks })
    }
}

/// What stands before the home domain of an operator with robots.
pub(super) fn gate(home: Arc<dyn Egress>) -> Arc<dyn Egress> {
    Arc::new(Gate(home))
}
