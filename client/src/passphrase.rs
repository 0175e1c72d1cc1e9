//! The wallet's passphrase and words: from a file, else asked on a terminal.
use std::io::IsTerminal;
use std::path::Path;

use zeroize::Zeroizing;

use crate::disk;
use crate::errors::Failure;

/// Longest secret that is read from a file.
const SECRET_BYTES_MAX: u64 = 4096;

/// The passphrase of the wallet that is there.
pub(crate) fn passphrase(file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    match file {
        Some(path) => first_line(path, "passphrase"),
        None => ask("Passphrase of the wallet: ", "--passphrase-file FILE"),
    }
}

/// The passphrase of a new wallet; who types it types it twice.
pub(crate) fn new_passphrase(file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    let Some(path) = file else {
        let once = ask("New passphrase for the wallet: ", "--passphrase-file FILE")?;
        let twice = ask("The same again: ", "--passphrase-file FILE")?;
        if once != twice {
            return Err(Failure::usage("the two passphrases differ", "Try again."));
        }
        return not_empty(once, "passphrase");
    };
    first_line(path, "passphrase")
}

/// The words of a wallet.
pub(crate) fn words(file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    match file {
        Some(path) => whole(path, "words"),
        None => ask("The 12 or 24 words, with spaces between them: ", "--words-file FILE"),
    }
}

fn ask(prompt: &str, flag: &str) -> Result<Zeroizing<String>, Failure> {
    if !std::io::stdin().is_terminal() {
        let message = "a secret is needed, and there is no terminal to ask for it";
        return Err(Failure::usage(message, format!("Give it in a file: {flag}.")));
    }
    rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(|error| {
        Failure::usage(format!("nothing could be asked: {error}"), format!("Give it in a file: {flag}."))
    })
}

fn whole(path: &Path, what: &str) -> Result<Zeroizing<String>, Failure> {
    let unusable = |why: String| {
        Failure::usage(format!("the {what} file {} cannot be used: {why}", path.display()), "Name another file.")
    };
    let bytes = disk::read(path, SECRET_BYTES_MAX).map_err(|failure| unusable(failure.message))?;
    let bytes = Zeroizing::new(bytes.ok_or_else(|| unusable("there is no such file".to_owned()))?);
    let text = std::str::from_utf8(&bytes).map_err(|error| unusable(format!("it is not text: {error}")))?;
    not_empty(Zeroizing::new(text.to_owned()), what)
}

fn first_line(path: &Path, what: &str) -> Result<Zeroizing<String>, Failure> {
    let text = whole(path, what)?;
    not_empty(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()), what)
}

fn not_empty(text: Zeroizing<String>, what: &str) -> Result<Zeroizing<String>, Failure> {
    if text.trim().is_empty() {
        return Err(Failure::usage(format!("the {what} may not be empty"), "Choose one that others cannot guess."));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_the_file_is_the_passphrase() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("passphrase");
        std::fs::write(&path, "correct horse \nsecond line\n").expect("writable");
        assert_eq!(passphrase(Some(&path)).expect("readable").as_str(), "correct horse ");
        std::fs::write(&path, "\n").expect("writable");
        assert_eq!(passphrase(Some(&path)).expect_err("empty").exit, crate::errors::Exit::Usage);
        let none = directory.path().join("none");
        assert_eq!(passphrase(Some(&none)).expect_err("missing").exit, crate::errors::Exit::Usage);
    }
}
