//! The files that operators deploy, against what the programs read and what the real `docker-compose` accepts.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use tests::deployment::compose::{Service, Stack, judged, when_answered, when_unset};
use tests::deployment::form::{
    Question, asked_by_the_template, everything, filled_in, least_answers, names_in, questions, uses,
};
use tests::deployment::kubernetes::manifests;
use tests::deployment::reference::{SIDECARS, declared_as, variables};
use tests::deployment::template::Answers;
use tests::repository::{read, root};

const COMPOSE: &str = "compose/compose.yml";
const CONSOLE: &str = "compose/compose.console.yml";
const RENEW: &str = "run: UPDATE_DOCS=1 cargo test -p tests --test compose_files";

const PATHS: &str = "the files place it on a volume";
const SERVER: &str = "for the server mode, which is another container";
const TUNING: &str = "measured defaults; whoever tunes them adds a line to the file";
const OPEN: &str = "an open set, which no form can ask for; add lines to the file";
const STOP: &str = "belongs to the grace that the file gives";

/// What the form does not ask, and why. A sidecar of `*` means all of them.
const LEFT_OUT: &[(&str, &str, &str)] = &[
    ("*", "NO_COLOR", "containers have no terminal"),
    ("*", "HEALTH_FILE", PATHS),
    ("*", "SHUTDOWN_GRACE", STOP),
    ("*", "STOP_POLICY", STOP),
    ("*", "STOP_SIGNAL_TO_JOB", STOP),
    ("*", "VOLUME_WAIT", TUNING),
    ("*", "RUN_AT_START", TUNING),
    ("*", "CATCH_UP_WITHIN", TUNING),
    ("*", "OVERLAP", TUNING),
    ("*", "JITTER", TUNING),
    ("*", "JOB_ATTEMPTS", TUNING),
    ("*", "JOB_RETRY_DELAY", TUNING),
    ("*", "MAX_CONSECUTIVE_FAILURES", TUNING),
    ("*", "LATE_AFTER", TUNING),
    ("*", "LOCK_WAIT", TUNING),
    ("*", "ANALYTICS_DIR", PATHS),
    ("archiver", "MATOMO_CONSOLE", "found by itself in both layouts of Matomo's images"),
    ("archiver", "MATOMO_PHP", "found by itself in both layouts of Matomo's images"),
    ("archiver", "RUN_AS_USER", "the default, the owner of Matomo's files, is right in both layouts"),
    ("archiver", "CONSOLE_JOB_*", OPEN),
    ("archiver", "ARCHIVE_STUCK_AFTER", TUNING),
    ("archiver", "WAIT_FOR_MATOMO", TUNING),
    ("archiver", "STATE_DIR", PATHS),
    ("archiver", "HISTORY_RUNS", TUNING),
    ("archiver", "STOP_FAREWELL", STOP),
    ("log-analytics", "LEDGER_URL", PATHS),
    ("log-analytics", "LEGACY_STATE_DIR", PATHS),
    ("log-analytics", "MATOMO_BATCH_SIZE", TUNING),
    ("log-analytics", "SITE_TURN", TUNING),
    ("log-analytics", "IMPORT_WINDOW", TUNING),
    ("log-analytics", "MATOMO_REQUEST_TIMEOUT", TUNING),
    ("log-analytics", "MATOMO_REQUEST_ATTEMPTS", TUNING),
    ("log-analytics", "MATOMO_RETRY_DELAY", TUNING),
    ("log-analytics", "MATOMO_IN_DOUBT_WAIT", TUNING),
    ("log-analytics", "REPORT_TOKEN", "HEALTH_LISTEN answers inside the stack; who publishes its port adds a secret"),
    ("maintenance", "MAINTENANCE_DIR", PATHS),
    ("maintenance", "MAINTENANCE_ZSTD_LEVEL", TUNING),
    ("maintenance", "MAINTENANCE_SETTLE_TIME", TUNING),
    ("maintenance", "MATOMO_CONFIG", "found by itself in MATOMO_DIR"),
    ("maintenance", "MATOMO_CONSOLE", "upgrade-guard is run by hand, in an image with PHP"),
    ("maintenance", "RUN_AS_USER", "the default, the owner of Matomo's files, is right in both layouts"),
    ("maintenance", "MARIADB_TLS", "Matomo's own configuration says it; the stack's server is on the stack's network"),
    ("maintenance", "BACKUP_KEY", "for sets that leave the host: a file that whoever keeps them elsewhere mounts"),
    ("postfix-config", "MTP_CONFIG_DIR", PATHS),
    ("postfix-config", "MTP_QUEUE_DIR", PATHS),
    ("postfix-config", "MTP_DATA_DIR", PATHS),
    ("postfix-config", "MTP_LISTEN_PORT", "the other containers expect postfix:25"),
    ("postfix-config", "MTP_HEALTH_QUEUE_AGE", TUNING),
    ("postfix-config", "MTP_HEALTH_MAX_DEFERRED", TUNING),
    ("postfix-config", "POSTFIX_*", OPEN),
    ("postfix-config", "POSTFIXMASTER_*", OPEN),
    ("postfix-config", "MTP_OAUTH_PORT", "seen on the loopback of the container only"),
    ("postfix-config", "MTP_OAUTH_TOKEN_FILE", "whoever keeps that file fresh adds a container, and a volume for both"),
    ("rsync-client", "CRON_TASK_*", OPEN),
    ("rsync-client", "RSYNC_RETRY_DELAY", TUNING),
    ("rsync-client", "RSYNC_SPLIT", TUNING),
    ("rsync-client", "SSH_DIR", PATHS),
    ("rsync-client", "SSH_CONNECT_TIMEOUT", TUNING),
    ("rsync-client", "SSH_STALL_TIMEOUT", TUNING),
    ("rsync-client", "SSH_AUTH_KEY", SERVER),
    ("rsync-client", "SSH_AUTH_KEY*", SERVER),
    ("rsync-client", "SSH_SERVER_DIR", SERVER),
    ("rsync-client", "SSH_PORT", SERVER),
    ("rsync-client", "SSH_PARAMS", SERVER),
    ("rsync-client", "SSH_HOST_KEYS_DIR", SERVER),
];

