//! `maintenance lock` and `unlock`: the two switches of Matomo, proved over HTTP, and given back whatever happens.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tests::installation::{Installation, PASSWORD};
use tests::web::TOKEN;

use crate::PROGRAM;

const UI: &str = "/index.php?module=API&method=API.getMatomoVersion&format=json";

fn answers(installation: &Installation) -> (u16, u16) {
    (installation.web.get("/matomo.php").0, installation.web.get(UI).0)
}

#[test]
fn c7_04_lock_and_unlock_are_proved_by_what_matomo_answers() {
    let matomo = Installation::new(PROGRAM, 1);
    let before = matomo.config();
    assert_eq!(answers(&matomo), (200, 401), "a healthy Matomo 5");
    let locked = matomo.run(&["lock", "--json"]).ends_with(0).json();
    assert_eq!((&locked["tracking"], &locked["ui"], &locked["changed"]), (&false.into(), &false.into(), &true.into()));
    assert_eq!(locked["containers"][0]["tracking_status"], 503);
    assert_eq!(answers(&matomo), (503, 503));
    matomo
        .run(&["status"])
        .ends_with(0)
        .says(&["configuration", "tracking off", "user interface off"])
        .says(&["locked", "by hand since"]);
    // Locked twice is locked once.
    assert_eq!(matomo.run(&["lock", "--json"]).ends_with(0).json()["changed"], false);
    matomo.run(&["unlock"]).ends_with(0).says(&["tracking on (200)", "user interface on (401)"]);
    assert_eq!((answers(&matomo), matomo.config()), ((200, 401), before.clone()));
    // Unlocked twice is unlocked once.
    assert_eq!(matomo.run(&["unlock", "--json"]).ends_with(0).json()["changed"], false);
    assert_eq!(matomo.config(), before);

    matomo.run(&["lock", "--tracking-only"]).ends_with(0);
    assert_eq!(answers(&matomo), (503, 401));
    matomo.run(&["lock", "--ui-only"]).ends_with(0);
    assert_eq!(answers(&matomo), (503, 503));
    matomo.run(&["unlock"]).ends_with(0);
    assert_eq!(matomo.config(), before);
    // With a token, a healthy answer names the version.
    matomo.set("MATOMO_TOKEN", TOKEN);
    assert_eq!(matomo.run(&["status", "--json"]).ends_with(0).json()["containers"][0]["version"], "5.0.2");
}

#[test]
fn c7_04_a_page_behind_status_200_is_maintenance_too_with_several_servers() {
    let matomo = Installation::new(PROGRAM, 0);
    let config = matomo.config().replace("[General]\n", "[General]\nmulti_server_environment = 1\n");
    fs::write(matomo.config_path(), &config).unwrap();
    matomo.run(&["lock"]).ends_with(0).says(&["user interface off (200)"]);
    assert_eq!(answers(&matomo), (503, 200));
    matomo.run(&["unlock"]).ends_with(0).says(&["user interface on (401)"]);
    assert_eq!(matomo.config(), config);
}

#[test]
fn c7_04_values_that_were_set_by_hand_come_back_and_open_sets_the_working_ones() {
    let matomo = Installation::new(PROGRAM, 0);
    let by_hand = matomo.config().replace("[General]\n", "[General]\nmaintenance_mode = \"1\" ; since May\n");
    fs::write(matomo.config_path(), &by_hand).unwrap();
    matomo.run(&["lock"]).ends_with(0);
    matomo.run(&["unlock"]).ends_with(0).says(&["unlock --open"]);
    assert_eq!(matomo.config(), by_hand);
    matomo.run(&["unlock", "--open"]).ends_with(0).says(&["user interface on (401)"]);
    assert_eq!(matomo.config(), by_hand.replace("\"1\"", "0"), "off means 0, never 1 again");
}

#[test]
fn a_dry_run_says_how_it_would_be() {
    let matomo = Installation::new(PROGRAM, 0);
    matomo.run(&["lock", "--dry-run"]).ends_with(0).says(&["would be off"]);
    assert!(!matomo.backups().exists(), "nothing was written");
    matomo.run(&["lock"]).ends_with(0);
    matomo.run(&["unlock", "--dry-run"]).ends_with(0).says(&["tracking would be on", "user interface would be on"]);
}

#[test]
fn unlock_gives_a_file_back_to_the_byte_that_ends_without_a_line_end_or_names_a_key_without_a_value() {
    let matomo = Installation::new(PROGRAM, 0);
    let config = matomo.config();
    let general = config.find("[General]").unwrap();
    for text in [
        config.trim_end().to_owned(),
        config.replace("[General]\n", "[General]\nmaintenance_mode\n"),
        format!("{config}[Tracker]"),
        format!("{config}[Tracker]\nrecord_statistics"),
        config[..general].to_owned() + "[General]",
        config[..general].to_owned() + "[General]\nmaintenance_mode  ; later",
        config.trim_end().replace('\n', "\r\n"),
    ] {
        fs::write(matomo.config_path(), &text).unwrap();
        matomo.run(&["lock"]).ends_with(0);
        assert_ne!(matomo.config(), text);
        matomo.run(&["lock"]).ends_with(0);
        matomo.run(&["unlock"]).ends_with(0);
        assert_eq!(matomo.config(), text);
    }
}

