//! `generate` and `print`: the configuration for people, and for other machines.

use std::path::Path;

use shared::entry::{Exit, Failure};

use crate::plan::{Plan, Secrets};

/// Writes the configuration into a folder.
pub fn generate(out: &Path, with_secrets: bool) -> Result<Exit, Failure> {
    let settings = super::settings()?;
    // The configuration names its own folder, so it must be absolute.
    let out = std::path::absolute(out).map_err(|error| Failure::new(Exit::Usage, error))?;
    if out == settings.place.config_dir.as_path() {
        return Err(Failure::new(Exit::Usage, format!("{} is the folder of the running configuration", out.display()))
            .help("`run` writes it; choose another folder"));
    }
    if !out.to_str().is_some_and(|text| text.chars().all(|c| c.is_ascii_alphanumeric() || "/.-_".contains(c))) {
        return Err(Failure::new(Exit::Usage, format!("Postfix cannot read a table in {}", out.display()))
            .help("choose a folder with a name of letters, digits, `.`, `-` and `_`"));
    }
    let secrets = if with_secrets { Secrets::Written } else { Secrets::Hidden };
    let plan = Plan::of(&settings, &out, secrets);
    plan.write()?;
    for file in &plan.files {
        super::say(&format!("{}\n", out.join(file.name).display()));
    }
    Ok(Exit::Done)
}

/// Shows the configuration.
pub fn print() -> Result<Exit, Failure> {
    let settings = super::settings()?;
    let folder = settings.place.config_dir.as_path();
    for file in Plan::of(&settings, folder, Secrets::Hidden).files {
        super::say(&format!("# ---- {}\n{}\n", folder.join(file.name).display(), file.text));
    }
    Ok(Exit::Done)
}