/// Questions that only Rancher can ask, and what stands for them in compose.
const RANCHER_ONLY: &[(&str, &str)] = &[
    ("RANCHER_CRON", "Rancher's scheduler"),
    ("HOST_LABELS", "Rancher's scheduler"),
    ("MARIADB_HOST_LABELS", "Rancher's scheduler"),
    ("ANALYTICS_DRIVER_OPTS", "edit `volumes`"),
    ("BACKUPS_DRIVER_OPTS", "edit `volumes`"),
    ("MARIADB_DRIVER_OPTS", "edit `volumes`"),
    ("MATOMO_DRIVER_OPTS", "edit `volumes`"),
    ("WITH_MARIADB", "remove the service"),
    ("WITH_RSYNC_CLIENT", "profile `import`"),
    ("WITH_POSTFIX", "profile `mail`"),
    ("WITH_MAINTENANCE", "profile `backup`"),
    ("MATOMO_DIR", "fixed by the official image"),
    ("MARIADB_DIR", "fixed by the official image"),
    ("MATOMO_USERNAME", "asked by Matomo's installer"),
    ("MATOMO_PASSWORD", "asked by Matomo's installer"),
    ("MATOMO_EMAIL", "asked by Matomo's installer"),
    ("MATOMO_WEBSITE_NAME", "asked by Matomo's installer"),
    ("MATOMO_WEBSITE_HOST", "asked by Matomo's installer"),
    ("ARCHIVER_IMAGE", "compose.console.yml"),
    ("ARCHIVER_TOKEN", "secret `archiver_token`"),
    ("ARCHIVER_TOKEN_FILE", "secret `archiver_token`"),
    ("MAINTENANCE_TOKEN", "secret `maintenance_token`"),
    ("MARIADB_ROOT_PASSWORD", "secret `mariadb_root_password`"),
    ("MARIADB_ROOT_PASSWORD_FILE", "secret `mariadb_root_password`"),
    ("MATOMO_DATABASE_PASSWORD", "secret `matomo_database_password`"),
    ("MATOMO_DATABASE_PASSWORD_FILE", "secret `matomo_database_password`"),
    ("MATOMO_TOKEN", "secret `matomo_token`"),
    ("MATOMO_TOKEN_FILE", "secret `matomo_token`"),
    ("MTP_OAUTH_CLIENT_SECRET", "secret `mtp_oauth_client_secret`"),
    ("MTP_OAUTH_REFRESH_TOKEN", "secret `mtp_oauth_refresh_token`"),
    ("MTP_PASS", "secret `mtp_pass`"),
];

