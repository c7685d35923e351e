<?php
// Run by `php -r` beside Matomo; it reads Matomo's own configuration, so that no password passes through anybody's hands.
// Arguments: operation, Matomo's folder, and what the operation takes. The answer is one line of JSON.
function settings(string $folder): array {
    $found = [];
    foreach (['global.ini.php', 'common.config.ini.php', 'config.ini.php'] as $name) {
        $file = "$folder/config/$name";
        $read = is_readable($file) ? parse_ini_file($file, true, INI_SCANNER_RAW) : [];
        $found = array_merge($found, $read['database'] ?? []);
    }
    return array_map(fn($value) => is_string($value) ? html_entity_decode($value, ENT_COMPAT, 'UTF-8') : $value, $found);
}
function connection(array $at): mysqli {
    $link = mysqli_init();
    $flags = 0;
    if (!empty($at['enable_ssl'])) {
        $link->ssl_set($at['ssl_key'] ?? null, $at['ssl_cert'] ?? null, $at['ssl_ca'] ?? null, $at['ssl_ca_path'] ?? null, $at['ssl_cipher'] ?? null);
        $flags = empty($at['ssl_no_verify']) ? MYSQLI_CLIENT_SSL : MYSQLI_CLIENT_SSL_DONT_VERIFY_SERVER_CERT;
    }
    $socket = ($at['unix_socket'] ?? '') ?: null;
    $host = $at['host'] ?? '';
    if (str_starts_with($host, '/')) { [$socket, $host] = [$host, 'localhost']; }
    if ($socket !== null) { $host = 'localhost'; }
    $link->real_connect($host, $at['username'] ?? '', $at['password'] ?? '', $at['dbname'] ?? '', (int) ($at['port'] ?? 3306) ?: 3306, $socket, $flags);
    return $link;
}
function numbers(string $list): string {
    return implode(',', array_map('intval', explode(',', $list)));
}
try {
    mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
    [$operation, $folder] = array_slice($argv, 1);
    $rest = array_slice($argv, 3);
    $at = settings($folder);
    $prefix = preg_replace('/[^A-Za-z0-9_\-$]/', '', $at['tables_prefix'] ?? '');
    $link = connection($at);
    $count = 0;
    if ($operation === 'count-visits') {
        [$before, $sites] = [$rest[0], $rest[1] ?? ''];
        $where = $sites === '' ? '' : ' AND idsite IN (' . numbers($sites) . ')';
        $query = $link->prepare("SELECT COUNT(*) FROM `{$prefix}log_visit` WHERE visit_last_action_time < ?$where");
        $query->execute([$before]);
        $count = (int) $query->get_result()->fetch_row()[0];
    } elseif ($operation === 'free') {
        $query = $link->prepare("UPDATE `{$prefix}archive_invalidations` SET status = 0, ts_started = NULL WHERE status = 1 AND idsite = ? AND (ts_started IS NULL OR ts_started <= ?)");
        foreach ($rest as $pair) {
            [$site, $until] = explode('=', $pair, 2);
            $query->execute([(int) $site, $until]);
            $count += $query->affected_rows;
        }
    } else {
        throw new Exception("there is no operation $operation");
    }
    echo json_encode(['count' => $count]), "\n";
} catch (Throwable $error) {
    echo json_encode(['error' => $error->getMessage()], JSON_INVALID_UTF8_SUBSTITUTE), "\n";
    exit(1);
}
