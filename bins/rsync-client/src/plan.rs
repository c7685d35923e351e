//! What a pass will run: `RSYNC_COMMANDS`, cut into its commands where that is safe, each with what can be told about it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use shared::entry::{Exit, Failure};
use shared::process::{Limits, Program};
use shared::shutdown::Shutdown;

use crate::config::SplitMode;
use crate::script::{
    Chain, Place, Rsync, Script, Split, Veil, host_key_remark, path_remarks, place, rsyncs, shown, split,
};

/// A shell that reads a text for longer than this hangs.
const SYNTAX_CHECK_MAX: Duration = Duration::from_secs(20);

/// Something to run in a shell of its own.
#[derive(Clone, Debug)]
pub struct Unit {
    /// For the shell.
    pub text: String,
    /// For people.
    pub shown: String,
    /// Whether its exit code tells how it went.
    pub chain: Chain,
    /// The rsync commands in it.
    pub rsyncs: Vec<Rsync>,
    /// Sites whose folder it writes to.
    pub sites: Vec<String>,
    /// Folders of sites that must be there before.
    pub targets: Vec<PathBuf>,
}

/// All commands of a pass.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In their order.
    pub units: Vec<Unit>,
    /// Sentences about what an operator should look at.
    pub remarks: Vec<String>,
    /// Hides passwords in the output.
    pub veil: Veil,
}

impl Unit {
    /// A text that runs as one.
    pub fn new(text: &str, logs: &Path) -> Self {
        let rsyncs = rsyncs(text);
        let places = rsyncs.iter().filter_map(Rsync::local_target).map(|target| (place(&target, logs), target));
        let (mut sites, mut targets) = (Vec::new(), Vec::new());
        for (place, target) in places {
            if let Place::Site(site) | Place::Inside(site) = place {
                sites.push(site);
                targets.push(target);
            }
        }
        Self { shown: shown(text), chain: Chain::of(text), text: text.to_owned(), rsyncs, sites, targets }
    }

    /// Whether rsync's exit codes mean what rsync's table says.
    pub fn is_rsync(&self) -> bool {
        !self.rsyncs.is_empty()
    }
}

impl Plan {
    /// Reads the commands; a shell judges whether they are commands at all.
    ///
    /// # Errors
    /// When a shell does not understand the text.
    pub async fn of(script: &Script, mode: SplitMode, logs: &Path) -> Result<Self, Failure> {
        if let Err(why) = check_syntax(script.text()).await? {
            let what = format!("RSYNC_COMMANDS cannot be used: the shell does not understand it: {why}");
            return Err(Failure::new(Exit::Config, what)
                .help("look at quotes and brackets: the text is what `sh -c` gets, after the container engine took its own quotes away"));
        }
        let mut remarks = Vec::new();
        let texts = match (mode, split(script.text())) {
            (SplitMode::Never, _) => vec![script.text().to_owned()],
            (SplitMode::Auto, Split::Pieces(pieces)) => match any_wrong(&pieces).await? {
                false => pieces,
                true => vec![script.text().to_owned()],
            },
            (SplitMode::Auto, Split::Whole(why)) => {
                remarks.push(format!(
                    "RSYNC_COMMANDS runs as one command, because {why}: it is timed, tried again and reported as one. Write plain commands separated by `;` to have each on its own"
                ));
                vec![script.text().to_owned()]
            }
        };
        let veil = Veil::of(script.text());
        let mut units: Vec<Unit> = texts.iter().map(|text| Unit::new(text, logs)).collect();
        // One command may tell what is only known as a password from another.
        units.iter_mut().for_each(|unit| unit.shown = veil.over(&unit.shown));
        remarks.extend(units.iter().enumerate().flat_map(|(at, unit)| unit_remarks(at + 1, unit, logs)));
        remarks.extend(host_key_remark(script.text()).map(str::to_owned));
        Ok(Self { units, remarks, veil })
    }
}

fn unit_remarks(number: usize, unit: &Unit, logs: &Path) -> Vec<String> {
    let dangers = unit
        .rsyncs
        .iter()
        .flat_map(Rsync::remarks)
        .chain(path_remarks(&unit.text))
        .map(|remark| format!("command {number}: {remark}"));
    let places =
        unit.rsyncs.iter().filter_map(Rsync::local_target).filter(|target| place(target, logs) == Place::NoSite);
    let places = places.map(|target| {
        format!(
            "command {number} writes to {}, which is no site's folder: the importer looks into {}/<SITE_ID>/",
            target.display(),
            logs.display()
        )
    });
    dangers.chain(places).collect()
}

async fn any_wrong(pieces: &[String]) -> Result<bool, Failure> {
    for piece in pieces {
        if check_syntax(piece).await?.is_err() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a shell says about a text that it only reads.
///
/// # Errors
/// When there is no shell.
pub async fn check_syntax(text: &str) -> Result<Result<(), String>, Failure> {
    let limits = Limits { hard: Some(SYNTAX_CHECK_MAX), ..Limits::default() };
    let ended = Program::new("sh").args(["-n", "-c", text]).quiet().run(&limits, &Shutdown::never()).await?;
    Ok(if ended.succeeded() { Ok(()) } else { Err(Veil::of(text).over(&ended.tail)) })
}