/// What compose.yml asks for beyond the form: what else its services from other makers need.
const COMPOSE_ONLY: [&str; 4] = ["ARCHIVER_MEMORY", "MARIADB_MEMORY", "MATOMO_MEMORY", "MATOMO_PUBLISH"];

/// Defaults of .env.example that are not those of the form, and why.
const OTHER_DEFAULTS: &[(&str, &str)] = &[
    ("ARCHIVE_MODE", "the archiver's own image has no console"),
    ("MARIADB_IMAGE", "a new stack has none that runs today"),
    ("MATOMO_IMAGE", "a new stack has none that runs today"),
    ("MATOMO_SERVER_NAME", "the catalog's own default is a name of the EEA"),
    ("SECRETS_DIR", "compose mounts each secret by itself"),
];

/// Defaults that the reference leaves to the program, because they depend on the stack.
const OF_THE_STACK: &[(&str, &str)] = &[
    ("TZ", "postfix-config leaves it to Postfix, whose zone is UTC too"),
    ("MATOMO_URL", "the name of the service"),
    ("MARIADB_HOST", "the name of the service"),
    ("MARIADB_PORT_NUMBER", "MariaDB's own"),
    ("MATOMO_DATABASE_NAME", "what the old stack called it"),
    ("MATOMO_DATABASE_USER", "what the old stack called it"),
    ("MATOMO_DIR", "where the old stack had it"),
    ("MATOMO_SERVER_NAME", "the catalog's own default, without the slash at its end"),
];

/// Which test shows that the answer to a question has its effect; `FILE::TEST` below tests/tests, or a path.
const PROOFS: &str = include_str!("../src/deployment/proofs.txt");

fn none(found: &[String], lesson: &str) {
    assert!(found.is_empty(), "{lesson}\n  {}", found.join("\n  "));
}

/// Everything that a file passes to each sidecar, by the declared name; and what is not declared.
fn passed(stack: &Stack) -> (BTreeMap<String, BTreeSet<String>>, Vec<String>) {
    let (mut passed, mut strange) = (BTreeMap::<String, BTreeSet<String>>::new(), Vec::new());
    for (sidecar, service) in stack.sidecars() {
        let declared = variables(&sidecar);
        for name in service.environment().into_keys() {
            match declared_as(&declared, name) {
                Some(known) => drop(passed.entry(sidecar.clone()).or_default().insert(known)),
                None => strange.push(format!("{sidecar}: {name}")),
            }
        }
    }
    (passed, strange)
}

/// compose.yml, and what compose.console.yml adds.
fn passed_by_compose() -> BTreeMap<String, BTreeSet<String>> {
    let (mut all, _) = passed(&Stack::of(COMPOSE));
    for (sidecar, names) in passed(&Stack::of(CONSOLE)).0 {
        all.entry(sidecar).or_default().extend(names);
    }
    all
}

fn asked() -> BTreeSet<String> {
    questions().into_iter().map(|question| question.variable).collect()
}

