CREATE TABLE "metapaas_links" (
    "id" uuid NOT NULL,
    "binder_id" uuid NOT NULL,
    "target_id" uuid NOT NULL,
    "target_type" text NOT NULL,
    "path" text NOT NULL,
    "parameters" jsonb NOT NULL,
    "secret" text NOT NULL,
    "generation" bigint NOT NULL,
    "leaving" boolean NOT NULL,
    "created_at" timestamp with time zone NOT NULL,
    PRIMARY KEY ("id")
);
CREATE INDEX "metapaas_links_binder_id_idx" ON "metapaas_links" ("binder_id");
CREATE INDEX "metapaas_links_target_id_idx" ON "metapaas_links" ("target_id");
