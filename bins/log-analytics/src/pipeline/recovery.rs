//! Brings the ledger of a site up to date with Matomo before anything is sent: batches that an earlier process left in doubt,
//! batches that Matomo has and the ledger does not know, and batches that Matomo lost.

use std::collections::BTreeSet;
use std::time::Duration;

use tracing::{error, info, warn};

use super::sender::Stop;
use crate::discover::SiteId;
use crate::id::{IntentId, JournalId, Mark};
use crate::ledger::{Intent, Lease, Part, Receipt, Standing};
use crate::matomo::{
    Announcement, ApiError, Asked, Delivery, Question, Resolution, Seen, Sink, Span, ToldPart, Trace, resolve,
};

/// Marks of batches behind the last known one that are asked for at each start.
const NEXT_MARKS: u64 = 32;
/// Marks asked for at once when a ledger is rebuilt.
const REBUILT_MARKS: u64 = 100;
/// Numbers that no batch got may lie between others: after so many in a row there are no more.
const GAP_MAX: u64 = 2 * REBUILT_MARKS;

/// Whether Matomo lost the last batch of a site, so that there is something to do although no file waits; asks for one mark.
///
/// # Errors
/// When Matomo cannot be asked.
pub async fn has_lost_batches<S: Sink>(lease: &Lease, sink: &S, ledger_site: SiteId) -> Result<bool, ApiError> {
    let Some(last) = lease.book().sent().next() else { return Ok(false) };
    let ledger_site = Some(last.ledger_site.unwrap_or(ledger_site));
    let asked = Asked { site: lease.book().site(), ledger_site, mark: last.mark };
    let trace = sink.traces(&[asked]).await?.pop().flatten();
    Ok(trace.is_some_and(|trace| trace.times == 0))
}

/// Asks Matomo about every batch without a receipt.
///
/// # Errors
/// When Matomo cannot be asked, there is a shutdown request, or the ledger cannot be written. Nothing must be sent then.
pub async fn settle_doubts<S: Sink>(lease: &mut Lease, delivery: &Delivery<S>) -> Result<(), Stop> {
    let site = lease.book().site();
    let open = lease.book().pending().filter(|pending| pending.standing == Standing::Open);
    let intents: Vec<Intent> = open.map(|pending| pending.intent.clone()).collect();
    if intents.is_empty() {
        return Ok(());
    }
    info!(%site, batches = intents.len(), "Previous import was interrupted; asking Matomo which batches arrived");
    let begin = tokio::time::Instant::now();
    let (mut arrived, mut absent) = (0, 0);
    for intent in intents {
        // The whole wait counts from the start of this process: nobody knows when the request left the other one.
        let wait = delivery.retry.doubt_wait(Seen::Crash, Duration::ZERO).saturating_sub(begin.elapsed());
        match resolve(&delivery.sink, &Question::of(site, &intent), wait, &delivery.shutdown).await {
            Resolution::Arrived { .. } => {
                arrived += 1;
                lease.commit(intent.intent, Receipt { tracked: intent.hits() as u64, ..Receipt::default() })?;
            }
            Resolution::ArrivedBut(missing) => {
                arrived += 1;
                let lines: usize = missing.iter().map(|part| part.lines.as_slice().len()).sum();
                warn!(%site, hits = intent.hits(), missing = lines, "A batch arrived in part; its missing hits are sent again");
                lease.commit_but(intent.intent, missing)?;
            }
            Resolution::Absent => {
                absent += 1;
                lease.undo(intent.intent, "it did not arrive before a crash")?;
            }
            Resolution::Unknowable => {
                error!(%site, hits = intent.hits(),
                    "IMPORT_LOG_ERROR Batch outcome unknown after a crash, its lines are set aside; decide with \
                     `log-analytics retry --resend` or `--skip`");
                lease.withhold(intent.intent, "a crash left it without an answer")?;
            }
            Resolution::Unasked if delivery.shutdown.requested() => return Err(Stop::Asked),
            Resolution::Unasked => {
                return Err(Stop::InDoubt("Matomo cannot be asked about the last import".to_owned()));
            }
        }
    }
    lease.sync()?;
    info!(%site, arrived, absent, "Doubts about the previous import are settled");
    Ok(())
}

/// Holds the ledger against Matomo's marks: one request, unless they differ.
///
/// # Errors
/// When they differ in a way that nobody but a person can settle, when Matomo cannot be asked, or the ledger cannot be written.
/// Nothing must be sent then.
pub async fn bring_up_to_date<S: Sink>(lease: &mut Lease, delivery: &Delivery<S>) -> Result<(), Stop> {
    let Some(ledger_site) = delivery.ledger_site else { return Ok(()) };
    let audit = Audit { delivery, sink: &delivery.sink, site: lease.book().site(), ledger_site };
    if !lease.book().is_announced() && !audit.rebuild(lease).await? {
        return Ok(());
    }
    let last = lease.book().sent().next().map(|sent| (sent.intent, sent.ledger_site.unwrap_or(ledger_site), sent.mark));
    let next = lease.book().next_intent().0;
    let mut asked = audit.asked(lease.book().journal(), next..next + NEXT_MARKS);
    asked.extend(last.map(|(_, ledger_site, mark)| Asked { site: audit.site, ledger_site: Some(ledger_site), mark }));
    let mut traces = audit.traces(&asked).await?;
    let last_trace = last.and_then(|_| traces.pop());
    if traces.iter().any(|trace| trace.times > 0) {
        audit.catch_up(lease, next).await?;
    } else if last_trace.is_some_and(|trace| trace.times == 0) {
        audit.find_lost(lease).await?;
    }
    Ok(())
}

