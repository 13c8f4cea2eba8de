//! Generates the client.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    #[cfg(feature = "generated")]
    generate()?;
    Ok(())
}

#[cfg(feature = "generated")]
fn generate() -> Result<(), Box<dyn std::error::Error>> {
    use std::path::Path;

    use progenitor_impl::{GenerationSettings, Generator, InterfaceStyle};

    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../manifests/openapi-3.0.json");
    println!("cargo::rerun-if-changed={}", document.display());
    let document: openapiv3::OpenAPI = serde_json::from_str(&std::fs::read_to_string(document)?)?;
    let mut settings = GenerationSettings::default();
    settings.with_interface(InterfaceStyle::Builder);
    let client = Generator::new(&settings).generate_tokens(&document)?;
    let out = std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    std::fs::write(Path::new(&out).join("client.rs"), client.to_string())?;
    Ok(())
}
