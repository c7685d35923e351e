//! compose/compose.yml as a whole: a database, a stand-in for Matomo, all sidecars, secrets as files, health by health.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;
use tests::engine::{Container, Network, Project, Recipe, Volume, image};
use tests::log::{self, Format, Traffic};
use tests::mail::{Auth, MailServer, Manners};
use tests::matomo::TOKEN;

const LINES: usize = 600;
const SERVICES: [&str; 7] =
    ["mariadb", "matomo", "archiver", "rsync-client", "log-analytics", "postfix", "maintenance"];
/// Letters that a careless script trips over.
const ROOT_PASSWORD: &str = "root \"secret\" $x";
const PASSWORD: &str = "matomo#secret;x";
/// What Matomo's installer would have made.
const TABLES: &str = "CREATE TABLE matomo_option (option_name VARCHAR(191) PRIMARY KEY, option_value LONGTEXT NOT NULL);\
     INSERT INTO matomo_option VALUES ('version_core', '5.0.2');\
     CREATE TABLE matomo_user (login VARCHAR(100) PRIMARY KEY, password VARCHAR(255));\
     INSERT INTO matomo_user VALUES ('admin', 'x');\
     CREATE TABLE matomo_site (idsite INT PRIMARY KEY, main_url VARCHAR(255));\
     INSERT INTO matomo_site VALUES (4, 'https://www.example.org');";

/// The folder `secrets`, as `.env.example` tells to make it.
fn secrets() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    for (name, secret) in [
        ("matomo_token", TOKEN),
        ("archiver_token", TOKEN),
        ("matomo_database_password", PASSWORD),
        ("mariadb_root_password", ROOT_PASSWORD),
        ("maintenance_token", ""),
        ("mtp_pass", ""),
        ("mtp_oauth_client_secret", ""),
        ("mtp_oauth_refresh_token", ""),
    ] {
        fs::write(folder.path().join(name), secret).unwrap();
    }
    folder
}

/// The logs of a web server, one of them rotated, and the sign that no more will come.
fn logs() -> Volume {
    let folder = tempfile::tempdir().unwrap();
    let lines = Traffic::seeded(5).lines(LINES);
    let (old, new) = lines.split_at(LINES / 2);
    log::write(&folder.path().join("access.log.1"), old, Format::Combined).unwrap();
    log::write(&folder.path().join("access.log"), new, Format::Combined).unwrap();
    fs::write(folder.path().join(".finished"), "").unwrap();
    let volume = Volume::new();
    volume.take(folder.path(), "logs");
    volume.sh("mv /volume/logs/* /volume/logs/.finished /volume && rmdir /volume/logs && chmod 755 /volume");
    volume
}

/// The web server: sshd, which lets in whose key it is given.
fn web_server(key: &str, logs: &Volume, network: &Network) -> Container {
    let recipe = Recipe::of("rsync-client").with(&["--user", "0:0", "--network", network.id()]);
    let recipe = recipe.with(&["--network-alias", "web1"]).mount(logs, "/data/rsync-client");
    recipe.env("SSH_AUTH_KEY", key).start(&["server"])
}

#[test]
fn the_whole_stack_comes_up_works_and_stops() {
    let (network, logs, secrets) = (Network::new(), logs(), secrets());
    let polite = Manners { auth: Auth::Nobody, ..Manners::default() };
    let provider = MailServer::start_at((network.gateway(), 0).into(), polite).unwrap();
    let mut stack = Project::of(&["compose/compose.yml", "tests/peers/compose.yml"]);
    for (question, answer) in [
        ("COMPOSE_PROFILES", "import,mail,backup"),
        ("NETWORK", network.name()),
        ("SOURCE", logs.name()),
        ("SECRETS_DIR", &secrets.path().display().to_string()),
        ("MARIADB_IMAGE", &image("mariadb")),
        ("MATOMO_IMAGE", &image("matomo")),
        ("MATOMO_PUBLISH", "127.0.0.1:0"),
        ("RSYNC_COMMANDS", "rsync -a --delete --max-delete=1000 root@web1:/ /analytics/logs/4/"),
        ("MATOMO_RSYNC_LOGS_CRON", "*/3 * * * * *"),
        ("RSYNC_RETRIES", "0"),
        ("MATOMO_LEDGER_SITE", "99"),
        ("MATOMO_IMPORT_LOGS_CRON", "*/2 * * * * *"),
        ("SETTLE_TIME", "0s"),
        ("MATOMO_ARCHIVE_CRON", "*/2 * * * * *"),
        ("MAINTENANCE_REHEARSE", "yes"),
        ("MATOMO_SERVER_NAME", "matomo.example.org"),
        ("MTP_RELAY", &network.gateway().to_string()),
        ("MTP_PORT", &provider.port().to_string()),
    ] {
        stack = stack.answer(question, answer);
    }

    stack.up(&["mariadb"]);
    let database = stack.container("mariadb");
    database.becomes("healthy");
    let password = format!("--password={ROOT_PASSWORD}");
    database.exec(&["mariadb", "--user=root", &password, "--execute", TABLES, "bitnami_matomo"]);
    stack.up(&[]);
    let running = |service: &'static str| (service, stack.container(service));
    let mut services: BTreeMap<&str, Container> = SERVICES[1..].iter().map(|service| running(service)).collect();
    services.insert("mariadb", database);

    // A person reads the key in the log and adds it at the web server.
    let client = &services["rsync-client"];
    client.until("the key is shown", |log| log.lines().any(|line| line.starts_with("ssh-ed25519 ")));
    let log = client.logs();
    let key = log.lines().find(|line| line.starts_with("ssh-ed25519 ")).unwrap();
    let _web_server = web_server(key, &logs, &network);
    let equal = format!("EQUAL: each of {LINES} lines arrived once");
    services["matomo"].says(&equal);

    services["archiver"].says("outcome=ok");
    // The backup of the real database, restored and compared, for which it is given root's password.
    services["maintenance"].says("Run ended job=backup result=success");
    services["maintenance"].exec(&["/usr/local/bin/maintenance", "verify"]);
    services["postfix"].becomes("healthy");
    services["postfix"].exec(&["/usr/local/bin/postfix-config", "send-test", "person@example.net"]);
    assert_eq!(provider.receives(1)[0].to, ["person@example.net"]);
    services.values().for_each(|container| container.becomes("healthy"));

    // The same archiver in Matomo's own image, as docs/archiver.md has it.
    stack.add("compose/compose.console.yml");
    stack.up(&["archiver"]);
    let archiver = stack.container("archiver");
    archiver.says("outcome=ok");
    archiver.becomes("healthy");
    services.insert("archiver", archiver);

    stack.stop();
    for (service, container) in &services {
        let end = container.end();
        assert_eq!(end.code, 0, "{service}\n{}", end.output);
    }
    // It says more when more hits come; the importer has run again and again meanwhile.
    assert_eq!(services["matomo"].logs().lines().last(), Some(equal.as_str()));
}
