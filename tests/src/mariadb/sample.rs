//! The tables of a Matomo and rows like those of a busy one: wide visits, many actions, long addresses, numbers, and blobs
//! that are compressed already. Besides, what a dump may stumble over: quotes, line ends, brackets, nulls, empty tables.

/// Visits in a megabyte (10^6 bytes) of dump, with their actions and their share of the archives; measured at 500 MB.
const VISITS_PER_MEGABYTE: u64 = 750;
/// Each visit has so many actions.
const ACTIONS_PER_VISIT: u64 = 3;
/// So many visits share one blob; blobs are then a fifth of the dump.
const VISITS_PER_BLOB: u64 = 25;

/// Statements that make and fill the tables, for about so many megabytes of dump.
pub fn statements(megabytes: u64) -> String {
    let visits = VISITS_PER_MEGABYTE * megabytes.max(1);
    let actions = visits * ACTIONS_PER_VISIT;
    [SMALL.to_owned(), log_visit(visits), log_action(visits), log_link_visit_action(actions)]
        .into_iter()
        .chain([archive_numeric(visits * 2), archive_blob(visits / VISITS_PER_BLOB + 1)])
        .collect()
}

const SMALL: &str = r#"
CREATE TABLE matomo_option (option_name VARCHAR(191) PRIMARY KEY, option_value LONGTEXT NOT NULL, autoload TINYINT) ENGINE=InnoDB;
INSERT INTO matomo_option VALUES ('version_core','5.0.2',1),('odd','a\'b\n(1,2),(3);\\ \"x\" ; -- Dump completed',0);
CREATE TABLE matomo_site (idsite INT PRIMARY KEY, name VARCHAR(90), main_url VARCHAR(255)) ENGINE=InnoDB;
INSERT INTO matomo_site VALUES (1,'Ærø 😀','http://one.example'),(2,'Two','http://two.example');
CREATE TABLE matomo_user (login VARCHAR(100) PRIMARY KEY, password VARCHAR(255)) ENGINE=InnoDB;
INSERT INTO matomo_user VALUES ('admin','x');
CREATE TABLE matomo_goal (idsite INT, idgoal INT, name VARCHAR(50), PRIMARY KEY (idsite, idgoal)) ENGINE=InnoDB;
"#;

fn log_visit(visits: u64) -> String {
    format!(
        r#"
CREATE TABLE matomo_log_visit (idvisit BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, idsite INT UNSIGNED, idvisitor BINARY(8),
  visit_last_action_time DATETIME, config_id BINARY(8), location_ip VARBINARY(16), profilable TINYINT, user_id VARCHAR(200),
  visit_first_action_time DATETIME, visit_goal_buyer TINYINT, visit_goal_converted TINYINT, visitor_returning TINYINT,
  visitor_seconds_since_first INT UNSIGNED, visitor_count_visits INT UNSIGNED, visit_entry_idaction_url INT UNSIGNED,
  visit_exit_idaction_url INT UNSIGNED, visit_total_actions INT UNSIGNED, visit_total_time INT UNSIGNED,
  referer_keyword VARCHAR(255), referer_name VARCHAR(255), referer_type TINYINT UNSIGNED, referer_url VARCHAR(1500),
  location_browser_lang VARCHAR(20), config_browser_name VARCHAR(40), config_browser_version VARCHAR(20),
  config_device_brand VARCHAR(100), config_device_model VARCHAR(100), config_os CHAR(3), config_os_version VARCHAR(100),
  config_cookie TINYINT, config_pdf TINYINT, config_resolution VARCHAR(18), location_city VARCHAR(255),
  location_country CHAR(3), location_latitude DECIMAL(9,6), location_longitude DECIMAL(9,6), location_region CHAR(3),
  custom_dimension_1 VARCHAR(255), custom_dimension_2 VARCHAR(255), custom_dimension_3 VARCHAR(255),
  KEY by_time (idsite, visit_last_action_time), KEY by_visitor (idsite, idvisitor)) ENGINE=InnoDB;
INSERT INTO matomo_log_visit SELECT seq, 1 + seq % 2, UNHEX(LEFT(MD5(seq DIV 2), 16)),
  '2026-01-01' + INTERVAL seq SECOND, UNHEX(LEFT(SHA1(seq % 40009), 16)), UNHEX(LPAD(HEX(CRC32(seq % 70001)), 8, '0')), 1, NULL,
  '2026-01-01' + INTERVAL seq SECOND - INTERVAL CRC32(seq) % 900 SECOND, 0, 0, seq % 2, CRC32(seq) % 9000000, 1 + CRC32(seq) % 9,
  1 + CRC32(seq) % {visits}, 1 + CRC32(seq + 1) % {visits}, 3, CRC32(seq) % 3600,
  NULL, ELT(1 + CRC32(seq) % 3, 'Google', 'Bing', NULL), 1 + CRC32(seq) % 3,
  IF(CRC32(seq) % 3, CONCAT('https://search.example/?source=web&ved=', LEFT(SHA1(seq), 24)), NULL),
  ELT(1 + CRC32(seq) % 4, 'en-gb', 'da-dk', 'de-de', 'fr-fr'), ELT(1 + CRC32(seq) % 3, 'CH', 'FF', 'SF'),
  CONCAT(100 + CRC32(seq) % 40, '.0'), ELT(1 + CRC32(seq) % 3, 'Apple', 'Samsung', NULL), 'generic desktop',
  ELT(1 + CRC32(seq) % 3, 'WIN', 'AND', 'IOS'), CRC32(seq) % 14, 1, CRC32(seq) % 2,
  ELT(1 + CRC32(seq) % 4, '1920x1080', '390x844', '1366x768', '2560x1440'),
  ELT(1 + CRC32(seq) % 5, 'København', 'Wien', 'Bucureşti', 'Paris', NULL), ELT(1 + CRC32(seq) % 4, 'dk', 'at', 'ro', 'fr'),
  CRC32(seq) % 90000000 / 1000000, CRC32(seq + 7) % 90000000 / 1000000, CRC32(seq) % 90, NULL, NULL,
  IF(seq % 5, NULL, 'anonymous') FROM seq_1_to_{visits};
"#
    )
}

