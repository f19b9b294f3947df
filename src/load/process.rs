//! Child processes, and what a process has used, as Linux tells it in `/proc` (proc(5)).

use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde::Serialize;

use super::LoadError;

/// CPU and memory of a process, with its children when it is a master of workers.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Usage {
    /// Seconds of CPU since it began, user and system.
    pub cpu_seconds: f64,
    /// The most memory that was resident, in MiB.
    pub peak_mib: f64,
}

impl Usage {
    /// What a process and its children have used; zeroes when it is gone.
    pub(super) fn of(pid: u32) -> Self {
        let mut usage = Self::of_one(pid);
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        for child in children.unwrap_or_default().split_ascii_whitespace() {
            let one = child.parse().map(Self::of_one).unwrap_or_default();
            usage.cpu_seconds += one.cpu_seconds;
            usage.peak_mib += one.peak_mib;
        }
        usage
    }

    /// Several processes together.
    pub(super) fn of_all(pids: impl IntoIterator<Item = u32>) -> Self {
        pids.into_iter()
            .map(Self::of_one)
            .fold(Self::default(), |all, one| Self {
                cpu_seconds: all.cpu_seconds + one.cpu_seconds,
                peak_mib: all.peak_mib + one.peak_mib,
            })
    }

    /// This process alone, without the children it started.
    pub(super) fn of_one(pid: u32) -> Self {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name may hold anything, so the fields are counted from its closing parenthesis: state is the first.
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        let ticks = |index| fields.split_ascii_whitespace().nth(index)?.parse::<f64>().ok();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: f64 = peak
            .and_then(|peak| peak.split_ascii_whitespace().next()?.parse().ok())
            .unwrap_or_default();
        Self {
            cpu_seconds: (ticks(11).unwrap_or_default() + ticks(12).unwrap_or_default()) / TICKS_PER_SECOND,
            peak_mib: kib / 1024.0,
        }
    }
}

/// A child process that ends with us.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    name: String,
}

impl Running {
    /// Starts a program; what it says on standard error goes to `<name>.log` below the folder.
    pub(super) fn start(command: &mut Command, name: &str, folder: &Path) -> Result<Self, LoadError> {
        let log = std::fs::File::create(folder.join(format!("{name}.log")))
            .map_err(LoadError::io(format!("the log of {name}")))?;
        let child = command
            .stderr(log)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .map_err(LoadError::io(format!("{name} can't be started")))?;
        Ok(Self {
            child,
            name: name.to_owned(),
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until something listens at the address.
    pub(super) async fn listens(&mut self, address: SocketAddr) -> Result<(), LoadError> {
        for _ in 0..600 {
            if TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok() {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(LoadError::Process(format!(
                    "{} ended with {status}; see its log",
                    self.name
                )));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(LoadError::Process(format!(
            "{} does not listen at {address}; see its log",
            self.name
        )))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback address that was free a moment ago, its port below those from which the system takes the ports of connections.
pub(super) fn free_address() -> Result<SocketAddr, LoadError> {
    let addresses = std::iter::repeat_with(|| SocketAddr::from((Ipv4Addr::LOCALHOST, fastrand::u16(PORTS))));
    let mut bound = addresses.take(TRIES).map(std::net::TcpListener::bind);
    let free = bound
        .find_map(Result::ok)
        .and_then(|listener| listener.local_addr().ok());
    free.ok_or_else(|| LoadError::Process("no port is free".to_owned()))
}

/// Where free ports are looked for.
const PORTS: std::ops::Range<u16> = 12_000..32_000;
/// How many are looked at.
const TRIES: usize = 1000;
/// `USER_HZ`, which is 100 on every platform that Linux calls by this name.
const TICKS_PER_SECOND: f64 = 100.0;