#[test]
fn a_container_that_reads_another_configuration_is_found() {
    let matomo = Installation::new(PROGRAM, 0);
    let other = Installation::new(PROGRAM, 0);
    let containers = format!("{},{}", matomo.web.url(), other.web.url());
    matomo.set("MATOMO_CONTAINERS", &containers).set("MAINTENANCE_SETTLE_TIME", "1s");
    matomo.run(&["lock"]).ends_with(1).says(&["tracking off", "but Matomo answers otherwise", &other.web.url()]);
    let done = matomo.run(&["status"]).ends_with(1);
    let done = done.says(&[&other.web.url(), "tracking on"]).says(&[&matomo.web.url(), "tracking off"]);
    done.says(&["TROUBLE", &other.web.url(), "does not do what the configuration says"]);
    // Nobody answers at all: something we need is not there.
    matomo.set("MATOMO_CONTAINERS", "http://127.0.0.1:1");
    matomo.run(&["lock"]).ends_with(69).says(&["Matomo does not answer: http://127.0.0.1:1: nobody is there"]);
    matomo.run(&["unlock"]).ends_with(69).says(&["http://127.0.0.1:1"]).says(&["previous values are back"]);
    assert!(!matomo.config().contains("maintenance_mode"), "the switches are back although nobody proves it");
}

