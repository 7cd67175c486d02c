//! Compiles the contract with protox, so that no machine needs `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=dcr");
    let files = protox::compile(["dcr/connector/v1/connector.proto"], ["."])?;
    tonic_prost_build::configure()
        .build_transport(false)
        .skip_debug(["dcr.connector.v1.Secret"])
        .compile_fds(files)?;
    Ok(())
}
