//! A PostgreSQL server of the tests' own, from Debian's package, and a schema in it for each test.
//!
//! One server serves the whole test binary. A shell stands over it and ends it, and removes its files, when this process is gone.

#![expect(
    clippy::disallowed_methods,
    reason = "deadlines are for a process of its own, which has its own clock"
)]

use std::{
    env, fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use impsgw::store::postgres::PostgresConfig;

use crate::ports::free_address;

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    port: u16,
    directory: PathBuf,
    /// Its standard input is what keeps the server alive.
    over: Child,
}

/// The server that all tests share; `None`, and said loudly, where PostgreSQL is not installed.
pub(crate) fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| Some(Server::start(&binaries()?))).as_ref()
}

/// Where the server's programs are.
pub(crate) fn binaries() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut found: Vec<PathBuf> = versions
        .map(|version| version.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists() && bin.join("postgres").exists())
        .collect();
    found.sort();
    let newest = found.pop();
    if newest.is_none() {
        assert!(
            env::var("REQUIRE_PEERS").is_err(),
            "PostgreSQL is not installed, and REQUIRE_PEERS is set"
        );
        eprintln!("SKIPPED: PostgreSQL is not installed (apt-get install postgresql-15)");
    }
    newest
}

impl Server {
    /// Makes a cluster and waits until it answers.
    pub(crate) fn start(bin: &Path) -> Self {
        Self::start_of(bin, None)
    }

    /// As [`Server::start`], with this certificate and key, in PEM.
    pub(crate) fn start_with_tls(bin: &Path, certificate: &str, key: &str) -> Self {
        let directory = new_directory();
        fs::write(directory.join("server.pem"), certificate).unwrap();
        let path = directory.join("server.key");
        fs::write(&path, key).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        Self::start_in(bin, directory, None)
    }

    /// Makes a standby of this server, and has every commit wait for it from now on.
    pub(crate) fn standby(&self, bin: &Path) -> Self {
        let standby = Self::start_of(bin, Some(self.port));
        for sql in [
            "ALTER SYSTEM SET synchronous_standby_names = '*'",
            "SELECT pg_reload_conf()",
        ] {
            assert!(psql(bin, &self.url(), sql), "{sql}");
        }
        standby
    }

    /// Makes a standby the one that takes writes.
    pub(crate) fn promote(&self, bin: &Path) {
        // What the other one was told of waiting for a standby came along.
        for sql in [
            "SELECT pg_promote()",
            "ALTER SYSTEM RESET synchronous_standby_names",
            "SELECT pg_reload_conf()",
        ] {
            assert!(psql(bin, &self.url(), sql), "{sql}");
        }
    }

    /// Whether a node's session is encrypted.
    pub(crate) fn has_tls_sessions(&self, bin: &Path) -> bool {
        let sql = "SELECT 1 / count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND application_name LIKE 'impsgw%'";
        psql(bin, &self.url(), sql)
    }

    /// One URL for both.
    pub(crate) fn url_with(&self, other: &Self) -> String {
        format!(
            "postgresql://impsgw@127.0.0.1:{},127.0.0.1:{}/postgres",
            self.port, other.port
        )
    }

    fn start_of(bin: &Path, of: Option<u16>) -> Self {
        Self::start_in(bin, new_directory(), of)
    }

    fn start_in(bin: &Path, directory: PathBuf, of: Option<u16>) -> Self {
        let port = free_address().port();
        let over = stand_over(bin, &directory, port, of);
        let server = Self {
            port,
            directory,
            over,
        };
        server.until_it_answers(bin);
        server
    }

    /// Ends the server the way the loss of its machine would: nothing is written any more, and the next start recovers from the
    /// log.
    pub(crate) fn crash(&mut self) {
        self.end("-QUIT");
    }

