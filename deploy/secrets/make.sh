#!/bin/sh
# Random passwords, and a certificate signed by itself to try things with; what is here already stays.
set -eu
cd "$(dirname "$0")"
umask 022 # containers read them as users of their own; the folder is closed to others instead
chmod 700 .
make() { [ -s "$1" ] || head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$1"; }
for name in postgres_password orthanc_password grafana_password; do make "$name"; done
[ -s orthanc_users.json ] || printf '{"RegisteredUsers": {"ostensor": "%s"}}\n' "$(cat orthanc_password)" >orthanc_users.json
[ -s tls.crt ] || openssl req -x509 -newkey rsa:3072 -nodes -days 90 -subj "/CN=scans.example.org" \
    -addext "subjectAltName=DNS:scans.example.org,DNS:localhost" -keyout tls.key -out tls.crt 2>/dev/null
chmod 644 tls.key
