//! Files that clients sent for an instance: in chunks, since several control planes share nothing but the database, and
//! sealed, since code may hold secrets.

use chrono::{DateTime, Utc};
use futures::FutureExt;
use sea_query::{Alias, Expr, ExprTrait, OnConflict, Order, Query, SelectStatement, SimpleExpr};
use uuid::Uuid;

use super::error::StoreError;
use super::statement::{Statement, slot};
use super::value::{Arg, Required, Row};
use super::work::held;
use super::{Claim, Store, now};

const TABLE: &str = "metapaas_uploads";
/// The table of what uploads hold.
pub(super) const CHUNKS: &str = "metapaas_upload_chunks";

/// Slots of all statements.
mod own {
    pub(super) const ID: usize = 0;
    pub(super) const INSTANCE: usize = 1;
    pub(super) const DIGEST: usize = 2;
    pub(super) const SIZE: usize = 3;
    pub(super) const NEEDED: usize = 4;
    pub(super) const TIME: usize = 5;
    pub(super) const SEQ: usize = 6;
    pub(super) const DATA: usize = 7;
    pub(super) const UPLOAD: usize = 8;
    pub(super) const EPOCH: usize = 9;
    pub(super) const LEN: usize = 10;
}

/// Where a chunk stands, for sealing.
pub(super) fn chunk_place(id: impl std::fmt::Display) -> String {
    format!("{CHUNKS}.data:{id}")
}

/// A file that has arrived whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its row.
    pub id: Uuid,
    /// SHA-256 of what it holds, in hexadecimal.
    pub digest: String,
    /// How much it holds, in bytes.
    pub size: u64,
    /// Whether the last plan named it.
    pub is_needed: bool,
    /// When it came, the last time.
    pub created_at: DateTime<Utc>,
}

/// What became of an upload that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// It is kept.
    New,
    /// One like it was there.
    Known,
    /// It was given up meanwhile.
    Gone,
}

fn arguments(instance: Uuid) -> Vec<Arg> {
    let mut args = vec![Arg::Text(None); own::LEN];
    args[own::INSTANCE] = Arg::from(instance);
    args[own::TIME] = Arg::from(now());
    args
}

fn of_upload(id: Uuid) -> Vec<Arg> {
    let mut args = arguments(Uuid::nil());
    args[own::UPLOAD] = Arg::from(id);
    args
}

fn col(name: &str) -> SimpleExpr {
    Expr::col(Alias::new(name))
}

/// Uploads of an instance that have arrived whole, the oldest first.
fn whole() -> SelectStatement {
    Query::select()
        .columns(["id", "digest", "size", "needed", "created_at"].map(Alias::new))
        .from(Alias::new(TABLE))
        .and_where(col("instance_id").eq(slot(own::INSTANCE)))
        .and_where(col("digest").is_not_null())
        .order_by(Alias::new("created_at"), Order::Asc)
        .order_by(Alias::new("id"), Order::Asc)
        .to_owned()
}

fn upload(row: &Row) -> Result<Upload, StoreError> {
    Ok(Upload {
        id: row.uuid(0).required("id")?,
        digest: row.text(1).required("digest")?,
        size: row.int(2).required("size")?.unsigned_abs(),
        is_needed: row.bool(3).required("needed")?,
        created_at: row.time(4).required("created_at")?,
    })
}

