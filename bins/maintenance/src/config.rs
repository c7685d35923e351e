//! Every environment variable of maintenance, declared once.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use shared::config::{Address, Count, Neighbours, Span};
use shared::health_http::ListenOptions;
use shared::job::JobOptions;
use shared::logging::LogOptions;
use shared::notify::NotifyOptions;
use shared::process::RunAs;
use shared::schedule::Schedule;
use shared::secret::Secret;

use crate::database::TlsMode;
use crate::set::SealKey;

shared::settings! {
    /// What maintenance reads from its environment.
    pub struct Settings {
        /// Folder for backup sets and our own state. Its files are for their owner alone.
        pub backup_dir: PathBuf = default("MAINTENANCE_DIR", "/backups"),
        /// When `run` takes a backup: a cron expression of five fields, or six with seconds first.
        pub cron: Schedule = default("MAINTENANCE_BACKUP_CRON", "0 30 2 * * *"),
        /// Whether tracking and user interface are switched off during a backup. Not needed for a consistent one.
        pub lock_backups: bool = default("MAINTENANCE_LOCK", "no"),
        /// Whether `run` also restores each new set into a scratch database, compares it, and drops it again.
        pub rehearse: bool = default("MAINTENANCE_REHEARSE", "no"),
        /// Good sets that are kept, and safety backups of `restore` besides.
        pub keep: Count<1, 1000> = default("MAINTENANCE_KEEP", "7"),
        /// Good sets older than this are removed too, but never the newest one.
        pub keep_age: Span = default("MAINTENANCE_KEEP_AGE", "30d"),
        /// Level of the compression by zstd: higher is smaller and slower.
        pub zstd_level: Count<1, 19> = default("MAINTENANCE_ZSTD_LEVEL", "3"),
        /// Longest time for one program: a dump, a load, an update of the schema.
        pub timeout: Span = default("MAINTENANCE_TIMEOUT", "6h"),
        /// Address of Matomo, as this container reaches it. All addresses of its name are asked, one by one.
        pub matomo_url: Address = default("MATOMO_URL", "http://matomo"),
        /// Addresses of the containers behind the balancer, when the name of MATOMO_URL does not give them.
        pub containers: Vec<Address> = optional("MATOMO_CONTAINERS").example("http://10.42.1.7,http://10.42.1.8"),
        /// Token of any Matomo user (view access is enough): a healthy answer then names Matomo's version.
        pub matomo_token: Option<Secret> = optional("MATOMO_TOKEN"),
        /// Folder of Matomo. When unset: `/bitnami/matomo`, else `/opt/bitnami/matomo`, else `/var/www/html`.
        pub matomo_dir: Option<PathBuf> = optional("MATOMO_DIR").example("/bitnami/matomo"),
        /// Matomo's configuration. When unset: `config/config.ini.php` in its folder.
        pub matomo_config: Option<PathBuf> = optional("MATOMO_CONFIG").example("/bitnami/matomo/config/config.ini.php"),
        /// How `upgrade-guard` starts Matomo's console, in Matomo's folder.
        pub console: String = default("MATOMO_CONSOLE", "php console"),
        /// Whom the console runs as when this container runs as root: the owner of Matomo's files, `self`, a name, or numbers.
        pub run_as: RunAs = default("RUN_AS_USER", "owner").example("www-data"),
        /// Host of the database. When unset, Matomo's configuration says it, as for the settings below.
        pub database_host: Option<String> = optional("MARIADB_HOST").example("mariadb").formerly(&["MATOMO_DATABASE_HOST"]),
        /// Port of the database.
        pub database_port: Option<u16> = optional("MARIADB_PORT_NUMBER").example("3306").formerly(&["MATOMO_DATABASE_PORT_NUMBER"]),
        /// Name of Matomo's database.
        pub database_name: Option<String> = optional("MATOMO_DATABASE_NAME").example("bitnami_matomo"),
        /// User of Matomo's database.
        pub database_user: Option<String> = optional("MATOMO_DATABASE_USER").example("bn_matomo"),
        /// Its password.
        pub database_password: Option<Secret> = optional("MATOMO_DATABASE_PASSWORD"),
        /// User who may create the scratch databases of `rehearse` and `restore`; used when its password is set.
        pub root_user: String = default("MARIADB_ROOT_USER", "root"),
        /// Its password. When unset, Matomo's user does it and needs the right (see docs/maintenance.md).
        pub root_password: Option<Secret> = optional("MARIADB_ROOT_PASSWORD"),
        /// Whether the way to the database is encrypted: `require`, `verify` (the certificate, too) or `off`. When unset, as Matomo's own `enable_ssl`, `ssl_ca` and `ssl_no_verify` say; where they are silent, if both ends can.
        pub tls: Option<TlsMode> = optional("MARIADB_TLS").example("verify"),
        /// Key by which sets are sealed (give it as BACKUP_KEY_FILE). When set, `rehearse` and `restore` take a set without our seal only with `--trust`.
        pub backup_key: Option<SealKey> = optional("BACKUP_KEY"),
        /// How long Matomo may take to answer as it should after a switch.
        pub settle_time: Span = default("MAINTENANCE_SETTLE_TIME", "15s"),
        /// File with the certificate of an authority of your own.
        pub ca_file: Option<PathBuf> = optional("CA_FILE").example("/run/secrets/ca.pem"),
        /// Time zone of the schedule.
        pub zone: TimeZone = default("TZ", "UTC").example("Europe/Copenhagen"),
        /// When the job may run, how it is stopped, and when its failures matter.
        pub job: JobOptions,
        /// Who is told about backups that fail.
        pub notify: NotifyOptions,
        /// Where health checks are answered by HTTP.
        pub listen: ListenOptions,
        /// Where the health of `run` is written. Default: `health.json` in the state folder.
        pub health_file: Option<PathBuf> = optional("HEALTH_FILE").example("/tmp/health.json"),
        /// Level and format of the log.
        pub log: LogOptions,
    }
}

shared::settings! {
    /// The few settings that `health` needs: it must answer when others are wrong.
    pub struct HealthSettings {
        /// As for `run`.
        pub backup_dir: PathBuf = default("MAINTENANCE_DIR", "/backups"),
        /// As for `run`.
        pub health_file: Option<PathBuf> = optional("HEALTH_FILE").example("/tmp/health.json"),
    }
}

/// Below the folder for sets: our own state.
pub const STATE_FOLDER: &str = ".state";

fn health_file(file: Option<&Path>, backup_dir: &Path) -> PathBuf {
    file.map_or_else(|| backup_dir.join(STATE_FOLDER).join("health.json"), Path::to_owned)
}

impl HealthSettings {
    /// The file to read.
    pub fn health_file(&self) -> PathBuf {
        health_file(self.health_file.as_deref(), &self.backup_dir)
    }
}

impl Settings {
    /// The file that `health` reads.
    pub fn health_file(&self) -> PathBuf {
        health_file(self.health_file.as_deref(), &self.backup_dir)
    }
}

/// The rows of this program in `docs/reference/environment.md`.
pub fn reference() -> String {
    shared::config::reference::<Settings>()
}

/// Which unknown variables are worth a warning: those that look like ours.
pub fn neighbours() -> Neighbours {
    Neighbours {
        ours: &["MAINTENANCE_"],
        // Variables of the stack and of the other sidecars, which often share one environment file with this one.
        theirs: &["MATOMO_*", "MARIADB_*", "IMPORT_*", "RSYNC_*", "LEDGER_*"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_declared_can_be_read() {
        assert_eq!(shared::config::faults_in_declaration::<Settings>(), Vec::<String>::new());
    }
}
