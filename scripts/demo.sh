#!/usr/bin/env bash
# A session that never forgets: a counter is defined in the shell, the program is killed with SIGKILL, started again,
# and the counter goes on. Every answer is checked; the first that differs ends the demonstration with exit code 1.
#
#   scripts/demo.sh [FOLDER]     FOLDER must not exist and is kept; without it a temporary one is used and removed
#   EVERTURN=path/to/everturn    another binary than target/release/everturn
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

everturn=${EVERTURN:-${CARGO_TARGET_DIR:-target}/release/everturn}
# The first start compiles the JS engine; nothing here is measured by these, they only end a demonstration that hangs.
first_answer_seconds_max=300
answer_seconds_max=60

work=$(mktemp -d)
data=${1:-$work/demo}
shell_pid=

stop() {
    if [ -n "$shell_pid" ]; then
        kill -9 "$shell_pid" 2>/dev/null || true
        wait "$shell_pid" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap stop EXIT
trap '' PIPE

fail() {
    printf '\ndemo: FAILED: %s\n' "$1" >&2
    if [ -s "$work/stderr" ]; then
        printf 'demo: what everturn wrote to stderr:\n' >&2
        sed 's/^/    /' "$work/stderr" >&2
    fi
    exit 1
}

# Starts the shell with pipes as its terminal: 3 is what we type, 4 is what it answers.
start() {
    rm -f "$work/typed" "$work/answers"
    mkfifo "$work/typed" "$work/answers"
    : >"$work/stderr"
    printf '$ everturn shell --data demo\n'
    "$everturn" shell --data "$data" <"$work/typed" >"$work/answers" 2>"$work/stderr" &
    shell_pid=$!
    exec 3>"$work/typed" 4<"$work/answers"
}

type_line() {
    printf '> %s\n' "$1"
    printf '%s\n' "$1" >&3 || fail "the shell was gone before it could read: $1"
}

# The next line of the shell's answers has to be exactly this one.
expect() {
    local expected=$1 seconds_max=${2:-$answer_seconds_max} line
    if ! IFS= read -r -t "$seconds_max" line <&4; then
        fail "no answer within $seconds_max s, or the shell ended; expected: $expected"
    fi
    printf '%s\n' "$line"
    [ "$line" = "$expected" ] || fail "expected: $expected
              but got:  $line"
}

# Ends the shell at once, as a power cut would; it gets no chance to write anything.
kill_shell() {
    local code=0
    printf '  (kill -9 %s, without waiting for the answer)\n' "$shell_pid"
    kill -9 "$shell_pid" || fail "the shell had ended by itself before it was killed"
    wait "$shell_pid" 2>/dev/null || code=$?
    shell_pid=
    exec 3>&- 4<&-
    [ "$code" -eq 137 ] || fail "the shell ended with exit code $code, not by SIGKILL (137)"
}

# Ends the shell by the end of its input; nothing may be left to say, and it has to be content.
leave_shell() {
    local code=0 rest
    exec 3>&-
    if IFS= read -r -t "$answer_seconds_max" rest <&4; then
        fail "an answer that nothing asked for: $rest"
    fi
    wait "$shell_pid" 2>/dev/null || code=$?
    shell_pid=
    exec 4<&-
    [ "$code" -eq 0 ] || fail "the shell ended with exit code $code at the end of its input"
}

state_root() {
    "$everturn" root --data "$data" 2>"$work/stderr" || fail "everturn root ended with exit code $?"
}

[ -x "$everturn" ] || fail "there is no program $everturn; cargo build --release makes it"
[ ! -e "$data" ] || fail "$data exists; the demonstration starts from nothing"

source_text='function() { var counter = 0; return function() { return counter++; }; }'

start
expect 'Initialized session' "$first_answer_seconds_max"
type_line "var create_counter = $source_text;"
type_line 'var a = create_counter();'
type_line 'a();'
expect 0
type_line 'a();'
expect 1
type_line 'var b = create_counter(); b();'
expect 0
type_line 'b();'
kill_shell

start
expect 'Restored session' "$first_answer_seconds_max"
type_line 'create_counter'
expect "$source_text"
type_line 'a();'
expect 2
leave_shell

printf '$ everturn root --data demo\n'
root=$(state_root)
printf '%s\n' "$root"
# A CIDv1 in base32 or base58btc.
grep -Eqx 'b[a-z2-7]{50,}|z[1-9A-HJ-NP-Za-km-z]{40,}' <<<"$root" || fail "that is no state root"
again=$(state_root)
[ "$root" = "$again" ] || fail "asked again, with nothing done since, the root is another: $again"

printf '\ndemo: passed: the counter went on from where it was killed\n'
