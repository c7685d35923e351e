//! `queue`: what waits, and why.

use jiff::Timestamp;
use shared::config::{self, Neighbours};
use shared::entry::{Exit, Failure};

use crate::config::Place;
use crate::main_cf;
use crate::postfix::{Postfix, not_installed};
use crate::waiting::{self, Message};

/// Shows the queue as a table.
pub fn queue() -> Result<Exit, Failure> {
    let place = config::from_env::<Place>(&Neighbours::default())?.settings;
    super::say(&waiting::table(&messages(&place)?, Timestamp::now()));
    Ok(Exit::Done)
}

/// The messages that wait, the oldest first; works with and without a running Postfix.
pub fn messages(place: &Place) -> Result<Vec<Message>, Failure> {
    let folder = place.config_dir.as_path();
    if !folder.join(main_cf::NAME).exists() {
        return Err(Failure::new(Exit::Unavailable, format!("there is no configuration in {}", folder.display()))
            .help("`postfix-config run` writes it; is this the container in which it runs?"));
    }
    let answer = super::block_on(Postfix::at(folder, None).ask("postqueue", &["-j"]))?.map_err(not_installed)?;
    if !answer.good {
        let what = format!("Postfix does not show its queue: {}", answer.complaint());
        return Err(Failure::new(Exit::Unavailable, what).help("look at the log of this container"));
    }
    waiting::read(&answer.stdout).map_err(|error| Failure::new(Exit::Software, error))
}
