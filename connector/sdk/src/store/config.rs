//! The store's configuration.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::ExposeSecret;
use serde::Deserialize;
use sqlx::any::AnyConnectOptions;
use url::{Host, Url};

use super::Store;
use super::database::{Database, Place, connect_options, lock};
use super::keyring::{Key, Keyring};
use super::metrics;
use super::witness::{self, Witness};
use crate::config::{Located, Problems};
use crate::settings::Settings;

/// The member `store` of a connector's section `idp`: exactly one of `sqlite` and `postgres_url_file`, and the keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// A file, made when it is not there: for one replica.
    pub sqlite: Option<Located<PathBuf>>,
    /// A secret file that holds `postgres://USER:PASSWORD@HOST:PORT/DATABASE`: for several replicas.
    pub postgres_url_file: Option<Located<PathBuf>>,
    /// The certificates (PEM) that PostgreSQL's is checked with; the system's where none is given.
    pub postgres_ca_file: Option<Located<PathBuf>>,
    /// Whether a PostgreSQL beyond loopback may be spoken to without TLS.
    #[serde(default)]
    pub insecure_plaintext: bool,
    /// A file outside the database, and outside its backups, by which a restore is noticed; made when it is not there.
    pub witness: Option<Located<PathBuf>>,
    /// The keys.
    pub keyring: KeyringConfig,
}

/// The keys that rows are sealed with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyringConfig {
    /// The id of the key that seals.
    pub current: Located<String>,
    /// The secret files of all keys by their ids, each as `store new-key` prints it.
    pub keys: BTreeMap<String, Located<PathBuf>>,
}

/// The store that a process has open, handed over from one [`Idp`](crate::Idp) to the next.
#[derive(Debug, Clone, Default)]
pub(crate) struct Opened(Arc<Mutex<Slot>>);

#[derive(Debug, Default)]
struct Slot {
    serves: bool,
    database: Option<(Option<PathBuf>, Arc<Database>)>,
}

impl Opened {
    /// That of a process that serves, which no other process may do from the same SQLite file.
    pub(crate) fn serving() -> Self {
        Self(Arc::new(Mutex::new(Slot {
            serves: true,
            database: None,
        })))
    }

    /// The database at a place: the one that is open, with these credentials from now on.
    fn database(
        &self,
        place: Place,
        connect: AnyConnectOptions,
        witness: Option<PathBuf>,
    ) -> Result<Arc<Database>, String> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((beside, database)) = &slot.database {
            if database.place != place || *beside != witness {
                return Err(format!(
                    "has changed, and what is still to be undone is in the old one ({}): change it back, or restart the \
                     connector",
                    database.place
                ));
            }
            database.credentials(connect);
            return Ok(Arc::clone(database));
        }
        let lock = match &place {
            Place::Sqlite(file) if slot.serves => Some(lock(file)?),
            Place::Sqlite(_) | Place::Postgres(_) => None,
        };
        if let Some(file) = &witness {
            witness::read(file)
                .map_err(|error| format!("has a witness that cannot be read: {error}"))?;
        }
        let known = Witness::new(witness.clone());
        let database = Arc::new(Database::new(place, connect, known, lock));
        slot.database = Some((witness, Arc::clone(&database)));
        metrics::opened();
        Ok(database)
    }
}

impl Store {
    /// Judges the configuration whose member is at `path` (as `idp.store`), reads the keys, and shares the database with
    /// the [`Idp`](crate::Idp) before this one. Connects to nothing yet. `None` when something is wrong, which is noted.
    pub fn open(
        config: &StoreConfig,
        path: &str,
        settings: &Settings,
        problems: &mut Problems,
    ) -> Option<Self> {
        let keyring = keyring(&config.keyring, path, settings, problems);
        let (place, url) = place(config, path, settings, problems)?;
        let keyring = keyring?;
        let witness = config.witness.as_ref().map(|witness| witness.value.clone());
        let database = connect_options(&url)
            .and_then(|connect| settings.opened().database(place, connect, witness));
        let database = database.map_err(|sentence| problems.anywhere(path, sentence));
        Some(Self {
            database: database.ok()?,
            keyring: Arc::new(keyring),
        })
    }
}

