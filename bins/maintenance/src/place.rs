//! Where Matomo lies: its folder, its configuration, its version, and what in it belongs to the operator.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Settings;
use crate::ini::{ConfigFile, Document};

/// Bitnami's volume, Bitnami's image without one, and the official image.
const FOLDERS: [&str; 3] = ["bitnami/matomo", "opt/bitnami/matomo", "var/www/html"];

/// A plugin that does not come with Matomo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plugin {
    /// Its folder's name.
    pub name: String,
    /// As its `plugin.json` says.
    pub version: Option<String>,
}

/// An installation of Matomo.
#[derive(Debug, Clone)]
pub struct Place {
    folder: PathBuf,
    config: ConfigFile,
}

/// The folder of Matomo on this machine: the first that has a configuration, or at least a place for one.
fn found_below(root: &Path) -> PathBuf {
    let folders = FOLDERS.map(|folder| root.join(folder));
    let with = |file: &str| folders.iter().find(|folder| folder.join(file).exists());
    with("config/config.ini.php").or_else(|| with("config")).unwrap_or(&folders[0]).clone()
}

impl Place {
    /// The installation that the settings mean.
    pub fn of(settings: &Settings) -> Self {
        let folder = settings.matomo_dir.clone().unwrap_or_else(|| found_below(Path::new("/")));
        let config = settings.matomo_config.clone().unwrap_or_else(|| folder.join("config/config.ini.php"));
        Self { folder, config: ConfigFile::at(&config) }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its configuration.
    pub fn config(&self) -> &ConfigFile {
        &self.config
    }

    /// The version of the code, as `core/Version.php` has it.
    pub fn version(&self) -> Option<String> {
        let text = fs::read_to_string(self.folder.join("core/Version.php")).ok()?;
        let (_, rest) = text.split_once("const VERSION")?;
        let (_, rest) = rest.split_once(['\'', '"'])?;
        rest.split(['\'', '"']).next().map(str::to_owned)
    }

    /// Plugins that do not come with this release, by name. Where the release has no list of its files, its default
    /// configuration says what it loads; all others are kept, for to keep too much costs little.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn plugins(&self) -> io::Result<Vec<Plugin>> {
        let bundled = self.release_plugins();
        let mut plugins: Vec<Plugin> = self
            .folders_in("plugins")?
            .into_iter()
            .filter(|name| !bundled.contains(name))
            .map(|name| Plugin { version: self.plugin_version(&name), name })
            .collect();
        plugins.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(plugins)
    }

    /// Names of all plugins that are here, whoever brought them.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn all_plugins(&self) -> io::Result<BTreeSet<String>> {
        Ok(self.folders_in("plugins")?.into_iter().collect())
    }

    /// Matomo's files for all installations and with its defaults, the first that names a key first.
    pub fn defaults(&self) -> Vec<Document> {
        let texts =
            ["common.config.ini.php", "global.ini.php"].map(|name| fs::read(self.folder.join("config").join(name)));
        texts.into_iter().filter_map(|text| Document::lenient(text.ok()?)).collect()
    }

    fn folders_in(&self, below: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.folder.join(below)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() && !name.starts_with('.') {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Plugins that come with this release, as its own list of files says, else its default configuration; empty where
    /// neither is here.
    pub fn release_plugins(&self) -> BTreeSet<String> {
        let listed = fs::read(self.folder.join("config/manifest.inc.php"));
        let listed = listed.map(|text| plugins_of_files(&String::from_utf8_lossy(&text))).unwrap_or_default();
        if !listed.is_empty() {
            return listed;
        }
        let defaults = fs::read(self.folder.join("config/global.ini.php")).ok().and_then(Document::lenient);
        defaults.map(|defaults| defaults.list("Plugins", "Plugins[]").into_iter().collect()).unwrap_or_default()
    }

    fn plugin_version(&self, name: &str) -> Option<String> {
        let text = fs::read(self.folder.join("plugins").join(name).join("plugin.json")).ok()?;
        let value: serde_json::Value = serde_json::from_slice(&text).ok()?;
        value["version"].as_str().map(str::to_owned)
    }

    /// Files of the operator outside of plugins, as paths from the folder: logo and the like, GeoIP databases, further
    /// configurations. The main configuration is a member of its own.
    ///
    /// # Errors
    /// When a folder cannot be listed.
    pub fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        if self.folder.join("misc/user").is_dir() {
            found.push(PathBuf::from("misc/user"));
        }
        found.extend(self.named("misc", is_geoip)?);
        found.extend(self.named("config", is_further_config)?);
        found.sort();
        Ok(found)
    }

    fn named(&self, below: &str, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(self.folder.join(below)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if wanted(&name) && entry.file_type()?.is_file() {
                found.push(Path::new(below).join(name));
            }
        }
        Ok(found)
    }
}

/// A database of places, below `misc`.
pub fn is_geoip(name: &str) -> bool {
    name.ends_with(".mmdb") || name.ends_with(".dat")
}

/// A configuration beside the main one, below `config`.
pub fn is_further_config(name: &str) -> bool {
    name.ends_with(".config.ini.php") || name == "config.php"
}

/// The folders below `plugins/` in a release's list of its files: `"plugins/API/API.php" => array(…)`.
fn plugins_of_files(list: &str) -> BTreeSet<String> {
    let paths = list.lines().filter_map(|line| line.trim().strip_prefix(['"', '\''])?.strip_prefix("plugins/"));
    paths.filter_map(|path| Some(path.split_once('/')?.0.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(paths: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for path in paths {
            fs::create_dir_all(root.path().join(path).parent().unwrap()).unwrap();
            fs::write(root.path().join(path), "").unwrap();
        }
        root
    }

    #[test]
    fn matomo_is_found_in_the_layouts_of_both_images() {
        const VOLUME: &str = "bitnami/matomo/config/config.ini.php";
        const IMAGE: &str = "opt/bitnami/matomo/config/config.ini.php";
        const OFFICIAL: &str = "var/www/html/config/config.ini.php";
        for (paths, folder) in [
            (&[VOLUME, IMAGE, OFFICIAL][..], "bitnami/matomo"),
            (&[IMAGE, OFFICIAL], "opt/bitnami/matomo"),
            (&[OFFICIAL], "var/www/html"),
            // A web server of another kind, or a volume that is still empty.
            (&["var/www/html/index.html", "bitnami/matomo/config/global.ini.php"], "bitnami/matomo"),
            // A volume that nobody uses does not hide the Matomo that is there.
            (&["bitnami/matomo/config/global.ini.php", OFFICIAL], "var/www/html"),
            (&["var/www/html/config/global.ini.php"], "var/www/html"),
            (&[], "bitnami/matomo"),
        ] {
            let root = made(paths);
            assert_eq!(found_below(root.path()), root.path().join(folder), "{paths:?}");
        }
    }

    #[test]
    fn the_settings_overrule_what_is_found() {
        let read = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().copied();
            Place::of(&shared::config::read(pairs, &shared::config::Neighbours::default()).unwrap().settings)
        };
        let place = read(&[("MATOMO_DIR", "/srv/matomo")]);
        assert_eq!(place.config().path(), Path::new("/srv/matomo/config/config.ini.php"));
        let place = read(&[("MATOMO_DIR", "/srv/matomo"), ("MATOMO_CONFIG", "/srv/config.ini.php")]);
        assert_eq!(
            (place.folder(), place.config().path()),
            (Path::new("/srv/matomo"), Path::new("/srv/config.ini.php"))
        );
    }
}
