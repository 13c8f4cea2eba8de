//! Prints the whole policy, role x type x action x field, as a table for the golden file.

use std::fmt::Write;

use super::policy::{least_role, setting_action};
use crate::descriptor::{Action, TypeDescriptor};
use crate::registry::Registry;
use crate::role::Role;

/// One line per permission, of the framework's `own` types and of all hosted ones: its name, and what viewer, operator and owner may do.
pub fn print(own: &[&'static TypeDescriptor], registry: &Registry) -> String {
    let mut lines = Vec::new();
    let own = own.iter().map(|ty| (*ty, Vec::new()));
    let hosted =
        registry.types().iter().map(|registered| (registered.ty, registered.custom_actions().collect()));
    for (ty, custom) in own.chain(hosted) {
        for action in Action::STANDARD.into_iter().chain(custom) {
            lines.push((ty.permission(action), least_role(ty, action)));
        }
        for field in ty.fields.iter().filter(|field| !field.output) {
            let least = least_role(ty, setting_action(field)).max(field.iam.unwrap_or(Role::Viewer));
            lines.push((ty.field_permission(field.name), least));
        }
    }
    let width = lines.iter().map(|(permission, _)| permission.len()).max().unwrap_or_default().max(10);
    let mut table = format!("{:width$}  viewer  operator  owner\n", "permission");
    for (permission, least) in lines {
        let cell = |role: Role| if role >= least { "yes" } else { "-" };
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "{permission:width$}  {:6}  {:8}  {}",
            cell(Role::Viewer),
            cell(Role::Operator),
            cell(Role::Owner)
        );
    }
    table
}