#[test]
fn every_variable_that_a_file_passes_is_read_by_its_sidecar() {
    for (file, stack) in [
        (COMPOSE, Stack::of(COMPOSE)),
        (CONSOLE, Stack::of(CONSOLE)),
        ("the template", everything()),
        ("the template", Stack::parse(&filled_in(&least_answers()))),
    ] {
        let (passed, strange) = passed(&stack);
        assert!(!passed.is_empty(), "{file} has no sidecar");
        none(&strange, &format!("{file} passes variables that are not in docs/reference/environment.md"));
    }
}

#[test]
fn every_variable_that_an_operator_needs_is_in_the_form() {
    let (passed, _) = passed(&everything());
    let mut stale: BTreeSet<_> = LEFT_OUT.iter().collect();
    let mut missing = Vec::new();
    for (sidecar, _) in SIDECARS {
        for name in variables(sidecar).into_keys().filter(|name| !passed[*sidecar].contains(name)) {
            let reason = LEFT_OUT.iter().find(|(of, left, _)| (*of == "*" || of == sidecar) && *left == name);
            match reason {
                Some(known) => drop(stale.remove(known)),
                None => missing.push(format!("{sidecar}: {name}")),
            }
        }
    }
    none(&missing, "ask for it in the form and pass it on in the template, or give the reason in LEFT_OUT");
    let stale: Vec<String> = stale.into_iter().map(|(of, name, _)| format!("{of}: {name}")).collect();
    none(&stale, "these are passed on, or are no longer read: take them out of LEFT_OUT");
}

#[test]
fn compose_and_the_form_pass_the_same() {
    let (mut form, mut compose) = (passed(&everything()).0, passed_by_compose());
    // Where a volume is mounted is the business of each file.
    for names in form.values_mut().chain(compose.values_mut()) {
        names.remove("MATOMO_DIR");
    }
    assert_eq!(compose, form);
}

#[test]
fn every_question_is_used_and_nothing_else_is_used() {
    assert_eq!(asked_by_the_template(), asked());
}

#[test]
fn the_defaults_of_the_form_are_those_of_the_programs() {
    let questions: BTreeMap<String, Question> =
        questions().into_iter().map(|question| (question.variable.clone(), question)).collect();
    let mut wrong = Vec::new();
    for (sidecar, service) in everything().sidecars() {
        let declared = variables(&sidecar);
        for (name, value) in service.environment() {
            let Some(question) = names_in(&value).first().and_then(|name| questions.get(name)) else { continue };
            let default = declared_as(&declared, name).and_then(|name| declared[&name].clone()).unwrap_or_default();
            let of_the_stack = OF_THE_STACK.iter().any(|(name, _)| *name == question.variable);
            if question.default != default && !of_the_stack {
                wrong.push(format!("{sidecar}: {name} is `{default}`, the form says `{}`", question.default));
            }
        }
    }
    none(&wrong, "the form shows what the programs do when nothing is answered");
}

#[test]
fn the_form_asks_in_rancher_s_words() {
    let kinds = ["string", "int", "password", "multiline", "enum"];
    let mut wrong = Vec::new();
    for question in questions() {
        let offered = question.options.is_empty() || question.options.contains(&question.default);
        let is_enum = question.kind == "enum";
        if !kinds.contains(&question.kind.as_str()) || is_enum == question.options.is_empty() || !offered {
            wrong.push(question.variable.clone());
        }
        assert!(!question.label.is_empty() && question.description.ends_with(['.', '"', '*']), "{question:?}");
    }
    none(&wrong, "these questions have a type or a default that Rancher does not offer");
    let doubled = questions().len() - asked().len();
    assert_eq!(doubled, 0, "a question is asked twice");
}

