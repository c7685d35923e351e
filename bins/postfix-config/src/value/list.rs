//! A list as Postfix's own parameters have them: separated by commas or blanks.

use std::fmt;

use shared::config::Value;

/// Any number of values; none when the variable is not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T>(Vec<T>);

impl<T> List<T> {
    /// The values, in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// As Postfix writes lists.
impl<T: fmt::Display> fmt::Display for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&words.join(", "))
    }
}

impl<T: Value> Value for List<T> {
    const SECRET: bool = T::SECRET;

    fn rule() -> String {
        format!("a list, separated by commas or blanks, each {}", T::rule())
    }

    fn parse(text: &str) -> Result<Self, String> {
        super::one_line(text)?;
        let words = text.split([',', ' ']).filter(|word| !word.is_empty());
        let values =
            words.map(|word| T::parse(word).map_err(|why| unfit(word, &why))).collect::<Result<Vec<T>, _>>()?;
        match values.is_empty() {
            true => Err("it has nothing but commas".to_owned()),
            false => Ok(Self(values)),
        }
    }

    fn absent() -> Option<Self> {
        Some(Self(Vec::new()))
    }
}

fn unfit(word: &str, why: &str) -> String {
    match why {
        "" => format!("`{word}` is not"),
        why => format!("`{word}` is not: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Domain;
    use super::*;

    #[test]
    fn commas_and_blanks_separate() {
        let read = |text| List::<Domain>::parse(text).map(|list| list.to_string());
        for text in ["a.example,b.example", "a.example b.example", " a.example , b.example,", "A.example,  b.example"] {
            assert_eq!(read(text).as_deref(), Ok("a.example, b.example"), "{text}");
        }
        assert!(read("a.example\nb.example").is_err() && read(",").is_err());
        assert_eq!(read("a.example,b@c").unwrap_err(), "`b@c` is not: it contains '@'");
    }
}
