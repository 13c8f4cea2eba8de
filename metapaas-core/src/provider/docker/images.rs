//! The images that nodes run from: made of this very program, without a registry.
//!
//! Their names carry the digest of the program, so that another version has other images.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bollard::models::{BuildInfo, CreateImageInfo};
use bollard::query_parameters::{
    BuildImageOptionsBuilder, CreateImageOptions, CreateImageOptionsBuilder, ListImagesOptionsBuilder,
    RemoveImageOptionsBuilder,
};
use bollard::{Docker, body_full, body_try_stream};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, OnceCell};

use super::container::PROGRAM;
use super::engine::{IMAGE_LABEL, failed, is_status};
use super::rootfs;
use crate::provider::ProviderError;
use crate::provider::limits::Image;

const SMALL_FILES: &str = include_str!("../../../../dp/images/small.files");
const RUNTIME_PACKAGES: &str = include_str!("../../../../dp/images/runtime.packages");

/// Makes images and knows their names.
#[derive(Debug)]
pub(super) struct Images {
    program: PathBuf,
    registry: Option<String>,
    digest: OnceCell<String>,
    making: Mutex<()>,
}

/// Where the packages of the image `runtime` come from; what the host uses when absent.
#[derive(Clone, Debug, Default)]
pub struct Packages {
    /// Debian's name of the release, e.g. `bookworm`.
    pub suite: Option<String>,
    /// URL of a mirror.
    pub mirror: Option<String>,
}

impl Images {
    pub(super) fn new(program: PathBuf, registry: Option<String>) -> Self {
        Self { program, registry, digest: OnceCell::new(), making: Mutex::new(()) }
    }

    /// The name of an image for this program.
    pub(super) async fn name(&self, image: Image) -> Result<String, ProviderError> {
        Ok(format!("{}:{}", self.repository(image), self.digest().await?))
    }

    fn repository(&self, image: Image) -> String {
        let prefix = self.registry.as_deref().map(|registry| format!("{}/", registry.trim_end_matches('/')));
        format!("{}metapaas-{}", prefix.unwrap_or_default(), image.as_str())
    }

    async fn digest(&self) -> Result<&String, ProviderError> {
        let program = self.program.clone();
        let read = || async move {
            let done = tokio::task::spawn_blocking(move || digest_of(&program)).await;
            done.unwrap_or_else(|error| Err(io::Error::other(error)))
        };
        self.digest.get_or_try_init(read).await.map_err(|source| ProviderError::Transient {
            action: format!("read {}", self.program.display()),
            source,
        })
    }

    /// The name of an image that is there: found, pulled or made.
    pub(super) async fn ensure(&self, docker: &Docker, image: Image) -> Result<String, ProviderError> {
        let name = self.name(image).await?;
        if is_there(docker, &name).await? {
            return Ok(name);
        }
        let _making = self.making.lock().await;
        if is_there(docker, &name).await? {
            return Ok(name);
        }
        if self.registry.is_some() {
            let tag = self.digest().await?;
            match pull(docker, &self.repository(image), tag).await {
                Ok(()) => return Ok(name),
                Err(error) => {
                    tracing::warn!(image = name, %error, "the registry does not have it; it is made here")
                }
            }
        }
        match image {
            Image::Small => self.make_small(docker, &name).await?,
            Image::Runtime => self.make_runtime(docker, &name).await?,
        }
        Ok(name)
    }

    async fn make_small(&self, docker: &Docker, name: &str) -> Result<(), ProviderError> {
        tracing::info!(image = name, "making the image");
        let program = self.program.clone();
        let work = move || rootfs::small(&program, Path::new(PROGRAM), &lines(SMALL_FILES));
        let archive = blocking("put the files of the image `small` together", work).await?;
        let answers =
            docker.create_image(Some(imported(name, Image::Small.as_str())), Some(body_full(archive)), None);
        follow(answers, made_problem, format!("import the image {name}")).await
    }

    /// This program on top of the Debian base, which takes long to make and is made by hand.
    async fn make_runtime(&self, docker: &Docker, name: &str) -> Result<(), ProviderError> {
        let base = base_name();
        if !is_there(docker, &base).await? {
            return Err(ProviderError::Terminal(format!(
                "the engine does not have the image {base}; make it with `metapaas images build runtime`"
            )));
        }
        tracing::info!(image = name, "making the image");
        let program = self.program.clone();
        let recipe = format!("FROM {base}\nCOPY metapaas {PROGRAM}\nLABEL {IMAGE_LABEL}=runtime\n");
        let work = move || rootfs::with_recipe(&program, &recipe);
        let archive = blocking("put the files of the image `runtime` together", work).await?;
        let options =
            BuildImageOptionsBuilder::new().dockerfile("Dockerfile").t(name).rm(true).forcerm(true).build();
        let answers = docker.build_image(options, None, Some(body_full(archive)));
        let problem = |info: BuildInfo| info.error_detail.and_then(|detail| detail.message);
        follow(answers, problem, format!("build the image {name}")).await
    }

