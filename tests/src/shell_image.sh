#!/bin/sh
# One pass in the manner of the shell image, for tests of the upgrade: what it takes, what it writes down and where.
# Written from a description of its behaviour; not its script.
#
#   ROOT      the volume: logs/<SITE_ID>/ and processed/<SITE_ID>/
#   MONTH     the month of the ledger, YYYY-MM
#   HOUR      the hour that is still being written, YYYY-MM-DD-HH
#   IMPORTER  a program called as: $IMPORTER import [options] FILE
#   NIGHT     not empty: the listed days are "invalidated", that is, forgotten
set -u

imports() { # SITE FILE: the importer's summary decides, as its exit code alone does not
    summary=$("$IMPORTER" import --idsite="$1" --recorders=1 --enable-http-errors --enable-http-redirects \
        --enable-static --enable-bots "$2" 2>/dev/null) || return 1
    count=$(printf '%s\n' "$summary" | sed -n 's/^ *\([0-9][0-9]*\) requests imported successfully.*/\1/p')
    [ "${count:-0}" -gt 0 ]
}

day_of() { # FILE: the date of its first line, as YYYY-MM-DD
    zcat -f -- "$1" | sed -n '1s|^[^[]*\[\([0-9]*\)/\([A-Z][a-z]*\)/\([0-9]*\):.*|\3 \2 \1|p' | {
        read -r year month day || exit 0
        case $month in
            Jan) month=01 ;; Feb) month=02 ;; Mar) month=03 ;; Apr) month=04 ;; May) month=05 ;; Jun) month=06 ;;
            Jul) month=07 ;; Aug) month=08 ;; Sep) month=09 ;; Oct) month=10 ;; Nov) month=11 ;; Dec) month=12 ;;
        esac
        echo "$year-$month-$day"
    }
}

for folder in "$ROOT"/logs/*/; do
    site=$(basename "$folder")
    state=$ROOT/processed/$site
    mkdir -p "$state"
    touch "$state/log.$MONTH" "$state/error" "$state/invalidate"
    find "$state" -name 'log.*' -mtime +63 -delete
    find "$ROOT/logs/$site" -type f -name 'access_log.*' ! -name "*$HOUR*" | sort | while IFS= read -r file; do
        if cat "$state"/log.* | grep -Fxq -- "$file"; then
            continue
        fi
        if imports "$site" "$file"; then
            printf '%s\n' "$file" >>"$state/log.$MONTH"
            day_of "$file" >>"$state/invalidate"
        else
            printf '%s\n' "$file" >>"$state/error"
            if [ "$(grep -Fxc -- "$file" "$state/error")" -ge 2 ]; then
                printf '%s\n' "$file" >>"$state/log.$MONTH"
            fi
        fi
    done
    if [ -n "${NIGHT:-}" ]; then
        : >"$state/invalidate"
    fi
done
