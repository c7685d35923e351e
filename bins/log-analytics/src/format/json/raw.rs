//! Lines that are JSON but for some bytes that are not UTF-8, and the way back to those bytes.

use std::borrow::Cow;

use memchr::memchr;

use super::super::record::{Date, Event, GenerationTime, Record, Text};

/// The last 256 characters of Unicode's last private area, one for each byte; nothing writes them into a log.
const STAND_INS: u32 = 0x10_FF00;
/// The first byte of each in UTF-8.
const STAND_INS_START: u8 = 0xF4;

/// The line as text; every byte that is not UTF-8 becomes a character of its own.
pub fn readable(line: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(line) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(with_stand_ins(line)),
    }
}

fn with_stand_ins(line: &[u8]) -> String {
    let mut text = String::with_capacity(line.len() + 16);
    for chunk in line.utf8_chunks() {
        text.push_str(chunk.valid());
        let bytes = chunk.invalid().iter();
        text.extend(bytes.filter_map(|byte| char::from_u32(STAND_INS + u32::from(*byte))));
    }
    text
}

/// A record of its own, every byte as it stood in the line.
pub fn into_owned(record: Record<'_>) -> Record<'static> {
    Record {
        ip: owned(record.ip),
        date: owned_date(record.date),
        path: owned(record.path),
        query: record.query.map(owned),
        status: owned(record.status),
        length: record.length.map(owned),
        referrer: record.referrer.map(owned),
        user_agent: record.user_agent.map(owned),
        host: record.host.map(owned),
        userid: record.userid.map(owned),
        method: record.method.map(owned),
        generation_time: record.generation_time.map(owned_time),
        event: record.event.map(|event| Box::new(owned_event(*event))),
        extra: record.extra.into_iter().map(|(name, text)| (Cow::Owned(name.into_owned()), owned(text))).collect(),
        plain: record.plain,
    }
}

fn owned_date(date: Date<'_>) -> Date<'static> {
    match date {
        Date::Clf { date, zone } => Date::Clf { date: owned(date), zone: owned(zone) },
        Date::Pattern { pattern, date, zone } => {
            Date::Pattern { pattern: Cow::Owned(pattern.into_owned()), date: owned(date), zone: zone.map(owned) }
        }
        Date::Unix { seconds, micros } => Date::Unix { seconds, micros },
    }
}

fn owned_time(time: GenerationTime<'_>) -> GenerationTime<'static> {
    match time {
        GenerationTime::Milli(text) => GenerationTime::Milli(owned(text)),
        GenerationTime::Micro(text) => GenerationTime::Micro(owned(text)),
        GenerationTime::Seconds(text) => GenerationTime::Seconds(owned(text)),
    }
}

fn owned_event(event: Event<'_>) -> Event<'static> {
    Event { category: owned(event.category), action: owned(event.action), name: owned(event.name) }
}

/// Replaces stand-ins by their bytes.
fn owned(text: Text<'_>) -> Text<'static> {
    match memchr(STAND_INS_START, &text) {
        Some(_) => Cow::Owned(without_stand_ins(&text)),
        None => Cow::Owned(text.into_owned()),
    }
}

fn without_stand_ins(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            match u8::try_from(u32::from(character).wrapping_sub(STAND_INS)) {
                Ok(byte) => bytes.push(byte),
                Err(_) => bytes.extend(character.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
        bytes.extend(chunk.invalid());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_utf8_come_out_as_they_went_in() {
        let line = b"a\xFF\xE9b \xE2\x82\xAC\xC3";
        let text = readable(line);
        assert_eq!(&*owned(Cow::Borrowed(text.as_bytes())), line);
    }
}
