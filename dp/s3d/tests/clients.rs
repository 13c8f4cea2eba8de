//! What S3 says, put to the server by clients that tenants use.

use std::process::Command;

use serde_json::json;

use crate::server::{Server, document};

macro_rules! cases {
    ($($case:ident)*) => {$(
        #[test]
        fn $case() {
            Server::start().python(&[stringify!($case)]);
        }
    )*};
}

cases! {
    objects keys conditions listing multipart checksums trailers locks tags policies authentication quota minio
}

#[test]
fn versions_are_kept_and_suspended() {
    let mut server = Server::start();
    server.python(&["versions"]);
    server.change(|document| document["buckets"]["versioned"]["versioning"] = json!(false));
    server.python(&["suspended"]);
}

#[test]
fn versions_are_deleted_with_a_one_time_password() {
    let mut document = document();
    document["mfa_secret"] = json!("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    Server::start_with(document, &[]).python(&["mfa"]);
}

#[test]
fn contents_are_encrypted_at_rest_and_ranges_of_them_are_read() {
    let mut document = document();
    document["encryption"] = json!("aes256");
    let server = Server::start_with(document, &[]);
    server.python(&["encrypted"]);
    server.python(&["multipart", "CRC32"]);
    let found = Command::new("grep")
        .args(["-rlaF", "NEEDL"])
        .arg(server.folder.path().join("data"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "", "contents are found on the disk");
}

#[test]
fn old_uploads_are_aborted() {
    let mut document = document();
    document["upload_expiry_seconds"] = json!(1);
    Server::start_with(document, &[]).python(&["expiry"]);
}

#[test]
fn presigned_urls_are_good_for_curl() {
    let server = Server::start();
    let urls = server.python(&["presigned"]);
    let mut urls = urls.lines();
    let curl = |arguments: &[&str]| {
        let output = Command::new("curl").args(["-sS", "--fail"]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(curl(&[urls.next().unwrap()]), "presigned");
    curl(&["-X", "PUT", "--data-binary", "from curl", "-H", "content-type;", urls.next().unwrap()]);
    server.python(&["read_by_curl"]);
}

#[test]
fn s3cmd_and_rclone_synchronise_folders() {
    let server = Server::start();
    let folder = server.folder.path();
    let from = folder.join("from");
    std::fs::create_dir_all(from.join("deep/er")).unwrap();
    for (name, size) in [("a.txt", 10), ("deep/b.bin", 100_000), ("deep/er/c.bin", 20_000_000)] {
        std::fs::write(from.join(name), vec![b'x'; size]).unwrap();
    }
    let run = |command: &mut Command| {
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    };
    let s3cmd = |arguments: &[&str]| {
        let mut command = Command::new("s3cmd");
        command.args(["--config=/dev/null", "--no-ssl", "--access_key=root-key", "--secret_key=root-secret"]);
        command.args([format!("--host={}", server.address), format!("--host-bucket={}", server.address)]);
        run(command.args(arguments))
    };
    let from_folder = format!("{}/", from.display());
    s3cmd(&["sync", &from_folder, "s3://plain/by-s3cmd/"]);
    assert_eq!(s3cmd(&["ls", "--recursive", "s3://plain/by-s3cmd/"]).lines().count(), 3);
    std::fs::create_dir(folder.join("s3cmd")).unwrap();
    s3cmd(&["get", "--recursive", "s3://plain/by-s3cmd/", &format!("{}/s3cmd/", folder.display())]);
    s3cmd(&["info", "s3://plain/by-s3cmd/a.txt"]);
    s3cmd(&["rm", "--recursive", "--force", "s3://plain/by-s3cmd/"]);
    let remote = format!(
        ":s3,provider=Minio,access_key_id=root-key,secret_access_key=root-secret,endpoint='http://{}':plain/by-rclone",
        server.address
    );
    let rclone = |arguments: &[&str]| {
        // Its S3 library refuses a bundle of certificates, which is nothing to plain HTTP.
        run(Command::new("rclone")
            .env("RCLONE_CONFIG", "/dev/null")
            .env_remove("AWS_CA_BUNDLE")
            .args(arguments))
    };
    rclone(&["sync", &from.display().to_string(), &remote]);
    rclone(&["check", &from.display().to_string(), &remote]);
    let back = folder.join("rclone").display().to_string();
    rclone(&["copy", &remote, &back]);
    for copy in ["s3cmd", "rclone"] {
        run(Command::new("diff").arg("-r").arg(&from).arg(folder.join(copy)));
    }
    assert_eq!(server.usage()["buckets"]["plain"]["objects"], 3);
}
