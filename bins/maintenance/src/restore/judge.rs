//! Whether a set may be restored here: it is whole, and its schema fits the code.

use shared::entry::{Exit, Failure};
use tracing::warn;

use super::Options;
use crate::sentence;
use crate::session::Session;
use crate::set::{Set, SetError, verify};
use crate::trust::Trust;

/// Whether the set may be restored here at all.
pub fn judge(session: &Session, set: &Set, options: Options) -> Result<(), Failure> {
    options.trust.judge(session, set)?;
    if let Err(error) = verify(set, &session.shutdown) {
        if !options.force || matches!(error, SetError::Stopped) {
            return Err(error.into());
        }
        // The seal is that of the manifest; what does not fit the manifest, it does not cover.
        if session.settings.backup_key.is_some() && options.trust == Trust::Seal {
            let failure = Failure::from(error);
            return Err(failure.help("its seal does not cover what was changed: --force needs --trust besides"));
        }
        warn!(why = sentence(&error), "The set does not verify and is used nevertheless, as asked");
    }
    let (code, schema) = (session.place.version(), set.manifest.database.matomo.clone());
    if let (Some(code), Some(schema)) = (&code, &schema) {
        match (is_newer(schema, code), is_newer(code, schema)) {
            (true, _) if !options.force => {
                return Err(Failure::new(
                    Exit::Failed,
                    format!("the schema in {} is of Matomo {schema}, and the code here is {code}: a newer schema does not fit older code", set.name),
                )
                .help(format!("start the image of Matomo {schema} first, then restore; or overrule with --force")));
            }
            (true, _) => warn!(schema, code, "A newer schema is restored under older code, as asked"),
            (_, true) => warn!(schema, code, "The schema is older than the code: run `console core:update` afterwards"),
            _ => {}
        }
    }
    Ok(())
}

/// `5.0.10` is newer than `5.0.9`, and `5.0.0` than `5.0.0-rc1`.
pub fn is_newer(one: &str, other: &str) -> bool {
    let parts = |version: &str| {
        let (numbers, suffix) =
            version.split_once('-').map_or((version, None), |(numbers, suffix)| (numbers, Some(suffix)));
        let numbers: Vec<u64> = numbers.split('.').map(|part| part.parse().unwrap_or(0)).collect();
        (numbers, suffix.is_none(), suffix.unwrap_or_default().to_owned())
    };
    parts(one) > parts(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(is_newer("5.0.10", "5.0.9") && is_newer("5.1.0", "5.0.10") && is_newer("5.0.0", "5.0.0-rc1"));
        assert!(!is_newer("5.0.2", "5.0.2") && !is_newer("4.16.1", "5.0.0"));
    }
}
