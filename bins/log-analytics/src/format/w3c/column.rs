//! The columns each W3C format knows, and what they accept.

/// A column of the header.
pub struct Column {
    /// Its name in the `#Fields:` line.
    pub name: &'static str,
    /// What a line may have there. A named group is the field it fills;
    /// a column without one only counts when formats are detected.
    pub pattern: &'static str,
    /// What the pattern accepts of a word without quotes.
    pub accepts: Accepts,
}

/// The shapes of a word without quotes or white space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    /// Anything.
    Word,
    /// Digits and `-`, a digit first.
    Date,
    /// Digits and `:`, then a fraction, which is dropped.
    Time,
    /// `/` and anything.
    Path,
    /// The same, and `rtmp:/` in front of it, which is dropped.
    StreamPath,
    /// Letters, digits and `_*.:-`.
    Address,
    /// Digits.
    Digits,
    /// Digits and dots.
    Decimal,
    /// Nothing: only the pattern can tell.
    Nothing,
}

/// The columns of a format: its own first, then those it shares with others.
#[derive(Clone, Copy)]
pub struct Columns {
    own: &'static [Column],
    shared: &'static [Column],
    /// Whether a status column may be missing (then the status is 200).
    pub status_optional: bool,
}

impl Accepts {
    /// The part of a word that the column takes, if the column accepts the whole word.
    #[inline]
    pub fn part_of(self, word: &[u8]) -> Option<&[u8]> {
        let fits = match self {
            Self::Word => true,
            Self::Date => word.len() > 1 && word[0].is_ascii_digit() && of(word, b"-"),
            Self::Time => return time_of_day(word),
            Self::Path => word.starts_with(b"/"),
            Self::StreamPath => {
                return Some(word.strip_prefix(b"rtmp:/").unwrap_or(word)).filter(|path| path.starts_with(b"/"));
            }
            Self::Address => word.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_*.:-".contains(byte)),
            Self::Digits => of(word, b""),
            Self::Decimal => of(word, b"."),
            Self::Nothing => false,
        };
        fits.then_some(word)
    }
}

/// Whether a word consists of digits and some other bytes.
fn of(word: &[u8], others: &[u8]) -> bool {
    word.iter().all(|byte| byte.is_ascii_digit() || others.contains(byte))
}

fn time_of_day(word: &[u8]) -> Option<&[u8]> {
    let (time, fraction) = word.split_at(memchr::memchr(b'.', word).unwrap_or(word.len()));
    (!time.is_empty() && of(time, b":") && of(fraction, b".")).then_some(time)
}

impl Columns {
    /// The column of this name.
    pub fn find(&self, name: &str) -> Option<&'static Column> {
        self.own.iter().chain(self.shared).find(|column| column.name == name)
    }
}

/// A column the format does not know: text in quotes, or a word.
pub const UNKNOWN: Column = column("", r#"(?:".*?"|\S+)"#, Accepts::Word);
/// `time-taken`, where the operator says it is in milliseconds.
pub const TIME_TAKEN_MILLISECONDS: Column =
    column("time-taken", r"(?P<generation_time_milli>[.\d]+)", Accepts::Decimal);

pub const W3C_EXTENDED: Columns = Columns { own: &[], shared: &STANDARD, status_optional: false };
pub const IIS: Columns = Columns { own: &OWN_IIS, shared: &STANDARD, status_optional: false };
pub const AMAZON_CLOUDFRONT: Columns = Columns { own: &OWN_CLOUDFRONT, shared: &STANDARD, status_optional: true };
pub const SHOUTCAST: Columns = Columns { own: &OWN_SHOUTCAST, shared: &STANDARD, status_optional: false };
pub const INCAPSULA_W3C: Columns = Columns { own: &OWN_INCAPSULA, shared: &[], status_optional: false };

const fn column(name: &'static str, pattern: &'static str, accepts: Accepts) -> Column {
    Column { name, pattern, accepts }
}

static STANDARD: [Column; 13] = [
    column("date", r#""?(?P<date>\d+[-\d]+)"?"#, Accepts::Date),
    column("time", r#""?(?P<time>[\d:]+)[.\d]*?"?"#, Accepts::Time),
    column("cs-uri-stem", r"(?P<path>/\S*)", Accepts::Path),
    column("cs-uri-query", r"(?P<query_string>\S*)", Accepts::Word),
    column("c-ip", r#""?(?P<ip>[\w*.:-]*)"?"#, Accepts::Address),
    column("cs(User-Agent)", r#"(?P<user_agent>".*?"|\S+)"#, Accepts::Word),
    column("cs(Referer)", r"(?P<referrer>\S+)", Accepts::Word),
    column("cs-host", r"(?P<host>\S+)", Accepts::Word),
    column("cs-method", r"(?P<method>\S+)", Accepts::Word),
    column("cs-username", r"(?P<userid>\S+)", Accepts::Word),
    column("sc-bytes", r"(?P<length>\S+)", Accepts::Word),
    column("sc-status", r"(?P<status>\d+)", Accepts::Digits),
    column("time-taken", r"(?P<generation_time_secs>[.\d]+)", Accepts::Decimal),
];

static OWN_IIS: [Column; 2] = [TIME_TAKEN_MILLISECONDS, column("sc-win32-status", r"\S+", Accepts::Word)];

static OWN_CLOUDFRONT: [Column; 8] = [
    column("x-event", r"(?P<event_action>\S+)", Accepts::Word),
    column("x-sname", r"(?P<event_name>\S+)", Accepts::Word),
    column("cs-uri-stem", r"(?:rtmp:/)?(?P<path>/\S*)", Accepts::StreamPath),
    column("c-user-agent", r#"(?P<user_agent>".*?"|\S+)"#, Accepts::Word),
    column("x-host-header", r#"(?P<host>".*?"|\S+)"#, Accepts::Word),
    column("x-edge-location", UNKNOWN.pattern, Accepts::Word),
    column("x-edge-result-type", UNKNOWN.pattern, Accepts::Word),
    column("x-edge-request-id", UNKNOWN.pattern, Accepts::Word),
];

static OWN_SHOUTCAST: [Column; 2] = [
    column("c-status", r"(?P<status>\d+)", Accepts::Digits),
    column("x-duration", r"(?P<generation_time_secs>[.\d]+)", Accepts::Decimal),
];

static OWN_INCAPSULA: [Column; 12] = [
    column("date", r#""(?P<date>\d+[-\d]+)""#, Accepts::Nothing),
    column("time", r#""(?P<time>[\d:]+)[.\d]*?""#, Accepts::Nothing),
    column("cs-uri", r#""(?P<host>[^/"\s]+)(?P<path>/[^"\s]*)""#, Accepts::Nothing),
    column("cs-uri-query", r#""(?P<query_string>\S*)""#, Accepts::Nothing),
    column("c-ip", r#""(?P<ip>[\w*.:-]*)""#, Accepts::Nothing),
    column("cs(User-Agent)", r#""(?P<user_agent>.*?)""#, Accepts::Nothing),
    column("cs(Referer)", r#""(?P<referrer>\S+)""#, Accepts::Nothing),
    column("cs-host", r#""(?P<host>\S+)""#, Accepts::Nothing),
    column("cs-method", r#""(?P<method>\S+)""#, Accepts::Nothing),
    column("cs-username", r#""(?P<userid>\S+)""#, Accepts::Nothing),
    column("cs-bytes", r#""(?P<length>\d*)""#, Accepts::Nothing),
    column("sc-status", r#""(?P<status>\d*)""#, Accepts::Nothing),
];
