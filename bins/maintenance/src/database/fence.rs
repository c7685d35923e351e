//! Reads a dump as the server would, and stops at the first statement that leaves its database or does more than fill
//! tables. It is needed where the server lets us make no user that could do nothing else.
//!
//! It knows what `mariadb-dump` writes for tables, and refuses what it does not know: whatever could be read in two ways
//! (another sql_mode, another character set, a comment that only some servers skip) is not in such a dump.

use super::lexer::{Lexer, Token};

/// How much of a statement is shown.
const SHOWN_BYTES: usize = 100;
/// Character sets in which no letter holds a quote or a backslash as its second byte.
const CHARSETS: [&str; 6] = ["utf8", "utf8mb3", "utf8mb4", "latin1", "binary", "ascii"];
/// What a dump switches for the time of its load.
const SWITCHES: [&str; 7] = [
    "time_zone",
    "unique_checks",
    "foreign_key_checks",
    "sql_notes",
    "note_verbosity",
    "autocommit",
    "collation_connection",
];

/// A statement that a dump of tables does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the dump leaves its own database, or holds more than tables: {statement}")]
pub struct Leaving {
    statement: String,
}

/// Looks at each statement of a dump.
#[derive(Debug, Default)]
pub struct Fence {
    lexer: Lexer,
    statement: Vec<Token>,
    /// Behind `INSERT INTO … VALUES`: each token is judged as it comes, and not kept.
    rows: bool,
    left: Option<Leaving>,
}

impl Fence {
    /// Takes the next bytes; whether all is well so far.
    pub fn feed(&mut self, bytes: &[u8]) -> bool {
        let Self { lexer, statement, rows, left } = self;
        lexer.feed(bytes, |token| {
            if left.is_some() {
                return;
            }
            if token == Token::End {
                statement.clear();
                *rows = false;
                return;
            }
            if *rows && is_of_row(&token) {
                return;
            }
            statement.push(token);
            if *rows || !may_go_on(statement) {
                *left = Some(Leaving { statement: shown(statement) });
            }
            *rows = statement.len() == 4 && statement[0].is("insert");
        });
        self.left.is_none()
    }

    /// Whether the dump stays in its database.
    ///
    /// # Errors
    /// With the first statement that does not.
    pub fn finish(self) -> Result<(), Leaving> {
        let open = self.lexer.is_open() || !self.statement.is_empty();
        match self.left {
            Some(left) => Err(left),
            None if open => Err(Leaving { statement: shown(&self.statement) }),
            None => Ok(()),
        }
    }
}

fn shown(statement: &[Token]) -> String {
    let mut text = String::new();
    for token in statement {
        text += &format!("{}{token}", if text.is_empty() { "" } else { " " });
        if text.len() > SHOWN_BYTES {
            return text.chars().take(SHOWN_BYTES).collect::<String>() + " …";
        }
    }
    text
}

/// Whether what was read of a statement can be the beginning of one that a dump of tables holds.
fn may_go_on(statement: &[Token]) -> bool {
    let words = |expected: &[&str]| {
        statement.iter().zip(expected).all(|(token, word)| if *word == "?" { is_name(token) } else { token.is(word) })
    };
    let whole = |expected: &[&str]| words(expected) && statement.len() <= expected.len();
    let is_known = whole(&["drop", "table", "if", "exists", "?"])
        || whole(&["lock", "tables", "?", "write"])
        || whole(&["unlock", "tables"])
        || whole(&["alter", "table", "?", "disable", "keys"])
        || whole(&["alter", "table", "?", "enable", "keys"])
        || whole(&["insert", "into", "?", "values"])
        || whole(&["commit"])
        || whole(&["start", "transaction"])
        || (words(&["create", "table", "?", "("]) && is_of_definition(statement.last()))
        || (words(&["set"]) && is_setting(&statement[1..]));
    is_known && !is_qualified(statement)
}

/// Whether it ends with a name and a dot, or a dot and a name.
fn is_qualified(statement: &[Token]) -> bool {
    let end = &statement[statement.len().saturating_sub(2)..];
    matches!(end, [name, Token::Sign('.')] | [Token::Sign('.'), name] if is_name(name))
}

fn is_name(token: &Token) -> bool {
    match token {
        Token::Name(_) => true,
        Token::Word(word) => !is_number(word),
        _ => false,
    }
}

