//! OpenAPI 3.1 documents of the HTTP contract, made from the registry. Same registry, same bytes.
//!
//! Objects carry at most one extension (`x-...`): utoipa keeps them in a hash map, whose order is not stable.

mod body;
mod build;
mod complete;
mod events;
mod field;
mod iam;
mod lists;
mod operations;
mod shared;
mod system;
mod types;
mod uploads;
mod v3_0;

#[cfg(test)]
mod tests;

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Components, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Paths, Server, Tag};

use self::build::{BEARER, NODE_TOKEN};
use self::types::Names;
pub use self::v3_0::reduced;
use crate::registry::{RegisteredType, Registry};
use crate::resource::type_name;

/// The document of the whole control plane.
pub fn document(registry: &Registry, server_version: &str) -> OpenApi {
    let mut parts = Parts::default();
    for registered in registry.types() {
        parts.add_type(registry, registered);
    }
    system::catalogue(&mut parts);
    events::add(&mut parts);
    operations::add(&mut parts, registry);
    iam::add(&mut parts);
    system::agents(&mut parts);
    system::probes(&mut parts);
    parts.finish(
        "MetaPaaS",
        "One control plane for many platform services. Every hosted type has the same operations; \
         `x-required-permission` says what a caller needs.",
        server_version,
    )
}

/// The document of one instance type and the types below it; `None` when there is no such slug.
pub fn document_of(registry: &Registry, slug: &str) -> Option<OpenApi> {
    let root = registry.root(slug)?;
    let mut parts = Parts::default();
    for registered in std::iter::once(root).chain(registry.below(root.index)) {
        parts.add_type(registry, registered);
    }
    let title = format!("MetaPaaS: {slug}");
    Some(parts.finish(&title, root.ty.doc, registry.plugins()[root.plugin].version))
}

/// The paths of a document, with parameters in braces, and the methods of each.
pub fn methods(document: &OpenApi) -> Vec<(String, Vec<&'static str>)> {
    let paths = document.paths.paths.iter();
    paths
        .map(|(path, item)| (path.clone(), complete::operations(item).map(|(method, _)| method).collect()))
        .collect()
}

/// A document on its way.
#[derive(Default)]
struct Parts {
    paths: Paths,
    components: Components,
    tags: Vec<Tag>,
}

impl Parts {
    fn add_type(&mut self, registry: &Registry, registered: &RegisteredType) {
        self.tag(&type_name(registered.ty), registered.ty.doc);
        let names = Names::of(registry, registered.ty);
        body::add(self, registered, &names);
        types::add(self, registered, &names);
    }

    fn tag(&mut self, name: &str, description: &str) {
        let description = (!description.is_empty()).then_some(description);
        self.tags.push(TagBuilder::new().name(name).description(description).build());
    }

    fn finish(mut self, title: &str, description: &str, version: &str) -> OpenApi {
        complete::complete(&mut self.paths);
        shared::add(&mut self.components);
        operations::schemas(&mut self.components);
        let bearer = |format: &str, description: &str| {
            let http = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format(format);
            SecurityScheme::Http(http.description(Some(description)).build())
        };
        let user = "An access token of `POST /v1/iam/token`, or the token of a service account.";
        self.components.add_security_scheme(BEARER, bearer("opaque", user));
        if self.paths.paths.contains_key(metapaas_protocol::DOCUMENT_PATH) {
            self.components
                .add_security_scheme(NODE_TOKEN, bearer("opaque", "The token of one node, for its agent."));
        }
        let license = LicenseBuilder::new().name("Apache-2.0 OR MIT").identifier(Some("Apache-2.0 OR MIT"));
        let info = InfoBuilder::new().title(title).version(version).license(Some(license.build()));
        let description = (!description.is_empty()).then_some(description);
        OpenApiBuilder::new()
            .info(info.description(description).build())
            .servers(Some([Server::new("/")]))
            .paths(self.paths)
            .components(Some(self.components))
            .tags(Some(self.tags))
            .build()
    }
}
