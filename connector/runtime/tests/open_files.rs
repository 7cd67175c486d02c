//! The limit of open files, which is the whole process's: a test of its own.

use dcr_runtime::process::run;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
fn a_process_opens_as_many_files_as_it_may() {
    let limit = getrlimit(Resource::Nofile);
    let low = Rlimit {
        current: Some(256),
        ..limit
    };
    setrlimit(Resource::Nofile, low).expect("a soft limit can be lowered");
    let _ = run(|_| async { Ok::<_, String>(()) });
    assert_eq!(getrlimit(Resource::Nofile).current, limit.maximum);
}
