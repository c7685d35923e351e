//! Options of the reference importer that this one does not have, and what to do instead.

/// An option and its reason.
pub(super) struct Refused {
    pub(super) option: &'static str,
    pub(super) why: &'static str,
}

const TOKEN: &str = "give the token itself, best through the environment or a mounted file";
const PHP: &str = "this importer runs no PHP; give the token through the environment or a mounted file";

const REFUSED: &[Refused] = &[
    Refused { option: "--auth-config", why: TOKEN },
    Refused { option: "--login", why: TOKEN },
    Refused { option: "--password", why: TOKEN },
    Refused { option: "--config", why: PHP },
    Refused { option: "--php-binary", why: PHP },
    Refused { option: "--enable-testmode", why: PHP },
    Refused {
        option: "--disable-bulk-tracking",
        why: "hits sent one by one can be lost at the end; use --recorder-max-payload-size=1",
    },
    Refused { option: "--dump-log-regex", why: "formats are not regular expressions here" },
    Refused { option: "--debug-force-one-hit-every-Ns", why: "it slows the import down without need" },
];

/// The refused option that the first quoted word of clap's error text means, abbreviated or not.
pub(super) fn find(error: &str) -> Option<&'static Refused> {
    let word = error.split('\'').nth(1)?;
    let word = word.split('=').next()?;
    let meant = |refused: &&Refused| refused.option == word;
    let begun = |refused: &&Refused| word.len() > 3 && refused.option.starts_with(word);
    REFUSED.iter().find(meant).or_else(|| REFUSED.iter().find(begun))
}