fn log_action(actions: u64) -> String {
    format!(
        r#"
CREATE TABLE matomo_log_action (idaction INT UNSIGNED PRIMARY KEY AUTO_INCREMENT, name VARCHAR(4096), hash INT UNSIGNED,
  type TINYINT UNSIGNED, url_prefix TINYINT, KEY by_hash (type, hash)) ENGINE=InnoDB;
INSERT INTO matomo_log_action SELECT seq, CONCAT('one.example/',
    ELT(1 + CRC32(seq) % 6, 'data-and-maps', 'themes/air', 'publications', 'en/analysis', 'highlights', 'api/SITE'), '/',
    ELT(1 + CRC32(seq + 3) % 5, 'figures', 'indicators', 'maps-and-charts', 'assessment', 'it''s (new),'), '/',
    IF(seq % 3, CONCAT('page-', CRC32(seq), '-of-', seq % 977), CONCAT(LEFT(MD5(seq), 20), '?download=', seq))),
  CRC32(seq), 1 + CRC32(seq) % 4, seq % 4 FROM seq_1_to_{actions};
"#
    )
}

fn log_link_visit_action(actions: u64) -> String {
    let visits = actions / ACTIONS_PER_VISIT;
    format!(
        r#"
CREATE TABLE matomo_log_link_visit_action (idlink_va BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, idsite INT UNSIGNED,
  idvisitor BINARY(8), idvisit BIGINT UNSIGNED, idaction_url_ref INT UNSIGNED, idaction_name_ref INT UNSIGNED, custom_float DOUBLE,
  pageview_position INT UNSIGNED, server_time DATETIME, idpageview CHAR(6), idaction_name INT UNSIGNED, idaction_url INT UNSIGNED,
  search_cat VARCHAR(200), search_count INT UNSIGNED, time_spent_ref_action INT UNSIGNED, idaction_event_action INT UNSIGNED,
  idaction_event_category INT UNSIGNED, time_network INT UNSIGNED, time_server INT UNSIGNED, time_dom_processing INT UNSIGNED,
  time_spent INT UNSIGNED, bandwidth BIGINT UNSIGNED, custom_dimension_1 VARCHAR(255), custom_dimension_2 VARCHAR(255),
  KEY by_visit (idvisit), KEY by_time (idsite, server_time)) ENGINE=InnoDB;
INSERT INTO matomo_log_link_visit_action SELECT seq, 1 + seq % 2, UNHEX(LEFT(MD5(seq DIV 6), 16)),
  1 + (seq - 1) DIV {ACTIONS_PER_VISIT}, CRC32(seq + 5) % {visits}, CRC32(seq + 6) % {visits}, NULL,
  1 + seq % {ACTIONS_PER_VISIT}, '2026-01-01' + INTERVAL seq DIV 3 SECOND, LEFT(MD5(seq), 6), CRC32(seq + 1) % {visits},
  CRC32(seq) % {visits}, NULL, NULL, CRC32(seq) % 600, NULL, NULL, CRC32(seq) % 90, CRC32(seq) % 700, NULL,
  CRC32(seq) % 600, IF(seq % 9, NULL, CRC32(seq)), NULL, NULL FROM seq_1_to_{actions};
"#
    )
}

fn archive_numeric(numbers: u64) -> String {
    format!(
        r#"
CREATE TABLE matomo_archive_numeric_2026_01 (idarchive INT UNSIGNED, name VARCHAR(190), idsite INT UNSIGNED, date1 DATE,
  date2 DATE, period TINYINT UNSIGNED, ts_archived DATETIME, value DOUBLE, PRIMARY KEY (idarchive, name)) ENGINE=InnoDB;
INSERT INTO matomo_archive_numeric_2026_01 SELECT seq DIV 20, CONCAT('metric_', seq % 20), 1,
  '2026-01-01' + INTERVAL seq DIV 2000 % 31 DAY, '2026-01-31', 1 + seq % 4, '2026-02-01', CRC32(seq) % 100000 / 4
  FROM seq_1_to_{numbers};
"#
    )
}

/// Most reports are small and a few are large, and what Matomo compressed cannot be compressed again.
fn archive_blob(blobs: u64) -> String {
    let large = ["RANDOM_BYTES(1024)"; 24].join(", ");
    format!(
        r#"
CREATE TABLE matomo_archive_blob_2026_01 (idarchive INT UNSIGNED, name VARCHAR(190), idsite INT UNSIGNED, date1 DATE,
  date2 DATE, period TINYINT UNSIGNED, ts_archived DATETIME, value MEDIUMBLOB, PRIMARY KEY (idarchive, name)) ENGINE=InnoDB;
INSERT INTO matomo_archive_blob_2026_01 SELECT seq, ELT(1 + seq % 3, 'Actions_actions_url', 'Referrers_keywords', 'UserCountry_city'),
  1, '2026-01-01', '2026-01-31', 1 + seq % 4, '2026-02-01', CONCAT(x'789C', RANDOM_BYTES(200 + seq % 800),
  IF(seq % 4, '', CONCAT(RANDOM_BYTES(1024), RANDOM_BYTES(1024), RANDOM_BYTES(1024))), IF(seq % 12, '', CONCAT({large})))
  FROM seq_1_to_{blobs};
"#
    )
}