/// Answers for every way through the yes/no questions, with the other ones empty or answered.
fn all_branches() -> Vec<Answers> {
    let is_choice = |question: &Question| question.options.iter().any(|option| option == "true");
    let choices: Vec<String> = questions().iter().filter(|q| is_choice(q)).map(|q| q.variable.clone()).collect();
    let optional: Vec<String> = questions()
        .iter()
        .filter(|q| q.options.is_empty() && q.default.is_empty())
        .map(|q| q.variable.clone())
        .collect();
    let mut all = Vec::new();
    for filled in [false, true] {
        for bits in 0..1_u32 << choices.len() {
            let mut answers = least_answers();
            for (place, name) in choices.iter().enumerate() {
                answers.insert(name.clone(), (bits >> place & 1 == 1).to_string());
            }
            for name in optional.iter().filter(|_| filled) {
                let options = "type: nfs, o: \"addr=10.0.0.1,rw\", device: \":/a\"";
                let answer = match name.as_str() {
                    name if name.ends_with("_OPTS") => options,
                    name if name.ends_with("_DIR") || name.ends_with("_FILE") => "/run/secrets/x",
                    name if name.ends_with("_CRON") => "0 0 4 * * *",
                    "RSYNC_COMMANDS" => {
                        "rsync -e \"ssh -p 2222\" -a 'root@a:/var/log/' /analytics/logs/4/ ;\nrsync -a b:/ /analytics/logs/7/"
                    }
                    _ => "some-answer",
                };
                answers.insert(name.clone(), answer.to_owned());
            }
            all.push(answers);
        }
    }
    all
}

#[test]
fn every_branch_of_the_template_is_a_compose_file_with_what_was_asked_for() {
    let branches = all_branches();
    assert_eq!(branches.len(), 64, "five yes/no questions, with the rest empty or answered");
    for answers in branches {
        let text = filled_in(&answers);
        assert!(!text.contains("{{") && !text.contains("{{-"), "{text}");
        let stack = Stack::parse(&text);
        let services = stack.services();
        let yes = |name: &str| answers[name] == "true";
        for (question, service) in [
            ("WITH_MARIADB", "mariadb"),
            ("WITH_RSYNC_CLIENT", "rsync-client"),
            ("WITH_POSTFIX", "postfix"),
            ("WITH_MAINTENANCE", "maintenance"),
        ] {
            assert_eq!(services.contains_key(service), yes(question), "{question} {text}");
        }
        for service in ["log-analytics", "archiver"] {
            assert_eq!(labels_of_cron(&services[service]), yes("RANCHER_CRON"), "{service} {text}");
        }
        let job = yes("RANCHER_CRON") && !answers["MATOMO_LDAP_CRON"].is_empty();
        assert_eq!(services.contains_key("archiver-ldap"), job, "{text}");
        let by_label = services.values().all(|service| {
            service.labels().contains_key("io.rancher.scheduler.affinity:host_label")
                != answers["HOST_LABELS"].is_empty()
        });
        assert!(by_label, "HOST_LABELS {text}");
    }
}

/// Whether Rancher starts the container by its scheduler: both labels and the command of one run, or none of them.
fn labels_of_cron(service: &Service<'_>) -> bool {
    let labels = service.labels();
    let once = service.list("command").first() == Some(&"once");
    let signs = [labels.contains_key("cron.schedule"), labels.contains_key("io.rancher.container.start_once"), once];
    assert!(signs.iter().all(|sign| *sign == signs[0]), "{labels:?}");
    once
}

#[test]
fn docker_compose_accepts_the_template_in_every_style() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("docker-compose.yml");
    let branches = all_branches();
    // All no, all yes; without and with the rest answered. The other branches differ by whole services.
    for answers in [&branches[0], &branches[31], &branches[32], &branches[63]] {
        fs::write(&file, filled_in(answers)).unwrap();
        let config = judged(&[&file], &[], answers).unwrap_or_else(|complaint| panic!("{complaint}"));
        assert!(config.contains("log-analytics") && !config.contains("${"), "{config}");
    }
    fs::write(&file, "version: \"2\"\nservices:\n  a:\n    image: ${NOBODY}\n").unwrap();
    assert!(judged(&[&file], &[], &least_answers()).is_err(), "a warning counts");
}