impl Store {
    /// All uploads of an instance, the oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn uploads(&self, instance: Uuid) -> Result<Vec<Upload>, StoreError> {
        let statement = Statement::new(self.database.dialect(), &whole());
        let rows = self.database.fetch("list uploads", &statement, &arguments(instance)).await?;
        rows.iter().map(upload).collect()
    }

    /// The upload of that digest.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn find_upload(
        &self,
        instance: Uuid,
        digest: &str,
    ) -> Result<Option<Upload>, StoreError> {
        let select = whole().and_where(col("digest").eq(slot(own::DIGEST))).to_owned();
        let mut args = arguments(instance);
        args[own::DIGEST] = Arg::from(digest);
        let statement = Statement::new(self.database.dialect(), &select);
        let rows = self.database.fetch("find an upload", &statement, &args).await?;
        rows.first().map(upload).transpose()
    }

    /// Begins an upload; what has been begun and does not arrive is given up.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn begin_upload(&self, instance: Uuid) -> Result<Uuid, StoreError> {
        let mut insert = Query::insert();
        insert
            .into_table(Alias::new(TABLE))
            .columns(["id", "instance_id", "digest", "size", "needed", "created_at"].map(Alias::new))
            .on_conflict(OnConflict::new().do_nothing().to_owned());
        let values = [own::ID, own::INSTANCE, own::DIGEST, own::SIZE, own::NEEDED, own::TIME];
        // It fails only when columns and values differ in number.
        let _ = insert.values(values.map(slot));
        let id = Uuid::now_v7();
        let mut args = arguments(instance);
        args[own::ID] = Arg::from(id);
        args[own::SIZE] = Arg::from(0);
        args[own::NEEDED] = Arg::from(false);
        let statement = Statement::new(self.database.dialect(), &insert);
        self.run_write("begin an upload", &statement, args).await?;
        Ok(id)
    }

    /// Adds what comes next.
    ///
    /// # Errors
    /// See [`StoreError`]; `Reference` when the upload was given up.
    pub(crate) async fn add_chunk(&self, upload: Uuid, seq: i64, data: &[u8]) -> Result<(), StoreError> {
        let mut insert = Query::insert();
        insert.into_table(Alias::new(CHUNKS)).columns(["id", "upload_id", "seq", "data"].map(Alias::new));
        // It fails only when columns and values differ in number.
        let _ = insert.values([own::ID, own::UPLOAD, own::SEQ, own::DATA].map(slot));
        let id = Uuid::now_v7();
        let mut args = of_upload(upload);
        args[own::ID] = Arg::from(id);
        args[own::SEQ] = Arg::from(seq);
        args[own::DATA] = Arg::from(self.keys.seal(&chunk_place(id), data));
        let statement = Statement::new(self.database.dialect(), &insert);
        self.run_write("keep a part of an upload", &statement, args).await.map(drop)
    }

    /// A part of an upload; `None` after the last one, or when the upload has gone.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn chunk(&self, upload: Uuid, seq: i64) -> Result<Option<Vec<u8>>, StoreError> {
        const ACTION: &str = "read a part of an upload";
        let select = Query::select()
            .columns(["id", "data"].map(Alias::new))
            .from(Alias::new(CHUNKS))
            .and_where(col("upload_id").eq(slot(own::UPLOAD)))
            .and_where(col("seq").eq(slot(own::SEQ)))
            .to_owned();
        let mut args = of_upload(upload);
        args[own::SEQ] = Arg::from(seq);
        let statement = Statement::new(self.database.dialect(), &select);
        let rows = self.database.fetch(ACTION, &statement, &args).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let place = chunk_place(row.uuid(0).required("id")?);
        let opened = self.keys.open(&place, &row.text(1).required("data")?);
        let plain = opened.map_err(|error| StoreError::sealed(ACTION, &place, error))?;
        Ok(Some(plain.to_vec()))
    }

    /// Keeps an upload that has arrived whole, and wakes its instance in the same transaction: its plan may wait for it.
    /// Where one of that digest is there already, that one is as if it had just come, and this one goes. Without `upload`
    /// there has to be one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn finish_upload(
        &self,
        upload: Option<Uuid>,
        instance: Uuid,
        slug: &str,
        digest: &str,
        size: u64,
    ) -> Result<Arrived, StoreError> {
        const ACTION: &str = "keep an upload";
        let dialect = self.database.dialect();
        let mut args = arguments(instance);
        args[own::UPLOAD] = Arg::from(upload);
        args[own::DIGEST] = Arg::from(digest);
        args[own::SIZE] = Arg::from(i64::try_from(size).unwrap_or(i64::MAX));
        let touch = Query::update()
            .table(Alias::new(TABLE))
            .value(Alias::new("created_at"), slot(own::TIME))
            .and_where(col("instance_id").eq(slot(own::INSTANCE)))
            .and_where(col("digest").eq(slot(own::DIGEST)))
            .to_owned();
        let keep = Query::update()
            .table(Alias::new(TABLE))
            .value(Alias::new("digest"), slot(own::DIGEST))
            .value(Alias::new("size"), slot(own::SIZE))
            .value(Alias::new("created_at"), slot(own::TIME))
            .and_where(col("id").eq(slot(own::UPLOAD)))
            .to_owned();
        let (touch, keep) = (Statement::new(dialect, &touch), Statement::new(dialect, &keep));
        let forget = Statement::new(dialect, &forget());
        let (wake, wake_args) = self.waking(instance, slug);
        let arrived = self.database.write(ACTION, move |tx| {
            async move {
                let arrived = if tx.execute(ACTION, &touch, &args).await? > 0 {
                    tx.execute(ACTION, &forget, &args).await?;
                    Arrived::Known
                } else if tx.execute(ACTION, &keep, &args).await? > 0 {
                    Arrived::New
                } else {
                    Arrived::Gone
                };
                tx.execute("wake", &wake, &wake_args).await?;
                Ok::<_, StoreError>(arrived)
            }
            .boxed()
        });
        let arrived = match arrived.await {
            // Another one of that digest came at the same time.
            Err(StoreError::Taken { .. }) => {
                if let Some(upload) = upload {
                    self.give_up_upload(upload).await?;
                }
                Arrived::Known
            }
            arrived => arrived?,
        };
        self.changed(instance);
        Ok(arrived)
    }

    /// Forgets an upload with what it holds.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn give_up_upload(&self, upload: Uuid) -> Result<(), StoreError> {
        let statement = Statement::new(self.database.dialect(), &forget());
        self.run_write("forget an upload", &statement, of_upload(upload)).await.map(drop)
    }

    /// Notes whether an upload is needed, as a plan says it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn set_upload_needed(
        &self,
        claim: &Claim,
        upload: &Upload,
        is_needed: bool,
    ) -> Result<(), StoreError> {
        let dialect = self.database.dialect();
        let update = Query::update()
            .table(Alias::new(TABLE))
            .value(Alias::new("needed"), slot(own::NEEDED))
            .and_where(col("id").eq(slot(own::UPLOAD)))
            .and_where(held(dialect, own::INSTANCE, own::EPOCH, false))
            .to_owned();
        let mut args = under(claim, upload);
        args[own::NEEDED] = Arg::from(is_needed);
        let statement = Statement::new(dialect, &update);
        self.run_write("note what uploads are needed", &statement, args).await.map(drop)
    }

    /// Forgets an upload that no plan needs and that has not come since `before`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn drop_upload(
        &self,
        claim: &Claim,
        upload: &Upload,
        before: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let dialect = self.database.dialect();
        let delete = forget()
            .and_where(col("created_at").lte(slot(own::TIME)))
            .and_where(held(dialect, own::INSTANCE, own::EPOCH, false))
            .to_owned();
        let mut args = under(claim, upload);
        args[own::TIME] = Arg::from(before);
        let statement = Statement::new(dialect, &delete);
        self.run_write("forget an upload", &statement, args).await.map(drop)
    }

    /// Forgets all uploads of an instance that goes.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn forget_uploads(&self, instance: Uuid) -> Result<(), StoreError> {
        let delete = Query::delete()
            .from_table(Alias::new(TABLE))
            .and_where(col("instance_id").eq(slot(own::INSTANCE)))
            .to_owned();
        let statement = Statement::new(self.database.dialect(), &delete);
        self.run_write("forget uploads", &statement, arguments(instance)).await.map(drop)
    }

    /// Gives up uploads that were begun before a time and have not arrived.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn retire_uploads(&self, before: DateTime<Utc>) -> Result<(), StoreError> {
        let delete = Query::delete()
            .from_table(Alias::new(TABLE))
            .and_where(col("created_at").lt(slot(own::TIME)))
            .and_where(col("digest").is_null())
            .to_owned();
        let mut args = arguments(Uuid::nil());
        args[own::TIME] = Arg::from(before);
        let statement = Statement::new(self.database.dialect(), &delete);
        self.run_write("give up old uploads", &statement, args).await.map(drop)
    }
}

fn forget() -> sea_query::DeleteStatement {
    Query::delete().from_table(Alias::new(TABLE)).and_where(col("id").eq(slot(own::UPLOAD))).to_owned()
}

/// Values for what is done in a pass.
fn under(claim: &Claim, upload: &Upload) -> Vec<Arg> {
    let mut args = arguments(claim.resource_id);
    args[own::UPLOAD] = Arg::from(upload.id);
    args[own::EPOCH] = Arg::from(claim.epoch);
    args
}
