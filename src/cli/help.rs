//! What stands below the options in `--help`: examples, what `--json` prints, and exit codes that say more than usual.
//!
//! `docs/reference/cli.md` is made from it and from the definitions of the commands, so the page and the program agree.

pub(super) const ALL: &str = "\
Exit codes: 0 good, 1 the thing asked about is bad, 2 the command can't be understood.

Commands that ask a running gateway find its admin API and its first token through --config FILE
(or IMPSGW_CONFIG); from elsewhere, name them with --admin URL and --token-file FILE (IMPSGW_ADMIN,
IMPSGW_TOKEN_FILE).

Start here:
  impsgw lab                      a whole federation on this machine, played out
  impsgw check                    is my configuration good, and do my peers answer?
  impsgw route +447700900456      where does this number go, and why?";

pub(super) const SERVE: &str = "\
SIGTERM or ^C ends it in order; SIGHUP puts a changed configuration in force. The log goes to standard
error, as [gateway.log] says; RUST_LOG goes before that.

Examples:
  impsgw serve --config config/alpha.toml
  RUST_LOG=info,impsgw::gateways=debug impsgw serve";

pub(super) const LAB: &str = "\
Examples:
  impsgw lab                      plays the use cases, then stays up and says what to try
  impsgw lab --once               ends with exit code 0 when every step held
  impsgw lab --partner charlie.example --ca charlie-ca.pem --partner-server 127.0.0.1:7443
                                  a sandbox for a partner's own server; zones/README.md has its numbers";

pub(super) const LOAD: &str = "\
The gateway is a process of its own with a store on the disk; a home server and a partner stand on
either side of it, on loopback. Exit code 1 when an accepted message was lost or arrived twice.

Examples:
  impsgw load --seconds 10                       64 messages under way at once, one a document
  impsgw load --tls --batch 32 --reports         mutual TLS, 32 a document, reports come back
  impsgw load --rate 1000 --seconds 30           open loop: latency counts from when each was due
  impsgw load --peers 2000 --numbers 1000000     many agreements, many numbers
  impsgw load --against-nginx                    beside nginx, with the ratios