#[test]
fn docker_compose_accepts_every_profile_and_the_example_of_answers() {
    let compose = root().join(COMPOSE);
    let always = ["archiver", "mariadb", "matomo"];
    let example = ["--env-file", "compose/.env.example"];
    for (profiles, more) in [
        (&[][..], &[][..]),
        (&["import"], &["log-analytics", "rsync-client"]),
        (&["mail"], &["postfix"]),
        (&["backup"], &["maintenance"]),
        (&["import", "mail", "backup"], &["log-analytics", "maintenance", "postfix", "rsync-client"]),
    ] {
        let chosen = profiles.iter().flat_map(|profile| ["--profile", profile]);
        let options: Vec<&str> = example.into_iter().chain(chosen).collect();
        let config = judged(&[&compose], &options, &Answers::new()).unwrap_or_else(|complaint| panic!("{complaint}"));
        let stack = Stack::parse(&config);
        // The classic program shows the services of other profiles too.
        let is_chosen = |service: &Service<'_>| {
            let of = service.list("profiles");
            of.is_empty() || of.iter().any(|profile| profiles.contains(profile))
        };
        let services = stack.services().into_iter().filter(|(_, service)| is_chosen(service));
        let services: Vec<&str> = services.map(|(name, _)| name).collect();
        let mut expected: Vec<&str> = always.iter().chain(more).copied().collect();
        expected.sort_unstable();
        assert_eq!(services, expected, "profiles {profiles:?}");
    }
    let console = root().join(CONSOLE);
    let config = judged(&[&compose, &console], &example, &Answers::new()).unwrap_or_else(|fault| panic!("{fault}"));
    assert!(config.contains("archiver-console") && config.contains("CONCURRENT_ARCHIVERS"), "{config}");
}

fn program(sidecar: &str) -> &'static str {
    match sidecar {
        "archiver" => env!("CARGO_BIN_EXE_archiver"),
        "log-analytics" => env!("CARGO_BIN_EXE_log-analytics"),
        "maintenance" => env!("CARGO_BIN_EXE_maintenance"),
        "postfix-config" => env!("CARGO_BIN_EXE_postfix-config"),
        "rsync-client" => env!("CARGO_BIN_EXE_rsync-client"),
        _ => panic!("no program is named {sidecar}"),
    }
}

#[test]
fn the_programs_can_use_what_is_preset() {
    const SECRETS: [&str; 6] = [
        "archiver_token",
        "maintenance_token",
        "mariadb_root_password",
        "matomo_database_password",
        "matomo_token",
        "mtp_pass",
    ];
    let world = tempfile::tempdir().unwrap();
    let folder = world.path().to_string_lossy().into_owned();
    for name in SECRETS {
        fs::write(world.path().join(name), "0123456789abcdef0123456789abcdef\n").unwrap();
    }
    let mut answers = least_answers();
    let preset = answers.clone();
    for name in ["MATOMO_TOKEN_FILE", "ARCHIVER_TOKEN_FILE", "MATOMO_DATABASE_PASSWORD_FILE"] {
        answers.insert(name.to_owned(), "/run/secrets/matomo_token".to_owned());
    }
    answers.insert("RSYNC_COMMANDS".to_owned(), "true".to_owned());
    let compose: Answers = [("RSYNC_COMMANDS", "true"), ("MATOMO_SERVER_NAME", "a.example")]
        .map(|(name, answer)| (name.to_owned(), answer.to_owned()))
        .into();
    for (stack, answers) in [(Stack::of(COMPOSE), compose), (Stack::parse(&filled_in(&preset)), answers)] {
        for (sidecar, service) in stack.sidecars() {
            let mut check = Command::new(program(&sidecar));
            check.arg("check").env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", &folder);
            for (name, value) in service.environment() {
                check.env(name, when_answered(&value, &answers).replace("/run/secrets", &folder));
            }
            // Where the volumes would be.
            let volumes = [
                "ANALYTICS_DIR",
                "MAINTENANCE_DIR",
                "MTP_CONFIG_DIR",
                "MTP_DATA_DIR",
                "MTP_QUEUE_DIR",
                "SSH_DIR",
                "STATE_DIR",
            ];
            for name in volumes.iter().filter(|name| variables(&sidecar).contains_key(**name)) {
                let volume = world.path().join(name);
                fs::create_dir_all(&volume).unwrap();
                check.env(name, volume);
            }
            let told = check.output().unwrap();
            let (said, complained) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
            // What it says of a Matomo that is not there is its own business.
            assert!(said.contains("settings can be used"), "{sidecar}: {said}{complained}");
        }
    }
}

