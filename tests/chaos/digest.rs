//! A digest of all that is drawn before anything happens: two runs of one plan print the same, whatever comes of it.

use std::fmt::{self, Write as _};

use ring::digest::{Context, SHA256};

use crate::journal::Call;
use crate::meanwhile::{PlannedKill, changes};
use crate::mishaps::{draw, draw_of_token, usual};
use crate::plan::{ConnectorHop, Levels, Story};

/// How many kills and changes are in the digest; no run has more.
const MANY: usize = 500;
/// How many calls of a kind a life may have.
const CALLS: u32 = 4;
const RPCS: [&str; 11] = [
    "CreateClient",
    "DeleteClient",
    "RotateClientSecret",
    "ListClientSecrets",
    "AddClientSecret",
    "RemoveClientSecret",
    "UpdateClient",
    "RemoveRegistration",
    "AbortOperation",
    "entity-one/AddRegistration",
    "entity-two/AddRegistration",
];
const AT_IDP: [Call; 8] = [
    Call::Get,
    Call::Create,
    Call::Patch,
    Call::Delete,
    Call::Rotate,
    Call::Secrets,
    Call::Add,
    Call::Remove,
];

/// What all is drawn from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) levels: Levels,
    pub(crate) mishaps: u32,
    /// How many lives there may be.
    pub(crate) stories: u64,
}

impl Plan {
    /// All lives that there may be.
    pub(crate) fn stories(self) -> impl Iterator<Item = Story> {
        (1..=self.stories).map(move |number| Story::draw(self.seed, number, self.levels))
    }

    /// The digest, with these kills.
    pub(crate) fn digest(self, kills: Option<impl Iterator<Item = PlannedKill>>) -> String {
        let mut sum = Sum(Context::new(&SHA256));
        let written = self.write(&mut sum, kills);
        written.expect("a sum takes everything");
        let mut digest = String::new();
        for byte in &sum.0.finish().as_ref()[..8] {
            let _ = write!(digest, "{byte:02x}");
        }
        digest
    }

    fn write(self, sum: &mut Sum, kills: Option<impl Iterator<Item = PlannedKill>>) -> fmt::Result {
        for kill in kills.into_iter().flatten().take(MANY) {
            write!(sum, "{kill:?}")?;
        }
        for change in changes(self.seed).take(MANY) {
            write!(sum, "{change:?}")?;
        }
        for nth in 1..MANY {
            for connector in [0, 1] {
                let which = format!("connector-{connector}/{nth}");
                let token = draw_of_token(self.seed, self.mishaps, &which);
                let list = draw(self.seed, self.mishaps, Call::List, &which);
                write!(sum, "{token:?}{list:?}")?;
            }
        }
        for story in self.stories() {
            write!(sum, "{story:?}")?;
            for nth in 1..=CALLS {
                let name = &story.name;
                for rpc in RPCS {
                    let which = format!("{name}/{rpc}/{nth}");
                    let hop = ConnectorHop::draw(self.seed, self.levels, &which, rpc);
                    write!(sum, "{hop:?}")?;
                }
                for call in AT_IDP {
                    let which = format!("{name}/{nth}");
                    let mishap = draw(self.seed, self.mishaps, call, &which);
                    let usual = usual(self.seed, call, &which);
                    write!(sum, "{mishap:?}{usual:?}")?;
                }
            }
        }
        Ok(())
    }
}

/// Text that is summed up as it is written.
struct Sum(Context);

impl fmt::Write for Sum {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}
