#!/usr/bin/env bash
# Puts a new sigver in the place of a running one, and turns nobody away meanwhile:
#
#   deploy/upgrade.sh PID [BINARY]
#
# PID is the running one and BINARY the new program, by default the file that PID
# was started from, as it is now. The new one gets the arguments, the environment
# and the directory of the old one; its process is printed. It logs to the same file
# as the old one, or to $LOG. The old one sends its clients away over its --drain;
# that it ends is waited for, but no longer than $WAIT seconds, by default 120.
set -euo pipefail

fail() { echo "upgrade.sh: $*" >&2; exit 1; }

[ $# -eq 1 ] || [ $# -eq 2 ] || fail 'usage: upgrade.sh PID [BINARY]'
old=$1 proc=/proc/$1
[ -r "$proc/environ" ] || fail "$old is no process of yours"
file=$(readlink "$proc/exe")
binary=$(realpath -- "${2:-${file% (deleted)}}")
[ -x "$binary" ] || fail "$binary is no program"
WAIT=${WAIT:-120}
log=${LOG:-$(readlink "$proc/fd/2")}
[ -n "${LOG:-}" ] || [ -f "$log" ] || log=/dev/null
readarray -d '' arguments <"$proc/cmdline"
readarray -d '' environment <"$proc/environ"
for variable in "${environment[@]}"; do
	[ "$variable" != "SYSTEMD_EXEC_PID=$old" ] ||
		fail "systemd would take the end of $old for the end of the service: start a second unit (docs/OPERATIONS.md)"
done

# The addresses that process $1 listens on (state 0A), as the kernel writes them.
listening() {
	{ ls -l "/proc/$1/fd" || true; } 2>/dev/null | sed -n 's/.*socket:\[\([0-9]*\)\]$/\1/p' |
		awk 'NR == FNR { own[$1]; next } $4 == "0A" && $10 in own { print $2 }' - /proc/net/tcp* | sort -u
}
addresses=$(listening "$old")
[ -n "$addresses" ] || fail "$old listens on no address"

cd "$(readlink "$proc/cwd")"
nohup setsid env -i "${environment[@]}" "$binary" "${arguments[@]:1}" --share-port </dev/null >/dev/null 2>>"$log" &
new=$!
until [ -z "$(comm -23 <(echo "$addresses") <(listening "$new"))" ]; do
	kill -0 "$new" 2>/dev/null || fail "the new one ended and the old one goes on; the log is in $log"
	if [ "$SECONDS" -gt 30 ]; then
		kill "$new"
		fail "the new one does not listen where the old one does, which goes on; the log is in $log"
	fi
	sleep 0.1
done
kill -TERM "$old"
echo "$new"
until=$((SECONDS + WAIT))
while readlink "$proc/exe" >/dev/null; do
	[ "$SECONDS" -lt "$until" ] || fail "$old has not ended in $WAIT s after SIGTERM; $new serves"
	sleep 0.1
done
