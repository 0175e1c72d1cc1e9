//! Tells a story in steps, each with its time: for people on a terminal, for logs, for programs.
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

const WIDTH: usize = 92;
const GREEN: &str = "32";
const RED: &str = "31";
const BOLD: &str = "1";
const DIM: &str = "2";

/// Says what happens, and keeps it.
#[derive(Debug)]
pub struct Narrator {
    voice: Voice,
    chapter: u32,
    start: Instant,
    doing: Option<(String, Instant)>,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Voice {
    /// With colours, and with a line that says what is being done.
    Terminal,
    Plain,
    Silent,
}

/// One step that succeeded.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// What is true now.
    pub what: String,
    /// What it took.
    pub seconds: f64,
}

impl Narrator {
    /// Speaks on standard output; in colours only if that is a terminal that wants them.
    #[must_use]
    pub fn aloud() -> Self {
        let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self::with(if colours { Voice::Terminal } else { Voice::Plain })
    }

    /// Only keeps the steps.
    #[must_use]
    pub fn silent() -> Self {
        Self::with(Voice::Silent)
    }

    fn with(voice: Voice) -> Self {
        Self { voice, chapter: 0, start: Instant::now(), doing: None, steps: Vec::new() }
    }

    /// Something outside of the steps.
    pub fn remark(&self, text: &str) -> Result<()> {
        self.say(&format!("{text}\n"))
    }

    /// A new part of the story, with what a newcomer has to know about it.
    pub fn chapter(&mut self, title: &str, explanation: &str) -> Result<()> {
        self.chapter += 1;
        let title = self.paint(BOLD, &format!("{}  {title}", self.chapter));
        self.say(&format!("\n{title}\n"))?;
        wrap(explanation, WIDTH - 3).iter().try_for_each(|line| self.say(&format!("   {}\n", self.paint(DIM, line))))
    }

    /// Begins a step.
    pub fn begin(&mut self, what: &str) -> Result<()> {
        self.doing = Some((what.to_owned(), Instant::now()));
        if self.voice == Voice::Terminal { self.say(&format!("   … {what}")) } else { Ok(()) }
    }

    /// The step that was begun has succeeded; returns what it took.
    pub fn done(&mut self, what: &str) -> Result<Duration> {
        let (_doing, begun) = self.doing.take().context("a step ends that was not begun")?;
        let took = begun.elapsed();
        self.clear_line()?;
        let time = format!("{:5.1} s", took.as_secs_f64());
        let mut lines = wrap(what, WIDTH - 14);
        let last = lines.pop().unwrap_or_default();
        let mut mark = self.paint(GREEN, "✓");
        for line in lines {
            self.say(&format!("   {mark} {line}\n"))?;
            " ".clone_into(&mut mark);
        }
        let padding = " ".repeat((WIDTH - 14).saturating_sub(last.chars().count()));
        self.say(&format!("   {mark} {last}{padding} {}\n", self.paint(DIM, &time)))?;
        self.steps.push(Step { what: what.to_owned(), seconds: took.as_secs_f64() });
        Ok(took)
    }

    /// The step that was begun has failed.
    pub fn failed(&mut self, error: &anyhow::Error) -> Result<()> {
        self.clear_line()?;
        let what = self.doing.take().map_or_else(|| "the story".to_owned(), |(what, _)| what);
        self.say(&format!("   {} {what}\n\n{error:#}\n", self.paint(RED, "✗")))
    }

    /// The steps so far.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn clear_line(&self) -> Result<()> {
        if self.voice == Voice::Terminal { self.say("\r\x1b[2K") } else { Ok(()) }
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.voice == Voice::Terminal { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn say(&self, text: &str) -> Result<()> {
        if self.voice == Voice::Silent {
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("standard output is closed")
    }
}

/// Breaks a text into lines of at most `width` characters, between words.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("longerthanaline x", 4), ["longerthanaline", "x"]);
    }

    #[test]
    fn a_step_that_was_not_begun_cannot_end() {
        let mut narrator = Narrator::silent();
        assert!(narrator.done("nothing").is_err());
        narrator.begin("something").expect("silent");
        narrator.done("something").expect("it was begun");
        assert_eq!(narrator.steps().len(), 1);
    }
}
