//! Cutting a text is only right when the pieces do what the whole did; a real shell is the judge.

use std::process::Command;

use super::{Split, split};

fn pieces(text: &str) -> Option<Vec<String>> {
    match split(text) {
        Split::Pieces(pieces) => Some(pieces),
        Split::Whole(_) => None,
    }
}

#[test]
fn b_05_texts_are_cut_where_it_is_safe() {
    for (text, expected) in [
        ("a", vec!["a"]),
        ("a; b", vec!["a", "b"]),
        ("a;b;c;", vec!["a", "b", "c"]),
        ("a\nb\n\nc\n", vec!["a", "b", "c"]),
        ("  a  ;\n  b  ", vec!["a", "b"]),
        ("a 'x;y'; b", vec!["a 'x;y'", "b"]),
        ("a \"x;y\"; b", vec!["a \"x;y\"", "b"]),
        ("a x\\;y; b", vec!["a x\\;y", "b"]),
        ("a 'it''s;'; b", vec!["a 'it''s;'", "b"]),
        ("a \"q\\\";\"; b", vec!["a \"q\\\";\"", "b"]),
        ("a 'two\nlines'; b", vec!["a 'two\nlines'", "b"]),
        ("a \\\n x; b", vec!["a \\\n x", "b"]),
        ("a && b; c", vec!["a && b", "c"]),
        ("a || b\nc", vec!["a || b", "c"]),
        ("a |\n b; c", vec!["a |\n b", "c"]),
        ("a && # why ; not\n b; c", vec!["a && # why ; not\n b", "c"]),
        ("a | b | c; d", vec!["a | b | c", "d"]),
        ("a > f 2>&1; b", vec!["a > f 2>&1", "b"]),
        ("a >> f < g; b", vec!["a >> f < g", "b"]),
        ("# only words ; here\na", vec!["a"]),
        ("a # tail ; of it\nb", vec!["a", "b"]),
        ("a b#c; d", vec!["a b#c", "d"]),
        ("X=1 a; b", vec!["X=1 a", "b"]),
        ("a $HOME; b \"$HOME\"", vec!["a $HOME", "b \"$HOME\""]),
        ("a *.log; b {x,y}", vec!["a *.log", "b {x,y}"]),
        ("/usr/bin/rsync a; ./b", vec!["/usr/bin/rsync a", "./b"]),
        (
            "rsync -e 'ssh -p 2222' -avz --delete root@w:/l/ /analytics/logs/4/ ; rsync -e \"ssh -p 2222\" root@x:/l/ /analytics/logs/5/",
            vec![
                "rsync -e 'ssh -p 2222' -avz --delete root@w:/l/ /analytics/logs/4/",
                "rsync -e \"ssh -p 2222\" root@x:/l/ /analytics/logs/5/",
            ],
        ),
    ] {
        assert_eq!(pieces(text), Some(expected.into_iter().map(str::to_owned).collect()), "{text}");
    }
}

#[test]
fn b_05_texts_that_need_one_shell_stay_whole() {
    for text in [
        "cd /x; a",
        "export A=1; a",
        "A=1; a $A",
        "set -e; a; b",
        "(a; b)",
        "{ a; b; }",
        "if a; then b; fi",
        "for i in 1 2; do a $i; done",
        "while a; do b; done",
        "case x in x) a;; esac",
        "f() { a; }; f",
        "a & b",
        "a; b &",
        "a `b`; c",
        "a $(b); c",
        "a ${B}; c",
        "a \"$(b)\"; c",
        "a <<E\nx\nE\nb",
        "! a; b",
        "a; echo $?",
        "a $$; b",
        "exec a; b",
        "a || exit 1; b",
        "trap a EXIT; b",
        ". ./x; a",
        "eval a; b",
        "umask 077; a",
        "a | read x; b",
        "$CMD; b",
        "> f; a",
        "a 'open; b",
        "a \"open; b",
        "a; b \\",
        "\"cd\" /x; a",
        "\\cd /x; a",
        "c''d /x; a",
        "X=1 cd /x; a",
        "alias x=y; x",
        "a && cd /x; b",
        "source x; a",
        "a &> f; b",
        "a $LINENO; b",
        "ulimit -n 5; a",
        "unset A; a",
        "a $'x'; b",
    ] {
        assert_eq!(pieces(text), None, "{text}");
    }
}

