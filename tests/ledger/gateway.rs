//! The process of the gateway, and what is under it.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use tokio::net::TcpStream;

use super::{PATIENCE, clock::WallClock};
use crate::crash::preload::{Kept, dies_at, forgetful};

/// The process; it is killed, at the latest when the test ends.
pub(crate) struct Gateway(Child);

/// What a gateway stands on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ground {
    /// Whether the disk forgets at the end what was not synced.
    pub(crate) forgets: bool,
    /// Where on such a disk the gateway dies by itself.
    pub(crate) dies_at: Option<(u64, Kept)>,
    /// Whether its wall clock is the stage's.
    pub(crate) has_clock: bool,
}

impl Gateway {
    /// Starts it and waits until it listens; none when it has died where it should.
    pub(crate) async fn start(
        folder: &Path,
        address: SocketAddr,
        config: &str,
        ground: Ground,
        clock: &WallClock,
    ) -> Option<Self> {
        let path = folder.join("gateway.toml");
        fs::write(&path, config).unwrap();
        let log = folder.join("gateway.log");
        let appended = File::options().create(true).append(true).open(&log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_impsgw"));
        command
            .args(["serve", "--config"])
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(appended);
        ground.put_under(&mut command, clock);
        let mut gateway = Self(command.spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).await.is_err() {
            if let Some(status) = gateway.0.try_wait().unwrap() {
                let said = fs::read_to_string(&log).unwrap();
                assert!(ground.dies_at.is_some(), "it ended with {status}: {said:?}");
                return None;
            }
            assert!(Instant::now() < deadline, "{}", fs::read_to_string(&log).unwrap());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Some(gateway)
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Asks it to end in order, and waits until it has.
    pub(crate) async fn end(mut self, within: Duration) -> Option<ExitStatus> {
        let pid = self.0.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(asked.success());
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if let Some(status) = self.0.try_wait().unwrap() {
                return Some(status);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        None
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Ground {
    fn put_under(self, command: &mut Command, clock: &WallClock) {
        if self.forgets {
            forgetful(command, "impsgw.db");
        }
        if let Some((sync, kept)) = self.dies_at {
            dies_at(command, sync, kept);
        }
        if self.has_clock {
            clock.put_under(command);
        }
    }
}
