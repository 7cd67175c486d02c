//! The mark: what the bridge writes into a client at birth, so that it is known again.

use crate::model::{Caller, Installation, OperationId, ProviderId};

const PROVIDER: &str = "dcr_provider";
const OPERATION: &str = "dcr_operation";
const ADOPTED: &str = "dcr_adopted";
const PROBE: &str = "dcr_probe";

/// Says whose a client is and which operation made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The installation and provider the client belongs to.
    pub caller: Caller,
    /// The operation that made or adopted it.
    pub operation_id: OperationId,
    /// How it came to bear the mark.
    pub made: Made,
    /// Whether it was made for Konnect's Verify.
    pub probe: bool,
}

/// How a client came to bear a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// Created by the bridge.
    ByUs,
    /// Adopted by an operator; a delete leaves it in place.
    Adopted,
    /// Adopted by an operator as the bridge's own; a delete deletes it.
    AdoptedAsOwned,
}

/// What was read where a mark belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marked {
    /// No part of a mark.
    No,
    /// A mark.
    Yes(Mark),
    /// Parts of a mark that make no whole one: somebody else edited it. Such a client is nobody's.
    Damaged,
}

impl Mark {
    /// The attribute with the installation: what clients of ours are searched by.
    pub const INSTALLATION: &'static str = "dcr_installation";
    /// The names of all attributes that a mark may have.
    pub const KEYS: [&'static str; 5] = [Self::INSTALLATION, PROVIDER, OPERATION, ADOPTED, PROBE];

    /// The mark as named text attributes of at most 64 characters each, for IdPs that keep such.
    #[must_use]
    pub fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut attributes = vec![
            (Self::INSTALLATION, self.caller.installation.to_string()),
            (PROVIDER, self.caller.provider_id.to_string()),
            (OPERATION, self.operation_id.to_string()),
        ];
        match self.made {
            Made::ByUs => {}
            Made::Adopted => attributes.push((ADOPTED, "true".to_owned())),
            Made::AdoptedAsOwned => attributes.push((ADOPTED, "owned".to_owned())),
        }
        if self.probe {
            attributes.push((PROBE, "true".to_owned()));
        }
        attributes
    }

    /// Reads the attributes back.
    pub fn from_attributes<'a>(attribute: impl Fn(&str) -> Option<&'a str>) -> Marked {
        if Self::KEYS.iter().all(|key| attribute(key).is_none()) {
            return Marked::No;
        }
        let whole = || {
            Some(Self {
                caller: Caller {
                    installation: Installation::parse(attribute(Self::INSTALLATION)?).ok()?,
                    provider_id: ProviderId::parse(attribute(PROVIDER)?).ok()?,
                },
                operation_id: OperationId::parse(attribute(OPERATION)?).ok()?,
                made: match attribute(ADOPTED) {
                    None => Made::ByUs,
                    Some("true") => Made::Adopted,
                    Some("owned") => Made::AdoptedAsOwned,
                    Some(_) => return None,
                },
                probe: match attribute(PROBE) {
                    None => false,
                    Some("true") => true,
                    Some(_) => return None,
                },
            })
        };
        whole().map_or(Marked::Damaged, Marked::Yes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn mark(made: Made, probe: bool) -> Mark {
        Mark {
            caller: Caller {
                installation: Installation::parse("production").unwrap(),
                provider_id: ProviderId::parse("keycloak").unwrap(),
            },
            operation_id: OperationId::generate(),
            made,
            probe,
        }
    }

    fn read(attributes: &BTreeMap<&str, String>) -> Marked {
        Mark::from_attributes(|key| attributes.get(key).map(String::as_str))
    }

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        for made in [Made::ByUs, Made::Adopted, Made::AdoptedAsOwned] {
            for probe in [false, true] {
                let mark = mark(made, probe);
                assert_eq!(
                    read(&mark.attributes().into_iter().collect()),
                    Marked::Yes(mark)
                );
            }
        }
    }

    #[test]
    fn no_attribute_is_no_mark_and_half_a_mark_is_damaged() {
        assert_eq!(read(&BTreeMap::new()), Marked::No);
        let whole: BTreeMap<_, _> = mark(Made::Adopted, true).attributes().into_iter().collect();
        for key in [Mark::INSTALLATION, PROVIDER, OPERATION] {
            let mut part = whole.clone();
            part.remove(key);
            assert_eq!(read(&part), Marked::Damaged, "without {key}");
        }
        for key in Mark::KEYS {
            let mut part = whole.clone();
            part.insert(key, "No Such Value".to_owned());
            assert_eq!(read(&part), Marked::Damaged, "with a foreign {key}");
        }
    }
}
