//! `audit verify`: is every line still what was written, and none missing between?
//!
//! What a chain cannot show: lines cut off its end, a change of its last line, and a forger who writes everything after
//! his change anew. Whoever keeps the last hash and the number of lines elsewhere sees all three.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use dcr_runtime::config::unreadable;
use serde::Deserialize;

use super::chain::Hash;

#[derive(Deserialize)]
struct Line {
    chain: String,
    seq: u64,
    prev: Option<Hash>,
    event: String,
    #[serde(default)]
    after_cut: bool,
}

fn parse(line: &[u8]) -> Option<Line> {
    serde_json::from_slice(line).ok()
}

/// Whether this is a line of an audit log.
pub(super) fn is_line(line: &[u8]) -> bool {
    parse(line).is_some()
}

/// Where a line stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    file: PathBuf,
    line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// What was found in the files, displayed line by line.
#[derive(Debug, Default)]
pub(crate) struct Report {
    wrong: Vec<(Place, String)>,
    notices: Vec<(Place, String)>,
    lines: u64,
    chains: u64,
    last: Option<Hash>,
}

impl Report {
    /// Whether a line was changed, removed, repeated or moved.
    pub(crate) fn is_wrong(&self) -> bool {
        !self.wrong.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, sentence) in &self.wrong {
            writeln!(f, "{place}: WRONG: {sentence}")?;
        }
        for (place, sentence) in &self.notices {
            writeln!(f, "{place}: notice: {sentence}")?;
        }
        let Self { lines, chains, .. } = self;
        writeln!(f, "lines: {lines}, chains: {chains}")?;
        if let Some(last) = &self.last {
            writeln!(f, "last hash: {last}")?;
        }
        write!(
            f,
            "Lines cut off the end, and a change of the last one, do not show here: compare the last hash and the \
             number of lines with those of an earlier look, kept elsewhere."
        )
    }
}

/// Reads the files as one log, in this order. `after` is the hash of the line that the first one has to follow;
/// `None`: the first one begins a chain.
///
/// # Errors
/// The sentence of a file that cannot be read.
pub(crate) fn verify(files: &[PathBuf], after: Option<Hash>) -> Result<Report, String> {
    let mut verifier = Verifier {
        report: Report::default(),
        before: after.map(|hash| Before {
            hash,
            known: None,
            place: None,
        }),
        unreadable: Vec::new(),
    };
    for path in files {
        let read = verifier.file(path);
        read.map_err(|error| unreadable(&path.display().to_string(), &error))?;
    }
    Ok(verifier.end())
}

/// The last whole line before the one that is looked at.
struct Before {
    hash: Hash,
    /// Its chain and number.
    known: Option<(String, u64)>,
    place: Option<Place>,
}

struct Verifier {
    report: Report,
    before: Option<Before>,
    /// What stands between the two and is no line.
    unreadable: Vec<Place>,
}

impl Verifier {
    fn file(&mut self, path: &Path) -> io::Result<()> {
        let mut reader = BufReader::new(File::open(path)?);
        let mut bytes = Vec::new();
        let mut number = 0;
        while reader.read_until(b'\n', &mut bytes)? > 0 {
            number += 1;
            let place = Place {
                file: path.to_owned(),
                line: number,
            };
            let ended = bytes.pop_if(|last| *last == b'\n').is_some();
            self.line(&bytes, ended, place);
            bytes.clear();
        }
        Ok(())
    }

    fn line(&mut self, bytes: &[u8], ended: bool, place: Place) {
        self.report.lines += 1;
        let Some(line) = parse(bytes) else {
            if ended {
                self.unreadable.push(place);
            } else {
                let sentence =
                    "the last line is cut: the process ended while it wrote it, or writes it now";
                self.notice(place, sentence);
            }
            return;
        };
        if line.event == "start" {
            self.start(&line, &place);
        } else {
            self.call(&line, &place);
        }
        self.close_unreadable();
        let hash = Hash::of(bytes);
        self.report.last = Some(hash);
        self.before = Some(Before {
            hash,
            known: Some((line.chain, line.seq)),
            place: Some(place),
        });
    }

    fn start(&mut self, line: &Line, place: &Place) {
        self.report.chains += 1;
        if line.seq != 0 {
            self.wrong(
                place,
                "begins a chain with another number than 0".to_owned(),
            );
        }
        // It follows the last whole line, whatever processes left halfway in between.
        if line.after_cut {
            for cut in std::mem::take(&mut self.unreadable) {
                let sentence = "the line is cut: the process ended while it wrote it, and a later one closed it off";
                self.notice(cut, sentence);
            }
        }
        let before = self.before.as_ref().map(|before| before.hash);
        match (line.prev, before) {
            (None, None) => {}
            (Some(_), None) => {
                let sentence =
                    "follows a line that is in none of the files; `--after HASH` names it";
                self.wrong(place, sentence.to_owned());
            }
            (None, Some(_)) => {
                let sentence = "begins a chain that is not linked to the line before it: whether lines were cut off \
                                the end of the earlier chain does not show";
                self.notice(place.clone(), sentence);
            }
            (Some(prev), Some(before)) if prev == before => {}
            // What is wrong before it is told already.
            (Some(_), Some(_)) if !self.unreadable.is_empty() => {}
            (Some(_), Some(_)) => {
                let sentence =
                    "lines before this one were changed or are missing: it holds another hash";
                self.wrong(place, sentence.to_owned());
            }
        }
    }

    fn call(&mut self, line: &Line, place: &Place) {
        let Some(before) = &self.before else {
            let sentence =
                "the chain's beginning is missing; `--after HASH` names the line before this one";
            return self.wrong(place, sentence.to_owned());
        };
        let linked = line.prev == Some(before.hash);
        let Some((chain, number)) = &before.known else {
            if !linked {
                self.wrong(place, "does not follow the line before it".to_owned());
            }
            return;
        };
        // What cannot be read may have been the next ones.
        let lost = self.unreadable.len() as u64;
        let expected = number + 1 + lost;
        if *chain != line.chain {
            let sentence = "belongs to another chain, whose beginning is missing";
            self.wrong(place, sentence.to_owned());
        } else if line.seq == expected && linked {
        } else if line.seq == expected {
            if lost == 0 {
                let changed = before.place.clone().unwrap_or_else(|| place.clone());
                let sentence = format!("was changed: line {} holds another hash of it", place.line);
                self.wrong(&changed, sentence);
            }
        } else if line.seq > expected {
            let missing = line.seq - expected;
            self.wrong(
                place,
                format!("{missing} lines before this one are missing"),
            );
        } else {
            let number = line.seq;
            let sentence = format!(
                "is repeated or out of order: it is number {number} of its chain, and {expected} was due"
            );
            self.wrong(place, sentence);
        }
    }

    fn wrong(&mut self, place: &Place, sentence: String) {
        self.report.wrong.push((place.clone(), sentence));
    }

    fn notice(&mut self, place: Place, sentence: &str) {
        self.report.notices.push((place, sentence.to_owned()));
    }

    /// What could not be read and was not closed off by a new process is wrong.
    fn close_unreadable(&mut self) {
        for place in std::mem::take(&mut self.unreadable) {
            self.wrong(&place, "is no line of an audit log".to_owned());
        }
    }

    fn end(mut self) -> Report {
        self.close_unreadable();
        self.report
    }
}
