//! A database of a case's own, keys, and stores on it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dcr_connector::config::{Located, Problems};
use dcr_connector::model::{Caller, ClientId, Deadline, Installation, OperationId, ProviderId};
use dcr_connector::store::{KeyringConfig, Lookup, NewRow, Row, Store, StoreConfig};
use dcr_connector::{Made, Mark, Settings};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::AnyPool;
use sqlx::any::install_default_drivers;

use crate::server::Server;

/// Which database the cases run on.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Sqlite,
    Postgres(Arc<Server>),
    /// The database of a file's URL, in a process that is not the suite's.
    Url,
}

/// What one case has to itself.
pub(crate) struct World {
    pub(crate) folder: Folder,
    pub(crate) place: Place,
}

/// A folder that is removed, unless it is another's.
#[derive(Debug)]
pub(crate) enum Folder {
    Own(tempfile::TempDir),
    Another(PathBuf),
}

impl Folder {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Own(folder) => folder.path(),
            Self::Another(folder) => folder,
        }
    }
}

impl World {
    pub(crate) async fn new(place: &Place) -> Self {
        install_default_drivers();
        let world = Self {
            folder: Folder::Own(tempfile::tempdir().unwrap()),
            place: place.clone(),
        };
        world.empty_database("clients").await;
        for id in ["one", "two"] {
            world.new_key(id);
        }
        world
    }

    /// That of a folder which another process has made.
    pub(crate) fn at(folder: &Path) -> Self {
        let place = if folder.join("url").exists() {
            Place::Url
        } else {
            Place::Sqlite
        };
        Self {
            folder: Folder::Another(folder.to_owned()),
            place,
        }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        !matches!(self.place, Place::Sqlite)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn url_file(&self) -> PathBuf {
        self.file("url")
    }

    /// Makes a database, and lets the stores that are opened from now on use it.
    pub(crate) async fn empty_database(&self, name: &str) {
        let Place::Postgres(server) = &self.place else {
            fs::write(self.file("name"), name).unwrap();
            return;
        };
        let name = format!("{name}_{}", OperationId::generate().simple());
        let admin = AnyPool::connect(&plain(&server.url("postgres")))
            .await
            .unwrap();
        let sql = format!("CREATE DATABASE {name}");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .execute(&admin)
            .await
            .unwrap();
        admin.close().await;
        fs::write(self.url_file(), server.url(&name)).unwrap();
    }

    /// The SQLite file.
    pub(crate) fn sqlite(&self) -> PathBuf {
        let name = fs::read_to_string(self.file("name")).unwrap();
        self.file(&format!("{name}.db"))
    }

    pub(crate) fn new_key(&self, id: &str) {
        use base64::Engine as _;
        let mut key = [0; 32];
        File::open("/dev/urandom")
            .unwrap()
            .read_exact(&mut key)
            .unwrap();
        let text = base64::engine::general_purpose::STANDARD.encode(key);
        fs::write(self.file(&format!("key-{id}")), text).unwrap();
    }

    pub(crate) fn config(&self, current: &str, keys: &[&str]) -> StoreConfig {
        let key = |id: &&str| {
            let file = self.file(&format!("key-{id}"));
            ((*id).to_owned(), Located::from(file))
        };
        StoreConfig {
            sqlite: (!self.is_postgres()).then(|| self.sqlite().into()),
            postgres_url_file: self.is_postgres().then(|| self.url_file().into()),
            postgres_ca_file: None,
            insecure_plaintext: false,
            witness: Some(self.file("witness").into()),
            keyring: KeyringConfig {
                current: current.to_owned().into(),
                keys: keys.iter().map(key).collect::<BTreeMap<_, _>>(),
            },
        }
    }

    /// The store as a process has it that has just started.
    pub(crate) fn try_open(config: &StoreConfig, serves: bool) -> Result<Store, Problems> {
        let settings = Settings::of_a_process(installation(), Path::new("c.yaml"), serves);
        let mut problems = settings.problems();
        let store = Store::open(config, "idp.store", &settings, &mut problems);
        problems.or(()).map(|()| store.unwrap())
    }

    /// That of another process, with both keys.
    pub(crate) fn open(&self) -> Store {
        Self::try_open(&self.config("one", &["one", "two"]), false).unwrap()
    }

    /// Another replica with a witness of its own; on SQLite, which has none, the same process.
    pub(crate) fn replicas(&self) -> [Store; 2] {
        let first = self.open();
        if !self.is_postgres() {
            return [first.clone(), first];
        }
        let mut config = self.config("one", &["one", "two"]);
        config.witness = Some(self.file("witness-2").into());
        [first, Self::try_open(&config, false).unwrap()]
    }

    /// The database, behind the store's back.
    pub(crate) async fn raw(&self) -> AnyPool {
        let url = if self.is_postgres() {
            plain(&fs::read_to_string(self.url_file()).unwrap())
        } else {
            format!("sqlite://{}?mode=rwc", self.sqlite().display())
        };
        AnyPool::connect(&url).await.unwrap()
    }

    /// Does something behind the store's back; how many rows it met.
    pub(crate) async fn tamper(&self, sql: &'static str) -> u64 {
        let raw = self.raw().await;
        let done = sqlx::query(sql).execute(&raw).await.unwrap();
        raw.close().await;
        done.rows_affected()
    }

    /// The PostgreSQL of the suite.
    pub(crate) fn server(&self) -> &Server {
        match &self.place {
            Place::Postgres(server) => server,
            Place::Sqlite | Place::Url => panic!("there is no server here"),
        }
    }
}

fn plain(url: &str) -> String {
    format!("{url}?sslmode=disable")
}

pub(crate) fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

/// Deadlines that pass at many a moment of a write.
pub(crate) fn moments() -> impl Iterator<Item = Deadline> {
    (0..40).map(|step| Deadline::after(Duration::from_micros(step * 250)))
}

pub(crate) fn installation() -> Installation {
    Installation::parse("production").unwrap()
}

pub(crate) fn mark() -> Mark {
    Mark {
        caller: Caller {
            installation: installation(),
            provider_id: ProviderId::parse("partners").unwrap(),
        },
        operation_id: OperationId::generate(),
        made: Made::ByUs,
        probe: false,
    }
}

pub(crate) fn id(client_id: &str) -> ClientId {
    ClientId::parse(client_id).unwrap()
}

/// What every planted token begins with.
pub(crate) const PLANTED: &str = "planted-registration-token-";

pub(crate) fn token(of: &str) -> SecretString {
    format!("{PLANTED}{of}").into()
}

pub(crate) fn new_row(client_id: &str) -> NewRow {
    NewRow {
        client_id: client_id.to_owned(),
        registration_token: Some(token(client_id)),
        client_uri: Some(format!("https://idp.example/register/{client_id}")),
        metadata: r#"{"client_name":"planted-name"}"#.to_owned(),
    }
}

pub(crate) async fn insert(store: &Store, client_id: &str) -> Mark {
    let mark = mark();
    store.intend(soon(), &mark).await.unwrap();
    store
        .insert(soon(), &mark, &new_row(client_id))
        .await
        .unwrap();
    mark
}

#[track_caller]
pub(crate) fn row(found: Lookup) -> Row {
    match found {
        Lookup::Row(row) => *row,
        other => panic!("no row, but {other:?}"),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests look into what they planted"
)]
pub(crate) fn token_of(row: &Row) -> &str {
    row.registration_token.as_ref().unwrap().expose_secret()
}