JSON: {\"plan\", \"messages\", \"seconds\", \"per_second\", \"latency\", \"gateway\", \"home\", \"partner\", \"balance\",
\"refusals\"}; with --against-nginx a list of two comparisons, TLS off and on, each with its \"ratios\".";

pub(super) const ZONE: &str = "\
Examples:
  impsgw zone serve --zones zones --listen 127.0.0.1:5300
  impsgw zone serve --gateway-view 10.0.0.53:53 --config /etc/impsgw.toml
                                          on a second address, the partners of the agreements at the
                                          gateway: for a home server that can't be told of it
  impsgw zone check zones                 every *.zone file there, together

On SIGHUP the zones and the partners of the configuration are read again.

JSON: serve prints one object a line: {\"view\", \"listening\", \"zones\"} at the start and
{\"changed\", \"removed\", \"kept\"} at each reload; check prints its report.";

pub(super) const COMPLETIONS: &str = "\
Examples:
  impsgw completions bash > /etc/bash_completion.d/impsgw
  impsgw completions zsh  > ~/.zfunc/_impsgw

JSON: {\"shell\", \"script\"}.";

pub(super) const CHECK: &str = "\
Each line is ok, WARN, FAIL or - (not tried), with what to do below it. Exit code 1 on a mistake or a
FAIL. No SSP document is sent, and nothing is changed.

Examples:
  impsgw check --offline          before a reload: is the file good?
  impsgw check                    before the first start: would it work?

JSON: {\"file\", \"good\", \"agreements\", \"mistakes\": [{\"file\", \"line\", \"text\"}],
\"findings\": [{\"grade\": \"ok|warn|fail|skip\", \"about\", \"what\", \"advice\"}]}.";

pub(super) const CERT: &str = "\
Examples:
  impsgw cert authority \"Alpha test authority\"
  impsgw cert issue alpha.example --host ssp.alpha.example
  impsgw cert show certs/alpha.example.pem --for alpha.example

JSON: authority {\"authority\", \"key\"}; issue {\"certificate\", \"key\", \"valid_until\"}; show {\"good\",
\"certificates\": [{\"file\", \"subject\", \"issuer\", \"dns_names\", \"srv_names\", \"is_authority\",
\"purposes\", \"not_before\", \"not_after\", \"days_left\", \"sha256\"}], \"findings\"}. Times are
milliseconds since 1970.";

pub(super) const PROBE: &str = "\
Needs the configuration only; the session is looked at when the gateway runs. Exit code 1 on a FAIL.

Examples:
  impsgw probe beta               the peer named beta in the agreements
  impsgw probe beta.example       a domain, with an agreement or without
  impsgw probe beta --open        have the gateway open a session, and wait for it

JSON: {\"peer\", \"reached\", \"good\", \"findings\": [{\"grade\", \"about\", \"what\", \"advice\"}]}.";

pub(super) const RELOAD: &str = "\
Listeners, the store and [home] keep what they were started with; agreements, routing and certificates
change. Exit code 1 when there are mistakes; then nothing is changed.

JSON: the answer of POST /api/v1/reload.";

pub(super) const ROUTE: &str = "\
Each line is a question with where its answer came from (DNS, cache, stale, override, home,
configuration) and how long it holds; `!` marks records that were passed over and why; `=>` is the
decision. Exit code 1 when there is no route.

Examples:
  impsgw route +447700900456
  impsgw route wv:bea@beta.example --service pres
  impsgw route +447700900456 --offline     without a gateway, from DNS alone

JSON: the answer of GET /api/v1/route: {\"address\", \"found\", \"user\", \"decision\", \"steps\"}.";

pub(super) const OVERRIDE: &str = "\
Examples:
  impsgw override add --number +447700900456 --to-domain beta.example --reason \"ticket 4711\" --for 24h
  impsgw override list
  impsgw override remove --number +447700900456

JSON: the answers of /api/v1/overrides.";

pub(super) const TRACE: &str = "\
Failed, stored and followed requests are kept in full, others as samples and as one line each. Exit code
1 when nothing is known.

Examples:
  impsgw trace +447700900456
  impsgw trace 796fb5b36317f51a

JSON: the answer of GET /api/v1/trace: {\"trails\", \"summaries\", \"is_cut\"}.";

pub(super) const WATCH: &str = "\
Examples:
  impsgw watch +447700900456 --for 30m

JSON: one trail after the other, as in `impsgw trace --json`.";

pub(super) const CACHE: &str = "\
Examples:
  impsgw cache list --state failed           what could not be resolved
  impsgw cache list --prefix +4477
  impsgw cache flush +447700900456           after a number was ported
  impsgw cache flush beta.example            after a peer moved its servers

JSON: the answer of /api/v1/cache: {\"entries\", \"stats\"}, or {\"flushed\"}.";

pub(super) const NODE: &str = "\
Examples:
  impsgw node list

Exit code 1 when a node is dead or does not answer. JSON: the answers of /api/v1/nodes.";

pub(super) const PEER: &str = "\
Examples:
  impsgw peer list
  impsgw peer suspend beta --reason \"maintenance until 06:00\"
  impsgw peer resume beta

JSON: the answers of /api/v1/peers.";

pub(super) const AGREEMENT: &str = "\
Examples:
  impsgw agreement show beta
  impsgw agreement check agreements/gamma.toml     a file of [[agreement]] tables, alone

JSON: the answers of /api/v1/agreements; check {\"file\", \"good\", \"agreements\", \"mistakes\"}.";

pub(super) const QUEUE: &str = "\
Examples:
  impsgw queue list                          how many wait, and how long
  impsgw queue list --queue beta.example
  impsgw queue hold --queue beta.example --reason \"ticket 4711\"     the whole queue, over restarts
  impsgw queue release --queue beta.example
  impsgw queue retry --place dead            try all dead items again
  impsgw queue redirect --queue beta.example --older-than 2h --to gamma --yes
  impsgw queue discard 1838340175236096 --reason \"ticket 4711\"

Exit code 1 when an item could not be settled, which is then named.
JSON: the answers of /api/v1/queues and /api/v1/items; of several items {\"done\", \"failed\"}.";

pub(super) const STORE: &str = "\
Examples:
  impsgw store backup /backup/impsgw-monday.db
  impsgw store check --file /backup/impsgw-monday.db

JSON: status {\"status\", \"queues\"}; check {\"file\", \"good\", \"checked\": {\"rows\", \"items\",
\"faults\"}}; backup {\"file\", \"backup\", \"octets\"}.";

pub(super) const HOME: &str = "\
An import is all or nothing: a line that can't become an account is named, and then none is made.
Passwords that are drawn have 128 random bits; one that you bring takes the gateway some hundredths of a second.

Examples:
  impsgw home add +447700900125 --user amy --name Amy
  impsgw home import accounts.csv --passwords passwords.csv
  impsgw home list --prefix +447700
  impsgw home close +447700900125        the number was ported out

JSON: the answers of /api/v1/accounts; import {\"imported\"}.";

pub(super) const TOKEN: &str = "\
Examples:
  impsgw token create noc-screen --role read --for 365d

JSON: the answers of /api/v1/tokens; recover {\"token_file\"}.";

pub(super) const AUDIT: &str = "\
Examples:
  impsgw audit --last 7d

JSON: the answer of GET /api/v1/audit.";
