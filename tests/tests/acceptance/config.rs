//! Settings and secrets.

use tests::acceptance::{As, World};

use crate::subject;

#[test]
fn c_101_every_way_to_write_a_value() {
    let world = || World::new(&subject()).job("test \"$JOB_PASSWORD\" = value");
    world().env("JOB_PASSWORD", "  \"value\"  ").once(As::Process).is(0).says("blanks or quotes");
    for (name, text) in [("newline", "value\n"), ("crlf", "value\r\n"), ("bare", "value")] {
        let world = world();
        world.write(name, text);
        world.env("JOB_PASSWORD_FILE", &format!("@/{name}")).once(As::Process).is(0);
    }
    let both = world().env("JOB_PASSWORD", "a").env("JOB_PASSWORD_FILE", "@/none");
    both.run(As::Process, &["check"]).is(78).says("JOB_PASSWORD");
    for (name, text) in [("large", "x".repeat(2 << 20)), ("nul", "a\0b".to_owned())] {
        let world = world();
        world.write(name, &text);
        world
            .env("JOB_PASSWORD_FILE", &format!("@/{name}"))
            .run(As::Process, &["check"])
            .is(78)
            .says("JOB_PASSWORD_FILE");
    }
    for path in ["@", "@/missing"] {
        world().env("JOB_PASSWORD_FILE", path).run(As::Process, &["check"]).is(78).says("JOB_PASSWORD_FILE");
    }
    World::new(&subject()).env("JOB_COMMAND", " ").run(As::Process, &["check"]).is(78).says("JOB_COMMAND");
}

#[test]
fn c_102_an_unknown_name_draws_the_nearest_known_one() {
    let world = World::new(&subject()).job("true").env("JOB_COMAND", "x").env("JOB_ATEMPTS", "3");
    world.once(As::Process).is(0).says("did you mean JOB_COMMAND?").says("did you mean JOB_ATTEMPTS?");
}

#[test]
fn c_104_check_tells_everything_at_once() {
    let world = World::new(&subject()).job("true").cron("61 * * * *").env("OVERLAP", "often").env("JITTER", "soon");
    let end = world.run(As::Process, &["check"]).is(78);
    for name in ["JOB_CRON", "OVERLAP", "JITTER"] {
        assert!(end.output.contains(name), "{}", end.output);
    }
    World::new(&subject()).job("true").run(As::Process, &["check"]).is(0).says("settings can be used");
}

#[test]
fn c_105_secrets_are_not_printed() {
    let world = World::new(&subject()).job("true").env("JOB_TIMEOUT", "1h").env("JOB_PASSWORD", "hush");
    let printed = world.run(As::Process, &["print-config"]).is(0).output;
    assert!(printed.contains("JOB_TIMEOUT=1h") && printed.contains("# JOB_COMMAND=(hidden)"), "{printed}");
    assert!(!printed.contains("hush"), "{printed}");
}