fn keyring(
    config: &KeyringConfig,
    path: &str,
    settings: &Settings,
    problems: &mut Problems,
) -> Option<Keyring> {
    let mut keys = BTreeMap::new();
    for (id, file) in &config.keys {
        let path = format!("{path}.keyring.keys.{id}");
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if id.is_empty() || id.len() > 64 || !id.chars().all(legal) {
            problems.at(
                file,
                path,
                "the id of a key must be 1 to 64 letters, digits, -, _ and .",
            );
            continue;
        }
        let Some(secret) = settings.secret_file(file, &path, problems) else {
            continue;
        };
        match secret.read().map(|text| Key::parse(&text)) {
            Ok(Some(key)) => drop(keys.insert(id.clone(), key)),
            Ok(None) => problems.at(
                file,
                path,
                format!(
                    "{} holds no key: `store new-key` prints one",
                    file.value.display()
                ),
            ),
            Err(problem) => problems.at(file, path, problem.to_string()),
        }
    }
    let current = &config.current;
    if !config.keys.contains_key(&current.value) {
        let sentence = format!(
            "there is no key `{}` under `keys`: add it, or name one that is there",
            current.value
        );
        problems.at(current, format!("{path}.keyring.current"), sentence);
    }
    Keyring::new(&current.value, keys)
}

fn place(
    config: &StoreConfig,
    path: &str,
    settings: &Settings,
    problems: &mut Problems,
) -> Option<(Place, Url)> {
    match (&config.sqlite, &config.postgres_url_file) {
        (Some(file), None) => {
            let url =
                sqlite(&file.value).map_err(|why| problems.at(file, format!("{path}.sqlite"), why));
            Some((Place::Sqlite(file.value.clone()), url.ok()?))
        }
        (None, Some(file)) => {
            let member = path;
            let path = format!("{member}.postgres_url_file");
            let secret = settings.secret_file(file, &path, problems)?;
            let text = secret.read().ok()?;
            #[expect(clippy::disallowed_methods, reason = "the driver wants the password")]
            let url = Url::parse(text.expose_secret());
            let ca = match &config.postgres_ca_file {
                Some(ca) => {
                    settings.read(ca, &format!("{member}.postgres_ca_file"), problems)?;
                    Some(ca.value.as_path())
                }
                None => None,
            };
            let judged = url
                .map_err(|_| "must hold postgres://USER:PASSWORD@HOST:PORT/DATABASE".to_owned())
                .and_then(|url| postgres(url, ca, config.insecure_plaintext));
            judged.map_err(|why| problems.at(file, path, why)).ok()
        }
        (Some(_), Some(file)) => {
            problems.at(
                file,
                path,
                "has both `sqlite` and `postgres_url_file`: keep one",
            );
            None
        }
        (None, None) => {
            problems.anywhere(
                path,
                "has neither `sqlite` nor `postgres_url_file`: name one of them",
            );
            None
        }
    }
}

fn sqlite(file: &Path) -> Result<Url, String> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    match fs::metadata(folder.unwrap_or(Path::new("."))) {
        Ok(folder) if folder.is_dir() => {}
        Ok(_) => return Err("must be a file in a folder".to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(
                "is in a folder that does not exist: make it, or correct the path".to_owned(),
            );
        }
        Err(error) => return Err(format!("is in a folder that cannot be read ({error})")),
    }
    let file = std::path::absolute(file).map_err(|error| format!("is no path: {error}"))?;
    let mut url = Url::from_file_path(file).map_err(|()| "is no path".to_owned())?;
    url.set_query(Some("mode=rwc"));
    Url::parse(&url.as_str().replacen("file:", "sqlite:", 1)).map_err(|error| error.to_string())
}

