//! A value and the line it stands on.

use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

/// A value of a configuration file and its line, so that a mistake that shows only later can name the line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// The line, from 1; none for a value that no file holds.
    pub line: Option<u64>,
}

impl<T> Located<T> {
    /// Another value at the same line.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Located<U> {
        Located {
            value: change(self.value),
            line: self.line,
        }
    }

    /// The value by reference, at the same line.
    pub fn as_ref(&self) -> Located<&T> {
        Located {
            value: &self.value,
            line: self.line,
        }
    }
}

impl<T> From<T> for Located<T> {
    fn from(value: T) -> Self {
        Self { value, line: None }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<T>::deserialize(deserializer)?;
        Ok(Self {
            value: spanned.value,
            line: Some(spanned.referenced.line()).filter(|line| *line > 0),
        })
    }
}
