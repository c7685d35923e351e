#!/bin/sh
# A real MariaDB, set up by the variables of the official image: a database, its user, passwords from files.
set -eu

install -d -o mysql -g mysql /run/mysqld
if [ ! -d /var/lib/mysql/mysql ]; then
    chown mysql:mysql /var/lib/mysql
    mariadb-install-db --user=mysql --skip-test-db --auth-root-authentication-method=normal >/dev/null
fi
# Read before anybody may connect.
cat >/run/mysqld/init.sql <<SQL
ALTER USER root@localhost IDENTIFIED BY '$(cat "$MARIADB_ROOT_PASSWORD_FILE")';
CREATE USER IF NOT EXISTS root@'%' IDENTIFIED BY '$(cat "$MARIADB_ROOT_PASSWORD_FILE")';
GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;
CREATE DATABASE IF NOT EXISTS $MARIADB_DATABASE CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS $MARIADB_USER@'%' IDENTIFIED BY '$(cat "$MARIADB_PASSWORD_FILE")';
GRANT ALL ON $MARIADB_DATABASE.* TO $MARIADB_USER@'%';
SQL
exec mariadbd --no-defaults --user=mysql --datadir=/var/lib/mysql --socket=/run/mysqld/mysqld.sock --skip-name-resolve \
    --innodb-buffer-pool-size=64M --innodb-log-file-size=16M --init-file=/run/mysqld/init.sql "$@"