/// Another server, another folder, another table's rows: none of it is Matomo's, and generated columns neither.
fn is_of_definition(last: Option<&Token>) -> bool {
    const STRANGE: [&str; 9] = ["connection", "directory", "select", "union", "like", "as", "@", "/", "*"];
    last.is_some_and(|token| !STRANGE.iter().any(|word| token.is(word)))
}

fn is_of_row(token: &Token) -> bool {
    match token {
        Token::Word(word) => ["null", "_binary"].contains(&word.as_str()) || is_number(word),
        Token::Text(_) => true,
        Token::Sign(sign) => "(),-+.".contains(*sign),
        _ => false,
    }
}

fn is_number(word: &str) -> bool {
    let is_hex = word.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let digits = word.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let is_power = digits.strip_prefix('e').is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
    // `1.5e-7` comes in pieces.
    is_hex || is_power || (digits.is_empty() && !word.is_empty())
}

/// `SET` as far as it was read: assignments of what a dump switches, and of what it remembers in variables of its own.
fn is_setting(tokens: &[Token]) -> bool {
    let mut assignments = tokens.split(|token| *token == Token::Sign(','));
    if tokens.first().is_some_and(|token| token.is("names")) {
        return tokens.len() <= 2 && tokens.get(1).is_none_or(is_charset);
    }
    assignments.all(is_assignment)
}

fn is_assignment(tokens: &[Token]) -> bool {
    let variables = tokens.iter().take_while(|token| **token == Token::Sign('@')).count();
    let (name, rest) = match &tokens[variables..] {
        [] => return variables <= 2,
        [Token::Word(name), rest @ ..] => (name.as_str(), rest),
        _ => return false,
    };
    let value = match rest {
        [] => return true,
        [Token::Sign('='), value @ ..] => value,
        _ => return false,
    };
    match (variables, value) {
        (_, []) | (_, [Token::Sign('@')]) => true,
        // A variable of the dump's own keeps what a variable of the server is.
        (1, [Token::Sign('@'), Token::Sign('@')]) => true,
        (1, [Token::Sign('@'), Token::Sign('@'), Token::Word(_)]) => true,
        (1, _) => false,
        (_, [Token::Sign('@'), Token::Word(kept)]) => kept.starts_with("old_") || kept.starts_with("saved_"),
        (_, [value]) => is_value(name, value),
        _ => false,
    }
}

fn is_value(name: &str, value: &Token) -> bool {
    match name {
        "character_set_client" | "character_set_results" => is_charset(value),
        "sql_mode" => matches!(value, Token::Text(mode) if mode == "NO_AUTO_VALUE_ON_ZERO"),
        _ => SWITCHES.contains(&name) && matches!(value, Token::Word(_) | Token::Text(_)),
    }
}