    /// Ends the server in order: sessions are cut off, and what it knows is written.
    pub(crate) fn stop(&mut self) {
        self.end("-INT");
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    fn end(&mut self, signal: &str) {
        fs::write(self.directory.join("keep"), "").unwrap();
        let pid = fs::read_to_string(self.directory.join("data/postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap().to_owned();
        let asked = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(asked.success());
        self.over.wait().unwrap();
    }

    /// Starts the server that was ended again.
    pub(crate) fn recover(&mut self, bin: &Path) {
        self.over = stand_over(bin, &self.directory, self.port, None);
        self.until_it_answers(bin);
    }

    fn until_it_answers(&self, bin: &Path) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !psql(bin, &self.url(), "SELECT 1") {
            let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "PostgreSQL does not start: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    /// The database as a whole.
    pub(crate) fn url(&self) -> String {
        format!("postgresql://impsgw@127.0.0.1:{}/postgres", self.port)
    }

    /// A store of its own within it.
    pub(crate) fn config(&self) -> PostgresConfig {
        static SCHEMAS: AtomicU32 = AtomicU32::new(0);
        let schema = format!("s{}", SCHEMAS.fetch_add(1, Ordering::Relaxed));
        assert!(psql(
            &binaries().unwrap(),
            &self.url(),
            &format!("CREATE SCHEMA {schema}")
        ));
        let connections = 6;
        PostgresConfig {
            connections,
            ..PostgresConfig::new(format!("{}?options=-csearch_path%3D{schema}", self.url()))
        }
    }
}

impl Server {
    /// Runs a statement in the place of a store.
    pub(crate) fn run_in(&self, config: &PostgresConfig, sql: &str) {
        assert!(psql(&binaries().unwrap(), &config.url, sql), "{sql}");
    }
}

/// A directory that the shell which stands over the server removes.
fn new_directory() -> PathBuf {
    let directory = tempfile::Builder::new().prefix("impsgw-pg-").tempdir();
    directory.unwrap().keep()
}

fn stand_over(bin: &Path, directory: &Path, port: u16, of: Option<u16>) -> Child {
    Command::new("bash")
        .args(["-c", OVER])
        .env("BIN", bin)
        .env("DIRECTORY", directory)
        .env("PORT", port.to_string())
        .env("OF", of.map(|port| port.to_string()).unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn psql(bin: &Path, url: &str, sql: &str) -> bool {
    let asked = Command::new(bin.join("psql"))
        .args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-c", sql, url])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    asked.is_ok_and(|status| status.success())
}

/// Makes a cluster, or a standby of the one at the port `OF`, unless it is there, and runs the server until nobody holds our
/// standard input; as another user where we are root, whom PostgreSQL refuses. No power is lost here, so nothing is flushed.
const OVER: &str = r#"
as=()
if [ "$(id -u)" = 0 ]; then
  as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
  chown postgres "$DIRECTORY"
fi
cd "$DIRECTORY" || exit 1
if [ -n "$OF" ] && [ ! -s data/PG_VERSION ]; then
  "${as[@]}" "$BIN/pg_basebackup" -D "$DIRECTORY/data" -R -X stream -c fast -N -h 127.0.0.1 -p "$OF" -U impsgw >"$DIRECTORY/log" 2>&1
fi
[ -s data/PG_VERSION ] || "${as[@]}" "$BIN/initdb" -D "$DIRECTORY/data" -U impsgw -A trust -E UTF8 --locale=C.UTF-8 -N >"$DIRECTORY/log" 2>&1
tls=()
if [ -e server.key ]; then
  [ "$(id -u)" != 0 ] || chown postgres server.key server.pem
  tls=(-c ssl=on -c ssl_cert_file="$DIRECTORY/server.pem" -c ssl_key_file="$DIRECTORY/server.key")
fi
"${as[@]}" "$BIN/postgres" -D "$DIRECTORY/data" -c listen_addresses=127.0.0.1 -c port="$PORT" -c unix_socket_directories="" \
  -c fsync=off -c max_connections=400 -c deadlock_timeout=100ms "${tls[@]}" >>"$DIRECTORY/log" 2>&1 </dev/null &
server=$!
exec 3<&0
(read -r _ <&3; kill -INT "$server") &
wait "$server"
[ -e keep ] && rm keep || rm -rf "$DIRECTORY"
"#;
