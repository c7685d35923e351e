//! `health`: the answer of the container's health check. Nobody connects, so the mail log stays empty.

use jiff::Timestamp;
use shared::config::{self, Neighbours};
use shared::entry::{Exit, Failure};

use crate::circle::Circle;
use crate::config::{HealthLimits, HealthSettings, Place};
use crate::postfix::{self, Postfix};
use crate::waiting::in_words;

/// Says how Postfix is, on one line; 0 for well, 1 for not.
pub fn health() -> Result<Exit, Failure> {
    let settings = config::from_env::<HealthSettings>(&Neighbours::default())?.settings;
    let verdict = match is_alive(&settings.place)? {
        true => judge(&settings.place, &settings.limits)?,
        false => Err("Postfix is not running".to_owned()),
    };
    let (kind, sentence, exit) = match verdict {
        Ok(sentence) => ("ok", sentence, Exit::Done),
        Err(sentence) => ("failing", sentence, Exit::Failed),
    };
    super::say(&format!("{kind}: {sentence}\n"));
    Ok(exit)
}

fn is_alive(place: &Place) -> Result<bool, Failure> {
    let queue = place.queue_dir.as_path();
    let alive = postfix::is_running(queue);
    let alive = alive.map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot look at the queue {}: {error}", queue.display()))
    })?;
    Ok(alive.unwrap_or(false))
}

fn judge(place: &Place, limits: &HealthLimits) -> Result<Result<String, String>, Failure> {
    let now = Timestamp::now();
    if let Some(circle) = Circle::read(place.data_dir.as_path(), now) {
        let age = in_words(circle.age(now));
        return Ok(Err(format!("mail goes in circles: {}, last {age} ago; the log says more", circle.why)));
    }
    let messages = super::queue::messages(place)?;
    let postfix = Postfix::at(place.config_dir.as_path(), None);
    if let Some(shortage) = super::block_on(postfix.shortage(place.queue_dir.as_path()))?? {
        return Ok(Err(format!("{shortage}; {} messages wait", messages.len())));
    }
    // What an operator holds back is not stuck.
    let waiting: Vec<_> = messages.iter().filter(|message| message.queue_name != "hold").collect();
    let Some(oldest) = waiting.first() else { return Ok(Ok("Postfix runs, nothing waits".to_owned())) };
    let age = oldest.age(now);
    let said = format!("{} messages wait, the oldest for {}: {}", waiting.len(), in_words(age), oldest.why());
    let too_old = age.unsigned_abs() > limits.queue_age.get();
    let too_many = limits.queue_count.is_some_and(|most| waiting.len() as u64 > most.get());
    Ok(if too_old || too_many { Err(said) } else { Ok(format!("Postfix runs, {said}")) })
}
