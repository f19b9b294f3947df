#!/usr/bin/env bash
# Runs every fuzz target for a bounded time: one line a target, then the sum. Exits 1 when one crashed.
#
#   fuzz/run.sh SECONDS [TARGET...]     each target runs for SECONDS; without targets, all of them
#
# New inputs go to fuzz/target/corpus/, which is not committed; a crash goes to fuzz/artifacts/<target>/. Put the crashing
# input, under a name that says what it is, into fuzz/corpus/<target>/: tests/corpus.rs replays it from then on.
set -uo pipefail
cd "$(dirname "$0")/.."
seconds=${1:?usage: fuzz/run.sh SECONDS [TARGET...]}
shift
targets=("$@")
if [ ${#targets[@]} = 0 ]; then
  for file in fuzz/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi
# cargo-fuzz wants flags that only a nightly compiler takes without this.
export RUSTC_BOOTSTRAP=1 CARGO_TERM_COLOR=never
unset CARGO_TARGET_DIR

if ! cargo fuzz --version >/dev/null 2>&1; then
  cargo install cargo-fuzz --locked || { echo "fuzz: cargo-fuzz can't be installed"; exit 1; }
fi
mkdir -p fuzz/target
log=fuzz/target/build.log
began=$SECONDS
cargo fuzz build -s none >"$log" 2>&1 || { cat "$log"; echo "fuzz: the targets don't build"; exit 1; }
echo "fuzz: ${#targets[@]} targets ready in $((SECONDS - began)) s"

passed=0 failed=0
for target in "${targets[@]}"; do
  log=fuzz/target/$target.log
  grown=fuzz/target/corpus/$target
  mkdir -p "$grown"
  corpora=("$grown")
  case $target in
    ssp) seeds=(fuzz/corpus/ssp tests/vectors/ssp) ;;
    zone) seeds=(fuzz/corpus/zone tests/vectors/zone zones) ;;
    *) seeds=("fuzz/corpus/$target") ;;
  esac
  for seed in "${seeds[@]}"; do [ -d "$seed" ] && corpora+=("$seed"); done
  # The outer limit is for an engine that hangs; an input that takes over 10 s is a crash of its own.
  if timeout $((seconds + 60)) cargo fuzz run "$target" -s none "${corpora[@]}" -- \
    -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 >"$log" 2>&1; then
    passed=$((passed + 1)) verdict=passed
  else
    failed=$((failed + 1)) verdict=FAILED
  fi
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -1)
  echo "fuzz: $target $verdict, ${executions:-0} executions"
  if [ "$verdict" = FAILED ]; then
    grep -aE 'panicked at|ERROR: libFuzzer' -A1 "$log" | head -4
    sed -n 's/.*Test unit written to */fuzz: artifact /p' "$log"
  fi
done
echo "fuzz: $passed passed, $failed failed"
[ "$failed" = 0 ]
