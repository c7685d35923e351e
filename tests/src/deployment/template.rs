//! Fills in Rancher's template: the few constructs of Go's `text/template` that ours uses, and no other.

use std::collections::BTreeMap;

/// Answers to the questions of the form.
pub type Answers = BTreeMap<String, String>;

/// A condition: what it chose, and whether the text around it is kept.
struct Branch {
    holds: bool,
    outside: bool,
    in_else: bool,
}

/// The text that the template gives with these answers.
///
/// # Errors
/// A construct that is not known here, a question that was not asked, or an `if` without its `end`.
pub fn render(template: &str, answers: &Answers) -> Result<String, String> {
    let pieces: Vec<&str> = template.split("{{").collect();
    let mut rendered = String::new();
    let mut branches: Vec<Branch> = Vec::new();
    for (place, piece) in pieces.iter().enumerate() {
        let mut text = *piece;
        if place > 0 {
            let (action, after) = piece.split_once("}}").ok_or_else(|| format!("`{{{{{piece}` has no end"))?;
            let action = action.strip_prefix("- ").unwrap_or(action).trim();
            rendered += act(action, answers, &mut branches)?.unwrap_or_default();
            text = after;
        }
        // A dash takes away the blanks before it.
        if pieces.get(place + 1).is_some_and(|next| next.starts_with("- ")) {
            text = text.trim_end();
        }
        if is_kept(&branches) {
            rendered += text;
        }
    }
    if branches.is_empty() { Ok(rendered) } else { Err("an `if` has no `end`".to_owned()) }
}

fn is_kept(branches: &[Branch]) -> bool {
    branches.last().is_none_or(|branch| branch.outside && branch.holds)
}

fn act<'a>(action: &str, answers: &'a Answers, branches: &mut Vec<Branch>) -> Result<Option<&'a str>, String> {
    match action {
        "end" => branches.pop().map(|_| None).ok_or_else(|| "an `end` has no `if`".to_owned()),
        "else" => {
            let branch = branches.last_mut().filter(|branch| !branch.in_else).ok_or("an `else` has no `if`")?;
            branch.in_else = true;
            branch.holds = !branch.holds;
            Ok(None)
        }
        _ => match action.strip_prefix("if ") {
            Some(condition) => {
                let branch = Branch { holds: holds(condition, answers)?, outside: is_kept(branches), in_else: false };
                branches.push(branch);
                Ok(None)
            }
            None => Ok(Some(answer(action, answers)?).filter(|_| is_kept(branches))),
        },
    }
}

fn holds(condition: &str, answers: &Answers) -> Result<bool, String> {
    let Some(comparison) = condition.strip_prefix("eq ") else {
        return Ok(!answer(condition, answers)?.is_empty());
    };
    let (question, literal) = comparison.split_once(' ').ok_or_else(|| format!("not understood: {condition}"))?;
    let literal = literal.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let literal =
        literal.filter(|text| !text.contains(['"', '\\'])).ok_or_else(|| format!("no plain text: {condition}"))?;
    Ok(answer(question, answers)? == literal)
}

fn answer<'a>(expression: &str, answers: &'a Answers) -> Result<&'a str, String> {
    let name = expression.strip_prefix(".Values.").ok_or_else(|| format!("not understood: {expression}"))?;
    answers.get(name).map(String::as_str).ok_or_else(|| format!("nobody asks for {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str) -> Result<String, String> {
        let answers = [("YES", "true"), ("NO", "false"), ("NONE", "")];
        render(template, &answers.map(|(name, answer)| (name.to_owned(), answer.to_owned())).into())
    }

    #[test]
    fn a_branch_takes_its_lines_along() {
        let template =
            "a:\n  {{- if eq .Values.YES \"true\"}}\n  b: 1\n  {{- else}}\n  c: 2\n  {{- end}}\n  d: {{.Values.NO}}\n";
        assert_eq!(filled(template).unwrap(), "a:\n  b: 1\n  d: false\n");
        assert_eq!(filled(&template.replace("YES", "NO")).unwrap(), "a:\n  c: 2\n  d: false\n");
    }

    #[test]
    fn what_lies_in_a_branch_not_taken_is_not_there() {
        let template = "a{{- if .Values.NONE}} b{{- if .Values.YES}} c {{- else}} d{{- end}} e{{- end}} f";
        assert_eq!(filled(template).unwrap(), "a f");
        assert_eq!(filled(&template.replace("NONE", "NO")).unwrap(), "a b c e f");
    }

    #[test]
    fn unknown_words_are_refused() {
        for template in [
            "{{range .Values.YES}}{{end}}",
            "{{.Values.YES | quote}}",
            "{{if ne .Values.YES \"x\"}}{{end}}",
            "{{if .Values.OTHER}}{{end}}",
            "{{if .Values.YES}}",
            "{{end}}",
            "{{else}}",
            "{{if .Values.YES}}{{else}}{{else}}{{end}}",
            "{{.Values.YES",
        ] {
            assert!(filled(template).is_err(), "{template}");
        }
    }
}
