//! The importer's words, as operators write them.

use std::fs;

use super::*;

fn read(text: &str) -> ImportOptions {
    ImportOptions::from_text(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn words(words: &[&str]) -> Result<ImportOptions, ImportOptionsError> {
    ImportOptions::from_words(words.iter().map(OsString::from))
}

fn fault(text: &str) -> String {
    ImportOptions::from_text(text).expect_err(text).to_string()
}

#[test]
fn the_default_options_of_eea_are_understood() {
    let options =
        read("--enable-http-errors --enable-http-redirects --enable-static --enable-bots --idsite=4 --recorders 4");
    assert!(options.hits.enable_http_errors && options.hits.enable_http_redirects);
    assert!(options.hits.enable_static && options.hits.enable_bots);
    assert_eq!(options.site.idsite, Some(4));
    assert_eq!(options.server.recorders, Some(4));
    assert_eq!(read(""), ImportOptions::default());
}

#[test]
fn long_options_may_be_abbreviated_repeated_and_given_twice() {
    let options = read("--enable-b --enable-b --idsite=1 --idsite 2 --exclude-path=/a --exclude-path '/b c' --strip");
    assert!(options.hits.enable_bots && options.hits.strip_query_string);
    assert_eq!(options.site.idsite, Some(2));
    assert_eq!(options.hits.exclude_paths, ["/a", "/b c"]);
    assert!(fault("--enable-http").contains("--enable-http"));
}

#[test]
fn options_that_the_reference_lacks_make_none_of_its_abbreviations_ambiguous() {
    let options = read("--include-h=a --exclude-h b --useragent=x --include-ip 192.0.2.0/24");
    assert_eq!((&*options.hits.include_hosts, &*options.hits.exclude_hosts), (&["a".into()][..], &["b".into()][..]));
    assert_eq!(options.hits.useragent_excludes, ["x"]);
    assert_eq!(options.hits.include_ips.len(), 1);
    assert!(fault("--exclude-p=/x").contains("--exclude-p"), "two of the reference's own");
    assert_eq!(words(&["--", "--include-h"]).unwrap().files, [PathBuf::from("--include-h")]);
}

#[test]
fn values_may_begin_with_a_minus() {
    assert_eq!(read("--add-to-date=-3600").hits.add_to_date_seconds, -3600);
    assert_eq!(read("--add-to-date -3600").hits.add_to_date_seconds, -3600);
    assert_eq!(read("--title-category-delimiter -").hits.title_category_delimiter, "-");
    assert_eq!(read("--recorders -3").server.recorders, Some(1));
}

#[test]
fn files_stand_anywhere_on_the_command_line_but_not_in_the_setting() {
    let options = words(&["a.log", "--idsite=1", "-", "-dd", "b.log.gz"]).unwrap();
    assert_eq!(options.files, ["a.log", "-", "b.log.gz"].map(PathBuf::from));
    assert_eq!(options.notices, ["--debug has no effect: set the log level instead"]);
    assert!(fault("--enable-bots access.log").contains("`access.log` is not an option"));
}

#[test]
fn the_word_that_is_wrong_is_named() {
    for (text, named) in [
        ("--no-such-option", "--no-such-option"),
        ("--idsite=four", "four"),
        ("--idsite", "--idsite"),
        ("--exclude-older-than='2024-03-12 08:00:00'", "--exclude-older-than"),
        ("--exclude-newer-than=yesterday", "yesterday"),
        ("--regex-group-to-page-cvar=userid", "`userid` is not of the form"),
        ("--regex-group-to-page-cvar=a=b=c", "a=b=c"),
        ("--query-string-delimiter=", "--query-string-delimiter"),
        ("--ignore-groups=userid,ip", "--ignore-groups=ip"),
        ("--title='x", "nothing closes the '"),
    ] {
        let fault = fault(text);
        assert!(fault.contains(named), "{text}: {fault}");
        assert_eq!(fault.lines().count(), 1, "{fault}");
    }
}

#[test]
fn options_this_importer_does_not_have_are_refused_by_name() {
    for (text, option) in [
        ("--login=admin", "--login"),
        ("--config /x", "--config"),
        ("--disable-bulk", "--disable-bulk-tracking"),
        ("--dump-log-regex", "--dump-log-regex"),
    ] {
        let error = ImportOptions::from_text(text).unwrap_err();
        assert!(matches!(error, ImportOptionsError::Refused { .. }), "{text}: {error}");
        assert!(error.to_string().contains(option), "{error}");
    }
}

#[test]
fn dates_are_utc_moments() {
    let options =
        read("--exclude-older-than='2024-03-12 08:01:30 +0000' --exclude-newer-than='2024-03-12 10:00:05 +0100'");
    assert_eq!(options.hits.exclude_older_than.map(|moment| moment.seconds), Some(1_710_230_490));
    assert_eq!(options.hits.exclude_newer_than.map(|moment| moment.seconds), Some(1_710_234_005));
}

#[test]
fn patterns_come_from_a_file_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("patterns");
    fs::write(&path, " /a/* \n\n\t\n/b?\n").unwrap();
    let options = read(&format!("--exclude-path=/first --exclude-path-from={}", path.display()));
    assert_eq!(options.hits.exclude_paths, ["/first", "/a/*", "/b?"]);
    let missing = fault("--include-path-from=/no/such/file");
    assert_eq!(missing, "cannot read the patterns of --include-path-from from /no/such/file");
}

#[test]
fn secrets_are_not_printed() {
    let options = read("--token-auth=deadbeef --auth-user=u --auth-password hidden --url matomo.example.org/x");
    assert_eq!(options.server.token_auth.as_deref(), Some("deadbeef"));
    assert_eq!(options.server.url.as_deref(), Some("http://matomo.example.org/x"));
    let printed = format!("{options:?}");
    assert!(!printed.contains("deadbeef") && !printed.contains("hidden"), "{printed}");
}

#[test]
fn format_options_arrive_whole() {
    let options = read(
        "--log-format-regex='(?P<ip>\\S+) - (?P<date>\\S+) (?P<path>\\S+) (?P<status>\\d+)' --log-date-format='%B - %d' --w3c-map-field=a=date,cs(Host)=cs-host \
         --w3c-field-regex='sc-substatus=(?P<substatus>\\S+)' --w3c-fields='#Fields: date time'",
    );
    assert_eq!(options.format.regex.as_deref(), Some("(?P<ip>\\S+) - (?P<date>\\S+) (?P<path>\\S+) (?P<status>\\d+)"));
    assert_eq!(options.format.w3c_map_fields[1], ("cs(Host)".to_owned(), "cs-host".to_owned()));
    assert_eq!(options.format.w3c_field_regexes, [("sc-substatus".to_owned(), "(?P<substatus>\\S+)".to_owned())]);
    assert_eq!(options.format.w3c_fields.as_deref(), Some("#Fields: date time"));
}

#[test]
fn help_is_a_text_and_no_fault() {
    let Err(ImportOptionsError::Help { text }) = words(&["--help"]) else { panic!("no help") };
    assert!(text.contains("--enable-http-errors") && !text.contains("--debug-tracker"), "{text}");
}

#[test]
fn an_empty_value_is_none() {
    assert_eq!(read("--log-hostname= --download-extensions= --track-http-method=''"), ImportOptions::default());
}

#[test]
fn tracker_requests_are_told_by_their_file() {
    let files = |text| read(text).hits.replay.map(|replay| replay.tracker_files);
    assert_eq!(files(""), None);
    assert_eq!(files("--replay-tracking"), Some(vec!["piwik.php".to_owned(), "matomo.php".to_owned()]));
    let own = "--replay-tracking --replay-tracking-expected-tracker-file=tracker.php";
    assert_eq!(files(own), Some(vec!["tracker.php".to_owned()]));
}

#[test]
fn b23_options_have_the_bounds_of_their_variables_and_lists_an_end() {
    assert_eq!(read("--recorders=64 --recorder-max-payload-size=10000").server.recorders, Some(64));
    assert_eq!(read("--recorders=-1").server.recorders, Some(1));
    assert!(fault("--recorders=99999999").contains("from 1 to 64"));
    assert!(fault("--recorder-max-payload-size=10001").contains("from 1 to 10000"));
    let endless = ImportOptions::from_text("--exclude-ip-from /dev/zero").unwrap_err();
    assert!(crate::matomo::sentence(&endless).contains("larger than 4 MiB"), "{endless}");
}
