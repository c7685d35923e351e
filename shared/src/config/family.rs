//! Settings whose names share a beginning, as many as the operator likes: `JOB_NIGHT=…`, `JOB_MORNING=…`.

use std::collections::BTreeMap;

use super::{
    declaration::{Declared, Setting, optional},
    reader::Reader,
    value::Value,
};

/// The value of one member, which knows what the whole family is called.
pub trait Kin: Value {
    /// How the names begin, with a `*` for the rest: `JOB_*`.
    const NAMES: &'static str;
    /// What the settings are for, as one paragraph.
    const ABOUT: &'static str;
    /// A value that works.
    const EXAMPLE: &'static str;

    /// What the rest of its name says about it; by itself, every name is good.
    fn standing(_rest: &str) -> Standing {
        Standing::Member
    }
}

/// Whether a variable that begins as the family does belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Member,
    /// It does not, and nobody meant it to.
    Stranger,
    /// It does not, and a person should hear why, in a sentence that names it.
    Odd(String),
    /// It must not, for the reason in this sentence.
    Refused(String),
}

/// All members that are set, by the rest of their names. Declared as a group: `pub jobs: Family<Job>`.
#[derive(Clone, Debug)]
pub struct Family<T>(BTreeMap<String, T>);

impl<T> Default for Family<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Family<T> {
    /// The members in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

fn setting<T: Kin>() -> Setting {
    let mut setting = optional(T::NAMES).example(T::EXAMPLE).describe::<T>(T::ABOUT);
    // None at all is as good as many.
    setting.optional_type = true;
    setting
}

impl<T: Kin> Declared for Family<T> {
    fn declared() -> Vec<Setting> {
        vec![setting::<T>()]
    }

    fn read(reader: &mut Reader) -> Option<Self> {
        reader.family(&setting::<T>(), T::NAMES.trim_end_matches('*'), T::standing).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::{Count, Neighbours, Reading, faults_in_declaration, read, reference};

    #[derive(Clone, Debug)]
    struct Job(u64);

    impl Value for Job {
        fn rule() -> String {
            "a number of minutes".to_owned()
        }

        fn parse(text: &str) -> Result<Self, String> {
            text.parse().map(Self).map_err(|_| "it is a word".to_owned())
        }
    }

    impl Kin for Job {
        const NAMES: &'static str = "JOB_*";
        const ABOUT: &'static str = "A job of the operator.";
        const EXAMPLE: &'static str = "5";

        fn standing(rest: &str) -> Standing {
            match rest {
                "PORT" => Standing::Stranger,
                "none" => Standing::Odd(format!("JOB_{rest} is ignored")),
                "NEVER" => Standing::Refused(format!("JOB_{rest} cannot be set")),
                _ => Standing::Member,
            }
        }
    }

    crate::settings! {
        /// A family and a single setting.
        struct Settings {
            jobs: Family<Job>,
            /// How many at once.
            workers: Count<1, 8> = default("WORKERS", "2"),
        }
    }

    const OURS: Neighbours = Neighbours { ours: &["JOB_"], theirs: &[] };

    #[test]
    fn members_are_read_by_the_rest_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("night");
        fs::write(&file, "7\n").unwrap();
        let variables = [("JOB_MORNING", "5"), ("JOB_NIGHT_FILE", file.to_str().unwrap()), ("JOB_NONE", "")];
        let reading = read::<Settings>(variables, &OURS).unwrap();
        let jobs: Vec<_> = reading.settings.jobs.iter().map(|(name, job)| (name.to_owned(), job.0)).collect();
        assert_eq!(jobs, [("MORNING".to_owned(), 5), ("NIGHT".to_owned(), 7)]);
        assert_eq!(reading.notices, [""; 0]);
        assert_eq!(reading.effective[0].to_string(), "JOB_MORNING=5");
        assert_eq!(reading.settings.workers.get(), 2);
    }

    #[test]
    fn every_member_that_is_wrong_is_named() {
        let letter = read::<Settings>([("JOB_A", "soon"), ("JOB_B", "later")], &OURS).unwrap_err().to_string();
        assert!(
            letter.contains("JOB_A is \"soon\" but must be a number of minutes; it is a word, for example 5"),
            "{letter}"
        );
        assert!(letter.contains("JOB_B"), "{letter}");
    }

    #[test]
    fn a_name_may_be_no_member() {
        let names =
            |reading: Reading<Settings>| reading.settings.jobs.iter().map(|(name, _)| name.to_owned()).collect();
        let reading = read::<Settings>([("JOB_PORT", "tcp://"), ("JOB_none", "x"), ("JOB_A", "1")], &OURS).unwrap();
        assert_eq!(reading.notices, ["JOB_none is ignored"]);
        let names: Vec<String> = names(reading);
        assert_eq!(names, ["A"]);
        let letter = read::<Settings>([("JOB_NEVER", "1"), ("JOB_B", "later")], &OURS).unwrap_err().to_string();
        assert!(letter.contains("JOB_NEVER cannot be set") && letter.contains("JOB_B"), "{letter}");
        // What is not set cannot be wrong.
        assert!(read::<Settings>([("JOB_NEVER", ""), ("JOB_none", " ")], &OURS).unwrap().notices.is_empty());
    }

    #[test]
    fn a_family_is_documented_as_one() {
        assert_eq!(faults_in_declaration::<Settings>(), [""; 0]);
        assert!(
            reference::<Settings>().contains("| `JOB_*` | A job of the operator. | a number of minutes |  | `5` |")
        );
    }
}
