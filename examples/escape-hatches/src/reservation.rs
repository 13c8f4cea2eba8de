//! [`Reservation`]: a type without macros. Its struct is laid out as the program likes it, one interval; tenants see
//! two fields.

use std::ops::RangeInclusive;

use metapaas_core::descriptor::{Action, FieldDescriptor, Key, Scope, Unique};
use metapaas_core::field_type::FieldError;
use metapaas_core::{ActionCall, ActionError, FieldProblem, FieldType, PaasType, Role, Spec, TypeDescriptor};
use serde_json::Value;

use crate::port::Port;

/// Ports that belong to a tenant.
#[derive(Debug, PartialEq)]
pub(crate) struct Reservation {
    ports: RangeInclusive<Port>,
}

impl PaasType for Reservation {
    const DESCRIPTOR: &'static TypeDescriptor = &TypeDescriptor {
        name: "Reservation",
        slug: "ports",
        plural: "instances",
        segment: None,
        doc: "Ports that belong to a tenant.",
        parent: None,
        key: Key::Name,
        scope: Scope::Project,
        element: "ports",
        policy: &[(Action::Create, Role::Operator)],
        retention_seconds: None,
        fields: &[
            FieldDescriptor { name: "first_port", doc: "The first port.", ..PORT },
            FieldDescriptor { name: "last_port", doc: "The last port.", mutable: true, ..PORT },
        ],
        check: Some(in_order),
    };

    fn to_spec(&self) -> Spec {
        let (first, last) = (self.ports.start().to_json(), self.ports.end().to_json());
        Spec::from_iter([("first_port".to_owned(), first), ("last_port".to_owned(), last)])
    }

    fn from_spec(spec: &Spec) -> Result<Self, FieldError> {
        let port =
            |name| Port::from_json(spec.get(name).unwrap_or(&Value::Null)).map_err(|error| error.at(name));
        Ok(Self { ports: port("first_port")?..=port("last_port")? })
    }
}

/// The action `extend`: `by` more ports at the end. What it answers is held to the rules of the fields all the same.
pub(crate) fn extend(reservation: Reservation, call: &ActionCall) -> Result<Reservation, ActionError> {
    let by: u16 = call.parameter("by")?;
    let (first, last) = reservation.ports.into_inner();
    let last = last.plus(by).ok_or_else(|| ActionError::refused("there are no ports past 65535"))?;
    Ok(Reservation { ports: first..=last })
}

/// What both fields have in common.
const PORT: FieldDescriptor = FieldDescriptor {
    name: "",
    doc: "",
    kind: Port::KIND,
    nullable: false,
    mutable: false,
    output: false,
    metric: None,
    iam: None,
    default: None,
    unique: Unique::No,
    len: None,
    range: None,
    pattern: None,
    renamed_from: None,
    check: None,
};

/// A rule across fields. A field that is wrong on its own has been reported already.
pub(crate) fn in_order(new: &Spec, _old: Option<&Spec>) -> Vec<FieldProblem> {
    match Reservation::from_spec(new) {
        Ok(reservation) if reservation.ports.is_empty() => {
            vec![FieldProblem::new("last_port", "is before `first_port`; give one that is not")]
        }
        _ => Vec::new(),
    }
}
