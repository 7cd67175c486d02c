//! The search for secrets in whatever was printed.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aho_corasick::{AhoCorasick, PatternID};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Texts that nothing may print. Clones share what was planted.
#[derive(Debug, Clone, Default)]
pub struct Planted(Arc<Mutex<Vec<(String, String)>>>);

impl Planted {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a secret; `what` names it when it is found.
    ///
    /// # Panics
    /// When the secret is so short that any text may hold it.
    #[track_caller]
    pub fn plant(&self, what: &str, secret: &str) {
        assert!(secret.len() >= 12, "{what} is too short to be searched for");
        self.lock().push((what.to_owned(), secret.to_owned()));
    }

    /// Adds what was planted elsewhere.
    pub fn extend(&self, other: &Self) {
        let more = other.lock().clone();
        self.lock().extend(more);
    }

    /// How many were planted.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Where a text holds a planted secret: as it is, in base64 of either alphabet at any offset, percent-encoded,
    /// in hexadecimal digits, or escaped as in JSON and in Debug output.
    #[must_use]
    pub fn found_in(&self, text: &str) -> Vec<String> {
        let planted = self.lock();
        let forms: Vec<_> = planted
            .iter()
            .flat_map(|(what, secret)| forms(secret).map(move |(how, form)| (what, how, form)))
            .collect();
        // All at once: a long run plants thousands and prints millions of bytes.
        let search = AhoCorasick::new(forms.iter().map(|(.., form)| form));
        let search = search.expect("so few texts can be searched for");
        let hits: BTreeMap<_, _> = search
            .find_iter(text)
            .map(|hit| (hit.pattern(), hit.start()))
            .collect();
        let told = |(pattern, start): (PatternID, usize)| {
            let (what, how, form) = forms.get(pattern.as_usize())?;
            let line_start = text.get(..start)?.rfind('\n').map_or(0, |end| end + 1);
            let line = text.get(line_start..)?.lines().next()?;
            Some(format!(
                "{what}, {how}, in: {}",
                line.replace(form, "<found>")
            ))
        };
        hits.into_iter().filter_map(told).collect()
    }

    /// The files below a folder that hold a planted secret as it is: for what is too big to be read as a text.
    #[must_use]
    pub fn found_below(&self, folder: &Path) -> String {
        let secrets: Vec<_> = self
            .lock()
            .iter()
            .map(|(_, secret)| secret.clone())
            .collect();
        let mut grep = Command::new("grep")
            .args([
                "--recursive",
                "--text",
                "--fixed-strings",
                "--files-with-matches",
                "--file=-",
            ])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("grep is there");
        let mut patterns = grep.stdin.take().expect("it was piped");
        patterns
            .write_all(secrets.join("\n").as_bytes())
            .expect("grep reads its patterns");
        drop(patterns);
        let found = grep.wait_with_output().expect("grep ends");
        assert!(
            found.status.code().is_some_and(|code| code < 2),
            "grep could not read it all"
        );
        String::from_utf8_lossy(&found.stdout).into_owned()
    }

    /// Fails when a text holds a planted secret.
    #[track_caller]
    pub fn assert_absent(&self, from: &str, text: &str) {
        let found = self.found_in(text);
        assert!(
            found.is_empty(),
            "{from} holds secrets:\n{}",
            found.join("\n")
        );
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(String, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a secret may look in a text.
fn forms(secret: &str) -> impl Iterator<Item = (&'static str, String)> + use<> {
    let hex = |secret: &str| {
        let digits = secret.bytes().flat_map(|b| [b >> 4, b & 15]);
        digits
            .filter_map(|d| char::from_digit(d.into(), 16))
            .collect::<String>()
    };
    let debug = format!("{secret:?}");
    let json = serde_json::Value::from(secret).to_string();
    let inner = |quoted: &str| {
        quoted
            .get(1..quoted.len() - 1)
            .unwrap_or_default()
            .to_owned()
    };
    let mut forms = vec![
        ("as it is", secret.to_owned()),
        (
            "percent-encoded",
            utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        ),
        ("in hexadecimal digits", hex(secret)),
        ("escaped as in Debug", inner(&debug)),
        ("escaped as in JSON", inner(&json)),
    ];
    for shift in 0..3_usize {
        let mut bytes = vec![0; shift];
        bytes.extend_from_slice(secret.as_bytes());
        // Only the characters that depend on the secret alone.
        let (start, end) = ((shift * 8).div_ceil(6), bytes.len() * 8 / 6);
        for (how, encoded) in [
            ("in base64", STANDARD_NO_PAD.encode(&bytes)),
            ("in base64url", URL_SAFE_NO_PAD.encode(&bytes)),
        ] {
            forms.push((how, encoded.get(start..end).unwrap_or_default().to_owned()));
        }
    }
    forms.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn a_secret_is_found_in_every_form() {
        let secret = "p\"l?an>ted/~secret+é";
        let planted = Planted::new();
        planted.plant("it", secret);
        let basic = |prefix: &str| STANDARD.encode(format!("{prefix}:{secret}:tail"));
        for text in [
            format!("x{secret}y"),
            format!("{secret:?}"),
            serde_json::json!({ "a": secret }).to_string(),
            basic("a"),
            basic("ab"),
            basic("abc"),
            URL_SAFE_NO_PAD.encode(secret),
            utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
            format!("{:02x?}", secret.as_bytes()).replace([',', ' '], ""),
        ] {
            assert!(!planted.found_in(&text).is_empty(), "not found in {text}");
        }
        planted.assert_absent("a text without it", "planted secret");
    }

    #[test]
    fn what_is_reported_does_not_repeat_the_secret() {
        let planted = Planted::new();
        planted.plant("it", "hunter2hunter2");
        assert_eq!(
            planted.found_in("a\nb hunter2hunter2 c").first().unwrap(),
            "it, as it is, in: b <found> c"
        );
    }
}
