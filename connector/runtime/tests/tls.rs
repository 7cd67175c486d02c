//! Files of certificates: what is wrong with them, and what becomes of a version that is.
#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use dcr_runtime::config::{Problems, load};
use dcr_runtime::tls::{ClientFiles, ClientIdentity, PeerIdentity};
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType, date_time_ymd};
use tempfile::TempDir;

const URI: &str = "spiffe://test/gateway";

/// A folder with a section of configuration and the files that it names, all of them good.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    issue(folder.path(), &[URI], 2040);
    let at = folder.path().display();
    let yaml = format!(
        "certificate_file: {at}/tls.crt\nprivate_key_file: {at}/tls.key\nca_file: {at}/ca.crt\n"
    );
    fs::write(folder.path().join("section.yaml"), yaml).unwrap();
    folder
}

fn issue(folder: &Path, uris: &[&str], until: i32) {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::default();
    params.not_after = date_time_ymd(until, 1, 1);
    let uri = |uri: &&str| SanType::URI((*uri).try_into().unwrap());
    params.subject_alt_names = uris.iter().map(uri).collect();
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &ca).unwrap();
    write(folder, "tls.crt", &certificate.pem());
    write(folder, "tls.key", &key.serialize_pem());
    write(folder, "ca.crt", &ca.pem());
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

fn open(folder: &Path) -> Result<Arc<ClientIdentity>, Problems> {
    let file = folder.join("section.yaml");
    let section: ClientFiles = load(&file)?;
    let mut problems = Problems::in_file(&file);
    let identity = section.open("connector_tls", &mut problems);
    problems.or(())?;
    Ok(identity.unwrap())
}

#[test]
fn every_mistake_names_its_file_and_says_what_to_do() {
    type Break = fn(&Path);
    let cases: [(Break, &str, &str); 12] = [
        (
            |f| fs::remove_file(f.join("tls.crt")).unwrap(),
            "tls.crt",
            "create it",
        ),
        (|f| write(f, "tls.crt", ""), "tls.crt", "BEGIN CERTIFICATE"),
        (
            |f| {
                write(
                    f,
                    "tls.crt",
                    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                );
            },
            "tls.crt",
            "no X.509 certificate",
        ),
        (
            |f| write(f, "tls.crt", "-----BEGIN CERTIFICATE-----\nAA"),
            "tls.crt",
            "copy the certificate again",
        ),
        (|f| issue(f, &[URI], 2020), "tls.crt", "has expired"),
        (|f| issue(f, &[], 2040), "tls.crt", "single URI SAN"),
        (
            |f| issue(f, &[URI, "spiffe://b"], 2040),
            "tls.crt",
            "single URI SAN",
        ),
        (
            |f| write(f, "tls.key", "k"),
            "tls.key",
            "holds no private key",
        ),
        (
            |f| {
                let text = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
                write(f, "tls.key", text);
            },
            "tls.key",
            "store it decrypted",
        ),
        (
            |f| write(f, "tls.key", &KeyPair::generate().unwrap().serialize_pem()),
            "tls.key",
            "not the key of the first certificate",
        ),
        (|f| write(f, "ca.crt", "\n"), "ca.crt", "the CAs to trust"),
        (
            |f| write(f, "ca.crt", &"x".repeat(1_100_000)),
            "ca.crt",
            "longer than 1 MiB",
        ),
    ];
    assert!(open(folder().path()).is_ok());
    for (break_it, file, sentence) in cases {
        let folder = folder();
        break_it(folder.path());
        let problems = open(folder.path()).unwrap_err();
        let told: Vec<_> = problems.iter().collect();
        let [problem] = told.as_slice() else {
            unreachable!("{sentence}: {told:?}")
        };
        assert!(problem.file.ends_with(file), "{problem}");
        assert!(problem.sentence.contains(sentence), "{problem}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let folder = folder();
    for file in ["tls.crt", "tls.key", "ca.crt"] {
        write(folder.path(), file, "nonsense");
    }
    assert_eq!(open(folder.path()).unwrap_err().iter().count(), 3);
    write(folder.path(), "section.yaml", "{}");
    let problems = open(folder.path()).unwrap_err();
    let members: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
    let expected = ["certificate_file", "private_key_file", "ca_file"];
    assert_eq!(members, expected.map(|m| format!("connector_tls.{m}")));
}

#[test]
fn a_bad_version_leaves_the_last_good_one_whole() {
    let folder = folder();
    let identity = open(folder.path()).unwrap();
    let peer = PeerIdentity::parse("spiffe://test/connector").unwrap();
    let end = identity.not_after();
    let before = format!("{:?}", identity.towards(&peer));
    issue(folder.path(), &[URI], 2041);
    let key = fs::read_to_string(folder.path().join("tls.key")).unwrap();
    write(folder.path(), "tls.key", "half of it");
    identity.reload().unwrap_err();
    assert_eq!(identity.not_after(), end);
    assert_eq!(format!("{:?}", identity.towards(&peer)), before);
    write(folder.path(), "tls.key", &key);
    identity.reload().unwrap();
    assert!(identity.not_after() > end);
    assert_ne!(format!("{:?}", identity.towards(&peer)), before);
}
