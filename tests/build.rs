//! Compiles the contract as sides of other versions know it.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=contract");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    for version in ["older", "newer"] {
        let folder = format!("contract/{version}");
        let files = protox::compile([format!("{folder}/connector.proto")], [&folder])?;
        let out = out.join(version);
        std::fs::create_dir_all(&out)?;
        tonic_prost_build::configure()
            .build_transport(false)
            .out_dir(out)
            .compile_fds(files)?;
    }
    Ok(())
}
