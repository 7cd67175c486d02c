//! Mistakes in configuration: what is wrong, and where.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::Located;

/// One mistake. Displayed as `FILE:LINE: path: sentence`; an unknown line and an empty path are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: Option<u64>,
    /// The member, as `api_keys[0].hash`; empty for the whole file.
    pub path: String,
    /// What is wrong, and what to do.
    pub sentence: String,
}

impl Error for Problem {}

impl Display for Problem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.sentence)
    }
}

/// The sentence of a file that cannot be read; `what` names it (`the secret file`).
#[must_use]
pub fn unreadable(what: &str, error: &io::Error) -> String {
    let advice = match error.kind() {
        ErrorKind::NotFound => "create it, or correct the path",
        ErrorKind::PermissionDenied => "let the process's user read it",
        ErrorKind::InvalidData => "save it as UTF-8",
        ErrorKind::IsADirectory => "name the file, not the directory it is in",
        ErrorKind::NotADirectory => "name the directory, not a file in it",
        _ => "make it readable",
    };
    format!("{what} cannot be read ({error}); {advice}")
}

/// All mistakes of one file (and, after [`append`](Self::append), of others), in the order in which they were found.
/// Displayed one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    file: PathBuf,
    found: Vec<Problem>,
}

impl Problems {
    /// No mistake so far in `file`.
    #[must_use]
    pub fn in_file(file: impl Into<PathBuf>) -> Self {
        Self {
            file: file.into(),
            found: Vec::new(),
        }
    }

    /// The file that is judged.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// A mistake in the member at `path`, whose value is `value`.
    pub fn at<T>(
        &mut self,
        value: &Located<T>,
        path: impl Into<String>,
        sentence: impl Into<String>,
    ) {
        self.add(value.line, path, sentence);
    }

    /// A mistake in the member at `path`, or in the whole file if that is empty; its line is not known.
    pub fn anywhere(&mut self, path: impl Into<String>, sentence: impl Into<String>) {
        self.add(None, path, sentence);
    }

    fn add(&mut self, line: Option<u64>, path: impl Into<String>, sentence: impl Into<String>) {
        self.found.push(Problem {
            file: self.file.clone(),
            line,
            path: path.into(),
            sentence: sentence.into(),
        });
    }

    /// A mistake that is ready made, of this or another file.
    pub fn push(&mut self, problem: Problem) {
        self.found.push(problem);
    }

    /// The mistakes of another file.
    pub fn append(&mut self, others: Self) {
        self.found.extend(others.found);
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The mistakes, in the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.found.iter()
    }

    /// `value` if there is no mistake.
    ///
    /// # Errors
    /// The mistakes, if there are any.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Error for Problems {}

impl Display for Problems {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.found.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}