/// What a ledger is held against.
struct Audit<'a, S> {
    delivery: &'a Delivery<S>,
    sink: &'a S,
    site: SiteId,
    ledger_site: SiteId,
}

impl<S: Sink> Audit<'_, S> {
    fn asked(&self, journal: JournalId, numbers: std::ops::Range<u64>) -> Vec<Asked> {
        let mark = |number| Mark::of(journal, self.site, IntentId(number));
        numbers
            .map(|number| Asked { site: self.site, ledger_site: Some(self.ledger_site), mark: mark(number) })
            .collect()
    }

    async fn traces(&self, asked: &[Asked]) -> Result<Vec<Trace>, Stop> {
        let traces = self.sink.traces(asked).await.map_err(|error| Stop::NotNow(error.sentence()))?;
        Ok(traces.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// A journal that Matomo does not know: is there an earlier one of this site, whose file is gone? Then it is rebuilt from
    /// its marks. Answers whether it was.
    async fn rebuild(&self, lease: &mut Lease) -> Result<bool, Stop> {
        let mark = Mark::of_journals(self.site);
        let asked = Asked { site: self.site, ledger_site: Some(self.ledger_site), mark };
        let trace = self.traces(&[asked]).await?.pop().unwrap_or_default();
        let journals: BTreeSet<u64> = trace.announcements.iter().map(|announced| announced.journal.0).collect();
        let known = lease.book().journal();
        let [earlier] = distinct(&trace.announcements)[..] else {
            let is_known = journals.is_empty() || lease.book().is_adopted();
            return if is_known {
                Ok(false)
            } else {
                Err(self.is_gone("several ledgers announced themselves to Matomo"))
            };
        };
        if earlier.journal == known || lease.book().is_adopted() {
            return Ok(earlier.journal == known);
        }
        if !earlier.is_complete || lease.book().files().any(|content| content.is_booked()) {
            return Err(self.is_gone("it began with files that no mark tells of"));
        }
        self.let_matomo_finish().await?;
        let batches = self.told_batches(earlier.journal, 0).await?;
        self.prove_stored(&batches).await?;
        warn!(site = %self.site, journal = %earlier.journal, batches = batches.len(),
            "The ledger of the site is gone, but Matomo has its marks: it is rebuilt from them, and nothing is sent twice");
        lease.continue_as(earlier.journal)?;
        self.learn(lease, batches)?;
        Ok(true)
    }

    fn is_gone(&self, why: &str) -> Stop {
        Stop::LedgerUnclear(format!(
            "the ledger is gone while Matomo has marks of this site, and cannot be rebuilt: {why}"
        ))
    }

    /// The site's data may have been deleted in Matomo, to be imported anew: then its marks tell of hits that are not there.
    async fn prove_stored(&self, batches: &[Told]) -> Result<(), Stop> {
        let Some(Told { mark, parts, newest: Some((day, seconds)), .. }) = batches.last() else { return Ok(()) };
        let views =
            parts.iter().flat_map(|part| part.lines.as_slice().iter().map(|line| mark.page_view(part.file, *line)));
        let span = Span {
            site: self.site,
            days: vec![*day],
            oldest: seconds - 86_400,
            page_views: views.collect(),
            is_marked: false,
        };
        match self.sink.stored(&span).await {
            Ok(Some(found)) if found.is_empty() => Err(self.is_gone(&format!(
                "its hits of {day} are not in Matomo any more (was the site's data deleted, to import it anew?)"
            ))),
            // Without a list of visits there is nothing to hold the marks against.
            Ok(_) | Err(ApiError::Refused { .. } | ApiError::TooLong { .. }) => Ok(()),
            Err(error) => Err(Stop::NotNow(error.sentence())),
        }
    }

    /// The ledger is older than Matomo: a restored volume, or a file that was cut.
    async fn catch_up(&self, lease: &mut Lease, next: u64) -> Result<(), Stop> {
        warn!(site = %self.site, "The ledger is older than Matomo (was it restored from a backup?): it is brought up to date by Matomo's marks");
        self.let_matomo_finish().await?;
        let batches = self.told_batches(lease.book().journal(), next).await?;
        self.learn(lease, batches)
    }

    /// Whoever wrote the ledger that is gone may have died a moment ago, with batches on their way into Matomo's database: marks
    /// that nobody would ask for once more.
    async fn let_matomo_finish(&self) -> Result<(), Stop> {
        let wait = self.delivery.retry.doubt_wait(Seen::Crash, Duration::ZERO);
        info!(site = %self.site, seconds = wait.as_secs(), "Waiting for what Matomo may still be storing");
        tokio::select! {
            () = self.delivery.shutdown.wait() => Err(Stop::Asked),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }

    /// What the marks of a journal tell, from a number on.
    async fn told_batches(&self, journal: JournalId, from: u64) -> Result<Vec<Told>, Stop> {
        let mut batches = Vec::new();
        let (mut at, mut gap) = (from, 0);
        while gap < GAP_MAX {
            let asked = self.asked(journal, at..at + REBUILT_MARKS);
            for (number, (asked, trace)) in (at..).zip(asked.iter().zip(self.traces(&asked).await?)) {
                if trace.times == 0 {
                    gap += 1;
                    continue;
                }
                gap = 0;
                let newest = trace.newest;
                let parts = trace.parts.filter(|_| trace.first && trace.last).ok_or_else(|| {
                    Stop::LedgerUnclear(format!("Matomo's mark of batch {number} does not tell all of its lines"))
                })?;
                batches.push(Told { intent: IntentId(number), mark: asked.mark, parts, newest });
            }
            at += REBUILT_MARKS;
        }
        Ok(batches)
    }

    fn learn(&self, lease: &mut Lease, batches: Vec<Told>) -> Result<(), Stop> {
        let (count, mut hits) = (batches.len(), 0);
        // What was seen a moment ago may be what Matomo has.
        lease.forget_unbooked()?;
        for Told { intent, mark, parts, newest } in batches {
            let parts = parts.into_iter().map(|part| part_of(lease, part)).collect::<Result<Vec<_>, _>>()?;
            let count = parts.iter().map(|part| part.lines.as_slice().len() as u64).sum();
            let intent = Intent {
                intent,
                mark,
                ledger_site: Some(self.ledger_site),
                marks: 2,
                sent_ms: jiff::Timestamp::now().as_millisecond(),
                parts,
                newest: newest.map_or(0, |(_, seconds)| seconds),
                oldest: None,
                days: newest.map(|(day, _)| day).into_iter().collect(),
                by_day: newest.map(|(day, _)| (day, count)).into_iter().collect(),
            };
            hits += intent.hits();
            lease.learn(intent)?;
        }
        lease.sync()?;
        info!(site = %self.site, batches = count, hits, "The ledger is up to date with Matomo");
        Ok(())
    }

    /// Matomo lost the last batch: its database went back to an earlier state. What it lost is sent again.
    async fn find_lost(&self, lease: &mut Lease) -> Result<(), Stop> {
        let sent: Vec<(IntentId, Asked)> = lease
            .book()
            .sent()
            .map(|sent| {
                let ledger_site = sent.ledger_site.unwrap_or(self.ledger_site);
                (sent.intent, Asked { site: self.site, ledger_site: Some(ledger_site), mark: sent.mark })
            })
            .collect();
        let asked: Vec<Asked> = sent.iter().map(|(_, asked)| asked.clone()).collect();
        let traces = self.traces(&asked).await?;
        let lost = traces.iter().take_while(|trace| trace.times == 0).count();
        if lost == sent.len() {
            return Err(Stop::LedgerUnclear(format!(
                "Matomo has none of the marks of the last {lost} batches: its database went back further than the ledger \
                 remembers, or the ledger site was emptied"
            )));
        }
        warn!(site = %self.site, batches = lost,
            "Matomo lost the last batches (was its database restored from a backup?): their lines are sent again");
        for (intent, _) in &sent[..lost] {
            lease.lose(*intent)?;
        }
        Ok(lease.sync()?)
    }
}

/// A journal announces itself again where nobody knows whether it did.
fn distinct(announcements: &[Announcement]) -> Vec<Announcement> {
    let mut journals: Vec<Announcement> = Vec::new();
    for announced in announcements {
        match journals.iter_mut().find(|known| known.journal == announced.journal) {
            Some(known) => known.is_complete |= announced.is_complete,
            None => journals.push(*announced),
        }
    }
    journals
}

/// A batch, as its marks tell it.
struct Told {
    intent: IntentId,
    mark: Mark,
    parts: Vec<ToldPart>,
    newest: Option<(jiff::civil::Date, i64)>,
}

/// A part, its content known under the number that it had in the journal, or noted under it.
fn part_of(lease: &mut Lease, told: ToldPart) -> Result<Part, Stop> {
    let ToldPart { file, line_key, proof, lines } = told;
    match lease.book().file(file) {
        Some(content) if content.line_key == line_key => {}
        Some(_) => {
            return Err(Stop::LedgerUnclear(format!(
                "the marks tell of another file number {} than the ledger",
                file.0
            )));
        }
        None => lease.know_of(file, line_key)?,
    }
    Ok(Part { file, lines, proof: Some(proof) })
}
