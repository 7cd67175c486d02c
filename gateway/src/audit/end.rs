//! What a log that is to be continued ends with.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::chain::{HEAD, Hash};
use super::verify::is_line;

/// How much of a file's end is read at first to find its last line, and at most: lines have some 600 bytes.
const TAIL: u64 = 16 * 1024;
const LONGEST_TAIL: u64 = 1024 * 1024;

/// The end of a log.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct End {
    /// The last whole line; `None`: there is none.
    pub(super) last: Option<Hash>,
    /// Something follows it that a process did not finish: one line, or several, each of which the next process was to
    /// begin its chain with.
    pub(super) cut: bool,
    /// The last byte is no newline.
    pub(super) open: bool,
}

impl End {
    /// Finds the end of a log in a file.
    ///
    /// # Errors
    /// When the file cannot be read, or holds something else than a log: nothing is ever appended to that.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let mut tail = TAIL;
        while tail <= LONGEST_TAIL {
            let begin = length.saturating_sub(tail);
            let mut bytes = vec![0; usize::try_from(length - begin).map_err(io::Error::other)?];
            file.read_exact_at(&mut bytes, begin)?;
            match Self::within(&bytes, begin == 0) {
                Search::Found(end) => return Ok(end),
                Search::NoLog => break,
                Search::BeginsBefore => tail *= 2,
            }
        }
        let sentence = "the file's last line is no line of an audit log: name another file";
        Err(io::Error::other(sentence))
    }

    /// The same in the last bytes of a file, which may be all of it.
    fn within(bytes: &[u8], is_all: bool) -> Search {
        if bytes.is_empty() {
            return Search::Found(Self::default());
        }
        let ended = bytes.strip_suffix(b"\n");
        let mut end = Self {
            open: ended.is_none(),
            ..Self::default()
        };
        let mut lines = ended
            .unwrap_or(bytes)
            .rsplit(|byte| *byte == b'\n')
            .peekable();
        while let Some(line) = lines.next() {
            if lines.peek().is_none() && !is_all {
                return Search::BeginsBefore;
            }
            if is_line(line) {
                end.last = Some(Hash::of(line));
                return Search::Found(end);
            }
            let is_cut = line.starts_with(HEAD) || HEAD.starts_with(line);
            if line.is_empty() || !is_cut {
                return Search::NoLog;
            }
            end.cut = true;
        }
        Search::Found(end)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Search {
    Found(End),
    /// In these bytes no line is whole.
    BeginsBefore,
    NoLog,
}

#[cfg(test)]
mod tests {
    use super::super::chain::Chain;
    use super::*;

    fn line() -> String {
        let mut lines = Vec::new();
        let start = std::collections::BTreeMap::from([("event", "start")]);
        Chain::following(None).append(&start, &mut lines).unwrap();
        String::from_utf8(lines).unwrap()
    }

    #[test]
    fn what_was_cut_is_skipped_and_what_is_no_log_is_refused() {
        let whole = line();
        let bare = whole.trim_end();
        let last = Some(Hash::of(bare.as_bytes()));
        let found = |last, cut, open| Search::Found(End { last, cut, open });
        for (text, expected) in [
            (String::new(), found(None, false, false)),
            (whole.clone(), found(last, false, false)),
            (bare.to_owned(), found(last, false, true)),
            (format!("{whole}{{\"v\""), found(last, true, true)),
            (format!("{whole}{{\n"), found(last, true, false)),
            (
                format!("{whole}{}\n{}", &bare[..90], &bare[..30]),
                found(last, true, true),
            ),
            (bare[..50].to_owned(), found(None, true, true)),
            ("not an audit log\n".to_owned(), Search::NoLog),
            ("not an audit log".to_owned(), Search::NoLog),
            (format!("{whole}more"), Search::NoLog),
            (format!("{whole}\n"), Search::NoLog),
            ("{}".to_owned(), Search::NoLog),
        ] {
            assert_eq!(End::within(text.as_bytes(), true), expected, "{text}");
        }
        let tail = &whole[20..];
        assert_eq!(End::within(tail.as_bytes(), false), Search::BeginsBefore);
        let tail = format!("{}{whole}", &whole[20..]);
        assert_eq!(
            End::within(tail.as_bytes(), false),
            found(last, false, false)
        );
    }
}
