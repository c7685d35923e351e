#!/bin/sh
# As the official image does it: Matomo's files go into the volume, and here its configuration too, as after the installer.
set -eu

cd /var/www/html
mkdir -p config core plugins/Login tmp
cp /usr/src/matomo/console console
echo '<?php final class Version { const VERSION = '"'5.0.2'"'; }' >core/Version.php
echo '[Plugins]' >config/global.ini.php
if [ ! -f config/config.ini.php ]; then
    cat >config/config.ini.php <<INI
; <?php exit; ?> DO NOT REMOVE THIS LINE
[database]
host = "$MATOMO_DATABASE_HOST"
username = "$MATOMO_DATABASE_USERNAME"
password = "$(cat "$MATOMO_DATABASE_PASSWORD_FILE")"
dbname = "$MATOMO_DATABASE_DBNAME"
tables_prefix = "matomo_"

[General]
salt = "secret-salt"
INI
fi
chown -R www-data:www-data .
exec demo matomo --port 80 /source
