//! Why a change was not made, in the client's words.

use super::statements::{holder, uniques};
use super::write::Unwritten;
use crate::authz::Allowed;
use crate::error::{Error, ErrorCode, Problem};
use crate::registry::RegisteredType;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::schema::index_name;
use crate::store::statement::Statement;
use crate::store::value::Arg;

impl Store {
    /// Why a change was not made: what the row refers to and is not there, which of its values is taken, or `guarded`
    /// when it is none of that.
    pub(super) async fn explain(
        &self,
        allowed: &Allowed,
        registered: &RegisteredType,
        reason: Unwritten,
        args: &[Arg],
        key: &str,
        guarded: impl FnOnce() -> Error,
    ) -> Error {
        match reason {
            Unwritten::Refused(error) => error,
            Unwritten::Failed(error) => self.explain_conflict(allowed, registered, error, args, key).await,
            Unwritten::Guarded => match self.missing_references(registered, args).await {
                Ok(()) => guarded(),
                Err(missing) => missing,
            },
        }
    }

    /// Refuses references that cannot be kept; for writes that did not happen.
    async fn missing_references(&self, registered: &RegisteredType, args: &[Arg]) -> Result<(), Error> {
        let references = &self.references[registered.index];
        let problems = references.missing(registered.ty, &self.database, args).await?;
        if problems.is_empty() { Ok(()) } else { Err(Error::invalid(problems)) }
    }

    /// Which unique value is taken, in the client's words, and by which row, when the caller may see it; or what the
    /// row refers to and is not there.
    async fn explain_conflict(
        &self,
        allowed: &Allowed,
        registered: &RegisteredType,
        error: StoreError,
        args: &[Arg],
        key: &str,
    ) -> Error {
        let ty = registered.ty;
        if let StoreError::Reference { .. } = &error {
            // Of what the row refers to, either a reference went just now, or the project was never there.
            if let Err(missing) = self.missing_references(registered, args).await {
                return missing;
            }
            return Error::invalid_at("/project_id", "MISSING_REFERENCE", "there is no project with this id");
        }
        let StoreError::Taken { constraint, .. } = &error else { return error.into() };
        let taken = uniques(ty).find(|(_, columns)| {
            let in_sqlite: Vec<String> =
                columns.iter().map(|name| format!("{}.{name}", ty.table())).collect();
            *constraint == index_name(&ty.table(), columns, true)
                || constraint.ends_with(&format!(": {}", in_sqlite.join(", ")))
        });
        let Some((column, columns)) = taken else { return error.into() };
        let is_key = ty.key_name() == Some(column);
        let detail = if is_key {
            format!("the {column} {key:?} is taken")
        } else {
            format!("another one has this {column}")
        };
        let mut answer = Error::new(ErrorCode::NameTaken, detail.clone());
        answer.problems.push(Problem::new(format!("/{column}"), "TAKEN", detail));
        let select = Statement::new(self.database.dialect(), &holder(ty, column, &columns));
        // Without the id the answer is right as well.
        let rows =
            self.database.fetch("find the row that has a value", &select, args).await.unwrap_or_default();
        let Some(row) = rows.first() else { return answer };
        match (row.uuid(0), row.uuid(1), row.time(2)) {
            (Ok(Some(id)), Ok(Some(project)), Ok(deleting_at)) if allowed.sees().contains(project) => {
                let answer = answer.with("id", id.to_string());
                if deleting_at.is_none() {
                    return answer;
                }
                answer.with("hint", "it is being deleted; what it has is free when it is gone")
            }
            _ => answer,
        }
    }
}
