//! The table of clients: what is true of this server. Every change is one short call under one lock.

use std::collections::HashMap;

use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use ring::error::Unspecified;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use crate::keys::random_text;
use crate::metadata::{Metadata, Patch};
use crate::refusal::Refusal;

/// The secrets that a client can have at one time.
const MAX_SECRETS: usize = 2;

/// All clients.
#[derive(Default)]
pub(crate) struct Table {
    clients: HashMap<String, Client>,
    born: u64,
}

/// One client. Cloning one, as every answer does, copies no secret but its hash.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) metadata: Metadata,
    pub(crate) created_at: Timestamp,
    pub(crate) secrets: Vec<Secret>,
    /// Its place in lists, which a change does not move.
    pub(crate) birth: u64,
}

/// What is kept of a secret.
#[derive(Clone)]
pub(crate) struct Secret {
    pub(crate) id: String,
    pub(crate) created_at: Timestamp,
    /// What whoever added it knows it by.
    pub(crate) label: Option<String>,
    hash: [u8; 32],
}

/// A new secret: the only copy.
pub(crate) struct Issued {
    pub(crate) id: String,
    pub(crate) created_at: Timestamp,
    pub(crate) secret: SecretString,
}

impl Table {
    /// Adds a client and its first secret.
    pub(crate) fn insert(
        &mut self,
        metadata: Metadata,
        issued: &Issued,
    ) -> Result<Client, Refusal> {
        if self.clients.contains_key(&metadata.client_id) {
            return Err(Refusal::conflict(
                "client_exists",
                "this client id is taken",
            ));
        }
        self.born += 1;
        let client = Client {
            metadata,
            created_at: issued.created_at,
            secrets: vec![issued.stored()],
            birth: self.born,
        };
        self.clients
            .insert(client.metadata.client_id.clone(), client.clone());
        Ok(client)
    }

    pub(crate) fn get(&self, id: &str) -> Result<&Client, Refusal> {
        self.clients.get(id).ok_or_else(no_client)
    }

    fn get_mut(&mut self, id: &str) -> Result<&mut Client, Refusal> {
        self.clients.get_mut(id).ok_or_else(no_client)
    }

    /// The clients born after `after` that `wanted` chooses, oldest first.
    pub(crate) fn list(&self, after: u64, wanted: impl Fn(&Metadata) -> bool) -> Vec<&Client> {
        let chosen = |client: &&Client| client.birth > after && wanted(&client.metadata);
        let mut clients: Vec<_> = self.clients.values().filter(chosen).collect();
        clients.sort_unstable_by_key(|client| client.birth);
        clients
    }

    /// Changes a client whole or, when the result would break a rule, not at all.
    pub(crate) fn update(&mut self, id: &str, patch: Patch) -> Result<Client, Refusal> {
        let client = self.get_mut(id)?;
        let metadata = patch.of(client.metadata.clone());
        metadata.check()?;
        client.metadata = metadata;
        Ok(client.clone())
    }

    pub(crate) fn remove(&mut self, id: &str) -> Result<(), Refusal> {
        self.clients.remove(id).map(drop).ok_or_else(no_client)
    }

    /// Adds a secret; a label is unique among those of the client.
    pub(crate) fn add_secret(
        &mut self,
        id: &str,
        issued: &Issued,
        label: Option<String>,
    ) -> Result<(), Refusal> {
        let client = self.get_mut(id)?;
        if label.is_some() && client.secrets.iter().any(|secret| secret.label == label) {
            let description = "the client has a secret with this label";
            return Err(Refusal::conflict("label_exists", description));
        }
        if client.secrets.len() >= MAX_SECRETS {
            let description = "a client has at most two secrets; remove one first";
            return Err(Refusal::conflict("secret_limit", description));
        }
        client.secrets.push(Secret {
            label,
            ..issued.stored()
        });
        Ok(())
    }

    pub(crate) fn remove_secret(&mut self, id: &str, secret_id: &str) -> Result<(), Refusal> {
        let secrets = &mut self.get_mut(id)?.secrets;
        let place = secrets.iter().position(|secret| secret.id == secret_id);
        let place = place.ok_or_else(|| Refusal::not_found("the client has no such secret"))?;
        secrets.remove(place);
        Ok(())
    }

    /// Puts one new secret in the place of all others.
    pub(crate) fn rotate(&mut self, id: &str, issued: &Issued) -> Result<(), Refusal> {
        self.get_mut(id)?.secrets = vec![issued.stored()];
        Ok(())
    }

    /// The client of this id, if `secret` is one of its secrets now.
    pub(crate) fn authenticate(&self, id: &str, secret: &SecretString) -> Option<Client> {
        let hash = hash(secret);
        let client = self.clients.get(id)?;
        let same = |known: &Secret| bool::from(known.hash.ct_eq(&hash));
        // `filter` and `count`, unlike `any`, compare all of them.
        (client.secrets.iter().filter(|known| same(known)).count() > 0).then(|| client.clone())
    }
}

impl Issued {
    /// Makes a secret of 32 random bytes.
    pub(crate) fn random(now: Timestamp) -> Result<Self, Unspecified> {
        Ok(Self::given(
            random_text::<32>()?.into(),
            random_text::<12>()?,
            now,
        ))
    }

    pub(crate) fn given(secret: SecretString, id: String, now: Timestamp) -> Self {
        Self {
            id,
            created_at: now,
            secret,
        }
    }

    fn stored(&self) -> Secret {
        Secret {
            id: self.id.clone(),
            created_at: self.created_at,
            label: None,
            hash: hash(&self.secret),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "only a hash of it is kept")]
fn hash(secret: &SecretString) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, secret.expose_secret().as_bytes()).as_ref());
    hash
}

fn no_client() -> Refusal {
    Refusal::not_found("there is no such client")
}
