//! Suites of other crates, which have no gateway's program of their own: the suite's executable is one as well, under
//! another name.

use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

const GATEWAY: &str = "dcr-gateway";
/// How many tests run at once.
const AT_ONCE: usize = 6;

/// A test: its name, and what begins it.
pub type Test = (
    &'static str,
    fn() -> Pin<Box<dyn Future<Output = ()> + Send>>,
);

/// All of a suite's tests, by module.
#[macro_export]
macro_rules! tests {
    ($($module:ident: $($name:ident)*;)*) => {
        vec![$($((concat!(stringify!($module), "::", stringify!($name)), || Box::pin($module::$name())),)*)*]
    };
}

/// The whole `main` of a suite (`harness = false`): runs the tests as `cargo test` does, or is the gateway.
#[must_use]
pub fn main(tests: Vec<Test>) -> ExitCode {
    if !is_itself() {
        return dcr_gateway::run();
    }
    let trial = |(name, begin): Test| Trial::test(name, move || run(begin));
    let trials = tests.into_iter().map(trial).collect();
    let mut arguments = Arguments::from_args();
    // Most of their time they wait.
    arguments.test_threads = arguments.test_threads.or(Some(AT_ONCE));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Whether this process is the suite, and not the gateway.
#[must_use]
pub fn is_itself() -> bool {
    let name = std::env::args_os().next().map(PathBuf::from);
    name.as_deref().and_then(Path::file_name) != Some(GATEWAY.as_ref())
}

fn run(begin: fn() -> Pin<Box<dyn Future<Output = ()> + Send>>) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(begin());
    Ok(())
}

/// The gateway's program.
#[must_use]
pub fn gateway() -> PathBuf {
    let suite = std::env::current_exe().expect("a running program has a place");
    let folder = suite.with_extension("programs");
    std::fs::create_dir_all(&folder).expect("the target folder can be written");
    let program = folder.join(GATEWAY);
    match symlink(&suite, &program) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => {
            panic!("cannot make {}: {e}", program.display())
        }
        _ => program,
    }
}