#[test]
fn every_sidecar_is_hemmed_in() {
    for (sidecar, service) in Stack::of(COMPOSE).sidecars().into_iter().chain(everything().sidecars()) {
        assert_eq!(service.get("read_only"), true, "{sidecar}");
        assert_eq!(service.list("cap_drop"), ["ALL"], "{sidecar}");
        assert_eq!(service.list("security_opt"), ["no-new-privileges:true"], "{sidecar}");
        assert!(service.get("ports").is_null() && service.get("privileged").is_null(), "{sidecar}");
    }
    for (sidecar, service) in Stack::of(COMPOSE).sidecars() {
        assert!(!service.get("mem_limit").is_null() && !service.get("stop_grace_period").is_null(), "{sidecar}");
        let in_clear = |name: &&str| variables(&sidecar).contains_key(*name) && is_secret(name);
        let secrets: Vec<&str> = service.environment().into_keys().filter(in_clear).collect();
        assert!(secrets.is_empty(), "{sidecar} is given {secrets:?}; compose passes secrets as files");
    }
}

fn is_secret(name: &str) -> bool {
    ["_TOKEN", "_PASSWORD", "_PASS", "_SECRET"].iter().any(|end| name.ends_with(end))
}

/// The lines `NAME=answer` of .env.example, commented out or not.
fn example() -> BTreeMap<String, String> {
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_');
    let text = read(Path::new("compose/.env.example"));
    let lines = text.lines().map(|line| line.strip_prefix('#').unwrap_or(line));
    let pairs = lines.filter_map(|line| line.split_once('=')).filter(|(name, _)| is_name(name));
    pairs.map(|(name, answer)| (name.to_owned(), answer.to_owned())).collect()
}

#[test]
fn the_example_of_answers_holds_every_question() {
    let example: BTreeSet<String> = example().into_keys().collect();
    let mut expected = asked();
    for (name, _) in RANCHER_ONLY {
        assert!(expected.remove(*name), "{name} is no question: take it out of RANCHER_ONLY");
    }
    expected.extend(COMPOSE_ONLY.map(str::to_owned));
    assert_eq!(example, expected, ".env.example against the form");
    let files = read(Path::new(COMPOSE)) + &read(Path::new(CONSOLE));
    let used: BTreeSet<String> = names_in(&files).into_iter().collect();
    assert_eq!(used, example, "compose.yml and compose.console.yml against .env.example");
}

#[test]
fn the_example_of_answers_shows_the_defaults() {
    let files = read(Path::new(COMPOSE)) + &read(Path::new(CONSOLE));
    let questions: BTreeMap<String, String> =
        questions().into_iter().map(|question| (question.variable, question.default)).collect();
    let mut wrong = Vec::new();
    for (name, shown) in example() {
        let parts: Vec<&str> = files.split(&format!("${{{name}:-")).skip(1).collect();
        let of_the_file: BTreeSet<&str> = parts.iter().filter_map(|part| part.split('}').next()).collect();
        let own: Vec<&str> = of_the_file.iter().filter(|default| !default.is_empty()).copied().collect();
        let other = OTHER_DEFAULTS.iter().any(|(of, _)| *of == name);
        let default = own.first().copied().unwrap_or_else(|| questions.get(&name).map_or("", String::as_str));
        if own.len() > 1 || (shown != default && name != "MATOMO_SERVER_NAME") {
            wrong.push(format!("{name}: the file says {own:?}, .env.example `{shown}`, else `{default}`"));
        }
        if questions.get(&name).is_some_and(|asked| *asked != shown) && !other {
            wrong.push(format!("{name}: the form says `{}`, .env.example `{shown}`", questions[&name]));
        }
    }
    none(&wrong, "one default, wherever it is shown");
}

