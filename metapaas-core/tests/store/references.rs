//! A reference holds, or the request is refused with the place; what is referred to stays.

use metapaas_core::descriptor::{FieldDescriptor, FieldKind, TypeDescriptor};
use metapaas_core::error::ErrorCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{World, field, instance, refusal, worlds};

static DISK: TypeDescriptor = instance("Disk", "disk", "");
static PART: TypeDescriptor =
    TypeDescriptor { plural: "parts", parent: Some(&DISK), ..instance("Part", "disk", "") };

const fn reference(name: &'static str, target: fn() -> &'static TypeDescriptor) -> FieldDescriptor {
    FieldDescriptor { kind: FieldKind::Ref(target), nullable: true, ..field::<bool>(name) }.mutable()
}

/// A type that refers to an instance type, to a child type and to itself, and has a child that refers to a sibling.
fn types() -> [&'static TypeDescriptor; 4] {
    static HOST: TypeDescriptor = TypeDescriptor {
        fields: &[
            reference("disk", || &DISK),
            reference("part", || &PART),
            reference("peer", || &HOST),
            field::<Option<String>>("note").mutable(),
        ],
        ..instance("Host", "host", "")
    };
    static SLOT: TypeDescriptor = TypeDescriptor {
        plural: "slots",
        parent: Some(&HOST),
        fields: &[reference("next", || &SLOT)],
        ..instance("Slot", "host", "")
    };
    [&DISK, &PART, &HOST, &SLOT]
}

async fn hosts() -> [World; 2] {
    worlds(&types()).await
}

fn named(name: &str, field: &str, id: Uuid) -> Value {
    json!({"name": name, field: id})
}

#[tokio::test]
async fn a_reference_to_nothing_is_refused_at_its_place() {
    let [_, _, host, _] = types();
    for world in hosts().await {
        let missing = Uuid::now_v7();
        let body = json!({"name": "h", "disk": missing, "peer": missing, "note": "kept"});
        let error = world.make(host, &body).await.unwrap_err();
        assert_eq!(error.problems[0].code, "MISSING_REFERENCE");
        assert!(error.problems[0].detail.contains("Disk"), "{error:?}");
        assert_eq!(
            refusal::<()>(Err(error)),
            (ErrorCode::InvalidRequest, vec!["/disk".into(), "/peer".into()])
        );
        let row = world.make(host, &json!({"name": "h"})).await.unwrap();
        let refused = world.patch(&row, &json!({"part": missing})).await;
        assert_eq!(refusal(refused), (ErrorCode::InvalidRequest, vec!["/part".into()]));
        // A stale revision is that, whatever else is wrong.
        world.patch(&row, &json!({"note": "new"})).await.unwrap();
        let refused = world.patch(&row, &json!({"note": "stale"})).await;
        assert_eq!(refusal(refused).0, ErrorCode::PreconditionFailed);

        let disk = world.make(&DISK, &json!({"name": "d"})).await.unwrap();
        // An id of another type is not one of this.
        let refused = world.make(host, &named("i", "part", disk.meta.id)).await;
        assert_eq!(refusal(refused), (ErrorCode::InvalidRequest, vec!["/part".into()]));
        world.make(host, &named("i", "disk", disk.meta.id)).await.unwrap();
        let row = world.again(&row).await;
        let row = world.patch(&row, &named("h", "disk", disk.meta.id)).await.unwrap();
        world.patch(&row, &json!({"disk": null})).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_referred_to_cannot_be_deleted() {
    let [_, part, host, slot] = types();
    for world in hosts().await {
        let disk = world.make(&DISK, &json!({"name": "d"})).await.unwrap();
        let used = world.make(&DISK, &json!({"name": "used"})).await.unwrap();
        let below_used = world.make_below(&used, part, &json!({"name": "p"})).await.unwrap();
        let by_disk = world.make(host, &named("by-disk", "disk", disk.meta.id)).await.unwrap();
        let by_part = world.make(host, &named("by-part", "part", below_used.meta.id)).await.unwrap();
        let used = world.again(&used).await;
        // Also by what refers to a row below it, which would go with it.
        for row in [&disk, &used, &below_used] {
            assert_eq!(refusal(world.delete(row).await).0, ErrorCode::InUse);
            assert_eq!(world.again(row).await.meta.revision, row.meta.revision);
        }
        // A reference to what goes away would keep it.
        let by_disk = world.patch(&by_disk, &json!({"disk": null})).await.unwrap();
        world.delete(&disk).await.unwrap();
        let refused = world.patch(&by_disk, &json!({"disk": disk.meta.id})).await;
        assert_eq!(refusal(refused), (ErrorCode::InvalidRequest, vec!["/disk".into()]));
        let refused = world.make(host, &named("late", "disk", disk.meta.id)).await;
        assert_eq!(refusal(refused), (ErrorCode::InvalidRequest, vec!["/disk".into()]));

        // References within what goes do not keep it: to itself, and between its children.
        let by_part = world.patch(&by_part, &json!({"peer": by_part.meta.id, "part": null})).await.unwrap();
        let one = world.make_below(&by_part, slot, &json!({"name": "one"})).await.unwrap();
        let two = world.make_below(&by_part, slot, &named("two", "next", one.meta.id)).await.unwrap();
        assert_eq!(refusal(world.delete(&one).await).0, ErrorCode::InUse);
        assert_eq!(two.meta.instance_id, by_part.meta.id);
        let by_part = world.again(&by_part).await;
        world.delete(&by_part).await.unwrap();
        let below_used = world.again(&below_used).await;
        world.delete(&below_used).await.unwrap();
    }
}

#[tokio::test]
async fn a_reference_and_a_delete_at_once_never_both_win() {
    let [_, _, host, _] = types();
    for world in hosts().await {
        for round in 0..20 {
            let disk = world.make(&DISK, &json!({"name": format!("d{round}")})).await.unwrap();
            let body = named(&format!("h{round}"), "disk", disk.meta.id);
            let (deleted, made) = tokio::join!(world.delete(&disk), world.make(host, &body));
            match (deleted, made) {
                (Ok(_), made) => assert_eq!(refusal(made).0, ErrorCode::InvalidRequest),
                (deleted, made) => {
                    assert_eq!(refusal(deleted).0, ErrorCode::InUse);
                    made.unwrap();
                }
            }
        }
    }
}