/// Judges the URL, and sets how TLS is to be spoken.
fn postgres(mut url: Url, ca: Option<&Path>, insecure: bool) -> Result<(Place, Url), String> {
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err("must begin with postgres://".to_owned());
    }
    let mut socket = None;
    for (name, value) in url.query_pairs() {
        match &*name {
            // A folder with a Unix socket in it.
            "host" if value.starts_with('/') => socket = Some(value.into_owned()),
            "application_name" | "options" => {}
            other => {
                return Err(format!(
                    "has `{other}` after the `?`, which is not taken: use the members of `store`"
                ));
            }
        }
    }
    let database = url.path().trim_start_matches('/').to_owned();
    if database.is_empty() || url.username().is_empty() {
        return Err("must name a user and a database".to_owned());
    }
    // The driver would look for one in its environment, and in a file of the user's.
    if url.password().is_none_or(str::is_empty) && socket.is_none() {
        return Err("must hold a password".to_owned());
    }
    let is_loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        // The driver has its own scheme in mind, so an address may come as a name.
        Some(Host::Domain(name)) => {
            name == "localhost"
                || name
                    .parse()
                    .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        }
        None => false,
    };
    let at = match (&socket, url.host_str()) {
        (Some(folder), _) => folder.clone(),
        (None, Some(host)) => format!("{host}:{}", url.port().unwrap_or(5432)),
        (None, None) => return Err("must name a host".to_owned()),
    };
    let plain = socket.is_some() || ca.is_none() && (is_loopback || insecure);
    url.query_pairs_mut()
        .append_pair("sslmode", if plain { "disable" } else { "verify-full" });
    if let Some(ca) = ca {
        url.query_pairs_mut()
            .append_pair("sslrootcert", &ca.to_string_lossy());
    }
    Ok((Place::Postgres(format!("{at}/{database}")), url))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str, ca: Option<&str>, insecure: bool) -> Result<(String, String), String> {
        let url = Url::parse(text).unwrap();
        let (place, url) = postgres(url, ca.map(Path::new), insecure)?;
        let query = url.query().unwrap_or_default().to_owned();
        Ok((place.to_string(), query))
    }

    #[test]
    fn plain_postgres_is_for_loopback_alone_unless_told_otherwise() {
        let plain = "sslmode=disable";
        let tls = "sslmode=verify-full";
        for (text, ca, insecure, expected) in [
            ("postgres://u:p@127.0.0.1:5433/d", None, false, plain),
            ("postgres://u:p@[::1]/d", None, false, plain),
            ("postgres://u:p@localhost/d", None, false, plain),
            ("postgres://u:p@db.example/d", None, false, tls),
            ("postgres://u:p@127.0.0.1.example/d", None, false, tls),
            ("postgres://u:p@db.example/d", None, true, plain),
            (
                "postgres://u:p@db.example/d",
                Some("/ca.pem"),
                true,
                "sslmode=verify-full&sslrootcert=%2Fca.pem",
            ),
        ] {
            let (_, query) = judged(text, ca, insecure).unwrap();
            assert_eq!(query, expected, "{text} {ca:?} {insecure}");
        }
    }

    #[test]
    fn nothing_in_the_url_turns_tls_off_or_leads_elsewhere() {
        for more in [
            "sslmode=disable",
            "host=10.0.0.1",
            "hostaddr=10.0.0.1",
            "sslrootcert=/x",
            "password=p",
        ] {
            let text = format!("postgres://u:p@db.example/d?{more}");
            assert!(judged(&text, None, false).is_err(), "{more}");
        }
        for text in [
            "postgres://u@db.example/d",
            "postgres://u:@db.example/d",
            "postgres://db.example/d",
            "postgres://u:p@db.example",
            "mysql://u:p@h/d",
        ] {
            assert!(judged(text, None, false).is_err(), "{text}");
        }
    }

    #[test]
    fn a_place_is_known_without_its_password() {
        let (place, _) = judged("postgres://user:planted@db.example/clients", None, false).unwrap();
        assert_eq!(place, "PostgreSQL db.example:5432/clients");
    }
}
