//! `cargo xtask book`: builds the book and checks its pages and links.

use std::process::{Command, Stdio};

use crate::context::Context;
use crate::error::Error;
use crate::stages::Stages;

/// The links are checked by the tidy tests, which need no other tool.
pub(crate) fn run(ctx: &Context) -> Result<(), Error> {
    let mut stages = Stages::new(ctx);
    stages.run("links", || ctx.run(&mut ctx.cargo(["test", "--package", "metapaas-tests", "--lib", "book"])));
    stages.run("mdbook build", || {
        let mut asked = Command::new("mdbook");
        if ctx.run(asked.arg("--version").stdout(Stdio::null())).is_err() {
            return Err(Error::NoTool {
                tool: "mdbook",
                purpose: "the book's pages",
                install: "cargo install mdbook --locked",
            });
        }
        ctx.run(Command::new("mdbook").arg("build").arg(ctx.root.join("book")))
    });
    stages.finish()
}
