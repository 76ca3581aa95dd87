#!/bin/sh
# Secrets come as files named like the variable a library reads (PGPASSWORD, ORTHANC_PASSWORD, AWS_SECRET_ACCESS_KEY, ...),
# so that they stand in no image and in no description of a container. Then the program itself, which gets the signals.
set -eu
for file in "${SECRETS_FOLDER:-/run/secrets}"/[A-Z]*; do
    [ -f "$file" ] && [ -r "$file" ] || continue
    name=$(basename "$file")
    case "$name" in *[!A-Z0-9_]*) continue ;; esac
    value=$(cat "$file")
    export "$name=$value"
done
exec ostensor "$@"
