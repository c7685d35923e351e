<?php
// A stand-in for Matomo's console: says what the real one says, and ends as it ends. The file `scenario` beside it
// tells what to play; every call is noted in `calls.jsonl`.
$root = __DIR__;
$words = array_slice($argv, 1);
$command = $words[0] ?? '';
$scenario = explode(' ', trim((string) @file_get_contents("$root/scenario")) ?: 'ok');

function archivers(string $root): array {
    $lines = explode("\n", (string) shell_exec('ps -A -ww -o args='));
    return array_values(array_filter($lines, fn($line) => str_contains($line, 'console ') && str_contains($line, ' core:archive') && str_contains($line, $root)));
}
function note(array $call): void {
    global $root;
    file_put_contents("$root/calls.jsonl", json_encode($call) . "\n", FILE_APPEND | LOCK_EX);
}
function say(string $text, string $level = 'INFO'): void {
    printf("%-9s [%s] %d  %s\n", $level, gmdate('H:i:s'), getmypid(), $text);
    flush();
}
function site(int $site, string $elapsed = '0.123'): void {
    $today = gmdate('Y-m-d');
    say("Start processing archives for site $site.");
    say("Archived website id $site, period = day, date = $today, segment = '', 5 visits found. Time elapsed: 0.100s");
    say("Finished archiving for site $site, 4 API requests, Time elapsed: {$elapsed}s [1 / 2 done]");
}
function summary(int $archives): void {
    say('Done archiving!');
    say('SUMMARY');
    say("Processed $archives archives.");
    say("done: $archives req, 200 ms, no error");
}
function is_locked(): bool {
    global $root;
    $config = @parse_ini_file("$root/config/config.ini.php", true, INI_SCANNER_RAW) ?: [];
    return ($config['General']['maintenance_mode'] ?? '0') === '1';
}
function archive(array $scenario): int {
    switch (is_locked() ? 'maintenance' : $scenario[0]) {
        case 'nothing':
            summary(0);
            return 0;
        case 'silent':
            return 0;
        case 'stranger':
            echo "Archiving is complete, 16 archives were processed\n";
            return 0;
        case 'unfinished':
            site(1);
            return 0;
        case 'broken':
            fwrite(STDERR, "An exception without words that anybody knows\n");
            return 255;
        case 'warnings':
            site(1);
            summary(4);
            say('/var/www/html/core/Odd.php(7): Deprecated - this is odd', 'WARNING');
            return 1;
        case 'errors':
            site(1);
            say("Got invalid response from API request: ?module=API&method=CoreAdminHome.archiveReports&idSite=2&period=day&token_auth=5ec2e7c0ffee. Response was ''", 'ERROR');
            say('1 total errors during this script execution, please investigate and try and fix these errors.', 'ERROR');
            fwrite(STDERR, "1 total errors during this script execution, please investigate and try and fix these errors.\n");
            return 1;
        case 'maintenance':
            say("Archiving won't run because maintenance mode is enabled");
            return 0;
        case 'crowded':
            say('Reached maximum concurrent archivers allowed (1), aborting run.');
            return 0;
        case 'database-down':
            fwrite(STDERR, "SQLSTATE[HY000] [2002] Connection refused\n");
            return 255;
        case 'memory':
            site(1);
            ini_set('memory_limit', '16M');
            $all = '';
            while (true) { $all .= str_repeat('x', 1 << 20); }
        case 'crash':
            site(1);
            posix_kill(getmypid(), SIGSEGV);
            sleep(10);
            return 0;
        case 'killed':
            posix_kill(getmypid(), SIGKILL);
            sleep(10);
            return 0;
        case 'hang':
            site(1);
            while (true) { sleep(1); }
        case 'stubborn':
            pcntl_signal(SIGTERM, SIG_IGN);
            site(1);
            while (true) { sleep(1); }
        case 'handler':
            pcntl_async_signals(true);
            pcntl_signal(SIGTERM, function () {
                say('Received system signal to stop archiving: SIGTERM');
                say('Archiving will stop now');
                exit(0);
            });
            site(1);
            while (true) { usleep(50_000); }
        case 'slow':
            site(1);
            usleep((int) $scenario[1] * 1000);
            site(2);
            summary(8);
            return 0;
        case 'flood-line':
            for ($i = 0; $i < 640; $i++) { echo str_repeat('x', 16384); }
            echo "\n";
            site(1);
            summary(4);
            return 0;
        case 'flood-lines':
            for ($i = 0; $i < 200_000; $i++) { echo "INFO      [10:00:00] 1  line $i\n"; }
            site(1);
            summary(4);
            return 0;
        default:
            site(1);
            site(2, '81.5');
            summary(8);
            return 0;
    }
}

note(['words' => $words, 'pid' => getmypid(), 'uid' => posix_geteuid(), 'gid' => posix_getegid(),
    'token' => getenv('MATOMO_TOKEN') !== false, 'memory' => ini_get('memory_limit'),
    'archivers' => $command === 'core:archive' ? archivers($root) : []]);
switch ($command) {
    case 'core:archive':
        $code = archive($scenario);
        note(['ended' => $code]);
        exit($code);
    case 'diagnostics:archiving-queue':
        echo (string) @file_get_contents("$root/queue.json") ?: '[]', "\n";
        exit(0);
    case 'core:delete-logs-data':
        if (!in_array('--no-interaction', $words, true)) { exit(1); }
        if (is_executable("$root/delete")) { passthru("$root/delete"); }
        echo "Successfully deleted visits.\n";
        exit(0);
    case 'scheduled-tasks:run':
        if ($scenario[0] === 'silent') { exit(0); }
        echo "Scheduled Tasks executed\n";
        exit(0);
    case 'loginldap:synchronize-users':
        echo "Synced 3 users!\n";
        exit(0);
    case 'climulti:request':
        echo '{"result":"error","message":"no"}', "\n";
        exit(0);
    default:
        fwrite(STDERR, "Command \"$command\" is not defined.\n");
        exit(1);
}
