//! How a setting is declared: its name, whether it must be there, and what a person reads about it.

use super::reader::Reader;

/// One environment variable. Built by [`required`], [`default`] or [`optional`].
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Name of the variable; `NAME_FILE` is understood as well.
    pub name: &'static str,
    /// Text used when the variable is not set.
    pub default: Option<&'static str>,
    /// Whether the program cannot start without it.
    pub required: bool,
    /// Whether its value is never shown.
    pub secret: bool,
    /// Whether blanks and quotes around the value belong to it.
    pub verbatim: bool,
    /// A value that works, shown in errors and in the reference.
    pub example: Option<&'static str>,
    /// Names it had in earlier versions; they still work and give a notice.
    pub aliases: &'static [&'static str],
    /// What it is for: the doc comment of the field.
    pub about: &'static str,
    /// What values it takes: [`super::Value::rule`] of its type.
    pub rule: fn() -> String,
    pub(super) shown: fn(&str) -> String,
    pub(super) optional_type: bool,
    pub(super) check: fn(&str) -> Result<(), String>,
}

/// A setting without which the program cannot start.
pub const fn required(name: &'static str) -> Setting {
    let mut setting = optional(name);
    setting.required = true;
    setting
}

/// A setting with a value that suits most; `text` is read by the same rule as the operator's.
pub const fn default(name: &'static str, text: &'static str) -> Setting {
    let mut setting = optional(name);
    setting.default = Some(text);
    setting
}

/// A setting that may stay away; its field is an `Option`.
pub const fn optional(name: &'static str) -> Setting {
    Setting {
        name,
        default: None,
        required: false,
        secret: false,
        verbatim: false,
        example: None,
        aliases: &[],
        about: "",
        rule: String::new,
        shown: str::to_owned,
        optional_type: false,
        check: |_| Ok(()),
    }
}

impl Setting {
    /// Shows a value that works.
    pub const fn example(mut self, text: &'static str) -> Self {
        self.example = Some(text);
        self
    }

    /// Accepts names of earlier versions.
    pub const fn formerly(mut self, names: &'static [&'static str]) -> Self {
        self.aliases = names;
        self
    }

    /// Takes the value as it stands, for a text whose blanks and quotes may belong to it: a password.
    pub const fn verbatim(mut self) -> Self {
        self.verbatim = true;
        self
    }

    /// Hides the value in errors, lists and the log, for a text that may hold a secret among other things.
    /// A field that is a secret has the type `Secret`, which is hidden without asking, even by `Debug`.
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

/// A struct of settings, made by [`settings!`](crate::settings).
pub trait Declared: Sized {
    /// Every setting, in the order of the declaration, groups included.
    fn declared() -> Vec<Setting>;

    /// Reads every field; `None` when a fault was noted in the reader.
    fn read(reader: &mut Reader) -> Option<Self>;
}

/// Declares a struct of settings; see [`config`](crate::config) for a worked example.
#[macro_export]
macro_rules! settings {
    (
        $(#[doc = $about:literal])*
        $vis:vis struct $Name:ident {
            $(
                $(#[doc = $doc:literal])*
                $field_vis:vis $field:ident : $Type:ty $(= $setting:expr)?
            ),* $(,)?
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug)]
        $vis struct $Name {
            $( $(#[doc = $doc])* $field_vis $field: $Type, )*
        }

        impl $crate::config::Declared for $Name {
            fn declared() -> Vec<$crate::config::Setting> {
                #[allow(unused_imports, reason = "a declaration seldom uses all three words")]
                use $crate::config::{default, optional, required};
                [$( $crate::declared_field!($Type, concat!($($doc, "\n"),*) $(, $setting)?) ),*].concat()
            }

            fn read(reader: &mut $crate::config::Reader) -> Option<Self> {
                #[allow(unused_imports, reason = "a declaration seldom uses all three words")]
                use $crate::config::{default, optional, required};
                // Every field is read before the first missing one ends the reading.
                $( let $field = $crate::read_field!(reader, $Type, concat!($($doc, "\n"),*) $(, $setting)?); )*
                Some(Self { $( $field: $field? ),* })
            }
        }
    };
}

/// One field of [`settings!`](crate::settings) for the list: a setting, or a group of them.
#[doc(hidden)]
#[macro_export]
macro_rules! declared_field {
    ($Type:ty, $about:expr) => {
        <$Type as $crate::config::Declared>::declared()
    };
    ($Type:ty, $about:expr, $setting:expr) => {
        vec![$setting.describe::<$Type>($about)]
    };
}

/// One field of [`settings!`](crate::settings) for the reader: a setting, or a group of them.
#[doc(hidden)]
#[macro_export]
macro_rules! read_field {
    ($reader:ident, $Type:ty, $about:expr) => {
        <$Type as $crate::config::Declared>::read($reader)
    };
    ($reader:ident, $Type:ty, $about:expr, $setting:expr) => {
        $reader.value::<$Type>(&$setting.describe::<$Type>($about))
    };
}

impl Setting {
    /// Adds what the field knows: its doc comment, and the rule and secrecy of its type.
    #[doc(hidden)]
    pub fn describe<T: super::Value>(mut self, about: &'static str) -> Self {
        self.about = about;
        self.rule = T::rule;
        self.shown = T::shown;
        self.secret |= T::SECRET;
        self.optional_type = T::absent().is_some();
        self.check = |text| T::parse(text).map(drop);
        self
    }

    /// The doc comment as one paragraph.
    pub fn sentence(&self) -> String {
        self.about.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}
