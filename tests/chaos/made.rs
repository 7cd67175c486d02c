//! How a client or secret was made that Konnect does not know, as the journal of the IdP tells it.

use uuid::Uuid;

use crate::evidence::{Evidence, born, connector};
use crate::journal::{Call, Event, Line};

/// What an operation made.
#[derive(Clone, Copy)]
pub(crate) struct Made<'a> {
    pub(crate) evidence: &'a Evidence<'a>,
    pub(crate) operation: Uuid,
    pub(crate) client_id: &'a str,
    /// The line that says that it was made.
    pub(crate) line: &'a Line,
}

impl<'a> Made<'a> {
    /// When the operation began (microseconds since 1970).
    pub(crate) fn born(self) -> u64 {
        born(self.operation)
    }

    /// The connector that had it made.
    pub(crate) fn by(self) -> Option<usize> {
        connector(self.line)
    }

    pub(crate) fn is_client(self) -> bool {
        matches!(
            &self.line.event,
            Event::Committed {
                call: Call::Create,
                ..
            }
        )
    }

    /// When the call came to the IdP, and what became of it there instead of what should.
    pub(crate) fn arrived(self) -> Option<(u64, Option<&'a str>)> {
        let between = self.born()..=self.line.at;
        let arrived = |line: &'a Line| match &line.event {
            Event::Arrived {
                call: Call::Create | Call::Add,
                mishap,
                ..
            } if line.by == self.line.by && between.contains(&line.at) => {
                Some((line.at, mishap.as_deref()))
            }
            _ => None,
        };
        self.evidence.of(self.client_id).filter_map(arrived).last()
    }

    /// When the IdP told the connector that it was made.
    pub(crate) fn answered(self) -> Option<u64> {
        let answered = |line: &&Line| {
            let made = matches!(
                &line.event,
                Event::Answered {
                    call: Call::Create | Call::Add,
                    status: 201,
                    ..
                }
            );
            made && line.by == self.line.by && line.at >= self.line.at
        };
        self.evidence
            .of(self.client_id)
            .find(answered)
            .map(|line| line.at)
    }
}