#[test]
fn c7_05_a_lock_by_hand_survives_a_kill_and_unlock_knows_what_was_before() {
    let matomo = Installation::new(PROGRAM, 0);
    let before = matomo.config();
    // The answers never come, so the program hangs in its proof and is killed there.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    matomo.set("MATOMO_URL", &format!("http://{}", silent.local_addr().unwrap()));
    let run = matomo.start(&["lock"]);
    let give_up = Instant::now() + Duration::from_secs(30);
    while !matomo.config().contains("maintenance_mode = 1") && Instant::now() < give_up {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(run.kill_after(Duration::from_millis(200)).signal, Some(9));
    assert_ne!(matomo.config(), before);
    matomo.set("MATOMO_URL", &matomo.web.url());
    matomo.run(&["status"]).says(&["locked", "unlock"]);
    matomo.run(&["unlock"]).ends_with(0);
    assert_eq!(matomo.config(), before);
}

/// Writes the configuration again and again as Matomo does: all of it, in place, under a lock.
struct Saver(Child);

impl Saver {
    fn start(matomo: &Installation) -> Self {
        let code = r#"
            $path = $argv[1]; $end = microtime(true) + 16;
            while (microtime(true) < $end) {
                $file = fopen($path, 'r+'); if (!$file) { continue; }
                flock($file, LOCK_EX);
                // Matomo opens by name again, so a file that was replaced meanwhile is not written.
                clearstatcache();
                if (fstat($file)['ino'] !== stat($path)['ino']) { fclose($file); continue; }
                $text = stream_get_contents($file);
                if (strlen($text) < 100) { fwrite(STDERR, "torn\n"); }
                $count = preg_match('/^saves = (\d+)/m', $text, $found) ? $found[1] + 1 : 1;
                $text = preg_match('/^saves = /m', $text) ? preg_replace('/^saves = \d+/m', "saves = $count", $text)
                    : str_replace("[General]\n", "[General]\nsaves = $count\n", $text);
                ftruncate($file, 0); rewind($file); fwrite($file, $text); fflush($file);
                flock($file, LOCK_UN); fclose($file); usleep(3000);
            }"#;
        let mut command = Command::new("php");
        command.args(["-r", code, "--"]).arg(matomo.config_path()).stderr(Stdio::piped());
        Self(command.spawn().expect("php, from the package php-cli"))
    }

    /// What it met, when it has ended by itself: a writer that is killed half way leaves a torn file, as Matomo would.
    fn ended(mut self) -> String {
        assert!(self.0.wait().unwrap().success());
        let mut text = String::new();
        let _ = std::io::Read::read_to_string(&mut self.0.stderr.take().unwrap(), &mut text);
        text
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn c7_03_switches_and_matomo_saving_at_the_same_time_lose_nothing() {
    let matomo = Installation::new(PROGRAM, 0);
    // While one of them saves, Matomo may answer with an error, on a busy machine for seconds.
    matomo.unset("MAINTENANCE_SETTLE_TIME");
    let savers: Vec<Saver> = (0..3).map(|_| Saver::start(&matomo)).collect();
    let until = Instant::now() + Duration::from_secs(15);
    let mut rounds = 0;
    while Instant::now() < until {
        let locked = matomo.run(&["lock", "--json"]).ends_with(0).json();
        assert_eq!(locked["tracking"], false);
        matomo.run(&["unlock", "--json"]).ends_with(0);
        rounds += 1;
    }
    for saver in savers {
        assert_eq!(saver.ended(), "", "under the lock nobody ever met a torn file");
    }
    assert!(rounds >= 3, "only {rounds} rounds");
    let config = matomo.config();
    let saves = config.lines().find_map(|line| line.strip_prefix("saves = ")).expect("Matomo saved").to_owned();
    assert_eq!(config.replace(&format!("saves = {saves}\n"), ""), {
        let fresh = Installation::new(PROGRAM, 0);
        let line = |text: &str| text.lines().find(|line| line.starts_with("port = ")).unwrap().to_owned();
        fresh.config().replace(&line(&fresh.config()), &line(&config))
    });
}

#[test]
fn c7_03_a_reader_without_a_lock_never_meets_an_empty_or_torn_file_of_ours() {
    let matomo = Installation::new(PROGRAM, 0);
    let (stop, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let text = matomo.config();
                assert!(text.starts_with("; <?php exit;") && text.contains("\"LoginLdap\"\n"), "torn: {text:?}");
                reads.fetch_add(1, Ordering::Relaxed);
            }
        });
        for _ in 0..8 {
            matomo.run(&["lock"]).ends_with(0);
            matomo.run(&["unlock"]).ends_with(0);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(reads.load(Ordering::Relaxed) > 100);
    assert_eq!(matomo.web.torn(), 0);
}

/// Mounts a file over itself, and takes the mount away again.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn c_132_a_configuration_mounted_by_itself_is_written_in_place_with_owner_and_mode_kept() {
    if !rustix::process::geteuid().is_root() {
        println!("only root may mount; the same path is taken by the hard links of the unit tests");
        return;
    }
    let matomo = Installation::new(PROGRAM, 0);
    std::os::unix::fs::chown(matomo.config_path(), Some(33), Some(33)).unwrap();
    let mounted =
        Command::new("mount").arg("--bind").arg(matomo.config_path()).arg(matomo.config_path()).status().unwrap();
    assert!(mounted.success(), "the file can be mounted over itself");
    let _mounted = Mounted(matomo.config_path());
    let before = (matomo.config(), fs::metadata(matomo.config_path()).unwrap());
    matomo.run(&["lock"]).ends_with(0);
    let locked = fs::metadata(matomo.config_path()).unwrap();
    assert_eq!(
        (locked.uid(), locked.gid(), locked.permissions().mode() & 0o7777, locked.ino()),
        (33, 33, 0o640, before.1.ino())
    );
    matomo.run(&["unlock"]).ends_with(0);
    assert_eq!(matomo.config(), before.0);
}

#[test]
fn c_132_a_folder_that_may_not_be_written_does_not_keep_the_owner_of_the_file_from_switching() {
    if !rustix::process::geteuid().is_root() {
        println!("only root may give files to others");
        return;
    }
    let matomo = Installation::new(PROGRAM, 0);
    let nobody = tests::mariadb::user_number("nobody").unwrap();
    std::os::unix::fs::chown(matomo.config_path(), Some(nobody), Some(nobody)).unwrap();
    fs::create_dir_all(matomo.backups()).unwrap();
    std::os::unix::fs::chown(matomo.backups(), Some(nobody), Some(nobody)).unwrap();
    let before = (matomo.config(), fs::metadata(matomo.config_path()).unwrap().ino());
    matomo.run_as(nobody, &["lock"]).ends_with(0).says(&["tracking off (503)"]);
    matomo.run_as(nobody, &["unlock"]).ends_with(0);
    assert_eq!((matomo.config(), fs::metadata(matomo.config_path()).unwrap().ino()), before);
}

#[test]
fn a_configuration_that_cannot_be_edited_safely_is_refused_with_the_lines() {
    let matomo = Installation::new(PROGRAM, 0);
    let twice = matomo.config() + "[General]\nmaintenance_mode = 0\n";
    fs::write(matomo.config_path(), &twice).unwrap();
    let done =
        matomo.run(&["lock"]).ends_with(78).says(&["[General]", "more than once", "lines 12, 19"]).never_says(PASSWORD);
    assert!(done.stderr.contains("help:"), "{done}");
    assert_eq!(matomo.config(), twice);
    matomo.run(&["check"]).ends_with(78).says(&["FAULT", "cannot be edited"]);
}

#[test]
fn one_run_at_a_time() {
    let matomo = Installation::new(PROGRAM, 0);
    fs::create_dir_all(matomo.backups().join(".state")).unwrap();
    let held = shared::files::Lock::try_take(&matomo.backups().join(".state/held")).unwrap().unwrap();
    matomo.run(&["lock"]).ends_with(75).says(&["another maintenance run is under way"]);
    matomo.run(&["status"]).says(&["busy"]);
    drop(held);
    matomo.run(&["lock"]).ends_with(0);
}
