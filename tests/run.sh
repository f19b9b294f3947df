#!/usr/bin/env bash
# Passes all the tests on a fresh machine: installs what they need, says what it skipped and why.
#
#   tests/run.sh               everything
#   tests/run.sh STAGE...      only these stages: lint build test browser peers lab deny fuzz doc
#   REQUIRE_PEERS=1            a missing peer fails instead of being skipped
#   FUZZ_SECONDS=15            how long each fuzz target runs, from the same seed each time
set -uo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never
REQUIRE_PEERS=${REQUIRE_PEERS:-0}
FUZZ_SECONDS=${FUZZ_SECONDS:-15}
all=(lint build test browser peers lab deny fuzz doc)
stages=("${@:-}")
[ -n "${stages[0]:-}" ] || stages=("${all[@]}")
passed=0 failed=0 skipped=0
failures=()
logs=target/stages # what each stage printed
mkdir -p "$logs"

say() { printf '\n== %s\n' "$*"; }

stage() { # name, function
  local name=$1 began=$SECONDS code
  case " ${stages[*]} " in *" $name "*) ;; *) return 0 ;; esac
  say "$name"
  "stage_$name" 2>&1 | tee "$logs/$name.log"
  code=${PIPESTATUS[0]}
  case $code in
    0) passed=$((passed + 1)); echo "-- $name passed in $((SECONDS - began)) s" ;;
    77) skipped=$((skipped + 1)); echo "-- $name SKIPPED after $((SECONDS - began)) s" ;;
    *) failed=$((failed + 1)); failures+=("$name"); echo "-- $name FAILED in $((SECONDS - began)) s" ;;
  esac
}

skip() { # reason; a required peer that is missing fails
  echo "SKIPPED: $*"
  [ "$REQUIRE_PEERS" = 1 ] && { echo "REQUIRE_PEERS=1, so this fails"; return 1; }
  return 77
}

need() { # command, debian package
  command -v "$1" >/dev/null 2>&1 && return 0
  echo "installing $2"
  if [ "$(id -u)" = 0 ]; then
    [ -n "${APT_UPDATED:-}" ] || { apt-get update -qq && APT_UPDATED=1; }
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >/dev/null || true
  fi
  command -v "$1" >/dev/null 2>&1
}

stage_lint() {
  cargo fmt --all -- --check && cargo clippy --all-targets --quiet -- -D warnings
}

stage_build() { cargo build --release --quiet && cargo test --no-run --quiet; }

# The package would start a server of its own, which nothing here needs.
need_postgres() {
  ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && return 0
  if [ "$(id -u)" = 0 ] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
  fi
  need initdb postgresql-15
  ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1
}

stage_test() {
  need curl curl || echo "curl can't be installed; the commands of docs/peering.md are not run"
  need_postgres || { [ "$REQUIRE_PEERS" = 1 ] && return 1; echo "SKIPPED: PostgreSQL can't be installed; its tests are not run"; }
  cargo test --quiet
}

stage_browser() {
  need chromium chromium || { skip "chromium can't be installed"; return; }
  cargo test --quiet --test main console || return 1
  need node nodejs && need npm npm || { skip "Node.js or npm can't be installed"; return; }
  npm install --prefix target/browser --no-save --no-audit --no-fund --silent playwright-core@1.64.1 \
    || { skip "playwright-core can't be installed"; return; }
  cargo build --release --quiet || return 1
  BROWSER_MODULES=$PWD/target/browser/package.json node tests/browser/handsets.mjs target/release/impsgw
}

stage_peers() {
  need python3 python3 || { skip "python3 can't be installed"; return; }
  need openssl openssl || { skip "openssl can't be installed"; return; }
  # What is tested is what the sources say now.
  cargo build --release --quiet || return 1
  # Every row in every set-up: partner and home server, over plain HTTP and over mutual TLS.
  python3 -m tests.peers.ssp_peer selftest --quick && python3 tests/peers/run.py || return 1
  python3 tests/peers/dns.py || { [ $? = 77 ] && skip "Knot, Unbound or dig is missing"; }
}

stage_lab() {
  cargo build --release --quiet || return 1
  timeout 120 cargo run --release --quiet -- lab --once
}

stage_deny() {
  [ -f deny.toml ] || { skip "deny.toml is not there"; return; }
  if ! command -v cargo-deny >/dev/null 2>&1; then
    CARGO_PROFILE_RELEASE_DEBUG=0 cargo install cargo-deny --locked --quiet || { skip "cargo-deny can't be installed"; return; }
  fi
  # It reads the crates of every platform, not only of this one.
  cargo fetch --locked --quiet || { skip "the crates of other platforms can't be fetched"; return; }
  cargo deny --offline check licenses bans sources
}

stage_doc() { RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --quiet; }

stage_fuzz() {
  # The engine is C++, and cargo-fuzz is installed by the script itself.
  need c++ g++ || { skip "a C++ compiler can't be installed"; return; }
  # The same inputs each time: what is found anew is found by `fuzz/run.sh`, not by whoever happens to run the tests.
  FUZZ_SEED=${FUZZ_SEED:-1} bash fuzz/run.sh "$FUZZ_SECONDS"
  local code=$?
  [ "$code" != 77 ] || { skip "cargo-fuzz can't be installed"; return; }
  return "$code"
}

for name in "${all[@]}"; do stage "$name"; done

# What failed is said again where it is seen: at the end.
for name in "${failures[@]}"; do
  grep -aE '^(FAIL|UNSTEADY|SKIPPED|error)|FAILED|panicked at' "$logs/$name.log" | head -20 | sed "s/^/$name: /"
done
[ "$failed" = 0 ] || printf 'failed stages: %s\n' "${failures[*]}"
printf 'stages: %d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ]
