CREATE TABLE "metapaas_uploads" (
    "id" uuid NOT NULL,
    "instance_id" uuid NOT NULL,
    "digest" text NULL,
    "size" bigint NOT NULL,
    "needed" boolean NOT NULL,
    "created_at" timestamp with time zone NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "metapaas_uploads_instance_id_digest_key" ON "metapaas_uploads" ("instance_id", "digest");
CREATE INDEX "metapaas_uploads_created_at_idx" ON "metapaas_uploads" ("created_at");

CREATE TABLE "metapaas_upload_chunks" (
    "id" uuid NOT NULL,
    "upload_id" uuid NOT NULL REFERENCES "metapaas_uploads" ("id") ON DELETE CASCADE,
    "seq" bigint NOT NULL,
    "data" text NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "metapaas_upload_chunks_upload_id_seq_key" ON "metapaas_upload_chunks" ("upload_id", "seq");