    /// Makes an image with all that it stands on, and answers its name.
    pub(super) async fn build(
        &self,
        docker: &Docker,
        image: Image,
        packages: &Packages,
        work: &Path,
    ) -> Result<String, ProviderError> {
        let base = base_name();
        if image == Image::Runtime && !is_there(docker, &base).await? {
            let source = rootfs::Debian::choose(packages, lines(RUNTIME_PACKAGES))?;
            let tree = source.bootstrap(work).await?;
            let archive = rootfs::archive(tree.path())?;
            let answers = docker.create_image(
                Some(imported(&base, "runtime-base")),
                Some(body_try_stream(archive)),
                None,
            );
            follow(answers, made_problem, format!("import the image {base}")).await?;
        }
        let name = self.ensure(docker, image).await?;
        self.prune(docker, image, &name).await?;
        Ok(name)
    }

    /// Removes the images of other versions that no container uses.
    async fn prune(&self, docker: &Docker, image: Image, keep: &str) -> Result<(), ProviderError> {
        let filters = HashMap::from([("label", vec![format!("{IMAGE_LABEL}={}", image.as_str())])]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        let listed = docker.list_images(Some(options)).await;
        let listed = listed.map_err(|error| failed("list the images".to_owned(), error))?;
        let own = format!("{}:", self.repository(image));
        for name in listed.into_iter().flat_map(|found| found.repo_tags) {
            if name == keep || !name.starts_with(&own) {
                continue;
            }
            let options = RemoveImageOptionsBuilder::new().build();
            match docker.remove_image(&name, Some(options), None).await {
                Ok(_) => tracing::info!(image = name, "removed the image of another version"),
                // Containers still run from it.
                Err(error) if is_status(&error, 409) || is_status(&error, 404) => {}
                Err(error) => return Err(failed(format!("remove the image {name}"), error)),
            }
        }
        Ok(())
    }
}

/// The Debian base of the image `runtime`; its name changes with its packages.
fn base_name() -> String {
    let digest: String =
        Sha256::digest(RUNTIME_PACKAGES).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("metapaas-runtime-base:{digest}")
}

async fn is_there(docker: &Docker, name: &str) -> Result<bool, ProviderError> {
    match docker.inspect_image(name).await {
        Ok(_) => Ok(true),
        Err(error) if is_status(&error, 404) => Ok(false),
        Err(error) => Err(failed(format!("look for the image {name}"), error)),
    }
}

async fn pull(docker: &Docker, repository: &str, tag: &str) -> Result<(), ProviderError> {
    let options = CreateImageOptionsBuilder::new().from_image(repository).tag(tag).build();
    let answers = docker.create_image(Some(options), None, None);
    follow(answers, made_problem, format!("pull the image {repository}:{tag}")).await
}

/// How an archive becomes the image of this name.
fn imported(name: &str, kind: &str) -> CreateImageOptions {
    let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
    let changes = vec![format!("LABEL {IMAGE_LABEL}={kind}")];
    CreateImageOptionsBuilder::new().from_src("-").repo(repository).tag(tag).changes(changes).build()
}

fn made_problem(info: CreateImageInfo) -> Option<String> {
    info.error_detail.and_then(|detail| detail.message)
}

/// Hears an answer to its end; the engine tells of failures in the middle of it.
async fn follow<T>(
    answers: impl Stream<Item = Result<T, bollard::errors::Error>>,
    problem: impl Fn(T) -> Option<String>,
    action: String,
) -> Result<(), ProviderError> {
    let mut answers = std::pin::pin!(answers);
    while let Some(answer) = answers.next().await {
        let info = answer.map_err(|error| failed(action.clone(), error))?;
        if let Some(message) = problem(info) {
            return Err(ProviderError::Transient { action, source: io::Error::other(message) });
        }
    }
    Ok(())
}

async fn blocking(
    action: &str,
    work: impl FnOnce() -> io::Result<Vec<u8>> + Send + 'static,
) -> Result<Bytes, ProviderError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error)))
        .map(Bytes::from)
        .map_err(|source| ProviderError::Transient { action: action.to_owned(), source })
}

fn digest_of(program: &Path) -> io::Result<String> {
    let (mut file, mut hash, mut part) = (File::open(program)?, Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut part)? {
            0 => break,
            read => hash.update(part.get(..read).unwrap_or_default()),
        }
    }
    Ok(hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect())
}

/// The lines of a recipe that say something.
fn lines(recipe: &str) -> Vec<String> {
    recipe
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}