fn is_charset(token: &Token) -> bool {
    CHARSETS.iter().any(|charset| token.is(charset))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `mariadb-dump` 10.11 writes, and what older and newer ones do.
    const GOOD: &str = r#"/*M!999999\- enable the sandbox mode */ 
-- MariaDB dump 10.19  Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)
--
-- Host: 127.0.0.1    Database: matomo_db
/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!40101 SET @OLD_COLLATION_CONNECTION=@@COLLATION_CONNECTION */;
/*!40101 SET NAMES utf8mb4 */;
/*!40103 SET @OLD_TIME_ZONE=@@TIME_ZONE */;
/*!40103 SET TIME_ZONE='+00:00' */;
/*!40014 SET @OLD_UNIQUE_CHECKS=@@UNIQUE_CHECKS, UNIQUE_CHECKS=0 */;
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;
/*M!100616 SET @OLD_NOTE_VERBOSITY=@@NOTE_VERBOSITY, NOTE_VERBOSITY=0 */;
DROP TABLE IF EXISTS `a`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
/*!40101 SET character_set_client = utf8mb4 */;
CREATE TABLE `a` (
  `x` int(11) NOT NULL AUTO_INCREMENT DEFAULT 1.5 COMMENT 'USE mysql; `a`.`b`',
  `select` varchar(3) CHARACTER SET latin1 DEFAULT NULL,
  PRIMARY KEY (`x`)
) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
/*!40101 SET character_set_client = @saved_cs_client */;
LOCK TABLES `a` WRITE;
/*!40000 ALTER TABLE `a` DISABLE KEYS */;
set autocommit=0;
INSERT INTO `a` VALUES
(1,'it''s; USE mysql; \'; GRANT ALL',1.5e-7,-2,0xDEAD,_binary '\\',NULL),
(2,'-- /* # "',.5,1e10,0x,'`a`.`b`',NULL);
/*!40000 ALTER TABLE `a` ENABLE KEYS */;
UNLOCK TABLES;
commit;
/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;
/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;
-- Dump completed on 2026-01-01  0:00:00
"#;

    fn judged(text: &str, piece: usize) -> Result<(), Leaving> {
        let mut fence = Fence::default();
        for bytes in text.as_bytes().chunks(piece) {
            fence.feed(bytes);
        }
        fence.finish()
    }

    #[test]
    fn a_dump_of_tables_stays_in_its_database() {
        for piece in [1, 3, 64, 10_000] {
            assert_eq!(judged(GOOD, piece), Ok(()), "pieces of {piece}");
        }
    }

    #[test]
    fn whatever_else_a_dump_does_is_found() {
        for leaving in [
            "USE mysql;",
            "USE `mysql`;",
            "CREATE USER e@'%' IDENTIFIED BY 'x';",
            "GRANT ALL ON *.* TO e@'%';",
            "/*!50003 GRANT ALL ON *.* TO e@'%' */;",
            "/*M!100616 CREATE USER e */;",
            "/* ' */ CREATE USER e; -- '",
            "/*!999998 ' */ CREATE USER e; -- '",
            "/*!40101 SET @OLD_X=@@X, TIME_ZONE='*/ CREATE USER e; -- ' */;",
            "--x\nUSE mysql;",
            "-- \nUSE mysql;",
            "#\nUSE mysql;",
            "INSERT INTO `a` VALUES ('\\\\'); USE mysql; -- ');",
            "SET SQL_MODE='NO_BACKSLASH_ESCAPES';",
            "SET @OLD_SQL_MODE='NO_BACKSLASH_ESCAPES'; SET SQL_MODE=@OLD_SQL_MODE;",
            "SET SQL_MODE=1048576;",
            "SET NAMES gbk;",
            "SET character_set_client=sjis;",
            "SET GLOBAL max_connections=1;",
            "SET @@global.max_connections=1;",
            "SET PASSWORD='x';",
            "SET ROLE x;",
            "DROP TABLE `m`.`t`;",
            "DROP TABLE IF EXISTS `m`.`t`;",
            "DROP TABLE IF EXISTS `a`, `b`;",
            "DROP DATABASE m;",
            "INSERT INTO `m`.`t` VALUES (1);",
            "INSERT INTO m . t VALUES (1);",
            "INSERT INTO `a` SELECT * FROM x;",
            "INSERT INTO `a` VALUES (LOAD_FILE('/etc/passwd'));",
            "INSERT INTO `a` VALUES (@OLD_SQL_MODE:='x');",
            "CREATE TABLE `a` (`x` int) ENGINE=FEDERATED CONNECTION='mysql://x';",
            "CREATE TABLE `a` (`x` int) DATA DIRECTORY='/tmp';",
            "CREATE TABLE `a` AS SELECT 1;",
            "CREATE TABLE `a` (`x` int) SELECT * FROM `m`.`t`;",
            "CREATE TABLE `a` LIKE `m`.`t`;",
            "CREATE TABLE m.a (`x` int);",
            "CREATE OR REPLACE TABLE `a` (`x` int);",
            "CREATE TRIGGER x;",
            "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE `a`;",
            "DELIMITER ;;\nDROP DATABASE m;;",
            "\\! id\n;",
            "SELECT 1;",
            "RENAME TABLE `a` TO `m`.`a`;",
            "INSERT INTO `a` VALUES ('open",
            "LOCK TABLES `a`",
        ] {
            let text = GOOD.replace("UNLOCK TABLES;", &format!("UNLOCK TABLES;\n{leaving}\n"));
            for piece in [1, 10_000] {
                assert!(judged(&text, piece).is_err(), "{leaving}");
            }
        }
        let left = judged("USE `mysql`;", 4).unwrap_err().to_string();
        assert!(left.ends_with("more than tables: use"), "{left}");
    }
}
