//! Rules about Cargo.toml files.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::SourceFile;

/// Licence, lints and every version come from the workspace.
pub(super) fn inherited(file: &SourceFile) -> Vec<String> {
    let Some(manifest) = package(file) else { return Vec::new() };
    let mut complaints = Vec::new();
    for field in ["version", "edition", "rust-version", "license", "publish"] {
        if !is_inherited(manifest["package"].get(field)) {
            complaints.push(format!("{}: write `{field}.workspace = true`", file.path));
        }
    }
    if !is_inherited(manifest.get("lints")) {
        complaints.push(format!("{}: write `[lints]` with `workspace = true`", file.path));
    }
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flatten();
    let tables = targets.filter_map(|(_, target)| target.as_table()).chain([&manifest]);
    for table in tables {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, dependency) in table.get(kind).and_then(Value::as_table).into_iter().flatten() {
                if !is_inherited(Some(dependency)) {
                    complaints.push(format!("{}: write `{name}.workspace = true` under {kind}", file.path));
                }
            }
        }
    }
    complaints
}

/// A package outside of the workspace would be built and tested by nobody.
pub(super) fn members(tree: &[SourceFile]) -> Vec<String> {
    let root =
        tree.iter().find(|file| file.path == "Cargo.toml").and_then(|file| file.text.parse::<Table>().ok());
    let members = root.as_ref().and_then(|manifest| manifest.get("workspace")?.get("members")?.as_array());
    let members: Vec<_> = members.into_iter().flatten().filter_map(Value::as_str).collect();
    let is_member = |folder: &str| members.iter().any(|member| matches(member, folder));
    let packages = tree.iter().filter(|file| package(file).is_some());
    let folders = packages.filter_map(|file| file.path.strip_suffix("/Cargo.toml"));
    let strangers = folders.filter(|folder| !is_member(folder));
    strangers.map(|folder| format!("Cargo.toml: {folder} is not among the workspace's members")).collect()
}

/// Whether a member such as `plugins/*` means the folder; `*` stands for one name or the end of one.
fn matches(member: &str, folder: &str) -> bool {
    match member.strip_suffix('*') {
        Some(prefix) => folder.strip_prefix(prefix).is_some_and(|rest| !rest.contains('/')),
        None => member == folder,
    }
}

/// Features of the server that bring a way to make nodes, not a type.
const PROVIDERS: [&str; 1] = ["docker"];

/// A distribution chooses plugins by cargo features: each folder under plugins/ is one, and all are in the default.
pub(super) fn plugin_features(tree: &[SourceFile]) -> Vec<String> {
    let folders: BTreeSet<_> = tree
        .iter()
        .filter_map(|file| file.path.strip_prefix("plugins/")?.strip_suffix("/Cargo.toml"))
        .map(str::to_owned)
        .collect();
    let server = tree.iter().find(|file| file.path == "metapaas-server/Cargo.toml").and_then(package);
    let Some(features) = server.as_ref().and_then(|manifest| manifest.get("features")?.as_table()) else {
        return vec!["metapaas-server/Cargo.toml: has no features".into()];
    };
    let is_plugin = |name: &&String| !PROVIDERS.contains(&name.as_str());
    let named: BTreeSet<_> =
        features.keys().filter(|name| *name != "default").filter(is_plugin).cloned().collect();
    let default = features.get("default").and_then(Value::as_array).into_iter().flatten();
    let default = default.filter_map(|name| name.as_str().map(str::to_owned));
    let default: BTreeSet<_> = default.filter(|name| is_plugin(&name)).collect();
    let mut complaints = Vec::new();
    for (what, set) in [("features", &named), ("default features", &default)] {
        if *set != folders {
            complaints.push(format!(
                "metapaas-server/Cargo.toml: the {what} are {set:?}, the folders under plugins/ {folders:?}"
            ));
        }
    }
    complaints
}

fn package(file: &SourceFile) -> Option<Table> {
    let is_manifest = file.path == "Cargo.toml" || file.path.ends_with("/Cargo.toml");
    let manifest: Table = is_manifest.then(|| file.text.parse().unwrap())?;
    manifest.contains_key("package").then_some(manifest)
}

fn is_inherited(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
        [package]
        name = 'a'
        version.workspace = true
        edition.workspace = true
        rust-version.workspace = true
        license.workspace = true
        publish.workspace = true
        [lints]
        workspace = true
        [dependencies]
        serde = { workspace = true, optional = true }";

    #[test]
    fn inheritance() {
        let check = |text: &str| inherited(&SourceFile::new("a/Cargo.toml", text)).len();
        assert_eq!(check(GOOD), 0);
        assert_eq!(check(&GOOD.replace("license.workspace = true", "license = 'MIT'")), 1);
        assert_eq!(check(&GOOD.replace("[lints]", "[lints-of-old]")), 1);
        assert_eq!(check(&format!("{GOOD}\nregex = '1'")), 1);
        assert_eq!(check(&format!("{GOOD}\n[dev-dependencies]\nregex = {{ version = '1' }}")), 1);
        assert_eq!(check(&format!("{GOOD}\n[target.'cfg(unix)'.dependencies]\nregex = '1'")), 1);
        assert_eq!(check("[workspace]"), 0);
    }

    #[test]
    fn strangers() {
        let check = |list: &str| {
            let root = SourceFile::new("Cargo.toml", &format!("[workspace]\nmembers = {list}"));
            members(&[root, SourceFile::new("plugins/demo/Cargo.toml", GOOD)]).len()
        };
        assert_eq!(check("['plugins/*']"), 0);
        assert_eq!(check("['plugins/demo']"), 0);
        assert_eq!(check("['plugins']"), 1);
        assert_eq!(check("['plug*']"), 1);
        assert_eq!(check("[]"), 1);
    }

    #[test]
    fn features() {
        let check = |features: &str| {
            let plugin = SourceFile::new("plugins/demo/Cargo.toml", GOOD);
            let server =
                SourceFile::new("metapaas-server/Cargo.toml", &format!("{GOOD}\n[features]\n{features}"));
            plugin_features(&[plugin, server]).len()
        };
        assert_eq!(check("default = ['demo']\ndemo = []"), 0);
        assert_eq!(check("default = []\ndemo = []"), 1);
        assert_eq!(check("default = ['demo', 's3']\ndemo = []\ns3 = []"), 2);
        assert_eq!(check(""), 2);
    }
}
