//! What is printed: words for people, one JSON object for scripts.
use std::io::{IsTerminal, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use seedbank_types::{Amount, Genesis, Grade, Rule, TimeMs};
use serde_json::Value;

use crate::errors::Failure;

/// What a command found out, in both forms; a failure may come with it, such as that it is stale.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) words: String,
    pub(crate) json: Value,
    pub(crate) failure: Option<Failure>,
}

impl Answer {
    pub(crate) const fn new(words: String, json: Value) -> Self {
        Self { words, json, failure: None }
    }

    pub(crate) fn with(self, failure: Option<Failure>) -> Self {
        Self { failure, ..self }
    }
}

/// Speaks while a command runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Voice {
    json: bool,
}

impl Voice {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// A step that people want to see as it happens; scripts get one object at the end.
    pub(crate) fn say(self, words: &str) {
        if !self.json {
            line(&mut std::io::stdout().lock(), words);
        }
    }

    /// A word aside, on standard error.
    pub(crate) fn aside(self, words: &str) {
        if !self.json {
            line(&mut std::io::stderr().lock(), words);
        }
    }

    /// A line of the log of a long-running command, on standard error.
    pub(crate) fn log(self, words: &str) {
        line(&mut std::io::stderr().lock(), words);
    }

    /// Whether progress may be drawn.
    pub(crate) fn draws(self) -> bool {
        !self.json && std::io::stderr().is_terminal()
    }
}

/// Prints the end of a command and gives its exit code.
pub(crate) fn finish(json: bool, result: Result<Answer, Failure>) -> u8 {
    let (stdout, stderr) = (&mut std::io::stdout().lock(), &mut std::io::stderr().lock());
    let (mut object, failure) = match result {
        Ok(answer) => {
            if !json && !answer.words.is_empty() {
                line(stdout, answer.words.trim_end());
            }
            (answer.json, answer.failure)
        }
        Err(failure) => (serde_json::json!({}), Some(failure)),
    };
    if let Some(failure) = &failure {
        object["error"] = failure.json();
        if !json {
            line(stderr, &format!("seedbank: {}\n{}", failure.message, failure.next));
        }
    }
    if json {
        line(stdout, &object.to_string());
    }
    failure.map_or(0, |failure| failure.exit_number())
}

/// Nobody may be reading; that is no reason to fail.
fn line(out: &mut impl Write, words: &str) {
    if writeln!(out, "{words}").and_then(|()| out.flush()).is_err() {
        tracing::debug!("nobody reads the output");
    }
}

/// This machine's clock.
pub(crate) fn now() -> TimeMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimeMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// An amount with the community's symbol; without a genesis nobody knows the decimals.
pub(crate) fn money(amount: Amount, genesis: Option<&Genesis>) -> String {
    match genesis {
        Some(genesis) => format!("{} {}", amount.display(genesis.decimals), shown(&genesis.symbol)),
        None => format!("{amount} minor units"),
    }
}

/// An age in one or two units.
pub(crate) fn age(age_ms: u64) -> String {
    let seconds = age_ms / 1000;
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// What the signatures guarantee, for people.
pub(crate) const fn guarantee(grade: Grade, rule: Rule) -> &'static str {
    match (grade, rule) {
        (Grade::Byzantine, _) => "byzantine: true unless a third of the servers lied",
        (Grade::Crash, Rule::Majority) => "crash: true unless a server lied; the rule stands the crash of a minority",
        (Grade::Crash, Rule::TwoThirds) => "crash: true unless a server lied",
    }
}

/// A number with its digits in groups.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

/// A text from outside without what could steer a terminal.
pub(crate) fn shown(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_numbers_read_well() {
        assert_eq!(age(59_999), "59 s");
        assert_eq!(age(120_000), "2 min");
        assert_eq!(age(7_260_000), "2 h 1 min");
        assert_eq!(age(864_000_000), "10 days");
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }

    #[test]
    fn a_text_from_outside_cannot_steer_the_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
