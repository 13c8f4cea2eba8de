CREATE TABLE "metapaas_uploads" (
    "id" text NOT NULL,
    "instance_id" text NOT NULL,
    "digest" text NULL,
    "size" integer NOT NULL,
    "needed" boolean NOT NULL,
    "created_at" integer NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "metapaas_uploads_instance_id_digest_key" ON "metapaas_uploads" ("instance_id", "digest");
CREATE INDEX "metapaas_uploads_created_at_idx" ON "metapaas_uploads" ("created_at");

CREATE TABLE "metapaas_upload_chunks" (
    "id" text NOT NULL,
    "upload_id" text NOT NULL REFERENCES "metapaas_uploads" ("id") ON DELETE CASCADE,
    "seq" integer NOT NULL,
    "data" text NOT NULL,
    PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "metapaas_upload_chunks_upload_id_seq_key" ON "metapaas_upload_chunks" ("upload_id", "seq");
