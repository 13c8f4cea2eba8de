//! Names, addresses and limits of containers, without an engine.

use std::path::Path;

use super::*;

fn options() -> DockerOptions {
    DockerOptions {
        socket: "/no/such/docker.sock".into(),
        root: "/nodes".into(),
        sockets: "/sockets".into(),
        network: "metapaas-test".to_owned(),
        subnet: "10.213.64.0/24".parse().unwrap(),
        program: "/bin/true".into(),
        registry: None,
        tag: "test".to_owned(),
    }
}

fn wanted(limits: Limits) -> Wanted<'static> {
    Wanted {
        node: Uuid::from_u128(7),
        tag: "test",
        address: std::net::Ipv4Addr::new(10, 213, 64, 9),
        network: "metapaas-test",
        directory: Path::new("/nodes/7"),
        sockets: Path::new("/sockets"),
        owner: Owner { user: 12, group: 34 },
        limits,
    }
}

#[test]
fn only_a_directory_named_by_the_node_is_a_location() {
    let provider = DockerProvider::new(options());
    let id = Uuid::from_u128(7);
    let good = json!({ "dir": format!("/elsewhere/{id}") });
    let at = |location| provider.place(id, location).unwrap().directory().to_owned();
    assert_eq!(at(Some(&good)), Path::new(&format!("/elsewhere/{id}")));
    assert_eq!(at(None), Path::new(&format!("/nodes/{id}")));
    for bad in [
        json!({}),
        json!({ "dir": "/etc" }),
        json!({ "dir": id.to_string() }),
        json!(1),
        json!({ "dir": null }),
    ] {
        assert!(matches!(provider.place(id, Some(&bad)), Err(ProviderError::Terminal(_))), "{bad}");
    }
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_named() {
    let provider = DockerProvider::new(options());
    let node = NodeRef { id: Uuid::from_u128(7), location: None };
    let error = provider.observe(&node).await.unwrap_err();
    let text = crate::error::chain(&error);
    assert!(matches!(error, ProviderError::Transient { .. }), "{error:?}");
    for part in ["/no/such/docker.sock", "docker_socket", "dockerd"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_container_may_do_as_little_as_possible() {
    let body =
        wanted(Limits { ram_mb: Some(64), cpu: Some(0.5), ..Limits::default() }).body("image".to_owned());
    assert_eq!(body.user.as_deref(), Some("12:34"));
    let host = body.host_config.unwrap();
    assert_eq!(host.readonly_rootfs, Some(true));
    assert_eq!(host.cap_drop.unwrap(), ["ALL"]);
    assert_eq!(host.security_opt.unwrap(), ["no-new-privileges:true"]);
    assert_eq!((host.memory, host.memory_swap), (Some(64 << 20), Some(64 << 20)));
    assert_eq!((host.nano_cpus, host.pids_limit), (Some(500_000_000), Some(512)));
    assert_eq!((host.privileged, host.port_bindings, host.publish_all_ports), (None, None, None));
    let writable: Vec<_> =
        host.mounts.unwrap().into_iter().filter(|mount| mount.read_only != Some(true)).collect();
    assert_eq!(writable.len(), 1);
    assert_eq!(writable[0].source.as_deref(), Some("/nodes/7"));
}

#[test]
fn limits_that_a_container_can_be_given_do_not_make_it_anew() {
    let spec = |limits| wanted(limits).spec();
    let base = spec(Limits::default());
    assert_eq!(
        spec(Limits { ram_mb: Some(64), cpu: Some(2.0), processes: Some(9), ..Limits::default() }),
        base
    );
    assert_ne!(spec(Limits { file_mb: Some(64), ..Limits::default() }), base);
}
