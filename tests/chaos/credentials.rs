//! The connectors' credentials at the IdP, which are rotated while all goes on.

use std::fmt::Write as _;

use dcr_tests::bridge::random;
use dcr_tests::{Folder, Volume};

use crate::journal::SECRET;

/// The secrets of each connector, the oldest first. The IdP takes the last two.
#[derive(Debug)]
pub(crate) struct Credentials {
    connectors: Vec<(Volume, Vec<String>)>,
}

impl Credentials {
    /// Makes one for each of so many connectors.
    pub(crate) fn new(folder: &Folder, connectors: usize) -> Self {
        let new = |number| {
            let secret = secret();
            let place = folder.path().join(format!("connector-{number}/credential"));
            (Volume::new(place, &[("secret", &secret)]), vec![secret])
        };
        let credentials = Self {
            connectors: (0..connectors).map(new).collect(),
        };
        credentials.tell(folder);
        credentials
    }

    /// A connector's members about its credential.
    pub(crate) fn of_connector(&self, number: usize) -> String {
        let file = self.connectors[number].0.file("secret");
        format!(
            "  client_id: connector-{number}\n  client_secret_file: {}\n",
            file.display()
        )
    }

    /// Gives a connector another secret, once the IdP knows it, and ends the one before the last.
    pub(crate) fn rotate(&mut self, folder: &Folder, number: usize) {
        let secret = secret();
        self.connectors[number].1.push(secret.clone());
        self.tell(folder);
        self.connectors[number].0.swap(&[("secret", &secret)]);
    }

    /// Tells the IdP.
    fn tell(&self, folder: &Folder) {
        let mut known = String::new();
        for (number, (_, secrets)) in self.connectors.iter().enumerate() {
            for secret in secrets.iter().rev().take(2) {
                let _ = writeln!(known, "connector-{number} {secret}");
            }
        }
        let _ = folder.write("credentials", &known);
    }

    /// How often one was rotated.
    pub(crate) fn rotated(&self) -> usize {
        self.connectors.iter().map(|(_, all)| all.len() - 1).sum()
    }
}

/// Begins as every secret of this suite does.
fn secret() -> String {
    format!("{SECRET}{}", random())
}
