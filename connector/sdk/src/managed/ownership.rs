//! Whose a client is, and what may therefore be done to it: the one table, tested for every cell.

use std::collections::{HashMap, HashSet};

use crate::fault::{Fault, Reason};
use crate::mark::{Made, Marked};
use crate::model::{Caller, ClientId, ProviderId};

/// Clients that the operator admitted by configuration (`imported_clients`), by provider.
#[derive(Debug, Clone, Default)]
pub struct Imported(pub HashMap<ProviderId, HashSet<ClientId>>);

impl Imported {
    /// Whose an unmarked client is.
    fn standing(&self, caller: &Caller, client_id: &str) -> Standing {
        // Few and looked at only for unmarked clients, so text is compared.
        let lists = |ids: &HashSet<ClientId>| ids.iter().any(|id| id.as_str() == client_id);
        if self.0.get(&caller.provider_id).is_some_and(lists) {
            Standing::Admitted
        } else if self.0.values().any(lists) {
            Standing::Foreign
        } else {
            Standing::Unmarked
        }
    }
}

/// Whose a client is, seen by a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It bears this caller's mark and the bridge made it, or adopted it as its own.
    Ours,
    /// The operator admitted it.
    Admitted,
    /// It bears no mark.
    Unmarked,
    /// Another provider's or installation's, the connector's own credential, or damaged beyond telling.
    Foreign,
}

/// What a delete is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeleteAs {
    /// Delete it.
    Deleted,
    /// Answer as if it were deleted, and leave it alone.
    LeftInPlace,
}

impl Standing {
    pub(super) fn of(
        caller: &Caller,
        client_id: &str,
        marked: &Marked,
        imported: &Imported,
        own_credential: Option<&str>,
    ) -> Self {
        if own_credential == Some(client_id) {
            return Self::Foreign;
        }
        match marked {
            Marked::Yes(mark) if mark.caller != *caller => Self::Foreign,
            Marked::Yes(mark) => match mark.made {
                Made::ByUs | Made::AdoptedAsOwned => Self::Ours,
                Made::Adopted => Self::Admitted,
            },
            Marked::Damaged => Self::Foreign,
            Marked::No => imported.standing(caller, client_id),
        }
    }

    /// Whether it may be read, rotated, updated and registered.
    ///
    /// # Errors
    /// `NotFound`; for an unmarked client with a sentence that tells how to admit it.
    pub(super) fn may_be_used(self, caller: &Caller) -> Result<(), Fault> {
        match self {
            Self::Ours | Self::Admitted => Ok(()),
            Self::Foreign => Err(Fault::no_such_client()),
            Self::Unmarked => Err(Fault::no_such_client()
                .reason(Reason::ClientNotAdmitted)
                .saying(&format!(
                    "This client was not made by the bridge. The connector's operator can admit it: \
                     `adopt --provider {}`, or imported_clients.",
                    caller.provider_id
                ))),
        }
    }

    /// What a delete is to do.
    ///
    /// # Errors
    /// `NotFound` for what is another's.
    pub(super) fn may_be_deleted(self) -> Result<DeleteAs, Fault> {
        match self {
            Self::Ours => Ok(DeleteAs::Deleted),
            Self::Admitted | Self::Unmarked => Ok(DeleteAs::LeftInPlace),
            Self::Foreign => Err(Fault::no_such_client()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FaultKind;
    use crate::mark::Mark;
    use crate::model::{Installation, OperationId};

    fn caller(installation: &str, provider: &str) -> Caller {
        Caller {
            installation: Installation::parse(installation).unwrap(),
            provider_id: ProviderId::parse(provider).unwrap(),
        }
    }

    fn marked(caller: Caller, made: Made) -> Marked {
        Marked::Yes(Mark {
            caller,
            operation_id: OperationId::generate(),
            made,
            probe: false,
        })
    }

    /// Every row of the table: the client, whether it may be used, what a delete does.
    #[test]
    fn every_cell_of_the_table() {
        let us = || caller("i", "p");
        let listed = Imported(HashMap::from([(
            ProviderId::parse("p").unwrap(),
            HashSet::from([ClientId::parse("imported").unwrap()]),
        )]));
        let deleted = Some(DeleteAs::Deleted);
        let stays = Some(DeleteAs::LeftInPlace);
        let table = [
            ("ours", "c", marked(us(), Made::ByUs), true, deleted),
            ("adopted", "c", marked(us(), Made::Adopted), true, stays),
            (
                "adopted as owned",
                "c",
                marked(us(), Made::AdoptedAsOwned),
                true,
                deleted,
            ),
            (
                "imported by configuration",
                "imported",
                Marked::No,
                true,
                stays,
            ),
            ("unmarked", "c", Marked::No, false, stays),
            (
                "another provider's",
                "c",
                marked(caller("i", "q"), Made::ByUs),
                false,
                None,
            ),
            (
                "another provider's, adopted",
                "c",
                marked(caller("i", "q"), Made::Adopted),
                false,
                None,
            ),
            (
                "another installation's",
                "c",
                marked(caller("j", "p"), Made::ByUs),
                false,
                None,
            ),
            (
                "another's, yet imported",
                "imported",
                marked(caller("i", "q"), Made::ByUs),
                false,
                None,
            ),
            ("damaged", "c", Marked::Damaged, false, None),
            (
                "the connector's own, unmarked",
                "own",
                Marked::No,
                false,
                None,
            ),
            (
                "the connector's own, marked",
                "own",
                marked(us(), Made::ByUs),
                false,
                None,
            ),
        ];
        for (what, id, mark, used, delete) in table {
            let standing = Standing::of(&us(), id, &mark, &listed, Some("own"));
            let use_it = standing.may_be_used(&us());
            assert_eq!(use_it.is_ok(), used, "{what}");
            if let Err(fault) = use_it {
                assert_eq!(fault.kind(), &FaultKind::NotFound, "{what}");
                let tells_how = fault.why() == Reason::ClientNotAdmitted;
                assert_eq!(tells_how, what == "unmarked", "{what}");
            }
            match standing.may_be_deleted() {
                Ok(found) => assert_eq!(Some(found), delete, "{what}"),
                Err(fault) => {
                    assert_eq!(
                        (fault.kind(), delete),
                        (&FaultKind::NotFound, None),
                        "{what}"
                    );
                }
            }
        }
    }

    #[test]
    fn importing_admits_for_the_named_provider_only() {
        let listed = Imported(HashMap::from([(
            ProviderId::parse("q").unwrap(),
            HashSet::from([ClientId::parse("c").unwrap()]),
        )]));
        let standing = Standing::of(&caller("i", "p"), "c", &Marked::No, &listed, None);
        assert_eq!(standing, Standing::Foreign);
    }
}
