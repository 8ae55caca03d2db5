#!/usr/bin/env bash
# Starts a PostgreSQL server of your own in a folder, from Debian's package (apt-get install postgresql), and
# prints the URL for --study. It listens on this machine only: for others, set listen_addresses and pg_hba.conf
# in FOLDER/data as your network demands.
#
#   examples/postgresql.sh FOLDER          start, or go on
#   examples/postgresql.sh FOLDER stop
set -euo pipefail

folder=$(mkdir -p "${1:?a folder is needed}" && cd "$1" && pwd)
find_program() { command -v "$1" || ls /usr/lib/postgresql/*/bin/"$1" 2>/dev/null | tail -n 1; }
initdb=$(find_program initdb) && pg_ctl=$(find_program pg_ctl) && [[ -n $initdb && -n $pg_ctl ]] ||
    { echo "No PostgreSQL here: apt-get install postgresql" >&2; exit 1; }

# The server refuses to be run by root.
as=(); if ((EUID == 0)); then chown postgres "$folder"; as=(runuser -u postgres --); fi
cd "$folder"

if [[ ${2:-start} == stop ]]; then
    "${as[@]}" "$pg_ctl" -D "$folder/data" -m fast stop
    exit
fi
[[ -d data ]] || "${as[@]}" "$initdb" -D "$folder/data" -U nongreedy --auth=trust >/dev/null
"${as[@]}" "$pg_ctl" -D "$folder/data" -l "$folder/log" -o "-k $folder -c listen_addresses=localhost" -w start >/dev/null
echo "postgresql://nongreedy@/postgres?host=$folder"
