# shellcheck shell=bash
# What the scripts share: how they speak, and how they build. To be sourced; leaves the shell in the
# project's folder.
#
# Progress goes to stderr, one line per step. What a step prints goes to a log in build/logs, whose last
# lines are shown when the step fails.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "error: $*"
  exit 1
}

# step LABEL COMMAND...: runs the command, prints the label and the seconds it took
step() {
  local label=$1 start=$SECONDS status=0 log spinner
  shift
  mkdir -p build/logs
  log="build/logs/$(printf '%s' "$label" | tr -cs '[:alnum:].' '-').log"
  printf '%s ... ' "$label" >&2
  spin "$label" "$log" &
  spinner=$!
  "$@" </dev/null >"$log" 2>&1 || status=$?
  kill "$spinner" 2>/dev/null || true
  wait "$spinner" 2>/dev/null || true
  [ ! -t 2 ] || printf '\r\033[K%s ... ' "$label" >&2
  if [ "$status" -eq 0 ]; then
    say "$((SECONDS - start)) s"
  else
    say "failed after $((SECONDS - start)) s"
    tail -n 20 "$log" | sed 's/^/    /' >&2
    fail "$label: exit status $status$(likely_cause "$log"); everything it printed is in $log"
  fi
}

# On a terminal: the seconds so far and the last line of the log, until killed.
spin() {
  local start=$SECONDS last
  while [ -t 2 ] && sleep 1 && kill -0 $$ 2>/dev/null; do
    last=$(tail -n 1 "$2" 2>/dev/null | tr -cd '[:print:]' | cut -c "1-$((66 - ${#1}))")
    printf '\r\033[K%s ... %s s  %s' "$1" "$((SECONDS - start))" "$last" >&2
  done
}

likely_cause() {
  local no_network='could not resolve|failure resolving|name resolution|name or service not known'
  no_network+='|NewConnectionError|unable to connect|connection (refused|broken|timed out)'
  no_network+='|network is unreachable'
  if grep -qiE 'no space left|not have enough free space' "$1"; then
    printf ' (the disk is full)'
  elif grep -qiE "$no_network|is there a network" "$1"; then
    printf ' (is there no network?)'
  fi
}

# configure FOLDER CMAKE-OPTION...: does nothing when that was done with the same options
configure() {
  local folder=$1 prefixes=${CMAKE_PREFIX_PATH:-} options
  shift
  options="$* $prefixes"
  if [ -f "$folder/CMakeCache.txt" ] && [ "$(cat "$folder/.options" 2>/dev/null)" = "$options" ]; then
    return
  fi
  # CMake keeps the variable of this name in its cache, but forgets the environment's.
  step "configuring $folder" \
    cmake -S . -B "$folder" "-DCMAKE_PREFIX_PATH=${prefixes//:/;}" "$@"
  printf '%s\n' "$options" >"$folder/.options"
}

# build LABEL FOLDER CMAKE-BUILD-OPTION...: one job per core, and at least 2 GB of memory for each
build() {
  local label=$1 folder=$2 jobs
  shift 2
  jobs=$(awk -v cores="$(getconf _NPROCESSORS_ONLN)" '/^MemTotal/ {
    jobs = int($2 / 2e6); if (jobs > cores) jobs = cores; if (jobs < 1) jobs = 1; print jobs
  }' /proc/meminfo)
  step "$label" cmake --build "$folder" --parallel "$jobs" "$@"
}
