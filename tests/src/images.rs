//! The image that apps in containers run from, made as an operator makes it. What takes minutes is kept as a file for the
//! next run, in the folder that `METAPAAS_TEST_IMAGES` names.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::docker::Docker;
use crate::harness::Installation;

/// Names the folder; `cargo xtask test` sets it to one for what the image is made of.
const VARIABLE: &str = "METAPAAS_TEST_IMAGES";
/// The label of the part that takes long.
const FILTER: &str = "%7B%22label%22%3A%5B%22metapaas.image%3Druntime-base%22%5D%7D";

/// Tests of one program make it once.
static MADE: OnceCell<()> = OnceCell::const_new();

#[expect(clippy::expect_used, reason = "a harness of tests")]
impl Docker {
    /// Has the image `runtime` on the engine, by the command line of an installation.
    pub async fn runtime(&self, installation: &Installation) {
        MADE.get_or_init(|| async {
            let kept =
                std::env::var_os(VARIABLE).map(|folder| PathBuf::from(folder).join("runtime-base.tar"));
            let there = kept.as_ref().filter(|file| file.is_file());
            if let (Some(file), None) = (there, self.base().await) {
                blocking(|| load(&self.socket, file)).expect("load the image that was kept");
            }
            let built = blocking(|| installation.cli(&["images", "build", "runtime"]));
            assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
            if let Some(file) = kept.filter(|file| !file.is_file()) {
                let name = self.base().await.expect("the image that was made");
                blocking(|| save(&self.socket, &name, &file)).expect("keep the image");
            }
        })
        .await;
    }

    /// Name of the newest base on the engine.
    async fn base(&self) -> Option<String> {
        let path = format!("/images/json?filters={FILTER}");
        let (_, found) = self.call(Method::GET, &path, &Value::Null).await;
        let newest = found.as_array()?.iter().max_by_key(|image| image["Created"].as_i64())?;
        newest["RepoTags"][0].as_str().map(str::to_owned)
    }
}

fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// Hands an archive to the engine.
fn load(socket: &Path, file: &Path) -> io::Result<()> {
    let mut archive = File::open(file)?;
    let length = archive.metadata()?.len();
    let mut stream = UnixStream::connect(socket)?;
    let head = "POST /images/load?quiet=1 HTTP/1.0\r\nHost: docker\r\nContent-Type: application/x-tar\r\n";
    write!(stream, "{head}Content-Length: {length}\r\n\r\n")?;
    io::copy(&mut archive, &mut stream)?;
    let mut said = String::new();
    body(stream)?.read_to_string(&mut said)?;
    if said.contains("errorDetail") { Err(io::Error::other(said)) } else { Ok(()) }
}

/// Writes an image to a file, which is there once it is complete.
fn save(socket: &Path, name: &str, file: &Path) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    write!(stream, "GET /images/{name}/get HTTP/1.0\r\nHost: docker\r\n\r\n")?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut kept = tempfile::NamedTempFile::new_in(folder)?;
    io::copy(&mut body(stream)?, &mut kept)?;
    kept.persist(file)?;
    Ok(())
}

/// The body of an answer. One to HTTP/1.0 ends with its connection.
fn body(stream: UnixStream) -> io::Result<impl Read> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let is_fine = line.contains(" 200 ");
    while !line.trim().is_empty() {
        line.clear();
        reader.read_line(&mut line)?;
    }
    if is_fine {
        return Ok(reader);
    }
    reader.read_to_string(&mut line)?;
    Err(io::Error::other(line))
}
