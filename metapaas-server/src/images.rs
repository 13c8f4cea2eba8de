//! `metapaas images`: the images that nodes of the docker provider run from.

use std::sync::Arc;

use clap::{Subcommand, ValueEnum};
use metapaas_core::error::chain;
use metapaas_core::provider::docker::Packages;
use metapaas_core::provider::limits::Image;
use metapaas_core::registry::Registry;

use crate::config::Config;
use crate::nodes;
use crate::providers;
use crate::startup::StartError;

/// What an operator does with images.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum ImagesCommand {
    /// Make images of this program on the Docker Engine of the settings, and remove those of other versions
    Build {
        /// Which; without one, all
        images: Vec<ImageName>,
        /// Debian release of the image `runtime` [default: that of this host]
        #[arg(long)]
        suite: Option<String>,
        /// Mirror that its packages come from [default: that of this host's apt]
        #[arg(long, value_name = "URL")]
        mirror: Option<String>,
    },
}

/// Names of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImageName {
    /// This program alone; made in seconds, also when it is first needed
    Small,
    /// Debian with Python, Node.js and git, made with debootstrap
    Runtime,
}

/// Runs one of them.
///
/// # Errors
/// One line that says what and what to do.
pub(crate) async fn run(
    command: ImagesCommand,
    config: &Config,
    registry: Arc<Registry>,
) -> Result<(), StartError> {
    let ImagesCommand::Build { images, suite, mirror } = command;
    let (store, tag) = nodes::open(config, registry).await?;
    let provider = providers::docker(config, &tag)?;
    let packages = Packages { suite, mirror };
    let wanted: Vec<Image> = if images.is_empty() {
        Image::ALL.to_vec()
    } else {
        let image = |name: &ImageName| match name {
            ImageName::Small => Image::Small,
            ImageName::Runtime => Image::Runtime,
        };
        images.iter().map(image).collect()
    };
    store.database.close().await;
    for image in wanted {
        let name = provider.build_image(image, &packages).await.map_err(|error| StartError(chain(&error)))?;
        crate::print(&name);
    }
    Ok(())
}
