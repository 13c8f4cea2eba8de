//! The programs that tests need and the Debian packages that bring them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::context::Context;
use crate::error::Error;

/// A program that some test runs.
#[derive(Clone, Copy)]
pub(crate) struct Program {
    /// What to look for in PATH.
    name: &'static str,
    /// The Debian package that has it.
    package: &'static str,
}

/// The server that [`crate::postgres`] starts; its programs are not in PATH.
pub(crate) const POSTGRES: Program = Program { name: "initdb", package: "postgresql" };

/// The engine that [`crate::docker`] starts.
pub(crate) const DOCKER: Program = Program { name: "dockerd", package: "docker.io" };

/// Makes databases for the benchmark.
pub(crate) const PSQL: Program = Program { name: "psql", package: "postgresql-client" };

/// Measures PostgreSQL alone for the benchmark.
pub(crate) const PGBENCH: Program = Program { name: "pgbench", package: "postgresql-contrib" };

/// What the benchmark compares the router with, and what stands behind both.
pub(crate) const NGINX: Program = Program { name: "nginx", package: "nginx" };

/// What builds the apps of the benchmark.
pub(crate) const FOR_APPS: &[Program] = &[
    Program { name: "git", package: "git" },
    Program { name: "python3", package: "python3" },
    Program { name: "pip3", package: "python3-pip" },
    Program { name: "node", package: "nodejs" },
    Program { name: "npm", package: "npm" },
    Program { name: "unshare", package: "util-linux" },
];

/// What the tests call by name.
pub(crate) const FOR_TESTS: &[Program] = &[
    Program { name: "curl", package: "curl" },
    Program { name: "python3", package: "python3" },
    Program { name: "node", package: "nodejs" },
    Program { name: "npm", package: "npm" },
    Program { name: "git", package: "git" },
    Program { name: "pip3", package: "python3-pip" },
    Program { name: "pg_dump", package: "postgresql-client" },
    Program { name: "setpriv", package: "util-linux" },
    Program { name: "jq", package: "jq" },
    Program { name: "chromium", package: "chromium" },
    Program { name: "s3cmd", package: "s3cmd" },
    Program { name: "rclone", package: "rclone" },
    Program { name: "unshare", package: "util-linux" },
    Program { name: "debootstrap", package: "debootstrap" },
    Program { name: "docker-registry", package: "docker-registry" },
    Program { name: "sshd", package: "openssh-server" },
    Program { name: "ssh", package: "openssh-client" },
];

/// Makes sure that all programs are there: installs what is missing as root, else says which command does it.
pub(crate) fn ensure(ctx: &Context, wanted: &[&Program]) -> Result<(), Error> {
    let missing: Vec<_> = wanted.iter().filter(|program| program.path().is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<_> = missing.iter().map(|program| program.package).collect();
    if !rustix::process::geteuid().is_root() {
        return Err(absent(&missing));
    }
    install(ctx, &packages)?;
    let missing: Vec<_> = missing.into_iter().filter(|program| program.path().is_none()).collect();
    if missing.is_empty() { Ok(()) } else { Err(absent(&missing)) }
}

/// Installs Debian packages, as root; else says which command does it.
pub(crate) fn install(ctx: &Context, packages: &[&str]) -> Result<(), Error> {
    if !rustix::process::geteuid().is_root() {
        let packages = packages.join(" ");
        return Err(Error::Missing { programs: packages.clone(), packages });
    }
    println!("installing {}", packages.join(" "));
    let apt = || {
        let mut command = Command::new("apt-get");
        // Servers that packages bring are not started: whoever needs one starts it on a port of its own.
        command.envs([("DEBIAN_FRONTEND", "noninteractive"), ("RUNLEVEL", "1")]);
        command
    };
    ctx.run(apt().args(["update", "--quiet"]))?;
    ctx.run(apt().args(["install", "--quiet", "--yes", "--no-install-recommends"]).args(packages))
}

/// Where RustFS is: in PATH, or where cargo installs programs.
pub(crate) fn rustfs() -> Result<PathBuf, Error> {
    let installed = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let found = Program { name: "rustfs", package: "" }.path();
    let found = found.or_else(|| installed.map(|home| home.join("bin/rustfs")).filter(|file| file.is_file()));
    found.ok_or(Error::NoTool {
        tool: "rustfs",
        purpose: "the test of the engine `rustfs`",
        install: "sudo apt-get install -y protobuf-compiler\n    \
                  cargo install rustfs --version 1.0.1 --locked --ignore-rust-version",
    })
}

fn absent(missing: &[&&Program]) -> Error {
    let list = |part: fn(&Program) -> &str| {
        missing.iter().map(|program| part(program)).collect::<Vec<_>>().join(" ")
    };
    Error::Missing { programs: list(|program| program.name), packages: list(|program| program.package) }
}

impl Program {
    /// Where it is.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            // Debian keeps programs for administrators where others do not look.
            .chain([PathBuf::from("/usr/sbin")])
            .chain(postgres_folder())
            .map(|folder| folder.join(self.name))
            .find(|file| file.is_file())
    }
}

/// Debian's folder of the newest PostgreSQL server, which is outside PATH.
pub(crate) fn postgres_folder() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    versions
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version: u32 = path.file_name()?.to_str()?.parse().ok()?;
            Path::new(&path).join("bin/initdb").is_file().then_some((version, path.join("bin")))
        })
        .max()
        .map(|(_, folder)| folder)
}
