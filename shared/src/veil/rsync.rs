//! Which options of rsync take a value: without that nobody can tell its options from its places.

/// Options of rsync that take the next word as their value.
const WITH_VALUE: &[&str] = &[
    "--address",
    "--backup-dir",
    "--block-size",
    "--bwlimit",
    "--checksum-choice",
    "--checksum-seed",
    "--chmod",
    "--chown",
    "--compare-dest",
    "--compress-choice",
    "--compress-level",
    "--config",
    "--contimeout",
    "--copy-as",
    "--copy-dest",
    "--debug",
    "--exclude",
    "--exclude-from",
    "--files-from",
    "--filter",
    "--groupmap",
    "--iconv",
    "--include",
    "--include-from",
    "--info",
    "--link-dest",
    "--log-file",
    "--log-file-format",
    "--max-alloc",
    "--max-delete",
    "--max-size",
    "--min-size",
    "--modify-window",
    "--out-format",
    "--outbuf",
    "--partial-dir",
    "--password-file",
    "--port",
    "--protocol",
    "--read-batch",
    "--remote-option",
    "--rsh",
    "--rsync-path",
    "--skip-compress",
    "--sockopts",
    "--stop-after",
    "--stop-at",
    "--suffix",
    "--temp-dir",
    "--timeout",
    "--usermap",
    "--write-batch",
    "--only-write-batch",
    "--early-input",
];
/// Letters of those that have a short form.
const LETTERS_WITH_VALUE: &str = "BTefM@";

/// The letters of a bundle such as `-avz`; none of a long option.
pub fn letters(option: &str) -> impl Iterator<Item = char> + '_ {
    let short = if option.starts_with("--") { "" } else { option.strip_prefix('-').unwrap_or_default() };
    short.chars()
}

/// Whether the rest of a bundle, or the next word, is the value of this letter.
pub fn takes_value(letter: char) -> bool {
    LETTERS_WITH_VALUE.contains(letter)
}

/// `-avze` takes the next word, `-essh` has its value inside.
pub fn takes_next_word(option: &str) -> bool {
    if option.starts_with("--") {
        return WITH_VALUE.contains(&option);
    }
    let letters: Vec<char> = letters(option).collect();
    letters.iter().position(|c| takes_value(*c)).is_some_and(|place| place + 1 == letters.len())
}
