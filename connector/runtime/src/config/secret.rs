//! Secrets: one a file, as Kubernetes mounts them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use secrecy::SecretString;
use zeroize::Zeroizing;

use super::{Problem, unreadable};

/// The longest secret file, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Reads a secret from a file, without the newline that editors leave at its end.
///
/// # Errors
/// When the file cannot be read, is empty, is longer than 64 KiB, or is not UTF-8. The problem says what to do, and
/// nothing of the content.
pub fn read_secret_file(path: impl AsRef<Path>) -> Result<SecretString, Problem> {
    let path = path.as_ref();
    read(path).map_err(|sentence| Problem {
        file: path.to_owned(),
        line: None,
        path: String::new(),
        sentence,
    })
}

fn read(path: &Path) -> Result<SecretString, String> {
    // Reserved whole: a buffer that grows would leave copies of the secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(64 * 1024 + 1));
    let read = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        return Err(unreadable("the secret file", &error));
    }
    if bytes.len() as u64 > LONGEST {
        return Err("the secret file is longer than 64 KiB; is it the right file?".to_owned());
    }
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Err("the secret file is not UTF-8 text; store the secret as it is, not encoded or compressed".to_owned());
    };
    let secret = text.strip_suffix('\n').unwrap_or(text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() {
        return Err("the secret file is empty; write the secret into it".to_owned());
    }
    Ok(SecretString::from(secret))
}
