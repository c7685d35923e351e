//! What each sidecar reads from its environment, taken from the tables of the page of settings.

use std::collections::BTreeMap;

type Table = fn() -> String;

/// Every sidecar and the table of its settings; a new one is added here.
pub const SIDECARS: &[(&str, Table)] = &[
    ("archiver", archiver::config::reference),
    ("log-analytics", log_analytics::config::reference),
    ("maintenance", maintenance::config::reference),
    ("postfix-config", postfix_config::config::reference),
    ("rsync-client", rsync_client::config::reference),
];

/// The variables of a sidecar, each with its default.
pub type Variables = BTreeMap<String, Option<String>>;

/// What this sidecar reads.
///
/// # Panics
/// When there is no such sidecar, or its table has another form than expected.
pub fn variables(sidecar: &str) -> Variables {
    let table = SIDECARS.iter().find(|(name, _)| *name == sidecar);
    let (_, table) = table.unwrap_or_else(|| panic!("no sidecar is named {sidecar}"));
    table().lines().skip(2).map(row).collect()
}

fn row(line: &str) -> (String, Option<String>) {
    let cells: Vec<&str> = line.trim_start_matches("| ").split(" | ").collect();
    let [name, _, _, default, _] = cells[..] else { panic!("not a row of five cells: {line}") };
    let code = |cell: &str| cell.trim().strip_prefix('`')?.strip_suffix('`').map(|text| text.replace("\\|", "|"));
    (code(name).unwrap_or_else(|| panic!("no name in {line}")), code(default))
}

/// The declared name of what is passed as this variable: `NAME_FILE` passes NAME.
pub fn declared_as(variables: &Variables, passed: &str) -> Option<String> {
    let names = [Some(passed), passed.strip_suffix("_FILE")];
    names.into_iter().flatten().find(|name| variables.contains_key(*name)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_defaults_are_read_and_files_belong_to_their_variable() {
        let importer = variables("log-analytics");
        assert_eq!(importer["MATOMO_RECORDERS"].as_deref(), Some("4"));
        assert_eq!(importer["MATOMO_TOKEN"], None);
        assert_eq!(declared_as(&importer, "MATOMO_TOKEN_FILE").as_deref(), Some("MATOMO_TOKEN"));
        assert_eq!(declared_as(&importer, "CA_FILE").as_deref(), Some("CA_FILE"));
        assert_eq!(declared_as(&importer, "MATOMO_TOKEN_FOLDER"), None);
    }
}
