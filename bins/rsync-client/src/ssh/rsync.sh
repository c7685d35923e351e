# Written by rsync-client at every start. Commands find this rsync first; it runs the real one with their words.

# A daemon that goes silent ends the transfer, as SSH_STALL_TIMEOUT does for ssh: --timeout lets it give a sign of life,
# and the connection is ours, because --timeout alone does not end one that stalls in mid-transfer (rsync 3.5.0).
daemon= ours=1 idle=$stall port= given= word=
for next; do
    case $word in
        --timeout) idle=$next ;;
        --port) given=$next ;;
    esac
    word=$next
    case $word in
        rsync://*)
            daemon=1 host=${word#rsync://}
            host=${host%%/*}
            host=${host##*@}
            case ${host##*]} in *:*[!0-9]*) ;; *:*) port=${host##*:} ;; esac
            ;;
        [!-]*::*)
            # The first colon must be the double one, in front of any slash.
            case ${word%%:*} in */*) ;; *) case ${word#*:} in :*) daemon=1 ;; esac ;; esac
            ;;
        --timeout=*) idle=${word#*=} ;;
        --port=*) given=${word#*=} ;;
        -e* | -[!-]*e | --rsh* | --address* | --sockopts* | -4 | --ipv4 | -6 | --ipv6 | --server | --daemon) ours= ;;
    esac
done
if [ "$daemon" ] && [ "$ours" ] && [ "$idle" != 0 ] && [ -z "$RSYNC_PROXY$RSYNC_CONNECT_PROG" ]; then
    [ "$idle" -gt "$stall" ] 2>/dev/null || idle=$stall
    export RSYNC_CONNECT_PROG="$dial $connect $idle ${port:-${given:-873}} '%H'"
    set -- --timeout="$stall" "$@"
fi

# A command that is one rsync is judged by its own exit code.
[ "$RSYNC_CLIENT_TALLY" ] || exec "$real" "$@"

# A signal meets rsync as well; what it makes of it is noted like any other end.
trap : HUP INT TERM
"$real" "$@"
code=$?
sum() { printf '%s\n' "$@" | cksum | tr ' ' -; }
printf '%s %s %s\n' "$code" "$(sum "$@")" "$(sum "$word")" >> "$RSYNC_CLIENT_TALLY"
# Files that vanished are no failure, and must not keep the next command from running.
[ "$code" = 24 ] && exit 0
exit "$code"
