//! The subcommands `store …` of a connector with a store. None prints a token. `list` and `export` change no
//! client; as all that opens a store, they bring its schema up to date, and note a restore that they notice.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::keyring::new_key;
use super::{Entry, State, Store};
use crate::idp::Idp;
use crate::model::Deadline;
use crate::run::{Extra, opened, run_extended};

/// For one look at the database.
const PATIENCE: Duration = Duration::from_secs(20);

/// An [`Idp`] with a store.
pub trait Stored: Idp {
    /// Its store.
    fn store(&self) -> &Store;
}

/// Runs a connector that has a store: [`run`](crate::run()) with the subcommands `store list`, `export`, `import`,
/// `reencrypt`, `repair` and `new-key` beside the usual ones.
#[must_use]
pub fn run<I: Stored>() -> ExitCode {
    run_extended::<I, Commands>(std::env::args_os())
}

#[derive(Debug, Subcommand)]
enum Commands {
    /// Look after the store.
    Store {
        #[command(subcommand)]
        command: Command,
    },
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List all clients and open intents, and what to do about those that need it; changes no client.
    List(Configured),
    /// Write all rows, sealed as they are, to a new file: a backup that is worth nothing without the keyring.
    Export {
        #[command(flatten)]
        configured: Configured,
        /// The file, which must not exist.
        #[arg(long)]
        to: PathBuf,
    },
    /// Read what `export` wrote into this store; rows that are there stay as they are.
    Import {
        #[command(flatten)]
        configured: Configured,
        /// The file.
        #[arg(long)]
        from: PathBuf,
    },
    /// Seal all rows with the current key, while the connector serves.
    Reencrypt(Configured),
    /// Mend what an operator has looked into.
    Repair {
        #[command(flatten)]
        configured: Configured,
        /// Believe a store that was restored: what it does not know is absent from now on.
        #[arg(long)]
        accept_restore: bool,
        /// Forget the intent of this operation: there is no client of it, or it was deleted by hand. Repeatable.
        #[arg(long, value_name = "OPERATION_ID")]
        forget_intent: Vec<String>,
        /// Bury a client that is gone at the identity provider. Repeatable.
        #[arg(long, value_name = "CLIENT_ID", allow_hyphen_values = true)]
        bury: Vec<String>,
    },
    /// Print a new key for the keyring.
    NewKey,
}

#[derive(Debug, Args)]
struct Configured {
    /// The configuration file.
    #[arg(long)]
    config: PathBuf,
}

impl<I: Stored> Extra<I> for Commands {
    async fn run(self) -> Result<(), String> {
        let Self::Store { command } = self;
        let store = |file: &Path| opened::<I>(file).map(|idp| idp.store().clone());
        match command {
            Command::List(at) => list(&store(&at.config)?).await,
            Command::Export { configured, to } => export(&store(&configured.config)?, &to).await,
            Command::Import { configured, from } => {
                import(&store(&configured.config)?, &from).await
            }
            Command::Reencrypt(at) => reencrypt(&store(&at.config)?).await,
            Command::Repair {
                configured,
                accept_restore,
                forget_intent,
                bury,
            } => {
                let store = store(&configured.config)?;
                repair(&store, accept_restore, &forget_intent, &bury).await
            }
            Command::NewKey => {
                let key = new_key().ok_or("the system has no randomness to give")?;
                #[expect(clippy::disallowed_methods, reason = "this is what the command is for")]
                let key = key.expose_secret();
                say(key)
            }
        }
    }
}

fn soon() -> Deadline {
    Deadline::after(PATIENCE)
}

