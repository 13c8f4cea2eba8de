//! A stream folded by a reader is the list, whatever came between.

use std::collections::HashMap;

use serde_json::json;
use uuid::Uuid;

use super::{Fold, Kind, Told, What};
use crate::__private::instance;
use crate::descriptor::TypeDescriptor;
use crate::resource::{Meta, Resource};
use crate::store::events::{Change, ChangeAction};
use crate::store::raw_json;

const A: Uuid = Uuid::from_u128(1);
const B: Uuid = Uuid::from_u128(2);
const TYPE: &TypeDescriptor = &instance("Site", "site", "");

fn change(position: i64, id: Uuid, action: ChangeAction) -> Change {
    let (project_id, instance_id, parent_id) = (Uuid::nil(), id, id);
    Change { position, type_index: 0, id, project_id, instance_id, parent_id, key: "a".into(), action }
}

fn row(id: Uuid, revision: i64) -> Resource {
    let time = chrono::DateTime::UNIX_EPOCH;
    let meta = Meta {
        id,
        project_id: Uuid::nil(),
        instance_id: id,
        parent_id: id,
        name: Some("a".into()),
        description: String::new(),
        version: String::new(),
        labels: raw_json(&json!({})),
        status: "ACTIVE".into(),
        conditions: raw_json(&json!([])),
        nodes: None,
        generation: 1,
        observed_generation: 1,
        held_generation: 1,
        revision,
        created_at: time,
        updated_at: time,
        deleting_at: None,
        deletion_protection: false,
    };
    Resource { ty: TYPE, meta, fields: Vec::new() }
}

use ChangeAction::{Changed, Created, Deleted};

/// A step with those changes, the rows at those revisions, up to there; and what it tells.
#[track_caller]
fn check(
    fold: &mut Fold,
    changes: &[(i64, Uuid, ChangeAction)],
    rows: &[(Uuid, i64)],
    upto: i64,
    expected: &[(i64, Uuid, Kind)],
) {
    let changes = changes.iter().map(|(position, id, action)| change(*position, *id, *action)).collect();
    let rows: HashMap<Uuid, Resource> =
        rows.iter().map(|(id, revision)| (*id, row(*id, *revision))).collect();
    let told: Vec<_> = fold
        .step(changes, rows, upto)
        .iter()
        .map(|Told { position, id, kind, .. }| (*position, *id, *kind))
        .collect();
    assert_eq!(told, expected, "up to {upto}");
}

#[test]
fn each_row_is_told_once_in_its_newest_form_in_the_order_of_revisions() {
    let mut fold = Fold::new(9);
    let changes = [(1, A, Created), (2, B, Changed), (3, A, Changed), (4, A, Changed), (5, B, Changed)];
    check(&mut fold, &changes, &[(A, 4), (B, 5)], 5, &[(4, A, Kind::Added), (5, B, Kind::Modified)]);
}

#[test]
fn a_row_that_is_ahead_is_told_when_its_revision_is_reached() {
    let mut fold = Fold::new(9);
    check(&mut fold, &[(1, A, Created)], &[(A, 3)], 1, &[]);
    check(&mut fold, &[(2, B, Changed)], &[(B, 2)], 2, &[(2, B, Kind::Modified)]);
    check(&mut fold, &[(3, A, Changed)], &[(A, 3)], 3, &[(3, A, Kind::Added)]);
    check(&mut fold, &[(4, A, Changed)], &[(A, 4)], 4, &[(4, A, Kind::Modified)]);
}

#[test]
fn a_row_that_never_rests_is_told_all_the_same() {
    let mut fold = Fold::new(9);
    check(&mut fold, &[(1, A, Created)], &[(A, 5)], 1, &[]);
    check(&mut fold, &[(3, A, Changed)], &[(A, 8)], 3, &[]);
    check(&mut fold, &[(5, A, Changed)], &[(A, 11)], 6, &[(5, A, Kind::Added)]);
    check(&mut fold, &[(8, A, Changed)], &[(A, 14)], 9, &[]);
    check(&mut fold, &[(11, A, Changed)], &[(A, 17)], 12, &[(11, A, Kind::Modified)]);
}

#[test]
fn a_row_that_went_before_it_was_told_says_where_it_was_made() {
    #[track_caller]
    fn gone(fold: &mut Fold, changes: &[(i64, Uuid, ChangeAction)], upto: i64, expected: Option<i64>) {
        let changes = changes.iter().map(|(position, id, action)| change(*position, *id, *action)).collect();
        let told = fold.step(changes, HashMap::new(), upto);
        let [Told { kind: Kind::Deleted, what: What::Gone { made, .. }, .. }] = told.as_slice() else {
            panic!("one row is gone, not {told:?}");
        };
        assert_eq!(*made, expected);
    }
    let mut fold = Fold::new(9);
    gone(&mut fold, &[(1, A, Created), (2, A, Deleted)], 2, Some(1));
    check(&mut fold, &[(3, B, Created)], &[], 3, &[]);
    check(&mut fold, &[(4, B, Changed)], &[], 4, &[]);
    gone(&mut fold, &[(5, B, Deleted)], 5, Some(3));
    gone(&mut fold, &[(6, A, Changed), (7, A, Deleted)], 7, None);
    check(&mut fold, &[(8, A, Created)], &[(A, 9)], 8, &[]);
    gone(&mut fold, &[(9, A, Changed), (10, A, Deleted)], 10, Some(8));
    check(&mut fold, &[(11, A, Created)], &[(A, 11)], 11, &[(11, A, Kind::Added)]);
    gone(&mut fold, &[(12, A, Deleted)], 12, None);
}

#[test]
fn what_cannot_be_kept_is_told_by_the_step_that_has_its_change() {
    let mut fold = Fold::new(1);
    check(&mut fold, &[(1, A, Created), (2, B, Created)], &[(A, 3), (B, 4)], 2, &[]);
    let changes = [(3, A, Changed), (4, B, Changed)];
    check(&mut fold, &changes, &[(A, 3), (B, 4)], 4, &[(3, A, Kind::Added), (4, B, Kind::Added)]);
}
