CREATE TABLE "metapaas_links" (
    "id" text NOT NULL,
    "binder_id" text NOT NULL,
    "target_id" text NOT NULL,
    "target_type" text NOT NULL,
    "path" text NOT NULL,
    "parameters" text NOT NULL,
    "secret" text NOT NULL,
    "generation" integer NOT NULL,
    "leaving" boolean NOT NULL,
    "created_at" integer NOT NULL,
    PRIMARY KEY ("id")
);
CREATE INDEX "metapaas_links_binder_id_idx" ON "metapaas_links" ("binder_id");
CREATE INDEX "metapaas_links_target_id_idx" ON "metapaas_links" ("target_id");
