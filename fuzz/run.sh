#!/usr/bin/env bash
# Runs every fuzz target for a bounded time: one line a target, then the sum. Exits 1 when one crashed, 77 when the fuzzing
# engine can't be had.
#
#   fuzz/run.sh SECONDS [TARGET...]     each target runs for SECONDS; without targets, all of them
#
# FUZZ_SEED=N makes the run repeatable: the engine draws from that seed and starts from the committed inputs alone. Without it
# each run draws anew and goes on from what earlier runs found.
#
# One build makes all targets; then as many run at once as there are processors (FUZZ_JOBS=N for another number). New
# inputs go to fuzz/target/corpus/, which is not committed; a crash goes to fuzz/artifacts/<target>/. Put the crashing input,
# under a name that says what it is, into fuzz/corpus/<target>/: tests/corpus.rs replays it from then on.
set -uo pipefail
cd "$(dirname "$0")/.."
seconds=${1:?usage: fuzz/run.sh SECONDS [TARGET...]}
shift
targets=("$@")
if [ ${#targets[@]} = 0 ]; then
  for file in fuzz/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi
jobs=${FUZZ_JOBS:-$(nproc)}
# cargo-fuzz wants flags that only a nightly compiler takes without this.
export RUSTC_BOOTSTRAP=1 CARGO_TERM_COLOR=never
unset CARGO_TARGET_DIR

if ! cargo fuzz --version >/dev/null 2>&1; then
  echo "installing cargo-fuzz"
  CARGO_PROFILE_RELEASE_DEBUG=0 cargo install cargo-fuzz --locked --quiet \
    || { echo "fuzz: cargo-fuzz can't be installed"; exit 77; }
fi
mkdir -p fuzz/target
log=fuzz/target/build.log
began=$SECONDS
cargo fuzz build -s none >"$log" 2>&1 || { cat "$log"; echo "fuzz: the targets don't build"; exit 1; }
echo "fuzz: ${#targets[@]} targets ready in $((SECONDS - began)) s"
programs=fuzz/target/$(rustc -vV | sed -n 's/^host: //p')/release

fuzz() { # target; one line, and the exit code of the engine
  local target=$1 log=fuzz/target/$1.log grown=fuzz/target/corpus/$1 corpora seeds seed code executions
  [ -z "${FUZZ_SEED:-}" ] || { grown=fuzz/target/seeded/$target && rm -rf "$grown"; }
  mkdir -p "$grown" "fuzz/artifacts/$target"
  corpora=("$grown")
  case $target in
    ssp | maps) seeds=("fuzz/corpus/$target" tests/vectors/ssp) ;;
    zone) seeds=(fuzz/corpus/zone tests/vectors/zone zones) ;;
    config) seeds=(fuzz/corpus/config config) ;;
    *) seeds=("fuzz/corpus/$target") ;;
  esac
  for seed in "${seeds[@]}"; do [ -d "$seed" ] && corpora+=("$seed"); done
  # The outer limit is for an engine that hangs; an input that takes over 10 s is a crash of its own.
  timeout $((seconds + 60)) "$programs/$target" "${corpora[@]}" -artifact_prefix="fuzz/artifacts/$target/" \
    -seed="${FUZZ_SEED:-0}" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 >"$log" 2>&1
  code=$?
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -1)
  if [ "$code" = 0 ]; then
    echo "fuzz: $target passed, ${executions:-0} executions"
  else
    echo "fuzz: $target FAILED, ${executions:-0} executions"
    grep -aE 'panicked at|ERROR: libFuzzer' -A1 "$log" | head -4
    sed -n 's/.*Test unit written to */fuzz: artifact /p' "$log"
  fi
  return "$code"
}

passed=0 failed=0 running=0
reap() {
  if wait -n; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
  running=$((running - 1))
}
for target in "${targets[@]}"; do
  [ "$running" -lt "$jobs" ] || reap
  fuzz "$target" &
  running=$((running + 1))
done
while [ "$running" -gt 0 ]; do reap; done
echo "fuzz: $passed passed, $failed failed"
[ "$failed" = 0 ]
