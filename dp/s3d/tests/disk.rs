//! A disk that is full.

use crate::server::{Server, document};

/// The data folder is a small file system of its own, in a mount namespace that ends with the server.
#[test]
fn a_full_disk_refuses_writes_and_nothing_else() {
    let small = "mount -t tmpfs -o size=64m none \"$4\" && exec \"$@\"";
    let before = ["unshare", "--mount", "--map-root-user", "sh", "-c", small, "sh"];
    let server = Server::start_with(document(), &before);
    server.python(&["full"]);
}
