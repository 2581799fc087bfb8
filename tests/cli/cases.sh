# The shared part of the command's tests: each case is one line, and the last
# line is "N passed, N failed".  Sourced with the command's path as $1.
set -u
remora=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
work=$(mktemp -d)
passed=0
failed=0
out=$work/out
err=$work/err

ok() {
    passed=$((passed + 1))
    echo "ok    $1"
}
not_ok() {
    failed=$((failed + 1))
    echo "FAIL  $1"
    sed 's/^/      stdout: /' "$out" | head -n 5
    sed 's/^/      stderr: /' "$err" | head -n 5
}
check() { # check TITLE COMMAND...
    local title=$1
    shift
    if "$@"; then ok "$title"; else not_ok "$title"; fi
}
# run CODE ARGUMENTS...: the command ends with that exit code
run() {
    local want=$1 got=0
    shift
    "$remora" "$@" >"$out" 2>"$err" </dev/null || got=$?
    [ "$got" = "$want" ] || {
        echo "      exit code $got, not $want: remora $*"
        return 1
    }
}
# one sentence on stderr, of this program, and nothing on stdout
one_sentence() {
    [ "$(wc -l <"$err")" = 1 ] && grep -q '^remora: .' "$err" && [ ! -s "$out" ]
}
said() { grep -qF -- "$1" "$err"; }
printed() { grep -qF -- "$1" "$out"; }
finish() {
    rm -rf "$work"
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
}