/// Commands that tell what they were given, in place of real ones.
const STUBS: &str = r#"
t() { printf '%s(' "$n"; for w in "$@"; do printf '[%s]' "$w"; done; printf ')'; }
a() { n=a; t "$@"; return 0; }
b() { n=b; t "$@"; return 1; }
c() { n=c; t "$@"; while IFS= read -r l; do printf '<%s>' "$l"; done </dev/null; return 0; }
"#;

/// What a shell makes of texts, each in a shell of its own, and the status of each.
fn trace(texts: &[String], has_pipe: bool) -> String {
    let script = format!("{STUBS} for p; do (eval \"$p\"); printf '=%s;' $?; done");
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", &script, "sh"])
        .args(texts)
        .current_dir(folder.path())
        .env_clear()
        .env("V", "v w")
        .env("PATH", "");
    let output = command.output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    if complaints.contains("Syntax error") {
        return complaints;
    }
    // Both ends of a pipe complain at once, and in pieces.
    let complaints = if has_pipe { String::new() } else { complaints };
    without_numbers(&format!("{}\n{complaints}", String::from_utf8_lossy(&output.stdout)))
}

/// `sh: 3: eval: …`: the number of the line is another one in a piece.
fn without_numbers(text: &str) -> String {
    let mut parts = text.split("sh: ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "sh: " + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// Without the statuses of single texts, of which the whole has one only.
fn steps(trace: &str) -> String {
    let mut steps = String::new();
    for part in trace.split_inclusive(';') {
        match part.rfind('=').filter(|_| part.ends_with(';')) {
            Some(at) if part[at + 1..part.len() - 1].bytes().all(|b| b.is_ascii_digit()) => steps.push_str(&part[..at]),
            _ => steps.push_str(part),
        }
    }
    steps
}

/// Parts of usual texts.
const PLAIN: [&str; 20] = [
    "a", "b", "c", " ", " ", " ", ";", ";", "\n", "&&", "||", "|", "$V", "x", "y;z", "'q;r'", "\"s;$V\"", "\\;", ">f",
    "2>&1",
];
/// Parts that make them hard.
const HARD: [&str; 14] = ["'", "\"", "\\", "#", " #k;\n", "<f", "&", "(", ")", "{", "}", "V=1 ", "cd ", "$?"];

#[test]
fn b_05_pieces_of_ten_thousand_random_texts_do_what_the_whole_does() {
    let mut seed: u64 = 5;
    let mut random = move |end: usize| {
        // A linear congruence is random enough for texts, and the same in every run.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % end
    };
    let texts: Vec<String> = (0..10_000)
        .map(|_| {
            let commands = 1 + random(4);
            let command = |random: &mut dyn FnMut(usize) -> usize| {
                let length = random(6);
                let mut part = || if random(12) > 0 { PLAIN[random(PLAIN.len())] } else { HARD[random(HARD.len())] };
                let tail: String = (0..length).map(|_| part()).collect();
                format!("{} {tail}", ["a", "b", "c"][random(3)])
            };
            let joints = [";", "\n", " ; ", " && ", " || ", " | "];
            (0..commands).map(|_| command(&mut random)).collect::<Vec<_>>().join(joints[random(joints.len())])
        })
        .collect();
    let cut: Vec<(&String, Vec<String>)> = texts
        .iter()
        .filter_map(|text| {
            pieces(text)
                .filter(|pieces| pieces.len() > 1 && pieces != std::slice::from_ref(text))
                .map(|pieces| (text, pieces))
        })
        .collect();
    let mut judged = 0;
    for (text, pieces) in &cut {
        let has_pipe = text.contains('|');
        let whole = trace(std::slice::from_ref(*text), has_pipe);
        // What a shell does not accept is refused before anything is cut.
        let is_a_race = has_pipe && text.contains("<f") && text.contains(">f");
        if whole.contains("Syntax error") || is_a_race {
            continue;
        }
        assert_eq!(steps(&trace(pieces, has_pipe)), steps(&whole), "{text:?} was cut into {pieces:?}");
        judged += 1;
    }
    assert!(judged > 1_000, "only {judged} of {} texts were cut and judged", cut.len());
}
