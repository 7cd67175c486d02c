//! What keeps clients from being orphaned or harmed, by name: the chaos suite switches each off in turn and has to see
//! the harm.

/// One of the protections that lie in [`Managed`](super::Managed).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// A mutation is a task of its own, which goes on when its caller has gone.
    Detached,
    /// A result that nobody takes is undone.
    ArmedUndo,
    /// What made a client or did not, nobody knows, is undone by the connector, whatever its caller does.
    OwnUndo,
    /// An abort looks again after `settle_after`, whether it found nothing or a client.
    SettleLook,
    /// One call at a time acts on a client.
    ClientLock,
    /// What is undone bears the mark of the operation.
    MarkCheck,
    /// What must not be done twice is refused when it comes again.
    OnlyOnce,
}

/// The protections that are on: all, unless a test says otherwise to a constructor.
#[derive(Debug, Clone, Copy, Default)]
pub struct Protections {
    off: Option<Protection>,
}

impl Protections {
    /// All but one.
    #[must_use]
    pub fn without(protection: Protection) -> Self {
        Self {
            off: Some(protection),
        }
    }

    pub(super) fn has(self, protection: Protection) -> bool {
        self.off != Some(protection)
    }
}
