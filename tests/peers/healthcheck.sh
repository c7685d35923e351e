#!/bin/sh
# The official image has a program of this name; whatever it is asked, this one logs in as Matomo does.
MYSQL_PWD=$(cat "$MARIADB_PASSWORD_FILE") \
    exec mariadb --no-defaults --protocol=tcp --user="$MARIADB_USER" --execute='SELECT 1' "$MARIADB_DATABASE"
