#!/usr/bin/env bash
# Queued messages of one and of three nodes on one PostgreSQL, each node held to a part of a processor: a quarter, or as said.
#
#   benches/nodes.sh [SECONDS [PERCENT]]
#
# Prints for each: messages a second that arrived, and statements and transactions of the database for each message. The
# database is the script's own, in a temporary folder on the disk, and is ended with it. Needs root for the control groups, and
# PostgreSQL as the distribution packages it.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-15}
quota=$((${2:-25} * 1000))
binary=target/release/impsgw
[ -x $binary ] || { echo "cargo build --release first"; exit 2; }
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
folder=$(mktemp -d /tmp/impsgw-nodes.XXXXXX)
port=$((20000 + RANDOM % 10000))
chmod 755 "$folder"
as_postgres() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
install -d -o postgres -g postgres "$folder/data" "$folder/run"
as_postgres "$bin/initdb" -D "$folder/data" -A trust -U postgres >/dev/null
as_postgres "$bin/postgres" -D "$folder/data" -c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories="$folder/run" \
  -c shared_preload_libraries=pg_stat_statements -c max_connections=200 >"$folder/postgres.log" 2>&1 &
server=$!

# A control group for each process that is started under the wrapper.
if [ -d /sys/fs/cgroup/cpu ]; then
  group() { echo 'g=/sys/fs/cgroup/cpu/impsgw-nodes-$$; mkdir -p $g; echo 100000 >$g/cpu.cfs_period_us; echo '$quota' >$g/cpu.cfs_quota_us; echo $$ >$g/cgroup.procs'; }
else
  group() { echo 'g=/sys/fs/cgroup/impsgw-nodes-$$; mkdir -p $g; echo "'$quota' 100000" >$g/cpu.max; echo $$ >$g/cgroup.procs'; }
fi
{ echo '#!/bin/sh'; group; echo 'exec "$@"'; } >"$folder/held"
chmod 755 "$folder/held"

finish() {
  kill "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
  rmdir /sys/fs/cgroup/cpu/impsgw-nodes-* /sys/fs/cgroup/impsgw-nodes-* 2>/dev/null || true
  rm -rf "$folder"
}
trap finish EXIT

sql() { as_postgres "$bin/psql" -h 127.0.0.1 -p $port -U postgres -qtA -d "$1" -c "$2"; }
until as_postgres "$bin/pg_isready" -q -h 127.0.0.1 -p $port; do kill -0 $server; sleep 0.1; done
sql postgres "CREATE EXTENSION pg_stat_statements"

for nodes in 1 3 1 3; do
  name=nodes_${nodes}_$RANDOM
  sql postgres "CREATE DATABASE $name"
  sql postgres "SELECT pg_stat_statements_reset()" >/dev/null
  report=$($binary load --queued --nodes $nodes --run-under "$folder/held" --warm-up 200 --in-flight $((nodes * 32)) \
    --seconds "$seconds" --store "postgres://postgres@127.0.0.1:$port/$name" --json)
  calls=$(sql postgres "SELECT sum(calls) FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid WHERE datname = '$name'")
  commits=$(sql postgres "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = '$name'")
  python3 - "$nodes" "$calls" "$commits" "$report" <<'PYTHON'
import json, sys
nodes, calls, commits, report = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
count = report["messages"] + report["plan"]["warm_up"]
print(f"{nodes} nodes: {report['delivered_per_second']:7.1f} messages/s queued and arrived, {calls / count:6.2f} statements and "
      f"{commits / count:5.2f} transactions each, {report['gateway']['cpu_seconds_per_10000']:.2f} CPU s/10,000; "
      f"lost {report['balance']['lost']}, repeated {report['balance']['repeated']}")
PYTHON
done
