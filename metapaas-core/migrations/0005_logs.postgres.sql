CREATE TABLE "metapaas_logs" (
    "id" uuid NOT NULL,
    "instance_id" uuid NOT NULL,
    "place" text NOT NULL,
    "lines" text NOT NULL,
    "created_at" timestamp with time zone NOT NULL,
    PRIMARY KEY ("id")
);
CREATE INDEX "metapaas_logs_instance_id_idx" ON "metapaas_logs" ("instance_id");
CREATE INDEX "metapaas_logs_created_at_idx" ON "metapaas_logs" ("created_at");
