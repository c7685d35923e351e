//! The way to the database, encrypted as Matomo's own configuration has it, or as the settings ask for.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tests::installation::{DATABASE, Installation, USER};
use tests::mail::Authority;

use crate::healthy;

/// A healthy one whose server speaks TLS, with the authority's certificate in a file.
fn encrypted() -> (Installation, String) {
    let mut matomo = healthy();
    let authority = Authority::new();
    let (certificate, key) = authority.certificate_and_key();
    let ca = matomo.folder().join("ca.pem");
    fs::write(&ca, authority.pem()).unwrap();
    fs::set_permissions(&ca, fs::Permissions::from_mode(0o644)).unwrap();
    matomo.database.speak_tls(certificate, key);
    matomo.follow_database();
    (matomo, ca.display().to_string())
}

/// Lines for the section [database] of a configuration.
fn says(matomo: &Installation, lines: &str) {
    let config = matomo.config();
    fs::write(matomo.config_path(), config.replace("[database]\n", &format!("[database]\n{lines}"))).unwrap();
}

#[test]
fn matomos_own_settings_for_tls_are_followed_in_matomos_order() {
    let (matomo, ca) = encrypted();
    let plain = matomo.config();
    matomo.run(&["check"]).ends_with(0).says(&[
        "encrypted",
        "not verified",
        "neither MARIADB_TLS nor Matomo's enable_ssl",
    ]);
    // Whoever must come encrypted is refused without, and all our programs come so.
    matomo.database.ask(&format!("ALTER USER '{USER}'@'%' REQUIRE SSL"));
    matomo.set("MARIADB_TLS", "off").run(&["backup"]).ends_with(78).says(&["Access denied"]);
    matomo.unset("MARIADB_TLS");
    says(&matomo, &format!("enable_ssl = 1\nssl_ca = \"{ca}\"\n"));
    matomo.run(&["check"]).ends_with(0).says(&["encrypted", "TLS", "verified", &ca]);
    let set = matomo.backup();
    matomo.run(&["rehearse"]).ends_with(0);
    matomo.run(&["restore", &set, "--yes"]).ends_with(0);
    // The file for all installations, and the defaults of the release; the first that says it counts.
    fs::write(matomo.config_path(), &plain).unwrap();
    matomo.write("config/common.config.ini.php", &format!("[database]\nenable_ssl = on\nssl_ca = \"{ca}\"\n"));
    matomo.run(&["check"]).ends_with(0).says(&["encrypted", "verified"]);
    says(&matomo, "enable_ssl = 0\n");
    matomo.run(&["check"]).ends_with(0).says(&["not verified", "neither MARIADB_TLS"]);
    fs::write(matomo.config_path(), &plain).unwrap();
    matomo.write("config/common.config.ini.php", "[database]\nenable_ssl = 1\n");
    let global = matomo.read("config/global.ini.php").unwrap();
    matomo.write("config/global.ini.php", &format!("[database]\nenable_ssl = 0\nssl_no_verify = 1\n{global}"));
    matomo.run(&["check"]).ends_with(0).says(&["encrypted", "not verified", "ssl_no_verify"]);
    matomo.run(&["backup"]).ends_with(0);
}

#[test]
fn a_certificate_of_another_authority_or_name_is_refused_where_it_is_verified() {
    let (matomo, ca) = encrypted();
    let other = matomo.folder().join("other.pem");
    fs::write(&other, Authority::new().pem()).unwrap();
    says(&matomo, &format!("enable_ssl = 1\nssl_ca = \"{}\"\n", other.display()));
    let done = matomo.run(&["backup"]).says(&["help", "certificate"]);
    assert!(done.code.is_some_and(|code| code != 0), "{done}");
    assert_eq!(matomo.sets().len(), 0);
    matomo.set("MARIADB_TLS", "require").run(&["check"]).ends_with(0).says(&["encrypted", "not verified"]);
    matomo.set("MARIADB_TLS", "off").run(&["check"]).ends_with(0).says(&["not encrypted", "MARIADB_TLS"]);
    // Matomo's file lies in Matomo's container: ours has it elsewhere.
    fs::remove_file(&other).unwrap();
    matomo.set("MARIADB_TLS", "verify").run(&["check"]).ends_with(78).says(&["FAULT", "other.pem"]).says(&["CA_FILE"]);
    matomo.set("CA_FILE", &ca).run(&["check"]).ends_with(0).says(&["encrypted", "verified", &ca]);
    matomo.set("MARIADB_TLS", "sometimes").run(&["check"]).ends_with(78).says(&["MARIADB_TLS", "require"]);
}

#[test]
fn where_tls_is_required_and_the_server_has_none_nothing_is_copied() {
    let matomo = healthy();
    matomo.set("MARIADB_TLS", "require");
    for words in [&["backup"][..], &["check"], &["status"]] {
        let done = matomo.run(words).says(&["no TLS"]);
        assert!(done.code.is_some_and(|code| code != 0), "{done}");
    }
    assert_eq!(matomo.sets().len(), 0);
    matomo.unset("MARIADB_TLS").run(&["backup"]).ends_with(0);
    assert!(!matomo.database.databases().iter().any(|name| name != DATABASE));
}
