//! Rancher's form: the questions, and the template that their answers fill in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::compose::Stack;
use super::template::{Answers, render};
use crate::repository::read;

const FOLDER: &str = "compose/rancher/templates/matomo/44";

/// A question of the form.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The name of its answer.
    pub variable: String,
    /// What stands above the field.
    pub label: String,
    /// What stands below it.
    pub description: String,
    /// `string`, `int`, `password`, `multiline` or `enum`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether the form can be sent without an answer.
    pub required: bool,
    /// What the field holds at first.
    #[serde(default)]
    pub default: String,
    /// What an `enum` offers.
    #[serde(default)]
    pub options: Vec<String>,
}

/// All questions, in their order.
///
/// # Panics
/// When the form is not as Rancher wants it.
pub fn questions() -> Vec<Question> {
    let form: Value = yaml(&read(&Path::new(FOLDER).join("rancher-compose.yml")));
    serde_json::from_value(form["catalog"]["questions"].clone()).unwrap_or_else(|error| panic!("the form: {error}"))
}

/// What an operator who only fills in what must be filled in would answer.
pub fn least_answers() -> Answers {
    let answer = |question: &Question| match (question.required, question.default.is_empty()) {
        (true, true) => format!("some-{}", question.variable.to_lowercase().replace('_', "-")),
        _ => question.default.clone(),
    };
    questions().iter().map(|question| (question.variable.clone(), answer(question))).collect()
}

/// The template as it is.
pub fn template() -> String {
    read(&Path::new(FOLDER).join("docker-compose.yml.tpl"))
}

/// The compose file that Rancher makes of these answers; `${NAME}` is still in it.
///
/// # Panics
/// When the template cannot be filled in.
pub fn filled_in(answers: &Answers) -> String {
    render(&template(), answers).unwrap_or_else(|fault| panic!("docker-compose.yml.tpl: {fault}"))
}

/// A document as values; anchors and merges are followed.
///
/// # Panics
/// When it is no YAML.
pub fn yaml(text: &str) -> Value {
    let parsed = serde_norway::from_str::<serde_norway::Value>(text).and_then(|mut document| {
        document.apply_merge()?;
        serde_norway::from_value(document)
    });
    parsed.unwrap_or_else(|error| panic!("no YAML: {error}\n{text}"))
}

/// Every service that the template can bring, with all it can be given.
pub fn everything() -> Stack {
    let mut answers = least_answers();
    for (name, answer) in &mut answers {
        if answer == "false" {
            *answer = "true".to_owned();
        } else if answer.is_empty() {
            *answer = if name.ends_with("_OPTS") { "type: none".to_owned() } else { "x".to_owned() };
        }
    }
    Stack::parse(&filled_in(&answers))
}

/// Where the answer to each question goes: `SERVICE` and the variable, or the place in the template.
pub fn uses() -> BTreeMap<String, BTreeSet<String>> {
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, service) in everything().services() {
        for (variable, value) in service.environment() {
            for question in names_in(&value) {
                uses.entry(question).or_default().insert(format!("{name}: `{variable}`"));
            }
        }
    }
    uses
}

/// Every `${NAME}` of a text, without what stands behind `:-`.
pub fn names_in(text: &str) -> Vec<String> {
    let after = text.split("${").skip(1).filter_map(|rest| rest.split(['}', ':']).next());
    after.map(str::to_owned).collect()
}

/// Every question that the template makes use of, as a value or in a condition.
pub fn asked_by_the_template() -> BTreeSet<String> {
    let template = template();
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let in_actions = template.split(".Values.").skip(1).filter_map(|rest| rest.split(|letter| !is_name(letter)).next());
    in_actions.map(str::to_owned).chain(names_in(&template)).collect()
}
