//! The table of clients and its rules. Every change is in the journal before it is answered.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use crate::journal::{self, Call, Client, Event, Journal, SECRET, Secret};
use crate::requests::Filter;

const MAX_SECRETS: usize = 2;
const MAX_ATTRIBUTES: usize = 64;

/// What a new client is asked for with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewClient {
    pub(crate) client_id: String,
    pub(crate) name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    redirect_uris: Vec<String>,
    grant_types: Vec<String>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    audiences: Vec<String>,
    #[serde(default)]
    token_endpoint_auth_method: Option<String>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

/// What is to change: lists are replaced whole, attributes one by one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Patch {
    name: Option<String>,
    description: Option<String>,
    redirect_uris: Option<Vec<String>>,
    scopes: Option<Vec<String>>,
    audiences: Option<Vec<String>>,
    #[serde(default)]
    attributes: BTreeMap<String, Option<String>>,
}

/// What one more secret is asked for with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSecret {
    label: Option<String>,
}

/// Why something was not done: status and error code.
pub(crate) type Refusal = (u16, &'static str);

pub(crate) struct Table {
    clients: HashMap<String, Client>,
    journal: Journal,
    asked: HashMap<(String, Call), u32>,
    /// The name that each client has or had: calls come before it is there, and when it is gone.
    names: HashMap<String, String>,
}

impl Table {
    /// The table as the journal has left it.
    pub(crate) fn open(file: &Path) -> io::Result<Self> {
        let journal = Journal::open(file)?;
        let mut table = Self {
            clients: HashMap::new(),
            journal,
            asked: HashMap::new(),
            names: HashMap::new(),
        };
        for line in journal::read(file)? {
            match line.event {
                Event::Committed {
                    client_id,
                    client: Some(client),
                    ..
                } => drop(table.clients.insert(client_id, *client)),
                Event::Committed { client_id, .. } => drop(table.clients.remove(&client_id)),
                Event::Arrived {
                    name,
                    call,
                    client_id,
                    ..
                } => {
                    table.count(&name, call);
                    if call == Call::Create {
                        table.names.insert(client_id, name);
                    }
                }
                Event::Answered { .. } => {}
            }
        }
        Ok(table)
    }

    /// Counts the calls of one kind for one client.
    pub(crate) fn count(&mut self, name: &str, call: Call) -> u32 {
        let count = self.asked.entry((name.to_owned(), call)).or_default();
        *count += 1;
        *count
    }

    /// What a client is asked for as; its id, when it has no name yet.
    pub(crate) fn name(&self, id: &str) -> String {
        self.names.get(id).map_or(id, String::as_str).to_owned()
    }

    /// A client of this name is asked for.
    pub(crate) fn is_named(&mut self, id: &str, name: &str) {
        self.names.insert(id.to_owned(), name.to_owned());
    }

    pub(crate) fn note(&mut self, by: &str, event: Event) {
        self.journal.write(by, event).expect("the disk has room");
    }

    pub(crate) fn get(&self, id: &str) -> Result<&Client, Refusal> {
        self.clients.get(id).ok_or((404, "not_found"))
    }

    /// The clients with this attribute in the order of their ids, and after which of them the next page begins.
    pub(crate) fn list(&self, filter: &Filter) -> (Vec<&Client>, Option<&str>) {
        let has =
            |client: &&Client| client.attributes.get(&filter.attribute) == Some(&filter.value);
        let mut found: Vec<_> = self.clients.values().filter(has).collect();
        found.sort_by(|one, two| one.client_id.cmp(&two.client_id));
        if let Some(after) = &filter.after {
            found.retain(|client| client.client_id > *after);
        }
        let is_last = found.len() <= filter.limit;
        found.truncate(filter.limit);
        let next = found.last().filter(|_| !is_last);
        let next = next.map(|client| client.client_id.as_str());
        (found, next)
    }

    pub(crate) fn create(&mut self, by: &str, new: NewClient) -> Result<Client, Refusal> {
        if self.clients.contains_key(&new.client_id) {
            return Err((409, "client_exists"));
        }
        let client = Client {
            client_id: new.client_id,
            name: new.name,
            description: new.description,
            redirect_uris: new.redirect_uris,
            grant_types: new.grant_types,
            scopes: new.scopes,
            audiences: new.audiences,
            token_endpoint_auth_method: new.token_endpoint_auth_method,
            attributes: new.attributes,
            created_at: Timestamp::now().to_string(),
            secrets: vec![secret(None)],
        };
        check(&client)?;
        self.commit(by, Call::Create, client.clone());
        Ok(client)
    }

    /// Somebody else makes a client, as the id of a client that the bridge is about to make.
    pub(crate) fn squat(&mut self, new: &NewClient) {
        if self.clients.contains_key(&new.client_id) {
            return;
        }
        let stranger = Client {
            client_id: new.client_id.clone(),
            name: "somebody else's".to_owned(),
            description: String::new(),
            redirect_uris: Vec::new(),
            grant_types: vec!["client_credentials".to_owned()],
            scopes: Vec::new(),
            audiences: Vec::new(),
            token_endpoint_auth_method: None,
            attributes: BTreeMap::new(),
            created_at: Timestamp::now().to_string(),
            secrets: vec![secret(None)],
        };
        self.commit("stranger", Call::Stranger, stranger);
    }

    pub(crate) fn update(&mut self, by: &str, id: &str, patch: Patch) -> Result<Client, Refusal> {
        let mut client = self.get(id)?.clone();
        let set = |old: &mut String, new: Option<String>| *old = new.unwrap_or_else(|| old.clone());
        set(&mut client.name, patch.name);
        set(&mut client.description, patch.description);
        let set = |old: &mut Vec<String>, new: Option<_>| *old = new.unwrap_or_else(|| old.clone());
        set(&mut client.redirect_uris, patch.redirect_uris);
        set(&mut client.scopes, patch.scopes);
        set(&mut client.audiences, patch.audiences);
        for (name, value) in patch.attributes {
            match value {
                Some(value) => client.attributes.insert(name, value),
                None => client.attributes.remove(&name),
            };
        }
        check(&client)?;
        self.commit(by, Call::Patch, client.clone());
        Ok(client)
    }

    pub(crate) fn delete(&mut self, by: &str, id: &str) -> Result<(), Refusal> {
        self.get(id)?;
        self.note(
            by,
            Event::Committed {
                call: Call::Delete,
                client_id: id.to_owned(),
                client: None,
            },
        );
        self.clients.remove(id);
        Ok(())
    }

    pub(crate) fn rotate(&mut self, by: &str, id: &str) -> Result<Secret, Refusal> {
        let mut client = self.get(id)?.clone();
        let new = secret(None);
        client.secrets = vec![new.clone()];
        self.commit(by, Call::Rotate, client);
        Ok(new)
    }

    pub(crate) fn add(&mut self, by: &str, id: &str, new: NewSecret) -> Result<Secret, Refusal> {
        let mut client = self.get(id)?.clone();
        let label = new.label;
        if label.is_some() && client.secrets.iter().any(|known| known.label == label) {
            return Err((409, "label_exists"));
        }
        if client.secrets.len() >= MAX_SECRETS {
            return Err((409, "secret_limit"));
        }
        let new = secret(label);
        client.secrets.push(new.clone());
        self.commit(by, Call::Add, client);
        Ok(new)
    }

    pub(crate) fn remove(&mut self, by: &str, id: &str, secret: &str) -> Result<(), Refusal> {
        let mut client = self.get(id)?.clone();
        let before = client.secrets.len();
        client.secrets.retain(|known| known.secret_id != secret);
        if client.secrets.len() == before {
            return Err((404, "not_found"));
        }
        self.commit(by, Call::Remove, client);
        Ok(())
    }

    fn commit(&mut self, by: &str, call: Call, client: Client) {
        self.note(
            by,
            Event::Committed {
                call,
                client_id: client.client_id.clone(),
                client: Some(Box::new(client.clone())),
            },
        );
        self.clients.insert(client.client_id.clone(), client);
    }
}

fn secret(label: Option<String>) -> Secret {
    Secret {
        secret_id: Uuid::new_v4().as_simple().to_string(),
        client_secret: format!("{SECRET}{}", Uuid::new_v4().as_simple()),
        created_at: Timestamp::now().to_string(),
        label,
    }
}

/// The rules of a client. What breaks one is refused whole.
fn check(client: &Client) -> Result<(), Refusal> {
    let different = |values: &[String]| {
        let mut sorted: Vec<_> = values.iter().collect();
        sorted.sort();
        sorted.dedup();
        sorted.len() == values.len()
    };
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    let id = &client.client_id;
    let kept = (1..=255).contains(&id.len())
        && id.bytes().all(legal)
        && (1..=255).contains(&client.name.chars().count())
        && client.description.chars().count() <= 255
        && !client.grant_types.is_empty()
        && different(&client.grant_types)
        && different(&client.redirect_uris)
        && different(&client.scopes)
        && different(&client.audiences)
        && !client.scopes.iter().any(|scope| scope == "admin");
    if !kept {
        return Err((400, "invalid_request"));
    }
    if client.attributes.len() > MAX_ATTRIBUTES {
        return Err((409, "attribute_limit"));
    }
    Ok(())
}