async fn list(store: &Store) -> Result<(), String> {
    let counts = store.counts(soon()).await.map_err(text)?;
    let mut after = String::new();
    say(&format!(
        "{:<40} {:<20} {:<20} {:<12} STATE",
        "CLIENT", "PROVIDER", "CREATED", "KEY"
    ))?;
    loop {
        let entries = store.entries(soon(), &after).await.map_err(text)?;
        let Some(last) = entries.last() else { break };
        after.clone_from(&last.client_id);
        for entry in &entries {
            say(&row(entry))?;
        }
    }
    for intent in store.intents(soon()).await.map_err(text)? {
        say(&format!(
            "{:<40} {:<20} {:<20} {:<12} open intent of operation {}: unless a call is still on its way, the connector \
             was stopped while the identity provider registered a client. Look there for a client made at that time \
             which no row names, delete it, then `store repair --forget-intent {}`",
            "-",
            intent.provider_id,
            time(intent.started_at),
            "-",
            intent.operation_id,
            intent.operation_id
        ))?;
    }
    say(&format!(
        "{} live, {} doubtful, {} open intents, {} not sealed with the current key",
        counts.rows, counts.doubtful, counts.intents, counts.old_keys
    ))?;
    match store.believed(soon()).await {
        Ok(()) => Ok(()),
        Err(fault) => Err(fault.to_string()),
    }
}

fn row(entry: &Entry) -> String {
    let state = match &entry.state {
        State::Live => "live".to_owned(),
        State::Buried => "buried".to_owned(),
        State::Held(since) => format!("in flight since {}: a call works on it", time(Some(*since))),
        State::Doubtful(since) => format!(
            "doubtful since {}: a call that may have rotated its registration token did not end. Its next successful \
             call clears this; if the identity provider refuses the token, have it issue a new one, or delete the client \
             there and `store repair --bury {}`",
            time(Some(*since)),
            entry.client_id
        ),
        State::Closed(why) => format!("damaged: the row {why}"),
    };
    format!(
        "{:<40} {:<20} {:<20} {:<12} {state}",
        entry.client_id,
        entry.provider_id,
        time(entry.created_at),
        entry.key_id
    )
}

fn time(moment: Option<Timestamp>) -> String {
    moment.map_or_else(|| "?".to_owned(), |moment| format!("{moment:.0}"))
}

async fn export(store: &Store, to: &Path) -> Result<(), String> {
    let file = File::create_new(to)
        .map_err(|error| format!("{} cannot be made ({error})", to.display()))?;
    let exported = store
        .export(soon, BufWriter::new(&file))
        .await
        .map_err(text)?;
    file.sync_all().map_err(text)?;
    say(&format!("{} rows, sealed, in {}", exported.0, to.display()))
}

async fn import(store: &Store, from: &Path) -> Result<(), String> {
    let file =
        File::open(from).map_err(|error| format!("{} cannot be read ({error})", from.display()))?;
    let imported = store
        .import(soon, BufReader::new(file))
        .await
        .map_err(text)?;
    say(&format!(
        "{} rows added, {} were there",
        imported.added, imported.there
    ))
}

async fn reencrypt(store: &Store) -> Result<(), String> {
    let done = store.reencrypt(soon).await.map_err(text)?;
    say(&format!("{} rows moved to the current key", done.moved))?;
    for (client_id, why) in &done.closed {
        say(&format!("the row of client {client_id} {why}"))?;
    }
    match (done.left.len(), done.closed.len()) {
        (0, 0) => Ok(()),
        (left, 0) => Err(format!("{left} rows were in use: run this once more")),
        (_, closed) => Err(format!("{closed} rows do not open: see above")),
    }
}

async fn repair(
    store: &Store,
    accept_restore: bool,
    forget_intents: &[String],
    bury: &[String],
) -> Result<(), String> {
    if !accept_restore && forget_intents.is_empty() && bury.is_empty() {
        return Err(
            "say what to mend: --accept-restore, --forget-intent, --bury; `store list` tells"
                .to_owned(),
        );
    }
    if accept_restore {
        let was_restored = store.accept_restore(soon()).await.map_err(text)?;
        say(if was_restored {
            "the restored store is believed from now on"
        } else {
            "this witness does not know of a restore; the store was taken past the witnesses of all replicas"
        })?;
    }
    for operation in forget_intents {
        let gone = store.forget_intent(soon(), operation).await.map_err(text)?;
        say(&format!(
            "intent of operation {operation}: {}",
            if gone { "forgotten" } else { "there is none" }
        ))?;
    }
    for client_id in bury {
        store.bury(soon(), client_id).await.map_err(text)?;
        say(&format!("client {client_id}: buried"))?;
    }
    Ok(())
}

fn say(line: &str) -> Result<(), String> {
    writeln!(io::stdout(), "{line}").map_err(text)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
