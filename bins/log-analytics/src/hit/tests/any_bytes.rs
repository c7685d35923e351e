//! Any bytes in any field make valid JSON.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::*;
use crate::format::{Event, GenerationTime};
use crate::hit::{Dates, add_parameter};

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..40),
        vec(prop::sample::select(b"\"\\/?.-%\n\x00\x1f\x7f\xed\xa0\x80\xc3\xa9ab1".to_vec()), 0..40),
        "\\PC{0,30}".prop_map(String::into_bytes),
        vec(any::<u8>(), 1000..1100),
    ]
}

prop_compose! {
    fn records()(
        texts in vec(bytes(), 4), more in vec(of(bytes()), 7), event in vec(bytes(), 3), time in bytes(),
    ) -> Record<'static> {
        let mut texts = texts.into_iter().map(Cow::Owned);
        let mut more = more.into_iter().map(|text| text.map(Cow::Owned));
        let mut event = event.into_iter().map(Cow::Owned);
        Record {
            plain: false,
            ip: texts.next().unwrap(),
            date: Date::Unix { seconds: THEN, micros: 7 },
            path: texts.next().unwrap(),
            status: texts.next().unwrap(),
            extra: vec![("x".into(), texts.next().unwrap())],
            query: more.next().unwrap(),
            length: more.next().unwrap(),
            referrer: more.next().unwrap(),
            user_agent: more.next().unwrap(),
            host: more.next().unwrap(),
            userid: more.next().unwrap(),
            method: more.next().unwrap(),
            generation_time: Some(GenerationTime::Seconds(Cow::Owned(time))),
            event: Some(Box::new(Event {
                category: event.next().unwrap(),
                action: event.next().unwrap(),
                name: event.next().unwrap(),
            })),
        }
    }
}

prop_compose! {
    fn options()(flags in any::<[bool; 7]>(), name in "\\PC{0,8}", host in of("\\PC{0,8}")) -> HitOptions {
        HitOptions {
            enable_bots: flags[0],
            force_lowercase_path: flags[1],
            strip_query_string: flags[2],
            track_http_method: flags[3],
            reverse_dns: flags[4],
            title_category_delimiter: name.clone(),
            page_variables: if flags[5] { vec![("x".into(), name.clone())] } else { Vec::new() },
            visit_variables: if flags[6] { vec![("referrer".into(), name)] } else { Vec::new() },
            log_hostname: host,
            enable_http_errors: true,
            enable_http_redirects: true,
            enable_static: true,
            ..HitOptions::default()
        }
    }
}

proptest! {
    #[test]
    fn any_record_becomes_json_that_matomo_reads(record in records(), options in options(), host_mode: bool) {
        let mut judge = Judge::new(&options, host_mode).unwrap();
        let Verdict::Keep(kept) = judge.judge(&record, &mut Dates::default(), NOW) else { return Ok(()) };
        let mut out = Vec::new();
        judge.write(&kept, &site(), &mut out);
        prop_assert_eq!(out.last(), Some(&b'}'));
        add_parameter(&mut out, "pv_id", "abc123");
        // serde_json refuses what PHP refuses: bytes that are not UTF-8, lone surrogates, raw control characters.
        let hit: Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(&hit["pv_id"], "abc123");
        for name in ["cvar", "_cvar"] {
            if let Some(text) = hit.get(name) {
                let variables: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
                prop_assert!(variables.as_object().is_some_and(|pairs| !pairs.is_empty()));
            }
        }
    }

    #[test]
    fn fields_that_are_utf8_arrive_unchanged(agent in "\\PC{0,60}", user in any::<String>()) {
        prop_assume!(user != "-" && !agent.starts_with('"'));
        let record = Record { user_agent: Some(text(&agent)), userid: Some(text(&user)), ..view("/") };
        let options = everything();
        let hit = hit(&options, &record);
        prop_assert_eq!(&hit["ua"], &agent);
        prop_assert_eq!(&hit["uid"], &user);
        let label: Value = serde_json::from_str(hit["_cvar"].as_str().unwrap()).unwrap();
        prop_assert_eq!(&label["1"][1], &agent);
    }
}