#[test]
fn what_is_not_set_is_empty() {
    for (given, expected) in [("${A:-}", ""), ("${A:-b}/c:${D:-e}", "b/c:e"), ("plain", "plain"), ("a${B}c", "ac")] {
        assert_eq!(when_unset(given), expected);
    }
}

fn proofs() -> BTreeMap<&'static str, &'static str> {
    let lines = PROOFS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').unwrap_or_else(|| panic!("proofs.txt: {line}"))).collect()
}

#[test]
fn every_question_has_a_test_that_exists() {
    let known: BTreeSet<String> = proofs().into_keys().map(str::to_owned).collect();
    assert_eq!(known, asked(), "tests/src/deployment/proofs.txt against the form");
    let mut missing = Vec::new();
    for (question, proof) in proofs() {
        let (file, name) = proof.split_once("::").unwrap();
        let exists = read(Path::new(file)).contains(&format!("fn {name}("));
        missing.extend((!exists).then(|| format!("{question}: {proof}")));
    }
    none(&missing, "these tests do not exist");
}

const QUESTIONS_HEAD: &str = "\
# The questions of the stack

Generated from Rancher's form and template; do not edit by hand. Each row: what is asked, which variable of which service the
answer becomes, what holds when nothing is answered, and the test that shows the effect. In `compose/.env.example` the same questions
have the same names; secrets are files there. What a variable means: [environment.md](environment.md).

| Question | Acts on | Default | Test |
|---|---|---|---|
";

fn questions_page() -> String {
    let (uses, proofs) = (uses(), proofs());
    let mut page = QUESTIONS_HEAD.to_owned();
    for question in questions() {
        let places = uses.get(&question.variable).map(|places| places.iter().cloned().collect::<Vec<_>>().join(", "));
        let places = places.unwrap_or_else(|| "the shape of the stack".to_owned());
        let default = if question.default.is_empty() { String::new() } else { format!("`{}`", question.default) };
        let test = proofs.get(question.variable.as_str()).copied().unwrap_or_default();
        let (_, name) = test.split_once("::").unwrap_or_default();
        let file = test.split("::").next().unwrap_or_default();
        page += &format!("| `{}` | {places} | {default} | [{name}](../../{file}) |\n", question.variable);
    }
    page
}

fn is_up_to_date(file: &str, text: &str) {
    let path = root().join(file);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, text).unwrap();
    }
    assert!(fs::read_to_string(&path).is_ok_and(|written| written == text), "{file} is out of date; {RENEW}");
}

#[test]
fn the_page_of_questions_is_up_to_date() {
    is_up_to_date("docs/reference/questions.md", &questions_page());
}

#[test]
fn the_manifests_for_kubernetes_are_up_to_date() {
    let mut known = BTreeSet::new();
    for (name, text) in manifests() {
        is_up_to_date(&format!("compose/kubernetes/{name}"), &text);
        known.insert(name);
    }
    let there = fs::read_dir(root().join("compose/kubernetes")).unwrap().map(|entry| entry.unwrap().file_name());
    let strange: Vec<String> = there
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name != "README.md" && !known.contains(name))
        .collect();
    none(&strange, "nothing makes these files any more");
    assert_eq!(known.len(), 9, "five sidecars, four of them with a job");
}
