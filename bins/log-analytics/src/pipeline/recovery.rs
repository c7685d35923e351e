//! Settles, before anything is read, what an earlier process left in doubt.

use std::time::Duration;

use tracing::{error, info};

use super::flow::Stop;
use crate::ledger::{Intent, Lease, Receipt, Standing};
use crate::matomo::{Asked, Delivery, Seen, Settled, Sink, resolve};

/// Asks Matomo about every batch without a receipt.
///
/// # Errors
/// When Matomo cannot be asked, there is a wish to stop, or the ledger cannot be written. Nothing must be sent then.
pub async fn settle_doubts<S: Sink>(lease: &mut Lease, delivery: &Delivery<S>) -> Result<(), Stop> {
    let site = lease.book().site();
    let open = lease.book().pending().filter(|pending| pending.standing == Standing::Open);
    let intents: Vec<Intent> = open.map(|pending| pending.intent.clone()).collect();
    if intents.is_empty() {
        return Ok(());
    }
    info!(%site, batches = intents.len(), "The last import did not end in peace, asking Matomo which batches arrived");
    let (mut arrived, mut absent) = (0, 0);
    for intent in intents {
        let asked = Asked {
            site,
            ledger_site: intent.ledger_site,
            mark: intent.mark,
            pv_id: intent.pv_id.clone(),
            newest: intent.newest,
        };
        let wait = delivery.patience.doubt_wait(Seen::Crash, Duration::ZERO).saturating_sub(since(intent.sent_ms));
        match resolve(&delivery.sink, &asked, wait, &delivery.shutdown).await {
            Settled::Arrived => {
                arrived += 1;
                lease.commit(intent.intent, Receipt { tracked: intent.hits() as u64, ..Receipt::default() })?;
            }
            Settled::Absent => {
                absent += 1;
                lease.undo(intent.intent, "it did not arrive before a crash")?;
            }
            Settled::Unknowable => {
                error!(%site, hits = intent.hits(),
                    "IMPORT_LOG_ERROR A crash left a batch of which nobody can tell whether it arrived: its lines are set aside, \
                     decide with `log-analytics retry --resend` or `--skip`; with MATOMO_LEDGER_SITE set this does not happen");
                lease.withhold(intent.intent, "a crash left it without an answer")?;
            }
            Settled::Unasked if delivery.shutdown.requested() => return Err(Stop::Asked),
            Settled::Unasked => return Err(Stop::InDoubt("Matomo cannot be asked about the last import".to_owned())),
        }
    }
    lease.sync()?;
    info!(%site, arrived, absent, "Doubts about the last import are settled");
    Ok(())
}

/// How long ago, by the clock of the wall; a moment in the future was just now.
fn since(sent_ms: i64) -> Duration {
    let elapsed = jiff::Timestamp::now().as_millisecond().saturating_sub(sent_ms);
    Duration::from_millis(u64::try_from(elapsed).unwrap_or(0))
}
